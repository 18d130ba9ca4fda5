"""A Bedrock with quotas that is not our simulator: its own arithmetic, from Bedrock's published rules.

At the start a call takes its input and its max_tokens (the model's maximum where it sets none) from
the tokens of a minute; at its end that is corrected to input + output * burndown. Requests count one
each. How AWS counts a minute is not published, so it can be either of two:

    Fixed    a window that began at a time nobody knows, and begins anew each `length` seconds
    Bucket   holds a minute's worth and refills steadily

The "minute" is short here; `quotas.window_length` tells the gateway so. A prompt names its answer's
length: "... say 40".
"""

import json
import re
import threading
import time
from typing import Protocol

from upstream import Delay, Received, Script, Upstream, error, reply

MODEL_MAXIMUM = 4096


class Minute(Protocol):
    def has(self, now: float, amount: float) -> bool: ...
    def add(self, now: float, amount: float) -> None: ...


class Fixed:
    def __init__(self, limit: float, length: float, phase: float) -> None:
        self.limit, self.length, self.phase = limit, length, phase
        self._window, self._used = -1, 0.0

    def _enter(self, now: float) -> None:
        window = int((now - self.phase) // self.length)
        if window != self._window:
            self._window, self._used = window, 0.0

    def has(self, now: float, amount: float) -> bool:
        self._enter(now)
        return self._used + amount <= self.limit

    def add(self, now: float, amount: float) -> None:
        self._enter(now)
        self._used = max(0.0, self._used + amount)


class Bucket:
    def __init__(self, limit: float, length: float) -> None:
        self.limit, self.length = limit, length
        self._level, self._at = limit, 0.0

    def _refill(self, now: float) -> None:
        if self._at:
            self._level += (now - self._at) * self.limit / self.length
        self._level, self._at = min(self._level, self.limit), now

    def has(self, now: float, amount: float) -> bool:
        self._refill(now)
        return self._level >= amount

    def add(self, now: float, amount: float) -> None:
        self._refill(now)
        self._level = min(self._level - amount, self.limit)


REFUSALS = {
    "requests": "Too many requests, please wait before trying again.",
    "tokens": "Too many tokens, please wait before trying again.",
}


class QuotaServer:
    """Answers Converse behind `upstream`'s port; counts what it served and refused."""

    def __init__(
        self,
        upstream: Upstream,
        *,
        requests: Minute | None = None,
        tokens: Minute | None = None,
        latency: float = 0.02,
        burndown: int = 1,
    ) -> None:
        self._meters = {"requests": requests, "tokens": tokens}
        self._latency, self._burndown = latency, burndown
        self._corrections: list[tuple[float, float]] = []  # when, and by how much
        self._lock = threading.Lock()
        self.served: list[str] = []
        self.refused: list[str] = []
        upstream.answer = self._answer

    def _answer(self, received: Received) -> Script:
        with self._lock:
            return self._decide(json.loads(received.body), time.monotonic())

    def _correct(self, now: float) -> None:
        tokens = self._meters["tokens"]
        for at, amount in sorted(self._corrections):
            if at <= now and tokens:
                tokens.add(at, amount)
        self._corrections = [c for c in self._corrections if c[0] > now]

    def _decide(self, body: dict, now: float) -> Script:
        text = body["messages"][0]["content"][0]["text"]
        most = body.get("inferenceConfig", {}).get("maxTokens", MODEL_MAXIMUM)
        used_in = len(text) // 4 + 3
        said = re.search(r"say (\d+)", text)
        used_out = min(int(said[1]) if said else 10, most)
        needs = {"requests": 1, "tokens": used_in + most}
        self._correct(now)
        for kind, meter in self._meters.items():
            if meter and not meter.has(now, needs[kind]):
                self.refused.append(kind)
                return error(429, "ThrottlingException", REFUSALS[kind])
        for kind, meter in self._meters.items():
            if meter:
                meter.add(now, needs[kind])
        final = used_in + used_out * self._burndown
        self._corrections.append((now + self._latency, final - needs["tokens"]))
        self.served.append(text)
        return [Delay(self._latency), *reply(200, self._document(text, used_in, used_out))]

    @staticmethod
    def _document(text: str, used_in: int, used_out: int) -> bytes:
        answer = {
            "metrics": {"latencyMs": 1},
            "output": {"message": {"role": "assistant", "content": [{"text": f"re: {text}"}]}},
            "stopReason": "end_turn",
            "usage": {
                "inputTokens": used_in,
                "outputTokens": used_out,
                "totalTokens": used_in + used_out,
            },
        }
        return json.dumps(answer).encode()
