#!/usr/bin/env bash
# Makes two runs that measure the client and not the endpoint, and shows what plimsoll says of them. README.md quotes its output.
#
#   tests/held_client.sh          about half a minute; load on 127.0.0.1 only, bounded in time
#
# Both runs must end with exit code 13 (INVALID); the script fails otherwise.
set -uo pipefail
cd "$(dirname "$0")/.."
plimsoll="${PLIMSOLL:-target/release/plimsoll}"
[ -x "$plimsoll" ] || { echo "build first: cargo build --release (or set PLIMSOLL)"; exit 2; }
work="$(mktemp -d)"
"$plimsoll" serve scenarios/smoke.toml --port 0 --for-time 2min >"$work/serve" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null; rm -rf "$work"' EXIT
for _ in $(seq 50); do url=$(grep -o 'http://127[^ ]*' "$work/serve" | head -1); [ -n "$url" ] && break; sleep 0.1; done
failed=0

expect_invalid() {
  echo "exit code $1"
  [ "$1" = 13 ] || { echo "expected 13"; failed=1; }
}

echo "== a client that is stopped for 200 ms of every 400 ms (SIGSTOP, SIGCONT)"
"$plimsoll" run scenarios/smoke.toml --url "$url" --seed 3 --out "$work" --quiet >"$work/held.txt" 2>&1 &
client=$!
( for _ in $(seq 50); do kill -STOP "$client" && sleep 0.2 && kill -CONT "$client" && sleep 0.2 || break; done ) 2>/dev/null
wait "$client"; code=$?
grep -v '^$' "$work/held.txt"
expect_invalid "$code"

echo
echo "== a client on one core that four busy processes use too, asked for 2,000 requests a second"
hogs=()
for _ in 1 2 3 4; do ( ulimit -t 15; exec taskset -c 0 bash -c 'while :; do :; done' ) & hogs+=($!); done
taskset -c 0 "$plimsoll" run scenarios/smoke.toml --url "$url" --request-rate 2000 --allow-client-limit --seed 3 --out "$work" --quiet >"$work/hog.txt" 2>&1
code=$?
kill "${hogs[@]}" 2>/dev/null
wait "${hogs[@]}" 2>/dev/null
grep -v '^$' "$work/hog.txt"
expect_invalid "$code"
exit "$failed"
