"""Loads a llama.cpp server on 127.0.0.1 with plimsoll and compares what both say. Called by real_llm.sh."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

PLIMSOLL, MODEL, WORK = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
SERVER = """
import sys, time, xllamacpp as x
p = x.CommonParams()
p.model.path, p.hostnames, p.port, p.n_parallel, p.n_ctx = sys.argv[1], ["127.0.0.1"], int(sys.argv[2]), 8, 8 * 2048
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
p.endpoint_metrics = p.endpoint_slots = True
server = x.Server(p)
time.sleep(900)
"""
SCENARIO = """
name = "real-llm"
question = "Do our figures agree with those of a server that none of us wrote?"
[target]
url = "http://127.0.0.1:{port}"
ignore_eos = true
[load]
arrivals = {arrivals}
warmup = "0s"
measure = "{measure}s"
drain = "60s"
[workload]
lengths = {{ independent = {{ input = {{ uniform = {{ min = 20, max = {longest} }} }}, output = {{ fixed = 24 }} }} }}
"""
def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def metrics(port):
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode()
    return {k: float(v) for k, v in re.findall(r"^llamacpp:(\w+)(?:\{[^}]*\})? (\S+)$", text, re.M)}


def run(*args, out=WORK / "reports"):
    place = ["--out", str(out)] if out else []
    done = subprocess.run([PLIMSOLL, *args, "--quiet", "--format", "json", *place], capture_output=True, text=True)
    if not done.stdout.strip().startswith(("{", "[")):
        sys.exit(f"plimsoll {' '.join(args)} exited {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def mean(document, metric):
    return document["summary"]["latency"][metric]["mean_ms"]


def compare(scenario, port, task, stream):
    """One user: nothing queues, so the server's own prompt and generation times stand beside TTFT and TPOT."""
    before = metrics(port)
    document = run("run", str(scenario), "--set", f"target.task={task}", "--set", f"target.stream={'true' if stream else 'false'}")
    after = metrics(port)
    grown = {k: after[k] - before.get(k, 0.0) for k in after}
    s = document["summary"]
    a, t = s["accounting"], s["tokens"]
    prompt_ms = grown["prompt_seconds_total"] / a["due"] * 1000
    token_ms = grown["tokens_predicted_seconds_total"] / max(grown["tokens_predicted_total"], 1) * 1000
    ours_first, ours_token = (mean(document, "ttft_service"), mean(document, "tpot")) if stream else (mean(document, "e2e_service"), None)
    theirs_first = prompt_ms if stream else prompt_ms + token_ms * 24
    print(
        f"| {task}, {'stream' if stream else 'whole'} | {a['due']} / {a['ok']} | {t['output_usage']} / {grown['tokens_predicted_total']:.0f} "
        f"| {t['input_usage'] - t['cached']} / {grown['prompt_tokens_total']:.0f} "
        f"| {ours_first:.2f} / {theirs_first:.2f} | {f'{ours_token:.2f} / {token_ms:.2f}' if ours_token else 'n/a'} |"
    )
    assert a["ok"] == a["due"] > 0, a
    assert t["output_usage"] == grown["tokens_predicted_total"], "output tokens differ from the server's own count"


def rates(scenario, each):
    print("\n| offered req/s | served req/s | output tok/s | TTFT p50 ms | TPOT p50 ms | verdict |\n| --- | --- | --- | --- | --- | --- |")
    for rate in each:
        s = run("run", str(scenario), "--request-rate", rate)["summary"]
        p50 = {m: next(p["value_ms"] for p in s["latency"][m]["percentiles"] if p["name"] == "p50") for m in ("ttft", "tpot")}
        shown = {m: "n/a" if v is None else f"{v:.2f}" for m, v in p50.items()}
        print(f"| {s['offered_rate']:.2f} | {s['served_rate']:.2f} | {s['throughput']['output_tok_s']:.1f} | {shown['ttft']} | {shown['tpot']} | {s['validity']['verdict']} |")


def crowd(scenario, port, users):
    """More streams at once than the server has slots: nothing may be lost, and every token counted."""
    before = metrics(port)
    s = run("run", str(scenario), "--users", str(users), "--max-concurrency", str(users), "--set", "target.timeouts.first_byte=5min", "--set", "target.timeouts.total=10min",
            "--set", "load.drain=5min")["summary"]
    grown = {k: v - before.get(k, 0.0) for k, v in metrics(port).items()}
    a, c = s["accounting"], s["validity"]["client"]
    late = {p["name"]: p["value_ms"] for p in s["latency"]["lateness"]["percentiles"]}
    print(f"\n{users} streams at once on 8 slots: {a['due']} due, {a['ok']} ok, outcomes {a['outcomes']}; most in flight {s['in_flight_max']}; "
          f"output tokens {s['tokens']['output_usage']} / {grown['tokens_predicted_total']:.0f}; sent late p50 {late['p50']} ms, p99 {late['p99']} ms; "
          f"event loop late p99 {c['loop_lag_p99_ms']:.2f} ms; client CPU {c['cpu_share']:.1%} of {c['cores']} cores; {s['validity']['verdict']}")
    assert s["tokens"]["output_usage"] == grown["tokens_predicted_total"], "output tokens differ from the server's own count"


def of_step(scenario, name, seconds, *load):
    """Loads once into a folder of its own."""
    out = WORK / "fit" / name
    shutil.rmtree(out, ignore_errors=True)
    document = run("run", str(scenario), "--duration", f"{seconds}s", *load, out=out)
    [folder] = out.glob("*/*")
    s = document["summary"]
    assert s["accounting"]["ok"] > 0, s["accounting"]
    return folder, s


def fit(port, small):
    """Three load steps are fitted to, two more are predicted: E2E within 10 %, TTFT p90 within 20 %."""
    scenario = WORK / "fit.toml"
    lengths = "{ independent = { input = { uniform = { min = 16, max = 400 } }, output = { uniform = { min = 12, max = 60 } } } }" if small else \
        "{ independent = { input = { uniform = { min = 16, max = 80 } }, output = { uniform = { min = 8, max = 24 } } } }"
    text = SCENARIO.format(port=port, arrivals="{ closed = { users = 1 } }", measure=10, longest=60)
    scenario.write_text(re.sub(r"(?m)^lengths = .*$", "lengths = " + lengths, text))
    seconds = 10 if small else 45
    steps = [of_step(scenario, "one-user", seconds, "--users", "1"), of_step(scenario, "twelve-users", seconds, "--users", "12")]
    most = steps[1][1]["served_rate"]
    steps.append(of_step(scenario, "open-70", seconds * 2, "--request-rate", f"{0.7 * most:.3f}"))
    unseen = [of_step(scenario, "five-users", seconds, "--users", "5"), of_step(scenario, "open-45", seconds * 2, "--request-rate", f"{0.45 * most:.3f}")]
    for label, (folder, _) in zip(("five users", f"{0.45 * most:.2f} requests/s"), unseen):
        (folder / "fit-step.json").write_text(json.dumps({"label": label, "is_held_out": True}))
    folders = [str(folder) for folder, _ in steps + unseen]
    model = run("fit", *folders, "--out", str(WORK / "fit" / "model.json"), out=None)
    rows = [r for r in model["quality"]["held_out"] if r["step"] > len(steps)]
    print("\nFit on 1 user, 12 users and an open load; predicted: five users and an open load that the fit did not see\n")
    print("| step | latency | measured ms | predicted ms | difference |\n| --- | --- | --- | --- | --- |")
    worst = {"E2E": 0.0, "TTFT p90": 0.0}
    for r in rows:
        error = r["predicted_ms"] / r["measured_ms"] - 1
        print(f"| {['five users', 'open load'][r['step'] - len(steps) - 1]} | {r['metric']} {r['percentile']} | {r['measured_ms']:.2f} | {r['predicted_ms']:.2f} | {error:+.1%} |")
        if r["metric"] == "E2E" and r["percentile"] in ("mean", "p50", "p90"):
            worst["E2E"] = max(worst["E2E"], abs(error))
        if (r["metric"], r["percentile"]) == ("TTFT", "p90"):
            worst["TTFT p90"] = max(worst["TTFT p90"], abs(error))
    for p in model["parameters"]:
        print(f"- {p['name']}: {p['value']:.4g} {p['unit']} ({p['low']:.4g} to {p['high']:.4g}), {p['source']}")
    print(f"\nworst: E2E {worst['E2E']:.1%} (bar 10 %), TTFT p90 {worst['TTFT p90']:.1%} (bar 20 %); {len(rows)} figures")


def main():
    port = free_port()
    server = subprocess.Popen([sys.executable, "-c", SERVER, MODEL, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(120):
            try:
                metrics(port)
                break
            except OSError:
                time.sleep(0.5)
        small = os.path.getsize(MODEL) < 50_000_000
        shape = {"port": port, "measure": 8 if small else 20, "longest": 200 if small else 60}
        if "--fit" in sys.argv:
            fit(port, small)
            return
        scenario = WORK / "real.toml"
        scenario.write_text(SCENARIO.format(arrivals="{ closed = { users = 1 } }", **shape))
        print(f"model {pathlib.Path(MODEL).name}, one user, 24 output tokens a request; ours / the server's\n")
        print("| task | due / ok | output tokens | uncached prompt tokens | first answer ms | ms per token |\n| --- | --- | --- | --- | --- | --- |")
        for task in ("chat", "completions"):
            for stream in (True, False):
                compare(scenario, port, task, stream)
        rates(scenario, ("4", "12", "24") if small else ("0.2", "0.4", "0.8"))
        if small:
            crowd(scenario, port, 1000)
        fit(port, small)
    finally:
        server.terminate()
        server.wait()


main()
