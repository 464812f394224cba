#!/usr/bin/env bash
# A gate in any CI system: nothing but bash and the plimsoll binary. Ends with the exit code of the gate.
#
#   GATE_SCENARIO=scenarios/gate.toml GATE_BASE=http://127.0.0.1:8000 GATE_HEAD=http://127.0.0.1:8001 bash deploy/ci/gate.sh
#
#   GATE_SCENARIO         the scenario (needed)
#   GATE_BASE, GATE_HEAD  URLs of both sides [default: target.url of the scenario; without one, its simulated endpoint]
#   GATE_BASELINE         instead of GATE_BASE: a baseline file; the scenario is loaded GATE_RUNS times and judged by the accepted runs
#   GATE_RUNS             runs of the head for GATE_BASELINE [default: 4]
#   GATE_ON_INCONCLUSIVE  warn (pull requests) or fail (releases) [default: warn]
#   GATE_OUT              folder for result.json, junit.xml, summary.md, metrics.txt, load-performance.json, report.html [default: gate-results]
#   GATE_ARGS             more arguments of `plimsoll gate`, one a line, e.g. --confirm-host=staging.example.com
#   PLIMSOLL              the binary [default: plimsoll]
set -euo pipefail

: "${GATE_SCENARIO:?say which scenario}"
plimsoll="${PLIMSOLL:-plimsoll}"
out="${GATE_OUT:-gate-results}"
rm -rf "$out"
mkdir -p "$out"

more=()
while IFS= read -r line; do
  if [ -n "$line" ]; then more+=("$line"); fi
done <<<"${GATE_ARGS:-}"
ends=(--copy-to "$out" --on-inconclusive "${GATE_ON_INCONCLUSIVE:-warn}")

code=0
if [ -n "${GATE_BASELINE:-}" ]; then
  runs=()
  for i in $(seq 1 "${GATE_RUNS:-4}"); do
    load=(run "$GATE_SCENARIO" --seed "$i" --out "$out/runs/$i")
    if [ -n "${GATE_HEAD:-}" ]; then load+=(--url "$GATE_HEAD"); fi
    # Objectives that were missed (11) or not judged (12) in one run are for the gate to judge; everything else stops here.
    run_code=0
    "$plimsoll" "${load[@]}" || run_code=$?
    case $run_code in 0 | 11 | 12 | 13) ;; *) exit "$run_code" ;; esac
    runs+=("$out/runs/$i"/*/*)
  done
  "$plimsoll" gate history --baseline "$GATE_BASELINE" --head "${runs[@]}" "${more[@]}" "${ends[@]}" || code=$?
else
  sides=()
  if [ -n "${GATE_BASE:-}" ]; then sides+=(--base "$GATE_BASE"); fi
  if [ -n "${GATE_HEAD:-}" ]; then sides+=(--head "$GATE_HEAD"); fi
  "$plimsoll" gate "$GATE_SCENARIO" "${sides[@]}" "${more[@]}" "${ends[@]}" || code=$?
fi

if [ -n "${GITHUB_STEP_SUMMARY:-}" ] && [ -f "$out/summary.md" ]; then
  cat "$out/summary.md" >>"$GITHUB_STEP_SUMMARY"
fi
if [ -n "${GITHUB_OUTPUT:-}" ]; then
  printf 'exit-code=%s\nresults=%s\n' "$code" "$out" >>"$GITHUB_OUTPUT"
fi
exit "$code"
