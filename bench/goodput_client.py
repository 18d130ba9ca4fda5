"""Some of the clients of bench/goodput.py, as one process: boto3, a thread and an SDK client each.

At the start of each window every client is given a burst of calls, which it makes one after another,
as programs do; what it has not done when the next burst comes, it still does. What the SDK gives up
is lost. Reads its order as JSON from stdin, says "ready", waits for the time to begin, and at the end
prints what it saw.
"""

import json
import os
import random
import sys
import threading
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

WORDS = ("river stone window lantern engine morning harbour signal paper copper garden bridge market winter "
         "number letter circle station valley kitchen method answer question carpet silver").split()


class Client:
    def __init__(self, order: dict, session: boto3.Session, seed: int) -> None:
        self.order = order
        self.random = random.Random(seed)
        self.sdk = session.client(
            "bedrock-runtime", endpoint_url=order["endpoint"], region_name="us-east-1",
            config=Config(retries={"mode": order["mode"]}, max_pool_connections=1))
        self.sdk.meta.events.register("response-received.bedrock-runtime.Converse", self.look)
        self.took: list[float] = []
        self.throttles = self.failed = 0
        self.errors: dict[str, int] = {}

    def look(self, response_dict: dict | None = None, **_: object) -> None:
        if response_dict and response_dict["status_code"] == 429:
            self.throttles += 1

    def prompt(self) -> str:
        words = self.random.randint(self.order["words"] * 7 // 10, self.order["words"] * 13 // 10)
        return " ".join(self.random.choices(WORDS, k=words))

    def call(self) -> None:
        extra = {"inferenceConfig": {"maxTokens": self.order["max_tokens"]}} if self.order["max_tokens"] else {}
        begun = time.monotonic()
        try:
            self.sdk.converse(modelId=self.order["model"],
                              messages=[{"role": "user", "content": [{"text": self.prompt()}]}], **extra)
        except Exception as error:  # noqa: BLE001: whatever it is, this call is lost
            name = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
            self.failed += 1
            self.errors[name] = self.errors.get(name, 0) + 1
        else:
            self.took.append(time.monotonic() - begun)

    def run(self, begin: float) -> None:
        done = 0
        while True:
            windows = int((time.monotonic() - begin) // self.order["window"]) + 1
            if windows * self.order["burst"] > done:
                self.call()
                done += 1
            else:
                time.sleep(begin + windows * self.order["window"] - time.monotonic())


def main() -> None:
    order = json.loads(sys.stdin.readline())
    session = boto3.Session()
    clients = [Client(order, session, order["seed"] * 1000 + i) for i in range(order["clients"])]
    print("ready", flush=True)
    times = json.loads(sys.stdin.readline())
    time.sleep(max(0.0, times["begin"] - time.monotonic()))
    for client in clients:
        threading.Thread(target=client.run, args=(times["begin"],), daemon=True).start()
    time.sleep(max(0.0, times["end"] - time.monotonic()))
    errors: dict[str, int] = {}
    for client in clients:
        for name, count in client.errors.copy().items():
            errors[name] = errors.get(name, 0) + count
    json.dump({"took": [t for c in clients for t in c.took.copy()], "errors": errors,
               "throttles": sum(c.throttles for c in clients), "failed": sum(c.failed for c in clients)},
              sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # calls under way are of no interest


if __name__ == "__main__":
    main()
