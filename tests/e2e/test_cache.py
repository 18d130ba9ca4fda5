"""The answer cache and single flight: who is given an answer again, in which shape, and who is not.

The simulator tells the same in both shapes, so it stands behind the tests that compare them; where
calls are counted, or an answer goes wrong midway, upstream.py does.
"""

import http.client
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import anthropic
import openai
import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import BotoCoreError, ClientError

import sdk
import wire
from gateway import PATIENCE, Sluice, split, wait_until
from samples import CLAUDE, LLAMA, LLAMA_BODY, NOVA
from test_js import Node, environment, js  # noqa: F401  (js is a fixture)
from upstream import (
    Delay,
    Gate,
    Received,
    Reset,
    Script,
    Step,
    Upstream,
    error,
    open_stream,
    reply,
)

Start = Callable[..., Sluice]

# How many ask at once.
CLIENTS = int(os.environ.get("SLUICE_CLIENTS", "500"))
HOST = (b"Host", b"localhost")
WORDS = ["a", "sluice", "gate", "controls", "a", "flow"]


def path(model: str, operation: str) -> str:
    return f"/model/{model}/{operation}"


CONVERSE, STREAM = path(LLAMA, "converse"), path(LLAMA, "converse-stream")


def ask(text: str) -> list[dict]:
    return [{"role": "user", "content": [{"text": text}]}]


def body(text: str, **more: object) -> bytes:
    return json.dumps({"messages": ask(text), **more}).encode()


def connect(sluice: Sluice) -> wire.Client:
    return wire.Client(sluice.host, sluice.port, PATIENCE)


def post(sluice: Sluice, target: str, data: bytes, *headers: tuple[bytes, bytes]) -> wire.Response:
    with connect(sluice) as client:
        return client.ask("POST", target, list(headers), data)


def word(got: wire.Response) -> str | None:
    return got.get("x-sluice-cache")


def attempts(sluice: Sluice) -> float:
    return sluice.metrics()["sluice_attempts_total"]


# --- an upstream that says what it was asked, in the shape it was asked for


def said(words: list[str]) -> bytes:
    """What wire.converse_stream says, whole."""
    answer = {
        "metrics": {"latencyMs": 7},
        "output": {"message": {"role": "assistant", "content": [{"text": "".join(words)}]}},
        "stopReason": "end_turn",
        "usage": {
            "inputTokens": 11,
            "outputTokens": len(words),
            "totalTokens": 11 + len(words),
        },
    }
    return json.dumps(answer).encode()


def asked(request: Received) -> str:
    return json.loads(request.body)["messages"][-1]["content"][0]["text"]


def streams(request: Received) -> bool:
    return request.target.endswith(b"-stream")


def speak(request: Received, words: list[str]) -> Script:
    if not streams(request):
        return reply(200, said(words))
    return [open_stream(), *map(wire.chunk, wire.converse_stream(words)), wire.LAST_CHUNK]


def echo(request: Received) -> Script:
    return speak(request, ["echo", asked(request)])


@pytest.fixture
def echoing(upstream: Upstream) -> Upstream:
    upstream.answer = echo
    return upstream


# --- answers as a client understands them

Answer = tuple[str, str, dict]  # text, why it ended, usage


def of_converse(answer: dict) -> Answer:
    text = "".join(block["text"] for block in answer["output"]["message"]["content"])
    return text, answer["stopReason"], answer["usage"]


def of_events(events: Iterator[dict]) -> Answer:
    text, stop, usage = "", "", {}
    for event in events:
        if "contentBlockDelta" in event:
            text += event["contentBlockDelta"]["delta"]["text"]
        elif "messageStop" in event:
            stop = event["messageStop"]["stopReason"]
        elif "metadata" in event:
            usage = event["metadata"]["usage"]
    return text, stop, usage


def events_of(data: bytes) -> Iterator[dict]:
    frames = EventStreamBuffer()
    frames.add_data(data)
    for frame in frames:
        kind = frame.headers.get(":event-type")
        assert kind, frame.headers
        yield {kind: json.loads(frame.payload)}


def decode(target: str, got: wire.Response) -> Answer:
    assert (got.status, got.whole) == (200, True), got.body
    if target.endswith("-stream"):
        return of_events(events_of(got.body))
    return of_converse(json.loads(got.body))


def converse(client, model: str, text: str) -> tuple[Answer, str]:
    answer = client.converse(modelId=model, messages=ask(text))
    return of_converse(answer), answer["ResponseMetadata"]["HTTPHeaders"]["x-sluice-cache"]


def converse_stream(client, model: str, text: str) -> tuple[Answer, str]:
    answer = client.converse_stream(modelId=model, messages=ask(text))
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    return of_events(answer["stream"]), headers["x-sluice-cache"]


def claude_body(text: str) -> dict:
    return {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": text}],
    }


def native_body(model: str, text: str) -> str:
    body = claude_body(text) if model == CLAUDE else {**LLAMA_BODY, "prompt": text}
    return json.dumps(body)


def invoke(client, model: str, text: str) -> tuple[Answer, str]:
    answer = client.invoke_model(modelId=model, body=native_body(model, text))
    made = json.loads(answer["body"].read())
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    if model == CLAUDE:
        usage = {name: made["usage"][name] for name in ("input_tokens", "output_tokens")}
        told = made["content"][0]["text"], made["stop_reason"], usage
    else:
        usage = {n: made[n] for n in ("prompt_token_count", "generation_token_count")}
        told = made["generation"], made["stop_reason"], usage
    return told, headers["x-sluice-cache"]


def invoke_stream(client, model: str, text: str) -> tuple[Answer, str]:
    answer = client.invoke_model_with_response_stream(
        modelId=model, body=native_body(model, text)
    )
    told, stop, usage = "", "", {}
    for event in answer["body"]:
        part = json.loads(event["chunk"]["bytes"])
        if model != CLAUDE:
            told += part.get("generation") or ""
            stop = part.get("stop_reason") or stop
            for name in ("prompt_token_count", "generation_token_count"):
                if part.get(name) is not None:
                    usage[name] = part[name]
        elif part["type"] == "message_start":
            usage["input_tokens"] = part["message"]["usage"]["input_tokens"]
        elif part["type"] == "content_block_delta":
            told += part["delta"]["text"]
        elif part["type"] == "message_delta":
            stop = part["delta"]["stop_reason"]
            usage["output_tokens"] = part["usage"]["output_tokens"]
    return (told, stop, usage), answer["ResponseMetadata"]["HTTPHeaders"]["x-sluice-cache"]


# --- one answer, both shapes

SHAPES = {
    "converse llama": (LLAMA, converse, converse_stream),
    "converse claude": (CLAUDE, converse, converse_stream),
    "invoke llama": (LLAMA, invoke, invoke_stream),
    "invoke claude": (CLAUDE, invoke, invoke_stream),
}


@pytest.mark.parametrize("warm", ["whole", "stream"])
@pytest.mark.parametrize("name", SHAPES)
def test_shapes(simulated: Sluice, name: str, warm: str) -> None:
    """Whichever came first, the other is made of it, and means the same."""
    model, whole, stream = SHAPES[name]
    first, second = (whole, stream) if warm == "whole" else (stream, whole)
    client, text = simulated.boto(), f"Shapes: {name}, {warm} first, in 60 words."
    before = attempts(simulated)
    one, missed = first(client, model, text)
    two, hit = second(client, model, text)
    again, hit_again = first(client, model, text)
    assert (missed, hit, hit_again) == ("miss", "hit", "hit")
    assert one == two == again and one[0].startswith("[simulated]")
    assert one[1] and all(list(one[2].values())[:2]), "input and output tokens"
    assert attempts(simulated) - before == 1


def openai_text(
    sluice: Sluice, text: str, stream: bool, options: dict
) -> tuple[str, str | None]:
    with openai.OpenAI(
        base_url=f"{sluice.url}/v1", api_key=sdk.ANY_KEY, max_retries=0, timeout=PATIENCE
    ) as client:
        raw = client.chat.completions.with_raw_response.create(
            model=NOVA, messages=[{"role": "user", "content": text}], stream=stream, **options
        )
        made = raw.parse()
        told = (
            "".join(c.choices[0].delta.content or "" for c in made if c.choices)
            if stream
            else made.choices[0].message.content
        )
        return told, raw.headers.get("x-sluice-cache")


# The same wish in both APIs.
WISHES = [
    pytest.param({"max_tokens": 50}, {"inferenceConfig": {"maxTokens": 50}}, id="max_tokens"),
    pytest.param(
        {"temperature": 0.5, "top_p": 0.5, "stop": ["END"]},
        {"inferenceConfig": {"topP": 0.5, "temperature": 0.5, "stopSequences": ["END"]}},
        id="sampling",
    ),
    pytest.param({}, {}, id="nothing"),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("warm", ["openai", "converse"])
@pytest.mark.parametrize(("theirs", "ours"), WISHES)
def test_through_openai(
    simulated: Sluice, warm: str, stream: bool, theirs: dict, ours: dict
) -> None:
    text = f"OpenAI and Converse, {warm} first, {stream}, {sorted(theirs)}"
    target = path(NOVA, "converse-stream" if stream else "converse")
    before = attempts(simulated)
    if warm == "openai":
        one = openai_text(simulated, text, stream, theirs)
        two = post(simulated, target, body(text, **ours))
        assert (one[1], word(two)) == ("miss", "hit")
    else:
        two = post(simulated, target, body(text, **ours))
        one = openai_text(simulated, text, stream, theirs)
        assert (one[1], word(two)) == ("hit", "miss")
    assert one[0] == decode(target, two)[0]
    assert attempts(simulated) - before == 1


@pytest.mark.parametrize("warm", ["messages", "invoke"])
def test_messages_and_invoke(simulated: Sluice, warm: str) -> None:
    """Anthropic's own API and InvokeModel ask Claude the same."""
    text = f"Messages and InvokeModel, {warm} first"
    client, before = simulated.boto(), attempts(simulated)

    def messages() -> tuple[str, str | None]:
        with anthropic.Anthropic(
            base_url=simulated.url, api_key=sdk.ANY_KEY, max_retries=0, timeout=PATIENCE
        ) as api:
            raw = api.messages.with_raw_response.create(
                model=CLAUDE, max_tokens=100, messages=[{"role": "user", "content": text}]
            )
            return raw.parse().content[0].text, raw.headers.get("x-sluice-cache")

    if warm == "messages":
        one, two = messages(), invoke(client, CLAUDE, text)
        assert (one[1], two[1]) == ("miss", "hit")
    else:
        two, one = invoke(client, CLAUDE, text), messages()
        assert (one[1], two[1]) == ("hit", "miss")
    assert one[0] == two[0][0]
    assert attempts(simulated) - before == 1


# --- what clients say of it, and what they are told


def test_directives(echoing: Upstream, gateway: Start) -> None:
    sluice = gateway(upstream=echoing.url)

    def get(directive: bytes | None) -> tuple[int, str | None, int]:
        headers = [(b"Cache-Control", directive)] if directive else []
        got = post(sluice, CONVERSE, body("directives"), *headers)
        return got.status, word(got), len(echoing.requests)

    assert get(b"only-if-cached")[::2] == (504, 0)
    assert get(b"no-store") == (200, "bypass", 1)
    assert get(b"only-if-cached")[0] == 504, "no-store was kept"
    assert get(None) == (200, "miss", 2)
    assert get(b"only-if-cached") == (200, "hit", 2)
    assert get(b"max-age=3600") == (200, "hit", 2)
    assert get(b"no-store") == (200, "bypass", 3)
    assert get(b"no-cache") == (200, "miss", 4)
    assert get(b"Max-Age=\"3600\", only-if-cached") == (200, "hit", 4)
    stored = time.monotonic()
    wait_until(lambda: time.monotonic() - stored > 0.01, "older than nothing")
    assert get(b"max-age=0") == (200, "miss", 5)
    assert get(None) == (200, "hit", 5)


def test_no_cache_replaces(upstream: Upstream, gateway: Start) -> None:
    answers = iter([["old"], ["new"]])
    upstream.answer = lambda request: speak(request, next(answers))
    sluice = gateway(upstream=upstream.url)
    fresh = (b"Cache-Control", b"no-cache")
    assert decode(CONVERSE, post(sluice, CONVERSE, body("x")))[0] == "old"
    assert decode(STREAM, post(sluice, STREAM, body("x"), fresh))[0] == "new"
    assert decode(CONVERSE, post(sluice, CONVERSE, body("x")))[0] == "new"


def test_expiry(echoing: Upstream, gateway: Start) -> None:
    sluice = gateway(upstream=echoing.url, settings={"cache.ttl": "1s"})
    post(sluice, CONVERSE, body("short-lived"))
    only = (b"Cache-Control", b"only-if-cached")
    assert post(sluice, CONVERSE, body("short-lived"), only).status == 200
    wait_until(
        lambda: post(sluice, CONVERSE, body("short-lived"), only).status == 504, "it expires"
    )
    assert len(echoing.requests) == 1


def test_headers(echoing: Upstream, gateway: Start) -> None:
    """Cost is told to who pays, and what was saved to who does not."""
    sluice = gateway(upstream=echoing.url)
    missed = post(sluice, CONVERSE, body("price"))
    cost = float(missed.get("x-sluice-cost-usd") or 0)
    assert cost > 0 and missed.get("x-sluice-saved-usd") is None and missed.get("age") is None
    for target in (CONVERSE, STREAM):
        hit = post(sluice, target, body("price"))
        assert word(hit) == "hit" and 0 <= int(hit.get("age") or -1) <= PATIENCE
        assert float(hit.get("x-sluice-cost-usd") or -1) == 0
        assert float(hit.get("x-sluice-saved-usd") or 0) == cost
        assert (hit.get("x-sluice-attempts"), hit.get("x-sluice-target")) == ("0", "none")
        assert hit.get("x-sluice-request-id") != missed.get("x-sluice-request-id")
    metrics = sluice.metrics()
    assert metrics["sluice_cache_hits_total"] == 2
    assert metrics["sluice_saved_usd_total"] == pytest.approx(2 * cost)


# --- what is the same


def test_form_does_not_matter(echoing: Upstream, gateway: Start) -> None:
    sluice = gateway(upstream=echoing.url)
    request = {
        "messages": ask("form"),
        "inferenceConfig": {"maxTokens": 50, "temperature": 0.5},
        "system": [{"text": "Be brief."}],
    }
    turned = {
        "system": request["system"],
        "inferenceConfig": {"temperature": 0.5, "maxTokens": 50},
        "messages": [{"content": [{"text": "form"}], "role": "user"}],
    }
    assert word(post(sluice, CONVERSE, json.dumps(request).encode())) == "miss"
    escaped = json.dumps(turned, indent=3).replace("form", "\\u0066orm")
    for same in (json.dumps(turned), json.dumps(request, separators=(",", ":")), escaped):
        assert word(post(sluice, CONVERSE, same.encode())) == "hit", same
    assert len(echoing.requests) == 1


OTHERS: dict[str, tuple[dict, list[tuple[bytes, bytes]]]] = {
    "temperature": ({"inferenceConfig": {"maxTokens": 50, "temperature": 0.6}}, []),
    "maxTokens": ({"inferenceConfig": {"maxTokens": 51, "temperature": 0.5}}, []),
    "system": ({"system": [{"text": "Be long."}]}, []),
    "guardrailConfig": (
        {"guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1"}},
        [],
    ),
    "guardrail header": ({}, [(b"X-Amzn-Bedrock-GuardrailIdentifier", b"g")]),
    "latency header": ({}, [(b"X-Amzn-Bedrock-PerformanceConfig-Latency", b"optimized")]),
}


@pytest.mark.parametrize("name", OTHERS)
def test_meaning_matters(echoing: Upstream, gateway: Start, name: str) -> None:
    sluice = gateway(upstream=echoing.url)
    common = {
        "inferenceConfig": {"maxTokens": 50, "temperature": 0.5},
        "system": [{"text": "Be brief."}],
    }
    more, headers = OTHERS[name]
    assert word(post(sluice, CONVERSE, body("m", **common))) == "miss"
    other = body("m", **{**common, **more})
    assert word(post(sluice, CONVERSE, other, *headers)) == "miss", name
    assert word(post(sluice, CONVERSE, other, *headers)) == "hit"
    assert word(post(sluice, CONVERSE, body("m", **common))) == "hit"
    assert word(post(sluice, path(NOVA, "converse"), body("m", **common))) == "miss", "a model"
    assert len(echoing.requests) == 3


# --- what is never kept

INTERVENED = said(["Blocked."]).replace(b"end_turn", b"guardrail_intervened")
BAD: dict[str, tuple[str, Callable[[], Script]]] = {
    "validation": (CONVERSE, lambda: error(400, "ValidationException", "No.")),
    "unavailable": (CONVERSE, lambda: error(503, "ServiceUnavailableException", "No.")),
    "guardrail": (CONVERSE, lambda: reply(200, INTERVENED)),
    "guardrail stream": (
        STREAM,
        lambda: [
            open_stream(),
            wire.chunk(
                b"".join(wire.converse_stream(WORDS)[:-2])
                + wire.event("messageStop", b'{"p":"a","stopReason":"guardrail_intervened"}')
                + wire.converse_stream(WORDS)[-1]
            ),
            wire.LAST_CHUNK,
        ],
    ),
    "truncated": (STREAM, lambda: cut(wire.converse_stream(WORDS)[:4])),
    "without its end": (STREAM, lambda: cut(wire.converse_stream(WORDS)[:-2])),
    "broken off": (STREAM, lambda: cut(wire.converse_stream(WORDS)[:4])[:-1] + [Reset]),
    "exception": (
        STREAM,
        lambda: cut(
            [
                *wire.converse_stream(WORDS)[:4],
                wire.exception("modelStreamErrorException", b'{"message":"Sorry."}'),
            ]
        ),
    ),
}


def cut(frames: list[bytes]) -> Script:
    return [open_stream(), *map(wire.chunk, frames), wire.LAST_CHUNK]


@pytest.mark.parametrize("name", BAD)
def test_never_kept(upstream: Upstream, gateway: Start, name: str) -> None:
    target, bad = BAD[name]
    upstream.answer = lambda _: bad()
    settings = {"retry.max_attempts": 1}
    sluice = gateway(upstream=upstream.url, settings=settings)
    first = post(sluice, target, body("bad"))
    if target == STREAM and "guardrail" not in name:
        with pytest.raises((AssertionError, KeyError)):
            assert decode(target, first)[1] == "end_turn"
    assert sluice.metrics()["sluice_cache_entries"] == 0
    only = (b"Cache-Control", b"only-if-cached")
    for shape in (CONVERSE, STREAM):
        assert post(sluice, shape, body("bad"), only).status == 504
    before = len(upstream.requests)
    upstream.answer = echo
    assert decode(target, post(sluice, target, body("bad")))[0] == "echobad"
    assert len(upstream.requests) == before + 1


# --- single flight


class Curl:
    """Many transfers of one curl, half of them over HTTP/2."""

    def __init__(self, sluice: Sluice, text: str, count: int, folder: Path) -> None:
        self._targets = {folder / f"answer{n}": (CONVERSE, STREAM)[n % 2] for n in range(count)}
        config = folder / "curl.config"
        config.write_text("next\n".join(self._transfers(sluice, text)))
        self._process = subprocess.Popen(
            ["curl", "-sS", "-Z", "--parallel-immediate", "--parallel-max", "300", "-K", config],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def _transfers(self, sluice: Sluice, text: str) -> Iterator[str]:
        sent = json.dumps(body(text).decode())  # curl's strings have JSON's escapes
        for n, (answer, target) in enumerate(self._targets.items()):
            version = ("http1.1", "http2-prior-knowledge")[n // 2 % 2]
            yield (
                f'url = "{sluice.url}{target}"\n{version}\nno-buffer\ndata-binary = {sent}\n'
                'header = "Content-Type: application/json"\n'
                f'output = "{answer}"\n'
                'write-out = "%{filename_effective} %{http_code} %{exitcode}\\n"\n'
            )

    def answers(self) -> Iterator[Answer | Exception]:
        told, _ = self._process.communicate(timeout=PATIENCE)
        lines = dict(line.split(" ", 1) for line in told.splitlines())
        assert len(lines) == len(self._targets), told
        for answer, target in self._targets.items():
            status, exit_code = map(int, lines[str(answer)].split())
            data = answer.read_bytes() if answer.exists() else b""
            try:
                yield decode(target, wire.Response(status, [], data, whole=exit_code == 0))
            except AssertionError as why:
                yield why

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


class Crowd:
    """Clients of all kinds that ask the same at once, streaming and not: of ten, three of the AWS
    SDK for JavaScript, two transfers of curl, two of boto3, and three that are bytes on a socket.
    """

    def __init__(self, sluice: Sluice, text: str, node: Node, folder: Path) -> None:
        self.sluice, self.text, self.count = sluice, text, CLIENTS
        self._stack = ExitStack()
        self._node, self._folder, self._curl = node, folder, None
        self._raw: list[tuple[str, wire.Client]] = []
        self._pool = ThreadPoolExecutor(self.count // 5 + 1)
        self._boto = sluice.boto(max_pool_connections=self.count, read_timeout=2 * PATIENCE)
        self._asked: list = []

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._pool.shutdown()

    def first(self, target: str) -> wire.Client:
        """One that is there before all others."""
        client = self._stack.enter_context(connect(self.sluice))
        client.send(wire.request("POST", target, [HOST], body(self.text)))
        self._raw.append((target, client))
        return client

    def ask(self) -> None:
        """All that are missing. Those of boto3 wait in threads."""
        tenth = self.count // 10
        question = {"url": self.sluice.url, "text": self.text, "count": 3 * tenth}
        self._node.say(json.dumps(question))
        self._curl = Curl(self.sluice, self.text, 2 * tenth, self._folder)
        self._stack.callback(self._curl.stop)
        for n in range(2 * tenth):
            shape = (converse, converse_stream)[n % 2]
            self._asked.append(self._pool.submit(shape, self._boto, LLAMA, self.text))
        for n in range(self.count - 7 * tenth - len(self._raw)):
            self.first((CONVERSE, STREAM)[n % 2])

    def drop(self, client: wire.Client) -> None:
        self._raw = [(target, c) for target, c in self._raw if c is not client]
        client.close()

    def answers(self) -> Iterator[Answer | Exception]:
        for told in json.loads(self._node.hear()):
            yield tuple(told) if isinstance(told, list) else RuntimeError(told)
        yield from self._curl.answers()
        for asked in self._asked:
            try:
                yield asked.result()[0]
            except (BotoCoreError, ClientError) as why:
                yield why
        for target, client in self._raw:
            try:
                yield decode(target, client.read())
            except AssertionError as why:
                yield why


@pytest.fixture(scope="module")
def javascript(js: Path) -> Iterator[Node]:  # noqa: F811
    """One program for all crowds: it is what takes time to start."""
    with Node(js, "crowd", "crowds", environment(E2E_DEADLINE_MS="600000")) as node:
        yield node


Gather = Callable[[Sluice, str], Crowd]


@pytest.fixture
def crowd(javascript: Node, tmp_path: Path) -> Gather:
    return lambda sluice, text: Crowd(sluice, text, javascript, tmp_path)


EXPECTED: Answer = (
    "".join(WORDS),
    "end_turn",
    {"inputTokens": 11, "outputTokens": 6, "totalTokens": 17},
)
shapes = pytest.mark.parametrize("target", [CONVERSE, STREAM], ids=["whole", "stream"])


def gathered(sluice: Sluice, clients: Crowd) -> None:
    sluice.wait_metric("sluice_joins_total", clients.count - 1)


@shapes
@pytest.mark.parametrize("leaves", [False, True], ids=["all stay", "the first leaves"])
def test_single_flight(
    upstream: Upstream, gateway: Start, crowd: Gather, target: str, leaves: bool
) -> None:
    """A cold prompt, a slow upstream, and one call."""
    gate = Gate()
    upstream.answer = lambda request: [gate, *speak(request, WORDS)]
    sluice = gateway(upstream=upstream.url)
    with crowd(sluice, "together") as clients:
        first = clients.first(target)
        assert gate.reached.wait(PATIENCE)
        clients.ask()
        gathered(sluice, clients)
        if leaves:
            clients.drop(first)
            sluice.wait_line("client left")
        gate.open()
        assert list(clients.answers()) == [EXPECTED] * (CLIENTS - leaves)
    assert len(upstream.requests) == attempts(sluice) == 1
    assert word(post(sluice, target, body("together"))) == "hit"


def test_all_at_once(upstream: Upstream, gateway: Start, crowd: Gather) -> None:
    """Nobody is there first: the gateway sorts it out."""
    gate = Gate()
    upstream.answer = lambda request: [gate, *speak(request, WORDS)]
    sluice = gateway(upstream=upstream.url)
    with crowd(sluice, "at once") as clients:
        clients.ask()
        gathered(sluice, clients)
        gate.open()
        assert list(clients.answers()) == [EXPECTED] * CLIENTS
    assert len(upstream.requests) == 1


REFUSALS = {
    "throttles": lambda: error(429, "ThrottlingException", "Too many requests."),
    "fails": lambda: error(500, "InternalServerException", "Once."),
}


@shapes
@pytest.mark.parametrize("name", REFUSALS)
def test_single_flight_tries_again(
    upstream: Upstream, gateway: Start, crowd: Gather, target: str, name: str
) -> None:
    """One refusal at first: one more call, and nobody sees it."""
    gate = Gate()

    def answer(request: Received) -> Script:
        first = not upstream.requests
        return [gate, *(REFUSALS[name]() if first else speak(request, WORDS))]

    upstream.answer = answer
    sluice = gateway(upstream=upstream.url, settings={"retry.backoff": "20ms"})
    with crowd(sluice, name) as clients:
        clients.first(target)
        assert gate.reached.wait(PATIENCE)
        clients.ask()
        gathered(sluice, clients)
        gate.open()
        assert list(clients.answers()) == [EXPECTED] * CLIENTS
    assert len(upstream.requests) == 2


@shapes
def test_single_flight_that_breaks(
    upstream: Upstream, gateway: Start, crowd: Gather, target: str
) -> None:
    """Midway: an error for each, a clean end for none; the next request is a call of its own."""
    gate = Gate()

    def answer(request: Received) -> Script:
        whole = speak(request, WORDS)
        if streams(request):
            return [*whole[:4], gate, Reset]
        assert isinstance(whole[0], bytes)
        return [whole[0][:-20], gate, Reset]

    upstream.answer = answer
    sluice = gateway(upstream=upstream.url, settings={"retry.max_attempts": 1})
    with crowd(sluice, "breaks") as clients:
        clients.first(target)
        assert gate.reached.wait(PATIENCE)
        clients.ask()
        gathered(sluice, clients)
        gate.open()
        answers = list(clients.answers())
    assert len(answers) == CLIENTS
    assert all(isinstance(answer, Exception) for answer in answers), answers
    assert len(upstream.requests) == 1
    upstream.answer = lambda request: speak(request, WORDS)
    again = post(sluice, target, body("breaks"))
    assert (decode(target, again), word(again)) == (EXPECTED, "miss")
    assert len(upstream.requests) == 2


# --- readers of one stream at their own pace

PIECE = "x" * 32768


def slow_reader(sluice: Sluice, text: str) -> wire.Client:
    """It has the head and the first frame, and then does not read."""
    client = connect(sluice)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    client.send(wire.request("POST", STREAM, [HOST], body(text)))
    return client


@pytest.mark.parametrize("pieces", [16, 640], ids=["kept", "too large to keep"])
def test_slow_reader(upstream: Upstream, gateway: Start, pieces: int) -> None:
    """It slows nobody down. What it lags behind is held while it is kept anyway; beyond that, no
    more than 4 MiB are, and then its connection is broken."""
    start, end = Gate(), Gate()
    frames = wire.converse_stream([PIECE] * pieces)
    upstream.answer = [
        open_stream(),
        start,
        *map(wire.chunk, frames[:-1]),
        end,
        wire.chunk(frames[-1]),
        wire.LAST_CHUNK,
    ]
    sluice = gateway(upstream=upstream.url)
    expected, highest = sum(map(len, frames[:-1])), 0.0
    with connect(sluice) as quick, slow_reader(sluice, "large") as slow:
        upstream.wait_requests(1)
        quick.send(wire.request("POST", STREAM, [HOST], body("large")))
        sluice.wait_metric("sluice_joins_total")
        start.open()
        response, got, looked = quick.read_head(), bytearray(), 0
        for piece in quick.read_pieces(response):
            got += piece
            if len(got) - looked > 1 << 20:
                looked = len(got)
                highest = max(highest, sluice.metrics()["sluice_memory_bytes"])
            if len(got) >= expected:
                end.open()
        assert response.whole and of_events(events_of(bytes(got)))[0] == PIECE * pieces
        slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        late = slow.read()
    if pieces == 16:
        assert decode(STREAM, late)[0] == PIECE * pieces
        assert word(post(sluice, CONVERSE, body("large"))) == "hit"
    else:
        assert not late.whole
        assert 1 << 20 < highest < 6 << 20, highest
        wait_until(lambda: sluice.metrics()["sluice_memory_bytes"] < 1 << 20, "memory is back")
    assert len(upstream.requests) == 1


# --- pace

BEAT = 0.1


@pytest.mark.parametrize("replay", ["recorded", "instant"])
def test_replay(upstream: Upstream, gateway: Start, replay: str) -> None:
    frames = wire.converse_stream(WORDS)
    steps: list[Step] = [open_stream()]
    for frame in frames:
        steps += [wire.chunk(frame), Delay(BEAT)]
    upstream.answer = [*steps, wire.LAST_CHUNK]
    sluice = gateway(upstream=upstream.url, settings={"cache.replay": replay})

    def listen() -> tuple[str | None, str, list[float]]:
        with connect(sluice) as client:
            client.send(wire.request("POST", STREAM, [HOST], body("pace")))
            response, came, data = client.read_head(), [], b""
            for piece in client.read_pieces(response):
                data += piece
                came.append(time.monotonic())
        assert response.whole
        return word(response), of_events(events_of(data))[0], [t - came[0] for t in came]

    missed, text, recorded = listen()
    hit, again, replayed = listen()
    assert (missed, hit, text) == ("miss", "hit", again)
    whole = BEAT * (len(frames) - 1)
    assert recorded[-1] > whole * 0.9
    if replay == "instant":
        assert replayed[-1] < BEAT
        return
    assert 0.5 * whole < replayed[-1] < 3 * recorded[-1] + 1, (recorded, replayed)
    assert len(replayed) > len(frames) / 2, "not at once"
    assert decode(CONVERSE, post(sluice, CONVERSE, body("pace"))) == EXPECTED


# --- over a restart


def restarted(gateway: Start, echoing: Upstream, home: Path, **settings: object) -> Sluice:
    return gateway(home=home, upstream=echoing.url, settings=settings)


def check(sluice: Sluice, texts: list[str]) -> int:
    """Every answer is right, kept or not; how many were kept."""
    hits = 0
    for n, text in enumerate(texts):
        target = (CONVERSE, STREAM)[n % 2]
        got = post(sluice, target, body(text))
        assert decode(target, got)[0] == f"echo{text}"
        hits += word(got) == "hit"
    return hits


def fill(sluice: Sluice, count: int) -> list[str]:
    texts = [f"No. {n} of {count}" for n in range(count)]
    for text in texts:
        assert word(post(sluice, CONVERSE, body(text))) == "miss"
    return texts


def test_restart(echoing: Upstream, gateway: Start, tmp_path: Path) -> None:
    sluice = restarted(gateway, echoing, tmp_path)
    texts = fill(sluice, 12)
    sluice.stop()
    assert (sluice.state / "cache").stat().st_mode & 0o777 == 0o600
    sluice = restarted(gateway, echoing, tmp_path)
    sluice.wait_line("12 kept answers taken over")
    assert check(sluice, texts) == len(echoing.requests) == 12


def test_no_snapshot(echoing: Upstream, gateway: Start, tmp_path: Path) -> None:
    sluice = restarted(gateway, echoing, tmp_path, **{"cache.snapshot": "off"})
    texts = fill(sluice, 2)
    sluice.stop()
    assert not (sluice.state / "cache").exists()
    assert check(restarted(gateway, echoing, tmp_path), texts) == 0


def test_killed(echoing: Upstream, gateway: Start, tmp_path: Path) -> None:
    """While snapshots are written: the file is the last whole one, and what it holds is right."""
    texts: list[str] = []
    for round_ in range(3):
        sluice = restarted(gateway, echoing, tmp_path, **{"cache.snapshot_interval": "1s"})
        assert "ignored" not in sluice.stderr
        if round_:
            assert check(sluice, texts[:5]) == 5
        file = sluice.state / "cache"
        before = file.stat().st_mtime_ns if file.exists() else 0
        stop = threading.Event()

        def talk() -> None:
            with connect(sluice) as client:
                while not stop.is_set():
                    text = f"No. {len(texts)}"
                    assert client.ask("POST", CONVERSE, [], body(text)).status == 200
                    texts.append(text)

        with ThreadPoolExecutor(1) as pool:
            talking = pool.submit(talk)
            wait_until(
                lambda: file.exists() and file.stat().st_mtime_ns != before, "a snapshot"
            )
            if round_ == 2:
                temporary = {entry.name for entry in sluice.state.iterdir()}
                wait_until(
                    lambda: (
                        {entry.name for entry in sluice.state.iterdir()} != temporary
                        or file.stat().st_mtime_ns != before
                    ),
                    "the next",
                )
            stop.set()
            talking.result()
        sluice.kill()
    sluice = restarted(gateway, echoing, tmp_path)
    assert "ignored" not in sluice.stderr
    assert check(sluice, texts[:40]) >= 5


def truncate(data: bytes) -> bytes:
    return data[: len(data) * 6 // 10]


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": truncate,
    "bit flipped": flip,
    "no file of ours": lambda data: b"\x7fELF" + data[4:],
    "a bit of the version": lambda data: data[:8] + bytes([data[8] ^ 0x40]) + data[9:],
    "last byte gone": lambda data: data[:-1],
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damaged(echoing: Upstream, gateway: Start, tmp_path: Path, name: str) -> None:
    sluice = restarted(gateway, echoing, tmp_path)
    texts = fill(sluice, 10)
    sluice.stop()
    file = sluice.state / "cache"
    file.write_bytes(DAMAGES[name](file.read_bytes()))
    sluice = restarted(gateway, echoing, tmp_path)
    (line,) = sluice.wait_line(r"cache: (\d+) answers taken; ignored: ")
    assert check(sluice, texts) == int(line[1]) < 10 + (name == "last byte gone")


def test_empty(echoing: Upstream, gateway: Start, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "cache").touch()
    sluice = restarted(gateway, echoing, tmp_path)
    assert check(sluice, ["one", "two"]) == 0


# --- the operator


def admin(sluice: Sluice, method: str, target: str) -> tuple[int, dict]:
    host, port = split(sluice.admin_address)
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
    connection.request(method, target, headers={"Authorization": f"Bearer {sluice.token}"})
    response = connection.getresponse()
    answer = response.status, json.loads(response.read())
    connection.close()
    return answer


def test_admin(echoing: Upstream, gateway: Start) -> None:
    sluice = gateway(upstream=echoing.url)
    for model in (LLAMA, NOVA, NOVA):
        for text in ("one", "two"):
            post(sluice, path(model, "converse"), body(text))
    status, page = admin(sluice, "GET", "/admin/cache")
    assert (status, page["entries"], page["hits"], page["misses"]) == (200, 4, 2, 4)
    models = {row["model"]: row for row in page["models"]}
    assert (models[NOVA]["entries"], models[NOVA]["hits"], models[LLAMA]["hits"]) == (2, 2, 0)
    assert models[NOVA]["saved_usd"] > 0 and page["saved_usd"] == models[NOVA]["saved_usd"]
    assert 0 < sum(row["bytes"] for row in page["models"]) <= page["bytes"] < page["max_bytes"]


PURGES = {
    f"model={NOVA}": {LLAMA},
    f"model={LLAMA.replace(':', '%3A')}": {NOVA},
    "model=none-such": {LLAMA, NOVA},
    "all=true": set(),
    "tenant=0": set(),
    "tenant=77": {LLAMA, NOVA},
    "key=" + 64 * "0": {LLAMA, NOVA},
}


@pytest.mark.parametrize("query", PURGES)
def test_purge(echoing: Upstream, gateway: Start, query: str) -> None:
    sluice = gateway(upstream=echoing.url)
    for model in (LLAMA, NOVA):
        post(sluice, path(model, "converse"), body("purge"))
    status, answer = admin(sluice, "DELETE", f"/admin/cache?{query}")
    assert (status, answer) == (200, {"purged": 2 - len(PURGES[query])})
    only = (b"Cache-Control", b"only-if-cached")
    kept = {
        model
        for model in (LLAMA, NOVA)
        if post(sluice, path(model, "converse"), body("purge"), only).status == 200
    }
    assert kept == PURGES[query]


def test_purge_by_key(echoing: Upstream, gateway: Start, tmp_path: Path) -> None:
    """A key is told nowhere but in the snapshot, where one entry's is one of these."""
    sluice = restarted(gateway, echoing, tmp_path)
    fill(sluice, 1)
    sluice.stop()
    data = (sluice.state / "cache").read_bytes()
    sluice = restarted(gateway, echoing, tmp_path)
    sluice.wait_line("1 kept answers taken over")
    purged = 0
    for at in range(64):
        status, answer = admin(sluice, "DELETE", f"/admin/cache?key={data[at : at + 32].hex()}")
        assert status == 200
        purged += answer["purged"]
    assert purged == 1 and sluice.metrics()["sluice_cache_entries"] == 0


@pytest.mark.parametrize("query", ["", "?", "?all=yes", "?key=xyz", "?model=", "?tenant=-1"])
def test_purge_says_what_is_missing(simulated: Sluice, query: str) -> None:
    before = simulated.metrics()["sluice_cache_entries"]
    status, _ = admin(simulated, "DELETE", f"/admin/cache{query}")
    assert status == 400 and simulated.metrics()["sluice_cache_entries"] == before
