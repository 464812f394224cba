"""Drives `plimsoll serve` with databricks-sdk and openai, and compares their objects with ours. Called by databricks_sdk.sh."""
import contextlib
import datetime
import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.request

PLIMSOLL, WORK = sys.argv[1], pathlib.Path(sys.argv[2])
# No profile or variable of the machine may speak for the emulation.
for key in [k for k in os.environ if k.startswith("DATABRICKS_")]:
    del os.environ[key]
os.environ["DATABRICKS_CONFIG_FILE"] = str(WORK / "no-such-file")

import databricks.sdk
import openai
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import (
    BadRequest, InvalidParameterValue, NotFound, PermissionDenied, ResourceAlreadyExists, ResourceConflict, ResourceDoesNotExist, TooManyRequests,
    Unauthenticated,
)
from databricks.sdk.service import serving as s

LLAMA = "system.ai.meta_llama_v3_1_8b_instruct"
passed = []


def check(what, holds, detail=""):
    if not holds:
        sys.exit(f"FAILED: {what}: {detail}")
    passed.append(what)
    print(f"ok  {what}" + (f": {detail}" if detail else ""))


def raises(what, kind, action, words=""):
    try:
        action()
    except kind as error:
        check(what, words in str(error), f"{type(error).__name__}: {error}")
    else:
        sys.exit(f"FAILED: {what}: nothing was raised, expected {kind.__name__}")


@contextlib.contextmanager
def workspace(*settings):
    sets = [word for setting in settings for word in ("--set", setting)]
    server = subprocess.Popen([PLIMSOLL, "serve", "--port", "0", "--for-time", "3min", *sets], stdout=subprocess.PIPE, text=True)
    try:
        yield server.stdout.readline().split()[-1]
    finally:
        server.terminate()
        server.wait(timeout=10)


def band(name, low, high, version="2"):
    return s.ServedEntityInput(name=name, entity_name=LLAMA, entity_version=version, min_provisioned_throughput=low, max_provisioned_throughput=high)


def raw(url, path):
    request = urllib.request.Request(url + path, headers={"Authorization": "Bearer dapi-anything"})
    return json.loads(urllib.request.urlopen(request, timeout=10).read())


def ours(url, name):
    """What `plimsoll endpoint status` says, or the bare JSON where this build does not have that command yet."""
    env = {**os.environ, "DATABRICKS_HOST": url, "DATABRICKS_TOKEN": "dapi-anything"}
    done = subprocess.run([PLIMSOLL, "endpoint", "status", name, "--format", "json"], capture_output=True, text=True, env=env)
    if done.stdout.strip().startswith("{"):
        return "plimsoll endpoint status", json.loads(done.stdout)
    return "the JSON on the wire", raw(url, f"/api/2.0/serving-endpoints/{name}")


def differences(theirs, mine, path=""):
    """Where what the SDK parsed is not in our document: every member that it understood must be there with the same value.

    A route has its entity's name twice, by the older word `served_model_name` as well; ours keeps the newer one.
    """
    if isinstance(theirs, dict):
        return [d for k, v in theirs.items() if k != "served_model_name" for d in (differences(v, mine.get(k), f"{path}.{k}") if isinstance(mine, dict) else [f"{path}.{k}"])]
    if isinstance(theirs, list):
        if not isinstance(mine, list) or len(theirs) != len(mine):
            return [path]
        return [d for i, (a, b) in enumerate(zip(theirs, mine)) for d in differences(a, b, f"{path}[{i}]")]
    return [] if theirs == mine else [f"{path}: {theirs!r} is {mine!r}"]


def bands(url):
    w = WorkspaceClient(host=url, token="dapi-anything")
    versions = sorted(v.version for v in w.model_versions.list("main.default.tuned_llama"))
    check("every page of the versions is read", versions == [1, 2, 3, 4, 7, 11, 12], versions)
    alias = w.model_versions.get_by_alias("main.default.tuned_llama", "champion")
    check("an alias names a version", alias.version == 7, f"champion is version {alias.version}")
    info = w.api_client.do("GET", f"/api/2.0/serving-endpoints/get-model-optimization-info/{LLAMA}/2")
    check("optimization info of bands", info == {"optimizable": True, "model_type": "llama", "throughput_chunk_size": 970}, info)
    chunk = info["throughput_chunk_size"]

    started = time.monotonic()
    waiter = w.serving_endpoints.create("sdk", config=s.EndpointCoreConfigInput(name="x", served_entities=[band("llama", chunk, 2 * chunk)]),
                                        tags=[s.EndpointTag("team", "search")])
    first = waiter.response if hasattr(waiter, "response") else w.serving_endpoints.get("sdk")
    check("create answers at once, not ready", first.state.ready == s.EndpointStateReady.NOT_READY, first.state.as_dict())
    check("the pending configuration is shown", first.pending_config.served_entities[0].state.deployment == s.ServedModelStateDeployment.DEPLOYMENT_CREATING)
    raises("a second update while one is running", ResourceConflict, lambda: w.serving_endpoints.update_config("sdk", served_entities=[band("llama", 0, chunk)]))
    raises("a query before it is ready", NotFound, lambda: w.serving_endpoints.query("sdk", prompt="x", max_tokens=1))
    detailed = waiter.result(timeout=datetime.timedelta(seconds=60))
    check("the SDK's waiter ends", detailed.state.ready == s.EndpointStateReady.READY, f"after {time.monotonic() - started:.1f} s")
    whose, document = ours(url, "sdk")
    found = differences(detailed.as_dict(), document.get("endpoint", document))
    check(f"what the SDK parsed is what {whose} says", not found, f"{len(json.dumps(detailed.as_dict()))} bytes of it; differences: {found}")

    answer = w.serving_endpoints.query("sdk", messages=[s.ChatMessage(role=s.ChatMessageRole.USER, content="one two three")], max_tokens=5)
    check("query", answer.usage.completion_tokens == 5 and len(answer.choices[0].message.content.split()) == 5, answer.choices[0].message.content)
    check("the header served-model-name", answer.served_model_name == "llama", answer.served_model_name)
    metrics = w.serving_endpoints.export_metrics("sdk").contents.read().decode()
    check("metrics", "provisioned_concurrent_requests_total{" in metrics and "request_count_total{" in metrics, f"{metrics.count(chr(10))} lines")

    resized = w.serving_endpoints.update_config_and_wait("sdk", served_entities=[band("llama", 0, 3 * chunk)], timeout=datetime.timedelta(seconds=60))
    entity = resized.config.served_entities[0]
    check("resize to min 0 and three chunks", ((entity.min_provisioned_throughput or 0), entity.max_provisioned_throughput, resized.config.config_version) == (0, 3 * chunk, 2),
          f"config version {resized.config.config_version}")
    tags = w.serving_endpoints.patch("sdk", add_tags=[s.EndpointTag("cost", "7")], delete_tags=["team"])
    check("tags", [t.key for t in tags.tags] == ["cost"], tags.as_dict())
    gateway = w.serving_endpoints.put_ai_gateway("sdk", usage_tracking_config=s.AiGatewayUsageTrackingConfig(enabled=True),
                                                 rate_limits=[s.AiGatewayRateLimit(renewal_period=s.AiGatewayRateLimitRenewalPeriod.MINUTE, calls=600)])
    check("AI gateway", gateway.rate_limits[0].calls == 600 and w.serving_endpoints.get("sdk").ai_gateway.usage_tracking_config.enabled)
    logs = w.serving_endpoints.build_logs("sdk", "llama").logs
    check("build logs", "ready" in logs, logs.splitlines()[-1])
    grants = w.serving_endpoints.update_permissions(detailed.id, access_control_list=[
        s.ServingEndpointAccessControlRequest(user_name="a@example.com", permission_level=s.ServingEndpointPermissionLevel.CAN_QUERY)])
    check("permissions", len(grants.access_control_list) == 2, [a.user_name for a in grants.access_control_list])
    names = [e.name for e in w.serving_endpoints.list()]
    check("list", "sdk" in names, names)

    raises("a name that is taken", ResourceAlreadyExists, lambda: w.serving_endpoints.create("sdk", config=s.EndpointCoreConfigInput(name="x", served_entities=[band("llama", 0, chunk)])))
    new = lambda *e, **more: w.serving_endpoints.create("new", config=s.EndpointCoreConfigInput(name="x", served_entities=list(e), **more))
    raises("a size between two chunks", InvalidParameterValue, lambda: new(band("llama", 0, chunk + 1)), "multiple of 970")
    raises("a model of the other product", InvalidParameterValue, lambda: new(s.ServedEntityInput(
        entity_name="system.ai.gpt-oss-120b", entity_version="1", min_provisioned_throughput=0, max_provisioned_throughput=50)), "not eligible for Provisioned Throughput")
    raises("a version that is not there", ResourceDoesNotExist, lambda: new(band("llama", 0, chunk, version="99")))
    raises("a traffic split that is not 100", InvalidParameterValue, lambda: new(band("a", 0, chunk), band("b", 0, chunk),
           traffic_config=s.TrafficConfig(routes=[s.Route(served_entity_name="a", traffic_percentage=50), s.Route(served_entity_name="b", traffic_percentage=49)])), "got 99")
    raises("an endpoint that is not there", ResourceDoesNotExist, lambda: w.serving_endpoints.get("nothing"))
    chats(url)
    w.serving_endpoints.delete("sdk")
    raises("deleted", ResourceDoesNotExist, lambda: w.serving_endpoints.get("sdk"))


def chats(url):
    client = openai.OpenAI(api_key="dapi-anything", base_url=f"{url}/serving-endpoints", max_retries=0)
    messages = [{"role": "user", "content": "one two three four"}]
    whole = client.chat.completions.create(model="sdk", messages=messages, max_tokens=7)
    check("openai: chat", (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (4, 7), whole.choices[0].message.content)
    pieces = list(client.chat.completions.create(model="sdk", messages=messages, max_tokens=7, stream=True, stream_options={"include_usage": True}))
    text = "".join(p.choices[0].delta.content or "" for p in pieces if p.choices)
    check("openai: the stream", len(text.split()) == 7 and pieces[-1].usage.completion_tokens == 7, f"{len(pieces)} chunks: {text}")
    with_logprobs = client.chat.completions.create(model="sdk", messages=messages, max_tokens=2, logprobs=True, top_logprobs=3)
    check("openai: logprobs", len(with_logprobs.choices[0].logprobs.content[0].top_logprobs) == 3)
    batch = client.completions.create(model="sdk", prompt=["a b", "c"], max_tokens=3)
    check("openai: batched prompts", len(batch.choices) == 2 and batch.usage.completion_tokens == 6)
    vectors = client.embeddings.create(model="sdk", input=["a", "b"], encoding_format="float")
    check("openai: embeddings", len(vectors.data) == 2, f"{len(vectors.data[0].embedding)} dimensions")
    raises("openai: an endpoint that is not there", openai.NotFoundError, lambda: client.chat.completions.create(model="nothing", messages=messages))


def units(url):
    w = WorkspaceClient(host=url, token="dapi-anything")
    info = w.api_client.do("GET", "/api/2.0/serving-endpoints/get-model-optimization-info/system.ai.gpt-oss-120b/1")
    check("optimization info of model units", info == {"optimizable": True, "model_unit_chunk_size": 50}, info)
    served = lambda units: s.PtServedModel(entity_name="system.ai.gpt-oss-120b", entity_version="1", provisioned_model_units=units, burst_scaling_enabled=False)
    made = w.serving_endpoints.create_provisioned_throughput_endpoint_and_wait(
        "units", config=s.PtEndpointCoreConfig(served_entities=[served(50)]), timeout=datetime.timedelta(seconds=60))
    check("model units are created", made.config.served_entities[0].provisioned_model_units == 50)
    grown = w.serving_endpoints.update_provisioned_throughput_endpoint_config_and_wait(
        "units", config=s.PtEndpointCoreConfig(served_entities=[served(100)]), timeout=datetime.timedelta(seconds=60))
    check("and resized", grown.config.served_entities[0].provisioned_model_units == 100)
    found = differences(grown.as_dict(), ours(url, "units")[1].get("endpoint", ours(url, "units")[1]))
    check("what the SDK parsed of them is what we say", not found, found)
    w.serving_endpoints.delete("units")


def failures():
    with workspace("endpoint.workspace.gpu_chunks=2", "endpoint.workspace.gpu_wait=1s", "endpoint.workspace.deployment=1s") as url:
        w = WorkspaceClient(host=url, token="dapi-anything")
        w.serving_endpoints.create_and_wait("small", config=s.EndpointCoreConfigInput(name="x", served_entities=[band("llama", 970, 970)]), timeout=datetime.timedelta(seconds=60))
        raises("no GPUs: the SDK's waiter says so", Exception, lambda: w.serving_endpoints.update_config_and_wait(
            "small", served_entities=[band("llama", 9 * 970, 9 * 970)], timeout=datetime.timedelta(seconds=60)), "UPDATE_FAILED")
        after = w.serving_endpoints.get("small")
        message = after.pending_config.served_entities[0].state.deployment_state_message
        check("and the old configuration serves on", after.state.ready == s.EndpointStateReady.READY and after.config.config_version == 1, message)
        check("with an answer", w.serving_endpoints.query("small", prompt="x", max_tokens=2).usage.completion_tokens == 2)
    with workspace("endpoint.workspace.parallel_requests=0") as url:
        client = openai.OpenAI(api_key="x", base_url=f"{url}/serving-endpoints", max_retries=0)
        raises("429 of the workspace", openai.RateLimitError, lambda: client.completions.create(model="plimsoll", prompt="x"), "Exceeded max number of parallel requests")
    with workspace("endpoint.max_batch=1", "endpoint.queue=0", "endpoint.max_chunks=1") as url:
        client = openai.OpenAI(api_key="x", base_url=f"{url}/serving-endpoints", max_retries=0)
        stream = client.completions.create(model="plimsoll", prompt="x", max_tokens=10_000, stream=True)
        next(iter(stream))
        raises("429 of the capacity", openai.RateLimitError, lambda: client.completions.create(model="plimsoll", prompt="x"), "Too many concurrent requests")
        stream.close()
    people = 'endpoint.workspace.principals=[{ name = "robot", admin = true }, { name = "guest" }]'
    with workspace(people, "endpoint.workspace.token_lifetime=45s") as url:
        robot = WorkspaceClient(host=url, client_id="robot", client_secret="dose-robot")
        check("OAuth, machine to machine", "plimsoll" in [e.name for e in robot.serving_endpoints.list()], robot.config.auth_type)
        before = robot.config.authenticate()["Authorization"]
        time.sleep(8)
        check("a token is fetched again before it expires", robot.config.authenticate()["Authorization"] != before and robot.serving_endpoints.get("plimsoll") is not None)
        guest = WorkspaceClient(host=url, token="dapi-guest")
        raises("403", PermissionDenied, lambda: guest.serving_endpoints.get("plimsoll"), "CAN_VIEW")
        raises("a token that nobody has", PermissionDenied, lambda: WorkspaceClient(host=url, token="dapi-other").serving_endpoints.get("plimsoll"))


def main():
    print(f"databricks-sdk {databricks.sdk.version.__version__}, openai {openai.__version__}")
    with workspace() as url:
        bands(url)
        units(url)
    failures()
    print(f"{len(passed)} checks, all good")


main()
