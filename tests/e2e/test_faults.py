"""Each fault of the network or of Bedrock × each way to ask: what does the client get?

    client ──▶ gateway ──▶ relay (breaks things) ──▶ simulator

    fault                      a document is asked for     a stream is asked for
    nothing has come yet       an error status             an error status
    in the midst of it         an error status             an error status, or an error told inside
    only once                  the answer                  the answer, if none of it was shown
    only slow, or in pieces    the answer                  the answer

Never: a clean end of what is not whole. Afterwards nothing is stuck or leaked, the counters agree,
and the gateway serves.
"""

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.eventstream import EventStreamBuffer

import relay
import wire
from gateway import PATIENCE, Program, Sluice, split, wait_until
from relay import Close, Delay, Fault, Relay, Reset, Stall
from samples import CLAUDE

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIASIMULATOR0000001",
    "AWS_SECRET_ACCESS_KEY": "simulated/secret/key/that/opens/nothing",
    "AWS_SESSION_TOKEN": "",
}
SETTINGS = {
    "cache.when": "never",
    "upstream.first_byte_timeout": "1s",
    "upstream.idle_timeout": "1s",
    "retry.max_attempts": "2",
    "retry.budget": "100",
    "retry.backoff": "10ms",
    "retry.backoff_max": "50ms",
    "queue.max_wait": "1s",
    "breaker.threshold": "100",
}

# --- ways to ask: how the end of the answer is told apart

SERVED, TOLD, CUT, BROKEN, REFUSED = "served", "told inside", "cut", "broken", "refused"


def document(body: bytes) -> str:
    json.loads(body)
    return SERVED


def frames(body: bytes) -> str:
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    last = None
    for event in buffer:  # raises where a checksum is wrong
        if ":exception-type" in event.headers or event.headers[":message-type"] == "error":
            return TOLD
        last = event
    whole = last is not None and b"".join(buffer._data[:1]) == b"" if False else last is not None
    ends = last is not None and (
        last.headers[":event-type"] == "metadata" or b"amazon-bedrock-invocationMetrics" in decoded(last)
    )
    return SERVED if whole and ends else CUT


def decoded(event) -> bytes:
    import base64

    return base64.b64decode(json.loads(event.payload).get("bytes", ""))


def sse(end: bytes) -> Callable[[bytes], str]:
    def judge(body: bytes) -> str:
        if b'"error"' in body:
            return TOLD
        return SERVED if end in body else CUT

    return judge
