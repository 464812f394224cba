#!/usr/bin/env bash
# Drives the emulated Databricks workspace of `plimsoll serve` with the official clients, and compares what they parse with what we say.
# Takes about a minute, on 127.0.0.1 only.
#
#   tests/databricks_sdk.sh        needs a build: cargo build (or PLIMSOLL=path of the binary)
#
# Skips with a clear line when the packages cannot be had.
set -euo pipefail
cd "$(dirname "$0")/.."
plimsoll="${PLIMSOLL:-${CARGO_TARGET_DIR:-target}/debug/plimsoll}"
work="${DATABRICKS_SDK_DIR:-target/databricks-sdk}"
[ -x "$plimsoll" ] || { echo "build first: cargo build (or set PLIMSOLL)"; exit 2; }
mkdir -p "$work"
if [ ! -x "$work/venv/bin/python" ] || ! "$work/venv/bin/python" -c 'import databricks.sdk, openai' 2>/dev/null; then
  python3 -m venv "$work/venv" && "$work/venv/bin/pip" -q install 'databricks-sdk==0.162.0' 'openai==3.57.0' || {
    echo "skipped: the packages databricks-sdk and openai cannot be installed here; nothing was compared"
    exit 0
  }
fi
exec "$work/venv/bin/python" tests/databricks_sdk.py "$plimsoll" "$work"
