"""Each fault of the network or of Bedrock × each way to ask: what does the client get?

    client ──▶ gateway ──▶ relay (breaks things) ──▶ simulator

    fault                      a document is asked for     a stream is asked for
    nothing has come yet       an error status             an error status
    in the midst of it         an error status             an error status, or an error told inside
    the first time only        the answer                  the answer, if none of it was shown
    slow, or in small pieces   the answer                  the answer

Never: a clean end of what is not whole. Afterwards nothing is stuck or leaked, the counters agree,
and the gateway serves.
"""

import base64
import itertools
import json
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.eventstream import EventStreamBuffer

import wire
from certificate import make_certificate
from gateway import PATIENCE, Program, Sluice, split, wait_until
from preload import Clock, preload
from relay import FINE, Close, Cut, Delay, Fault, Relay, Reset, Stall, Step
from samples import CLAUDE

COUNTED = "anthropic.claude-3-5-haiku-20241022-v1:0"
EMBEDDING = "amazon.titan-embed-text-v2:0"

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIASIMULATOR0000001",
    "AWS_SECRET_ACCESS_KEY": "simulated/secret/key/that/opens/nothing",
    "AWS_SESSION_TOKEN": "",
}
SETTINGS = {
    "cache.when": "never",
    "log.access": "off",
    "upstream.connect_timeout": "1s",
    "upstream.first_byte_timeout": "1s",
    "upstream.idle_timeout": "1s",
    "retry.max_attempts": "2",
    # Twenty retries are saved up, and one costs 1.2 of them: enough for each way at once.
    "retry.budget": "20",
    "retry.backoff": "10ms",
    "retry.backoff_max": "50ms",
    "queue.max_wait": "3s",
    "breaker.threshold": "100",
}

# --- ways to ask, and how each tells the end of an answer

SERVED, TOLD, CUT, BROKEN, REFUSED = "served", "told inside", "cut", "broken", "refused"
GARBLED = "garbled"  # as upstream sent it: HTTP/1.1 has no checksum for a document


def document(body: bytes) -> str:
    try:
        json.loads(body)
    except ValueError:
        return GARBLED
    return SERVED


def frames(body: bytes) -> str:
    buffer, end = EventStreamBuffer(), CUT
    buffer.add_data(body)
    for event in buffer:  # raises where a checksum is wrong
        kind = event.headers.get(":event-type")
        if kind is None:
            return TOLD
        data = event.payload
        if kind == "chunk":
            data = base64.b64decode(json.loads(data)["bytes"])
        whole = kind == "metadata" or b"amazon-bedrock-invocationMetrics" in data
        end = SERVED if whole else CUT
    return end


def sse(end: bytes) -> Callable[[bytes], str]:
    def judge(body: bytes) -> str:
        if b'"error"' in body.replace(b'"error":null', b""):
            return TOLD
        return SERVED if end in body.splitlines()[-2] + body.splitlines()[-3] else CUT

    return judge


@dataclass(frozen=True)
class Way:
    path: str
    body: Callable[[str], dict]
    judge: Callable[[bytes], str] = document
    error: Callable[[dict], object] = lambda body: body["message"]

    @property
    def as_is(self) -> bool:
        """Bedrock's own document is the answer; Claude's is Anthropic's, too."""
        return self.path.startswith(("/model/", "/v1/messages"))

    @property
    def streams(self) -> bool:
        return self.judge is not document


def converse(prompt: str) -> dict:
    return {"messages": [{"role": "user", "content": [{"text": prompt}]}]}


def claude(prompt: str) -> dict:
    return {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 60,
        "messages": [{"role": "user", "content": prompt}],
    }


def chat(stream: bool) -> Callable[[str], dict]:
    return lambda prompt: {
        "model": CLAUDE,
        "max_tokens": 60,
        "stream": stream,
        "messages": [{"role": "user", "content": prompt}],
    }


def response(stream: bool) -> Callable[[str], dict]:
    return lambda prompt: {"model": CLAUDE, "input": prompt, "stream": stream}


def rest(stream: bool) -> Callable[[str], dict]:
    return lambda prompt: {"model": CLAUDE, "prompt": prompt, "stream": stream}


def nested(body: dict) -> object:
    return body["error"]["message"]


WAYS = {
    "Converse": Way(f"/model/{CLAUDE}/converse", converse),
    "ConverseStream": Way(f"/model/{CLAUDE}/converse-stream", converse, frames),
    "InvokeModel": Way(f"/model/{CLAUDE}/invoke", claude),
    "InvokeModelWithResponseStream": Way(
        f"/model/{CLAUDE}/invoke-with-response-stream", claude, frames
    ),
    "CountTokens": Way(
        f"/model/{COUNTED}/count-tokens", lambda prompt: {"input": {"converse": converse(prompt)}}
    ),
    "InvokeModel, embedding": Way(
        f"/model/{EMBEDDING}/invoke", lambda prompt: {"inputText": prompt}
    ),
    "OpenAI": Way("/v1/chat/completions", chat(False), error=nested),
    "OpenAI stream": Way("/v1/chat/completions", chat(True), sse(b"data: [DONE]"), nested),
    "OpenAI responses": Way("/v1/responses", response(False), error=nested),
    "OpenAI responses stream": Way(
        "/v1/responses", response(True), sse(b'"response.completed"'), nested
    ),
    "OpenAI embedding": Way(
        "/v1/embeddings", lambda prompt: {"model": EMBEDDING, "input": prompt}, error=nested
    ),
    "Anthropic": Way("/v1/messages", chat(False), error=nested),
    "Anthropic stream": Way("/v1/messages", chat(True), sse(b'"message_stop"'), nested),
    "REST": Way("/invoke", rest(False), error=nested),
    "REST stream": Way("/invoke", rest(True), sse(b'"tokens_output"'), nested),
}

# --- faults


def in_head(step: Step) -> Callable[[bytes, bytes], list[Step]]:
    return lambda head, body: [head[: len(head) // 2], step]


def in_body(step: Step) -> Callable[[bytes, bytes], list[Step]]:
    return lambda head, body: [head + body[: len(body) * 2 // 3], step]


def at_end(step: Step) -> Callable[[bytes, bytes], list[Step]]:
    """Before the last chunk, or the last byte of a document."""
    return lambda head, body: [head + body[: -5 if body.endswith(b"\r\n0\r\n\r\n") else -1], step]


def corrupt(head: bytes, body: bytes) -> list[Step]:
    """A byte of a frame's text; of a document, its end, or nobody could tell."""
    at = body.find(b'"p":', len(body) // 2) if b"eventstream" in head else len(body) - 1
    return [head + body[:at] + b"\0" + body[at + 1 :]]


def with_line(head: bytes, name: bytes, line: bytes) -> bytes:
    """The head with that line in place of the one of that name."""
    lines = head.split(b"\r\n")
    return b"\r\n".join(line if old.lower().startswith(name) else old for old in lines)


def wrong_length(head: bytes, body: bytes) -> list[Step]:
    """Larger than what follows: of the chunk in which the frames stand, or of the document."""
    if b"eventstream" not in head:
        longer = with_line(head, b"content-length", b"Content-Length: %d" % (len(body) + 10))
        return [longer + body, Close]
    at = body.find(b"\r\n", len(body) // 2) + 2  # a chunk's size, or its end: a frame follows
    at = at if body[at : at + 2] == b"\0\0" else body.find(b"\r\n", at) + 2
    return [head + body[:at] + b"\0\0\x7f" + body[at + 3 :]]


def unchunked(body: bytes) -> list[bytes]:
    """What the chunks of a body hold."""
    pieces = []
    while size := int(body[: body.index(b"\r\n")], 16):
        start = body.index(b"\r\n") + 2
        pieces.append(body[start : start + size])
        body = body[start + size + 2 :]
    return pieces


def whole_frames(body: bytes) -> bytes:
    """The first half of a stream's frames, none of them cut."""
    data, end = b"".join(unchunked(body)), 0
    while end < len(data) // 2:
        end += int.from_bytes(data[end : end + 4])
    return data[:end]


def properly_ended(head: bytes, body: bytes) -> list[Step]:
    """Cut, and ended as HTTP has it: only what was said tells that more should have followed."""
    if b"eventstream" not in head:
        body = body[: len(body) // 2]
        return [with_line(head, b"content-length", b"Content-Length: %d" % len(body)) + body]
    return [head + wire.chunk(whole_frames(body)) + wire.LAST_CHUNK]


def closed_between_frames(head: bytes, body: bytes) -> list[Step]:
    """As HTTP/1.0 ends a body: by the end of the connection."""
    if b"eventstream" not in head:
        head, body = with_line(head, b"content-length", b"X-Length: ?"), body[: len(body) // 2]
    else:
        head, body = with_line(head, b"transfer-encoding", b"X-Length: ?"), whole_frames(body)
    return [with_line(head, b"connection", b"Connection: close") + body, Close]


def drip(head: bytes, body: bytes) -> list[Step]:
    data, size = head + body, (len(head) + len(body)) // 20 + 1
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    return [step for piece in pieces for step in (piece, Delay(0.02))]


def single_bytes(head: bytes, body: bytes) -> list[Step]:
    return [(head + body)[i : i + 1] for i in range(len(head) + len(body))]


def answer(status: int, kind: str, *lines: bytes) -> Callable[[bytes, bytes], list[Step]]:
    body = b'{"message":"Something is wrong."}'
    head = [b"HTTP/1.1 %d X" % status, b"x-amzn-ErrorType: " + kind.encode(), *lines]
    head += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
    return lambda *_: [b"\r\n".join(head) + b"\r\n\r\n" + body]


def instead(*steps: Step) -> Callable[[bytes, bytes], list[Step]]:
    return lambda *_: list(steps)


THROTTLED = answer(429, "ThrottlingException")
BEFORE: dict[str, Fault] = {
    "refused": Fault(refuse=True),
    "reset when accepted": Fault(on_accept=Reset),
    "stalled when accepted": Fault(on_accept=Stall),
    "closed when accepted": Fault(on_accept=Close),
    "reset behind the request": Fault(instead(Reset)),
    "stalled behind the request": Fault(instead(Stall)),
    "closed behind the request": Fault(instead(Close)),
    "reset in the head": Fault(in_head(Reset)),
    "stalled in the head": Fault(in_head(Stall)),
    "closed in the head": Fault(in_head(Close)),
    "garbage": Fault(instead(bytes(range(256)) * 40, Close)),
    "another protocol": Fault(instead(b"220 mail.example.com ESMTP\r\n", Close)),
    "a storm of 500": Fault(answer(500, "InternalServerException")),
    "a storm of 503": Fault(answer(503, "ServiceUnavailableException")),
    "a storm of throttles": Fault(THROTTLED),
}
# A record of TLS that says it is longer: the beginning of the server's hello.
HALF_HELLO = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03" + bytes(range(20))
NO_TLS: dict[str, Fault] = {
    "TLS, by nobody known": Fault(certificate="unknown"),
    "TLS, of another name": Fault(certificate="another"),
    "TLS, expired": Fault(certificate="expired"),
    "TLS, reset when accepted": Fault(on_accept=Reset),
    "TLS, stalled when accepted": Fault(on_accept=Stall),
    "TLS, reset at the hello": Fault(hello=(Reset,)),
    "TLS, stalled at the hello": Fault(hello=(Stall,)),
    "TLS, closed at the hello": Fault(hello=(Close,)),
    "TLS, reset in the hello": Fault(hello=(HALF_HELLO, Reset)),
    "TLS, stalled in the hello": Fault(hello=(HALF_HELLO, Stall)),
    "TLS, closed in the hello": Fault(hello=(HALF_HELLO, Close)),
    "TLS, refused": Fault(hello=(b"\x15\x03\x03\x00\x02\x02\x28", Close)),
    "TLS, garbage": Fault(hello=(bytes(range(256)) * 40, Close)),
    "TLS, another protocol": Fault(hello=(b"HTTP/1.1 400 Bad Request\r\n\r\n", Close)),
}
TLS_MIDWAY: dict[str, Fault] = {
    "TLS, cut midway": Fault(in_body(Cut)),
    "TLS, reset midway": Fault(in_body(Reset)),
    "TLS, stalled midway": Fault(in_body(Stall)),
    "TLS, cut between two frames": Fault(closed_between_frames),
}
NO_NAME: dict[str, Fault] = {
    "no such name": Fault(name="missing"),
    "no answer for the name": Fault(name="silent"),
}
MIDWAY: dict[str, Fault] = {
    "reset midway": Fault(in_body(Reset)),
    "stalled midway": Fault(in_body(Stall)),
    "closed midway": Fault(in_body(Close)),
    "a wrong length": Fault(wrong_length),
    "properly ended midway": Fault(properly_ended),
    "closed between two frames": Fault(closed_between_frames),
}
# Bedrock's own documents pass as they are; what must be read to be translated is refused.
CHANGED: dict[str, Fault] = {
    "garbage midway": Fault(in_body(bytes(range(255, -1, -1)) * 40)),
    "a corrupt byte": Fault(corrupt),
}
ONCE: dict[str, Fault] = {
    "reset behind the request, once": Fault(instead(Reset), once=True),
    "stalled behind the request, once": Fault(instead(Stall), once=True),
    "closed in the head, once": Fault(in_head(Close), once=True),
    "garbage, once": Fault(instead(b"\0" * 10_000, Close), once=True),
    "500, once": Fault(answer(500, "InternalServerException"), once=True),
    "503, once": Fault(answer(503, "ServiceUnavailableException"), once=True),
    "throttled, once": Fault(THROTTLED, once=True),
}
MIDWAY_ONCE: dict[str, Fault] = {
    "reset midway, once": Fault(in_body(Reset), once=True),
    "closed midway, once": Fault(in_body(Close), once=True),
    "properly ended midway, once": Fault(properly_ended, once=True),
}
HARMLESS: dict[str, Fault] = {
    "a slow drip": Fault(drip),
    "single bytes": Fault(single_bytes),
}
# The answer is whole; a request that is sent into that connection meanwhile is lost, and may be
# lost again when it is tried once more.
AT_REST: dict[str, Fault] = {
    "reset at rest": Fault(lambda head, body: [head + body, Reset]),
    "closed at rest": Fault(lambda head, body: [head + body, Close]),
}
# All the frames, and not their end: to be served or told, not to be left open.
AT_END: dict[str, Fault] = {
    "reset at the end": Fault(at_end(Reset)),
    "closed at the end": Fault(at_end(Close)),
    "stalled at the end": Fault(at_end(Stall)),
}
# What a document and a stream may come to.
EXPECTED: list[tuple[dict[str, Fault], set[str], set[str]]] = [
    (BEFORE, {REFUSED}, {REFUSED}),
    (NO_TLS, {REFUSED}, {REFUSED}),
    (NO_NAME, {REFUSED}, {REFUSED}),
    (TLS_MIDWAY, {REFUSED}, {REFUSED, TOLD}),
    (MIDWAY, {REFUSED}, {REFUSED, TOLD}),
    (CHANGED, {REFUSED, GARBLED}, {REFUSED, TOLD}),
    (ONCE, {SERVED}, {SERVED}),
    (MIDWAY_ONCE, {SERVED}, {SERVED, TOLD}),
    (HARMLESS, {SERVED}, {SERVED}),
    (AT_REST, {SERVED, REFUSED}, {SERVED, REFUSED}),
    (AT_END, {REFUSED}, {SERVED, TOLD, REFUSED}),
]
FAULTS = {
    name: (fault, whole, stream)
    for faults, whole, stream in EXPECTED
    for name, fault in faults.items()
}

# --- the matrix

cells = itertools.count(1)
counted = 0


@dataclass
class Line:
    """A way to the simulator, and what the gateway must be told to take it."""

    relay: Relay
    settings: dict[str, object]
    env: dict[str, str]


def certificates(folder: Path) -> dict[str, ssl.SSLContext]:
    """By name; folder/known.pem has those that the gateway is to trust."""
    kinds = {
        "good": {},
        "unknown": {},
        "another": {"san": "DNS:another.example.com"},
        "expired": {"env": Clock(folder, -7 * 86400).env},
    }
    contexts, known = {}, ""
    for name, options in kinds.items():
        (folder / name).mkdir()
        make_certificate(folder / name, name, **options)
        chain, key = folder / name / "chain.pem", folder / name / "key.pem"
        contexts[name] = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        contexts[name].load_cert_chain(chain, key)
        known += chain.read_text() if name != "unknown" else ""
    (folder / "known.pem").write_text(known)
    return contexts


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory, request) -> Iterator[Callable[[str], Line]]:
    simulator = Program(tmp_path_factory.mktemp("sim"), "simulator", ["--listen", "127.0.0.1:0"])
    address = split(simulator.wait_line(r"^ready simulator=(\S+)$")[0][1])
    folder = tmp_path_factory.mktemp("lines")
    tls = Relay(address, certificates(folder))
    named = Relay(address, names=folder / "names")
    plain = Line(Relay(address), {}, {})
    preloaded = {**preload("names"), "SLUICE_TEST_NAMES": str(folder / "names")}
    by_fault = {
        **dict.fromkeys(
            [*NO_TLS, *TLS_MIDWAY], Line(tls, {"upstream.ca_file": folder / "known.pem"}, {})
        ),
        **dict.fromkeys(NO_NAME, Line(named, {}, preloaded)),
    }
    yield lambda fault: by_fault.get(fault, plain)
    for relay in (plain.relay, tls, named):
        relay.close()
    simulator.stop()
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n    fault matrix: {counted} cells, {len(FAULTS)} faults × {len(WAYS)} ways", end="")


def ask(sluice: Sluice, way: Way) -> tuple[str, str]:
    """What it came to, and what was seen of it."""
    body = json.dumps(way.body(f"cell-{next(cells)}: why is the sky blue?")).encode()
    with wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        got = client.ask("POST", way.path, [(b"Content-Type", b"application/json")], body)
    seen = f"{got.status}, {len(got.body)} bytes: {got.body[-300:]!r}"
    if got.status != 200:
        assert got.status in (424, 429, 500, 502, 503, 504, 529) and got.whole, seen
        assert way.error(json.loads(got.body)), seen
        return REFUSED, seen
    return (way.judge(got.body) if got.whole else BROKEN), seen


def look_at(sluice: Sluice, asked: int, relay: Relay) -> None:
    """Nothing is stuck, nothing is leaked, and the sums are right."""
    for gauge in ("exchanges", "queued", "in_flight", "memory_bytes"):
        wait_until(lambda g=gauge: sluice.metrics()[f"sluice_{g}"] == 0, f"{gauge} is 0")
    metrics = sluice.metrics()
    answered = sum(n for name, n in metrics.items() if name.startswith("sluice_responses_total"))
    assert answered == asked
    assert metrics["sluice_attempts_total"] >= relay.requests
    assert metrics["sluice_attempts_lost_total"] <= metrics["sluice_attempts_total"]


@pytest.mark.parametrize("name", FAULTS)
def test_fault(
    name: str, lines: Callable[[str], Line], gateway: Callable[..., Sluice]
) -> None:
    global counted
    fault, whole, stream = FAULTS[name]
    line = lines(name)
    relay = line.relay
    relay.use(FINE)
    sluice = gateway(
        upstream=relay.url, settings=SETTINGS | line.settings, env=KEYS | line.env
    )
    relay.requests = 0
    relay.use(fault)
    with ThreadPoolExecutor(len(WAYS)) as pool:
        outcomes = dict(zip(WAYS, pool.map(lambda way: ask(sluice, way), WAYS.values())))
    wrong = {
        way: outcome
        for way, outcome in outcomes.items()
        if outcome[0] not in (stream if WAYS[way].streams else whole)
        or (outcome[0] == GARBLED and not WAYS[way].as_is)
    }
    assert not wrong
    counted += len(outcomes)
    if name == "a storm of throttles":
        assert all(seen.startswith("429") for _, seen in outcomes.values()), outcomes
    if fault.certificate != "good":
        assert all("certificate" in seen for _, seen in outcomes.values()), outcomes
    look_at(sluice, len(WAYS), relay)

    relay.use(FINE)
    asked = len(WAYS)

    def serves() -> bool:
        nonlocal asked
        asked += 1
        return ask(sluice, WAYS["Converse"])[0] == SERVED

    wait_until(serves, "it serves again")
    look_at(sluice, asked, relay)
