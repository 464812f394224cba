#!/usr/bin/env bash
# How often is a gate wrong on the wall clock? Gates of one simulated endpoint against itself, and against one that is 10 % slower in every step.
#
#   cargo build --release && AA=200 AB=50 benches/gate_wall.sh target/release/plimsoll     # 75 minutes, alone on the machine
#   benches/gate_wall.sh target/release/plimsoll                                           # 10 and 5 gates, five minutes
#
# Bars (200 and 50 gates): at most 2.5 % of A/A gates FAIL; at least 94 % of the gates at +10 % FAIL. Ends with 1 if one is missed. A gate is INVALID where a
# machine that does other things sent late in every try of a round: it says nothing, and counts against the second bar.
# The table goes to stdout as Markdown, what the gates said on stderr to stderr.
set -euo pipefail
cd "$(dirname "$0")/.."
plimsoll="${1:-target/release/plimsoll}"
aa="${AA:-10}"
ab="${AB:-5}"
first="${FIRST_SEED:-1}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
slower='endpoint.step={base="4.4ms",per_sequence="55us",per_prefill_token="11us",per_context_token="55ns"}'

# gates NAME COUNT ARGS..: a row of the table; the number of FAIL in fail.NAME
gates() {
  local name=$1 count=$2
  shift 2
  local pass=0 fail=0 open=0 invalid=0 other=0 pairs=0 code
  for i in $(seq "$first" $((first + count - 1))); do
    code=0
    timeout 300 "$plimsoll" gate benches/gate_wall.toml --quiet --seed "$i" --out "$work/runs" --copy-to "$work/last" "$@" >/dev/null || code=$?
    case $code in 0) pass=$((pass + 1)) ;; 10) fail=$((fail + 1)) ;; 12) open=$((open + 1)) ;; 13) invalid=$((invalid + 1)) ;; *) other=$((other + 1)) ;; esac
    pairs=$((pairs + $(sed -n 's/^  "pairs": \([0-9]*\),$/\1/p' "$work/last/result.json" 2>/dev/null || echo 0)))
    rm -rf "$work/runs" "$work/last"
  done
  printf '| %s | %s | %s | %s | %s | %s | %s | %s |\n' "$name" "$count" "$fail" "$pass" "$open" "$invalid" "$other" \
    "$(awk -v p="$pairs" -v n="$count" 'BEGIN { printf "%.1f", (n > 0) ? p / n : 0 }')"
  printf '%s\n' "$fail" >"$work/fail.$name"
}

printf '| gates | made | FAIL | PASS | INCONCLUSIVE | INVALID | other | pairs, mean |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n'
gates A-A "$aa"
false_fails=$(cat "$work/fail.A-A")
gates +10% "$ab" --head-set "$slower"
found=$(cat "$work/fail.+10%")
printf '\nfalse FAIL %s of %s (bar: at most 2.5 %%); +10 %% found %s of %s (bar: at least 94 %%)\n' "$false_fails" "$aa" "$found" "$ab"
awk -v f="$false_fails" -v n="$aa" -v d="$found" -v m="$ab" 'BEGIN { exit !(f <= 0.025 * n + 1e-9 && d >= 0.94 * m - 1e-9) }'
