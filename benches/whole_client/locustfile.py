"""The load of the peers' benchmark for locust: one request after another, the stream read to its end by the public interface."""

import os

from locust import FastHttpUser, constant, constant_throughput, events, task

BODY = os.environ["BENCH_BODY"]
LIMIT = int(os.environ.get("BENCH_REQUESTS", "0"))
IS_PACED = "BENCH_PACED" in os.environ
left = LIMIT


class Asker(FastHttpUser):
    wait_time = constant_throughput(1) if IS_PACED else constant(0)

    @task
    def ask(self):
        global left
        if LIMIT:
            if left <= 0:
                self.environment.runner.quit()
                return
            left -= 1
        stream = '"stream":true' in BODY
        with self.client.post(
            "/v1/chat/completions", data=BODY, headers={"content-type": "application/json"}, stream=stream, catch_response=True
        ) as response:
            if stream:
                for _ in response.iter_content(1024):
                    pass
            response.success()
