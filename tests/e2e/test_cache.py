"""The same is not paid for twice: kept answers, answers shared while they come, and the file that
outlives the process.

Upstream is the simulator where its text is what counts, else upstream.py, which counts its calls.
"""

import base64
import json
import random
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError, EventStreamError

import wire
from gateway import PATIENCE, Sluice, wait_until
from samples import CLAUDE, LLAMA, NOVA
from upstream import Gate, Received, Reset, Script, Upstream, error, open_stream, reply
from wire import Headers, Response

Start = Callable[..., Sluice]
CONVERSE = f"/model/{LLAMA}/converse"
STREAM = f"/model/{LLAMA}/converse-stream"
WORDS = ["shared ", "by ", "all ", "who ", "ask"]
TEXT = "".join(WORDS)
DOCUMENT = json.dumps(
    {
        "metrics": {"latencyMs": 7},
        "output": {"message": {"role": "assistant", "content": [{"text": TEXT}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 11, "outputTokens": 5, "totalTokens": 16},
    }
).encode()


def connect(sluice: Sluice) -> wire.Client:
    return wire.Client(sluice.host, sluice.port, PATIENCE)


def prompt(text: str, **inference: float) -> dict:
    body: dict = {"messages": [{"role": "user", "content": [{"text": text}]}]}
    if inference:
        body["inferenceConfig"] = inference
    return body


def ask(
    sluice: Sluice, body: dict | bytes, headers: Headers = (), target: str = CONVERSE
) -> Response:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with connect(sluice) as client:
        return client.ask("POST", target, headers, data)


def word(response: Response) -> str | None:
    return response.get("x-sluice-cache")


def attempts(sluice: Sluice) -> int:
    return int(sluice.metrics()["sluice_attempts_total"])


def frames(body: bytes) -> list[tuple[str, dict]]:
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    events = [
        (f.headers.get(":event-type") or f.headers[":exception-type"], json.loads(f.payload))
        for f in buffer
    ]
    assert not buffer._data
    return events


def said(response: Response) -> dict:
    """A Converse answer, streamed or not, as a program sees it in the end."""
    if response.get("content-type") != "application/vnd.amazon.eventstream":
        answer = json.loads(response.body)
        content, stop = answer["output"]["message"]["content"], answer["stopReason"]
        return {"text": content[0]["text"], "stop": stop, "usage": answer["usage"]["totalTokens"]}
    seen: dict = {"text": ""}
    for name, payload in frames(response.body):
        if name == "contentBlockDelta":
            seen["text"] += payload["delta"].get("text", "")
        elif name == "messageStop":
            seen["stop"] = payload["stopReason"]
        elif name == "metadata":
            seen["usage"] = payload["usage"]["totalTokens"]
        else:
            assert "xception" not in name, (name, payload)
    return seen


# --- one answer, whatever its shape


@pytest.mark.parametrize("model", [LLAMA, CLAUDE, NOVA])
@pytest.mark.parametrize(
    ("first", "second"), [("converse", "converse-stream"), ("converse-stream", "converse")]
)
def test_converse_across_shapes(gateway: Start, model: str, first: str, second: str) -> None:
    sluice = gateway(simulator=True)
    body = prompt("Why is the sky blue?", maxTokens=200)
    warm = ask(sluice, body, target=f"/model/{model}/{first}")
    hit = ask(sluice, body, target=f"/model/{model}/{second}")
    assert (word(warm), word(hit)) == ("miss", "hit")
    assert warm.status == hit.status == 200 and hit.whole
    assert said(warm) == said(hit) and said(hit)["text"]
    assert attempts(sluice) == 1


def chunks(response: Response) -> list[dict]:
    return [
        json.loads(base64.b64decode(payload["bytes"]))
        for name, payload in frames(response.body)
        if name == "chunk"
    ]


def invoked(model: str, response: Response) -> dict:
    """An InvokeModel answer, streamed or not: text, reason, tokens."""
    streamed = response.get("content-type") == "application/vnd.amazon.eventstream"
    parts = chunks(response) if streamed else [json.loads(response.body)]
    if model == LLAMA:
        return {
            "text": "".join(p["generation"] for p in parts),
            "stop": parts[-1]["stop_reason"],
            "in": parts[0]["prompt_token_count"],
            "out": parts[-1]["generation_token_count"],
        }
    if not streamed:
        usage = parts[0]["usage"]
        return {
            "text": "".join(c["text"] for c in parts[0]["content"]),
            "stop": parts[0]["stop_reason"],
            "in": usage["input_tokens"],
            "out": usage["output_tokens"],
        }
    named = {p["type"]: p for p in parts}
    return {
        "text": "".join(p["delta"]["text"] for p in parts if p["type"] == "content_block_delta"),
        "stop": named["message_delta"]["delta"]["stop_reason"],
        "in": named["message_start"]["message"]["usage"]["input_tokens"],
        "out": named["message_delta"]["usage"]["output_tokens"],
    }


INVOKE_BODIES = {
    LLAMA: {"prompt": "Why is the sky blue?", "max_gen_len": 200, "temperature": 0.5},
    CLAUDE: {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 200,
        "messages": [{"role": "user", "content": "Why is the sky blue?"}],
    },
}


@pytest.mark.parametrize("model", INVOKE_BODIES)
@pytest.mark.parametrize("streamed_first", [False, True])
def test_invoke_across_shapes(gateway: Start, model: str, streamed_first: bool) -> None:
    sluice = gateway(simulator=True)
    targets = [f"/model/{model}/invoke", f"/model/{model}/invoke-with-response-stream"]
    if streamed_first:
        targets.reverse()
    warm, hit = (ask(sluice, INVOKE_BODIES[model], target=target) for target in targets)
    assert (word(warm), word(hit)) == ("miss", "hit")
    assert invoked(model, warm) == invoked(model, hit)
    assert attempts(sluice) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_hit_is_the_same_bytes(upstream: Upstream, gateway: Start, stream: bool) -> None:
    """Asked for in the shape it came in, a kept answer passes as upstream said it."""
    answer = b"".join(wire.converse_stream(WORDS)) if stream else DOCUMENT
    if stream:
        upstream.answer = [open_stream(), wire.chunk(answer), wire.LAST_CHUNK]
    else:
        upstream.answer = reply(200, answer, [(b"Content-Type", b"application/json"), (b"X-O", b"1")])
    sluice = gateway(upstream=upstream.url)
    target = STREAM if stream else CONVERSE
    warm, hit = (ask(sluice, prompt("bytes"), target=target) for _ in range(2))
    assert (word(warm), word(hit)) == ("miss", "hit")
    assert warm.body == hit.body == answer
    ours = ("x-sluice-", "age")
    kept = [
        [h for h in wire.end_to_end(r.headers) if not h[0].decode().lower().startswith(ours)]
        for r in (warm, hit)
    ]
    assert kept[0] == kept[1]
    assert len(upstream.requests) == 1


def test_large_answer_across_shapes(upstream: Upstream, gateway: Start) -> None:
    """Converted while it is read: a client that takes it slowly gets all of it."""
    words = [f"{n:07d} " * 100 for n in range(900)]
    upstream.answer = [
        open_stream(), wire.chunk(b"".join(wire.converse_stream(words))), wire.LAST_CHUNK
    ]  # fmt: skip
    sluice = gateway(upstream=upstream.url, settings={"cache.max_entry": "8MiB"})
    assert ask(sluice, prompt("long"), target=STREAM).status == 200
    document = ask(sluice, prompt("long"))
    assert word(document) == "hit" and said(document)["text"] == "".join(words)

    upstream.answer = reply(200, document.body)
    assert ask(sluice, prompt("long again")).status == 200
    with connect(sluice) as slow:
        data = json.dumps(prompt("long again")).encode()
        slow.send(wire.request("POST", STREAM, [(b"Host", b"localhost")], data))
        got = slow.read_head()
        for piece in slow.read_pieces(got):
            got.body += piece
            if len(got.body) < 300_000:
                threading.Event().wait(0.02)
    assert word(got) == "hit" and got.whole
    assert said(got)["text"] == "".join(words)


# --- what is the same, and what is not

SAME = [
    b'{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":9}}',
    b'{ "inferenceConfig" : {"maxTokens":9 },\r\n\t"messages":[{"content":[{"text":"hi"}], '
    b'"role":"user"}]}\n',
    b'{"messages":[{"role":"user","content":[{"text":"\\u0068i"}]}],'
    b'"inferenceConfig":{"maxTokens":9}}',
]
DIFFERENT = [
    b'{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":10}}',
    b'{"messages":[{"role":"user","content":[{"text":"hi "}]}],"inferenceConfig":{"maxTokens":9}}',
    b'{"messages":[{"role":"user","content":[{"text":"hi"}]}],'
    b'"inferenceConfig":{"maxTokens":9,"temperature":0.5}}',
    b'{"messages":[{"role":"user","content":[{"text":"hi"}]}],'
    b'"inferenceConfig":{"maxTokens":9,"temperature":0.6}}',
    b'{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{"maxTokens":9},'
    b'"system":[{"text":"be brief"}]}',
    b'{"messages":[{"role":"user","content":[{"text":"hi"},{"text":""}]}],'
    b'"inferenceConfig":{"maxTokens":9}}',
]


def test_meaning_counts(upstream: Upstream, gateway: Start) -> None:
    upstream.answer = reply(200, DOCUMENT)
    sluice = gateway(upstream=upstream.url)
    assert [word(ask(sluice, body)) for body in SAME] == ["miss", "hit", "hit"]
    assert [word(ask(sluice, body)) for body in DIFFERENT] == ["miss"] * len(DIFFERENT)
    other = [word(ask(sluice, SAME[0], target=f"/model/{m}/converse")) for m in (CLAUDE, NOVA)]
    assert other == ["miss", "miss"]
    guarded = [(b"X-Amzn-Bedrock-GuardrailIdentifier", b"strict")]
    assert word(ask(sluice, SAME[0], guarded)) == "miss"
    assert [word(ask(sluice, body)) for body in DIFFERENT] == ["hit"] * len(DIFFERENT)


@pytest.mark.parametrize(
    "answer",
    [
        error(400, "ValidationException", "no"),
        error(404, "ResourceNotFoundException", "no"),
        reply(200, b'{"not":"an answer of Converse"}'),
        reply(200, DOCUMENT.replace(b"end_turn", b"guardrail_intervened")),
    ],
    ids=["refusal", "not found", "another form", "guardrail"],
)
def test_not_every_answer_is_kept(upstream: Upstream, gateway: Start, answer: Script) -> None:
    upstream.answer = answer
    sluice = gateway(upstream=upstream.url)
    assert [word(ask(sluice, prompt("x"))) for _ in range(2)] == ["miss", "miss"]
    assert len(upstream.requests) == 2


# --- what clients and operators may say about it


def control(value: str) -> Headers:
    return [(b"Cache-Control", value.encode())]


def test_cache_control(upstream: Upstream, gateway: Start) -> None:
    upstream.answer = reply(200, DOCUMENT)
    sluice = gateway(upstream=upstream.url)
    body = prompt("directives")

    cold = ask(sluice, body, control("only-if-cached"))
    assert (cold.status, cold.error_type) == (504, "ServiceUnavailableException")
    assert not upstream.requests
    assert word(ask(sluice, body, control("no-store"))) == "bypass"
    assert word(ask(sluice, body, control("no-store, max-age=5"))) == "bypass"
    assert ask(sluice, body, control("only-if-cached")).status == 504, "it was not stored"
    assert word(ask(sluice, body)) == "miss"
    assert word(ask(sluice, body, control("only-if-cached"))) == "hit"
    assert word(ask(sluice, body, control("max-age=60"))) == "hit"
    assert word(ask(sluice, body, control("no-cache"))) == "miss"
    assert word(ask(sluice, body, control("No-Cache"))) == "miss"
    assert word(ask(sluice, body)) == "hit"
    wait_until(lambda: int(ask(sluice, body).get("age") or 0) >= 1, "it has aged")
    assert word(ask(sluice, body, control("max-age=1"))) == "miss"
    assert word(ask(sluice, body, control("max-age=1"))) == "hit", "and is fresh again"
    assert len(upstream.requests) == 6
    assert all("cache-control" not in r.names() for r in upstream.requests)


def test_headers_say_what_it_saved(upstream: Upstream, gateway: Start) -> None:
    upstream.answer = reply(200, DOCUMENT)
    sluice = gateway(upstream=upstream.url)
    warm, hit = ask(sluice, prompt("money")), ask(sluice, prompt("money"))
    price = float(warm.get("x-sluice-cost-usd") or "nan")
    # 11 tokens in and 5 out, by the price of Llama 3.3 70B: $0.72 a million of either.
    assert price == pytest.approx(16 * 0.72e-6)
    assert warm.get("age") is None and warm.get("x-sluice-saved-usd") is None
    assert float(hit.get("x-sluice-cost-usd") or "nan") == 0
    assert float(hit.get("x-sluice-saved-usd") or "nan") == price
    assert hit.get("age") == "0" and hit.get("x-sluice-attempts") == "0"
    metrics = sluice.metrics()
    assert metrics["sluice_cache_entries"] == 1


@pytest.mark.parametrize(
    ("when", "plain", "cold"),
    [("always", "hit", "hit"), ("deterministic", "bypass", "hit"), ("never", "bypass", "bypass")],
)
def test_cache_when(
    upstream: Upstream, gateway: Start, when: str, plain: str, cold: str
) -> None:
    """`cold`: at temperature 0."""
    upstream.answer = reply(200, DOCUMENT)
    sluice = gateway(upstream=upstream.url, settings={"cache.when": when})
    for body, expected in ((prompt("warm"), plain), (prompt("cold", temperature=0), cold)):
        ask(sluice, body)
        assert word(ask(sluice, body)) == expected


# --- one call for all who ask at once


@pytest.fixture
def body_file(tmp_path: Path) -> Path:
    path = tmp_path / "body.json"
    path.write_text(json.dumps(prompt("a cold prompt")))
    return path


class Crowd:
    """Clients of four kinds that ask one and the same thing at once."""

    def __init__(self, sluice: Sluice, body: Path, count: int) -> None:
        self.sluice, self.body = sluice, body
        self._boto = sluice.boto(max_pool_connections=count)
        self._pool = ThreadPoolExecutor(count)
        kinds = [self._converse, self._stream, self._curl, self._curl_stream]
        self._asked = [self._pool.submit(kinds[n % len(kinds)]) for n in range(count)]

    def answers(self) -> list[dict]:
        return [asked.result(PATIENCE) for asked in self._asked]

    def outcomes(self) -> list[dict | BaseException]:
        """The answers, and the failures of those who got none."""
        return [asked.exception(PATIENCE) or asked.result() for asked in self._asked]

    def _converse(self) -> dict:
        answer = self._boto.converse(modelId=LLAMA, **prompt("a cold prompt"))
        text = answer["output"]["message"]["content"][0]["text"]
        return {"text": text, "stop": answer["stopReason"], "usage": answer["usage"]["totalTokens"]}

    def _stream(self) -> dict:
        seen: dict = {"text": ""}
        answer = self._boto.converse_stream(modelId=LLAMA, **prompt("a cold prompt"))
        for event in answer["stream"]:
            if "contentBlockDelta" in event:
                seen["text"] += event["contentBlockDelta"]["delta"]["text"]
            elif "messageStop" in event:
                seen["stop"] = event["messageStop"]["stopReason"]
            elif "metadata" in event:
                seen["usage"] = event["metadata"]["usage"]["totalTokens"]
        return seen

    def _run_curl(self, target: str) -> dict:
        done = subprocess.run(
            ["curl", "-sS", "-i", "-H", "Content-Type: application/json", "--data-binary",
             f"@{self.body}", self.sluice.url + target],
            capture_output=True, timeout=PATIENCE,
        )  # fmt: skip
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        first, headers = wire.parse_head(head)
        assert done.returncode == 0 and first.split()[1] == b"200", done.stdout[:300]
        return said(Response(200, headers, body))

    def _curl(self) -> dict:
        return self._run_curl(CONVERSE)

    def _curl_stream(self) -> dict:
        return self._run_curl(STREAM)


EXPECTED = {"text": TEXT, "stop": "end_turn", "usage": 16}


def answer_to(received: Received) -> Script:
    """What upstream says, in the shape that it is asked for."""
    if received.target.endswith(b"converse-stream"):
        return [open_stream(), *map(wire.chunk, wire.converse_stream(WORDS)), wire.LAST_CHUNK]
    return reply(200, DOCUMENT)


@pytest.mark.parametrize("trouble", ["slow", "throttled", "failing"])
def test_single_flight(
    upstream: Upstream, gateway: Start, body_file: Path, trouble: str
) -> None:
    """50 clients, one answer; what goes wrong before it is nobody's business."""
    gate, first = Gate(), threading.Lock()
    before = {
        "slow": [],
        "throttled": error(429, "ThrottlingException", "Too many requests, please wait."),
        "failing": error(500, "InternalServerException", "oops"),
    }[trouble]

    def script(received: Received) -> Script:
        if before and first.acquire(blocking=False):
            return [gate, *before]
        return [*([] if before else [gate]), *answer_to(received)]

    upstream.answer = script
    sluice = gateway(upstream=upstream.url, settings={"retry.backoff": "100ms"})
    crowd = Crowd(sluice, body_file, 50)
    assert gate.reached.wait(PATIENCE)
    sluice.wait_metric("sluice_joins_total", 49)
    gate.open()
    assert crowd.answers() == [EXPECTED] * 50
    assert len(upstream.requests) == (2 if before else 1)
    assert word(ask(sluice, prompt("a cold prompt"))) == "hit"


def stuck_midway(gate: Gate, rest: Script) -> Script:
    start, middle = wire.converse_stream(WORDS)[:3], wire.converse_stream(WORDS)[3:]
    end = rest or [*map(wire.chunk, middle), wire.LAST_CHUNK]
    return [open_stream(), *map(wire.chunk, start), gate, *end]


def leader(sluice: Sluice, target: str) -> wire.Client:
    """Asks first, so that the shape of the one call is its own."""
    client = connect(sluice)
    data = json.dumps(prompt("a cold prompt")).encode()
    client.send(wire.request("POST", target, [(b"Host", b"localhost")], data))
    return client


def test_breaks_off_midway(upstream: Upstream, gateway: Start, body_file: Path) -> None:
    """Nobody takes half an answer for a whole one, and nobody asks again behind their back."""
    gate = Gate()
    upstream.answer = stuck_midway(gate, [Reset])
    sluice = gateway(upstream=upstream.url)
    with leader(sluice, STREAM) as first:
        assert gate.reached.wait(PATIENCE)
        crowd = Crowd(sluice, body_file, 20)
        sluice.wait_metric("sluice_joins_total", 20)
        gate.open()
        last_frame = frames(first.read().body)[-1]
    assert last_frame[0] == "internalServerException"
    outcomes = crowd.outcomes()
    allowed = (ClientError, EventStreamError, AssertionError)
    assert all(isinstance(outcome, allowed) for outcome in outcomes), outcomes
    assert len(upstream.requests) == 1
    upstream.answer = answer_to
    got = ask(sluice, prompt("a cold prompt"))
    assert (word(got), said(got)) == ("miss", EXPECTED)


def test_document_breaks_off(upstream: Upstream, gateway: Start, body_file: Path) -> None:
    """Nothing of it was shown yet: tried again, for all."""
    gate, scripts = Gate(), iter(range(1000))
    cut = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    upstream.answer = lambda r: [cut, gate, Reset] if next(scripts) == 0 else answer_to(r)
    sluice = gateway(upstream=upstream.url)
    with leader(sluice, CONVERSE) as first:
        assert gate.reached.wait(PATIENCE)
        crowd = Crowd(sluice, body_file, 20)
        sluice.wait_metric("sluice_joins_total", 20)
        gate.open()
        assert said(first.read()) == EXPECTED
    assert crowd.answers() == [EXPECTED] * 20
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("target", [CONVERSE, STREAM])
def test_first_one_leaves(
    upstream: Upstream, gateway: Start, body_file: Path, target: str
) -> None:
    """Before the head, and in the middle of a stream: the call belongs to all who read it."""
    gate = Gate()
    upstream.answer = stuck_midway(gate, []) if target == STREAM else [gate, *reply(200, DOCUMENT)]
    sluice = gateway(upstream=upstream.url)
    with leader(sluice, target):
        assert gate.reached.wait(PATIENCE)
        crowd = Crowd(sluice, body_file, 12)
        sluice.wait_metric("sluice_joins_total", 12)
    sluice.wait_line("client left")
    gate.open()
    assert crowd.answers() == [EXPECTED] * 12
    assert len(upstream.requests) == 1 and not upstream.last.left.is_set()


def test_late_joiner_gets_all_of_it(upstream: Upstream, gateway: Start) -> None:
    """Who comes in the middle of a stream reads it from its beginning."""
    gate = Gate()
    upstream.answer = stuck_midway(gate, [])
    sluice = gateway(upstream=upstream.url)
    with leader(sluice, STREAM) as first, connect(sluice) as late:
        head = first.read_head()
        assert gate.reached.wait(PATIENCE)
        data = json.dumps(prompt("a cold prompt")).encode()
        late.send(wire.request("POST", STREAM, [(b"Host", b"localhost")], data))
        got = late.read_head()
        assert word(got) == "join"
        gate.open()
        got.body = b"".join(late.read_pieces(got))
        assert got.body == b"".join(first.read_pieces(head)) == b"".join(
            wire.converse_stream(WORDS)
        )  # fmt: skip


@pytest.mark.parametrize("megabytes", [1, 12])
def test_slow_reader_slows_nobody(upstream: Upstream, gateway: Start, megabytes: int) -> None:
    """One of two does not read at all. What may be kept waits for it; what is too large for that
    does not, and it is cut off."""
    words = ["x" * 50_000] * (20 * megabytes)
    pieces = wire.converse_stream(words)
    gate = Gate()
    upstream.answer = [
        open_stream(), wire.chunk(pieces[0]), gate, *map(wire.chunk, pieces[1:]), wire.LAST_CHUNK
    ]  # fmt: skip
    sluice = gateway(upstream=upstream.url, settings={"cache.max_entry": "2MiB"})
    with leader(sluice, STREAM) as slow, leader(sluice, STREAM) as fast:
        assert gate.reached.wait(PATIENCE)
        sluice.wait_metric("sluice_joins_total")
        gate.open()
        began = time.monotonic()
        got = fast.read()
        assert time.monotonic() - began < 5
        assert got.whole and got.body == b"".join(pieces)
        assert sluice.metrics()["sluice_memory_bytes"] < 8 << 20
        late = slow.read()
        assert late.whole == (megabytes == 1)
        if late.whole:
            assert late.body == got.body
    assert len(upstream.requests) == 1


# --- the file


def kept_file(sluice: Sluice) -> Path:
    files = [path for path in sluice.state.iterdir() if path.read_bytes()[:8] == b"sluicekp"]
    assert len(files) == 1, list(sluice.state.iterdir())
    return files[0]


def fill(sluice: Sluice, count: int) -> None:
    for n in range(count):
        assert ask(sluice, prompt(f"No. {n}")).status == 200


def words_of(sluice: Sluice, count: int) -> list[str | None]:
    return [word(ask(sluice, prompt(f"No. {n}"))) for n in range(count)]


def test_restart_keeps_answers(upstream: Upstream, gateway: Start, tmp_path: Path) -> None:
    upstream.answer = answer_to
    sluice = gateway(upstream=upstream.url, home=tmp_path)
    fill(sluice, 20)
    streamed = ask(sluice, prompt("streamed"), target=STREAM)
    sluice.stop()
    assert kept_file(sluice).stat().st_mode & 0o777 == 0o600

    again = gateway(upstream=upstream.url, home=tmp_path)
    again.wait_line("21 kept answers taken over")
    assert words_of(again, 20) == ["hit"] * 20
    hit = ask(again, prompt("streamed"), target=STREAM)
    assert (word(hit), hit.body) == ("hit", streamed.body)
    assert said(ask(again, prompt("streamed"))) == said(hit)
    assert len(upstream.requests) == 21


def test_restart_without_a_snapshot(upstream: Upstream, gateway: Start, tmp_path: Path) -> None:
    upstream.answer = answer_to
    settings = {"cache.snapshot": "off"}
    sluice = gateway(upstream=upstream.url, home=tmp_path, settings=settings)
    fill(sluice, 2)
    sluice.stop()
    assert not [path for path in sluice.state.iterdir() if b"shared by all" in path.read_bytes()]
    again = gateway(upstream=upstream.url, home=tmp_path, settings=settings)
    assert words_of(again, 2) == ["miss", "miss"]


def test_killed_while_it_writes(upstream: Upstream, gateway: Start, tmp_path: Path) -> None:
    """At moments of chance, with 16 MB to write each second: the file is the last whole one."""
    large = DOCUMENT.replace(b'"stopReason"', b'"pad":"' + b"x" * 400_000 + b'","stopReason"')
    upstream.answer = reply(200, large)
    settings = {"cache.snapshot_interval": "1s"}
    sluice = gateway(upstream=upstream.url, home=tmp_path, settings=settings)
    fill(sluice, 40)
    wait_until(
        lambda: any(
            path.stat().st_size > 16_000_000 and path.read_bytes()[:8] == b"sluicekp"
            for path in sluice.state.iterdir()
        ),
        "a snapshot is written",
    )
    for _ in range(4):
        threading.Event().wait(random.uniform(0.9, 1.1))
        sluice.kill()
        sluice = gateway(upstream=upstream.url, home=tmp_path, settings=settings)
        taken = sluice.wait_line(r"(\d+) kept answers taken over")[0]
        assert int(taken[1]) == 40
    assert words_of(sluice, 40) == ["hit"] * 40


def flip(data: bytes) -> bytes:
    """One bit in a record's payload, far from the file's ends."""
    at = data.index(b"shared by all", len(data) // 2)
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], int]] = {
    "bit": (flip, 19),
    "cut": (lambda data: data[: len(data) // 2], 1),
    "end": (lambda data: data[:-5], 19),
    "version": (lambda data: data[:8] + b"\x63" + data[9:], 0),
    "empty": (lambda data: b"", 0),
    "noise": (lambda data: random.Random(7).randbytes(10_000), 0),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_file(upstream: Upstream, gateway: Start, tmp_path: Path, damage: str) -> None:
    """It starts, says what it ignored, and serves: what is whole from memory, the rest anew."""
    harm, least = DAMAGE[damage]
    upstream.answer = answer_to
    sluice = gateway(upstream=upstream.url, home=tmp_path)
    fill(sluice, 20)
    sluice.stop()
    file = kept_file(sluice)
    file.write_bytes(harm(file.read_bytes()))

    again = gateway(upstream=upstream.url, home=tmp_path)
    line = again.wait_line(re.escape(file.name) + r".*ignored")[0].string
    assert " warn " in line, line
    words = words_of(again, 20)
    assert set(words) <= {"hit", "miss"}
    assert least <= words.count("hit") < 20 + (damage == "end")
    assert words_of(again, 20) == ["hit"] * 20
