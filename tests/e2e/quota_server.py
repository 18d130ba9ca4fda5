"""A Bedrock with quotas that is not our simulator: its own arithmetic, from Bedrock's published rules.

At the start a call takes its input and its max_tokens (the model's maximum where it sets none) from
the tokens of a minute; at its end that is corrected to input + output * burndown. Requests count one
each. How AWS counts a minute is not published, so it can be either of two:

    Fixed    a window that began at a time nobody knows, and begins anew each `length` seconds
    Bucket   holds a minute's worth and refills steadily

The "minute" is short here; `quotas.window_length` tells the gateway so. A prompt names its answer's
length: "... say 40". It can be stopped and started again on the same port.
"""

import json
import random
import re
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import gateway
from upstream import Delay, Received, Script, Upstream, error, reply

MODEL_MAXIMUM = 8192  # of Llama 3.3 70B


class Minute(Protocol):
    def take(self, now: float, amount: float) -> bool:
        """False where it does not fit; then nothing is taken."""
        ...

    def correct(self, taken_at: float, now: float, amount: float) -> None:
        """That much more, or less, than was taken then."""
        ...


class Fixed:
    def __init__(self, limit: float, length: float, phase: float | None = None) -> None:
        self.limit, self.length = limit, length
        self.phase = random.random() * length if phase is None else phase
        self._window, self._used = 0, 0.0

    def _number(self, now: float) -> int:
        return int((now - self.phase) // self.length)

    def _enter(self, now: float) -> None:
        if self._number(now) != self._window:
            self._window, self._used = self._number(now), 0.0

    def take(self, now: float, amount: float) -> bool:
        self._enter(now)
        if self._used + amount > self.limit:
            return False
        self._used += amount
        return True

    def correct(self, taken_at: float, now: float, amount: float) -> None:
        """What was used in a window that is over stays there."""
        self._enter(now)
        if amount > 0 or self._number(taken_at) == self._window:
            self._used += amount


class Bucket:
    def __init__(self, limit: float, length: float) -> None:
        self.limit, self.length = limit, length
        self._level, self._at = float(limit), time.monotonic()

    def _refill(self, now: float) -> None:
        earned = (now - self._at) * self.limit / self.length
        self._level, self._at = min(self._level + earned, self.limit), now

    def take(self, now: float, amount: float) -> bool:
        self._refill(now)
        if self._level < amount:
            return False
        self._level -= amount
        return True

    def correct(self, taken_at: float, now: float, amount: float) -> None:
        self._refill(now)
        self._level = min(self._level - amount, self.limit)


REFUSALS = {
    "requests": "Too many requests, please wait before trying again.",
    "tokens": "Too many tokens, please wait before trying again.",
    "day": "Too many tokens per day, please wait before trying again.",
}


def throttle(kind: str) -> Script:
    return error(429, "ThrottlingException", REFUSALS[kind])


class QuotaServer:
    """Answers Converse, and counts what came, what it served and what it refused."""

    def __init__(
        self,
        *,
        requests: Minute | None = None,
        tokens: Minute | None = None,
        latency: float = 0.02,
        burndown: int = 1,
    ) -> None:
        self._requests, self._tokens = requests, tokens
        self._latency, self._burndown = latency, burndown
        self._lock = threading.Lock()
        self._running: list[tuple[float, float, float]] = []  # end, begin, by how much less
        # What goes wrong: the script in place of the answer, or None. Of the model and the prompt.
        self.trouble: Callable[[str, str], Script | None] = lambda model, text: None
        self.served: list[str] = []
        self.refused: list[str] = []
        self.came: Counter[str] = Counter()
        self.company: dict[str, int] = {}  # how many calls ran when that one came
        self._port = 0
        self.start()

    def start(self) -> None:
        self._upstream = Upstream(**gateway.SIGNER, port=self._port)
        self._upstream.answer = self._answer
        self._port, self.url = self._upstream.port, self._upstream.url

    def stop(self) -> None:
        """Breaks what runs; the port refuses connections until the next start."""
        self._upstream.close()

    def _answer(self, received: Received) -> Script:
        model = urllib.parse.unquote(received.target.decode()).split("/")[2]
        with self._lock:
            return self._decide(model, json.loads(received.body), time.monotonic())

    def _settle(self, now: float) -> None:
        for end, begin, amount in sorted(self._running):
            if end <= now and self._tokens:
                self._tokens.correct(begin, now, amount)
        self._running = [call for call in self._running if call[0] > now]

    def _refusal(self, now: float, reserved: int) -> str | None:
        if self._tokens and not self._tokens.take(now, reserved):
            return "tokens"
        if self._requests and not self._requests.take(now, 1):
            if self._tokens:
                self._tokens.correct(now, now, -reserved)
            return "requests"
        return None

    def _decide(self, model: str, body: dict, now: float) -> Script:
        text = body["messages"][0]["content"][0]["text"]
        most = body.get("inferenceConfig", {}).get("maxTokens", MODEL_MAXIMUM)
        used_in = len(text) // 4 + 3
        said = re.search(r"say (\d+)", text)
        used_out = min(int(said[1]) if said else 10, most)
        self.came[text] += 1
        self._settle(now)
        self.company[text] = len(self._running)
        if script := self.trouble(model, text):
            return script
        if kind := self._refusal(now, used_in + most):
            self.refused.append(kind)
            return throttle(kind)
        final = used_in + used_out * self._burndown
        self._running.append((now + self._latency, now, final - used_in - most))
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
