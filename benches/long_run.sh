#!/usr/bin/env bash
# Ten million requests in one run against the null server of the whole-client benchmark: memory over time, percentiles to p99.99, and every record read back.
#
#   benches/long_run.sh [SECONDS]      250 s of load by default; server on core 0, client on core 1; about 5 GB on disk in target/long-run, removed afterwards
set -euo pipefail
cd "$(dirname "$0")/.."
seconds="${1:-250}"
out=target/long-run
cargo build --release --locked --bins
server_exe=$(cargo bench --locked --no-run --bench whole_client 2>&1 | grep -o '[^ (]*whole_client-[0-9a-f]*' | tail -1)
rm -rf "$out" && mkdir -p "$out"
taskset -c 0 "$server_exe" serve >"$out/port" &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -rf "$out"' EXIT
for _ in $(seq 50); do [ -s "$out/port" ] && break; sleep 0.1; done

set +e
taskset -c 1 target/release/plimsoll run benches/whole_client/a.toml --url "http://127.0.0.1:$(head -1 "$out/port")/n0-w1-t0-i0" --out "$out" --seed 1 --quiet \
  --allow-client-limit --set load.measure="${seconds}s" --set limits.requests=100000000 --set limits.duration=24h --set 'slo={e2e={"p99.99"="10s"}}' >"$out/told" 2>&1 &
client=$!
begun=$(date +%s)
while kill -0 "$client" 2>/dev/null; do
  rss=$(awk '/VmRSS/ { print $2 }' "/proc/$client/status" 2>/dev/null)
  [ -n "$rss" ] && echo "$(($(date +%s) - begun)) $rss" >>"$out/rss"
  sleep 5
done
wait "$client"
echo "exit code $? (13 is right: the client has one core, and the null server never waits)"
set -e
run=$(echo "$out"/bench-a/*/)
grep -E 'due =|p99.99|Request rate' "$out/told"
awk -v span="$seconds" '$1 <= span { kib[n++] = $2 } END { printf "resident while loading: after 10 s %d MiB, half way %d MiB, at the end %d MiB\n", kib[2]/1024, kib[int(n/2)]/1024, kib[n-1]/1024 }' "$out/rss"
awk '{ if ($2 > most) most = $2; last = $1 } END { printf "most resident, results included: %d MiB; whole wall %d s\n", most/1024, last }' "$out/rss"
du -h "$run"requests.log "$run"requests.parquet "$run"report.html
rm "$run/run.json"
echo "every record read back from the log:"
time target/release/plimsoll report "$run" --quiet | grep -E 'due ='
