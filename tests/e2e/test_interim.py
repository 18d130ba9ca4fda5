"""Signs of life: the table in src/flow/interim.c, each row with the client that it names.

Every client's timer is set to a third of what the answer takes. With signs of life each gets its
answer by its first and only call; without them each gives up, or this would prove nothing. All of
them wait at the same time, once with and once without, and the tests look at how they fared.
"""

import asyncio
import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import anthropic
import botocore.config
import botocore.session
import httpx
import openai
import pytest
import requests
import urllib3

import sdk
import wire
from gateway import (
    CLIENT_KEY,
    CLIENT_SECRET,
    PATIENCE,
    REGION,
    SIGNER,
    Sluice,
)
from samples import CLAUDE, NOVA
from talker import ANSWER, Converse, Talker, question
from test_js import environment, js, run  # noqa: F401  (js is a fixture)
from upstream import Delay, Gate, Received, Script, Upstream, reply

Start = Callable[..., Sluice]

READ_TIMEOUT = 3.0
SLOW = 3 * READ_TIMEOUT
INTERVAL = "1s"  # the least that can be configured; two signs may be lost to a busy machine
CONVERSE = f"/model/{NOVA}/converse"
# Where a boto3 client is to go it reads in the environment, of which there is one.
CREATING = threading.Lock()


class Slow(Talker):
    def _answer(self, request: Received) -> Script:
        return [Delay(SLOW), *super()._answer(request)]


def messages(text: str) -> list[dict]:
    return [{"role": "user", "content": [{"text": text}]}]


def text_of(answer: dict) -> str:
    return answer["output"]["message"]["content"][0]["text"]


# --- the clients; each asks with its own name, once


def boto3_client(sluice: Sluice):
    with CREATING:
        return sluice.boto(read_timeout=READ_TIMEOUT)


def boto3_whole(sluice: Sluice, name: str) -> str:
    client = boto3_client(sluice)
    return text_of(client.converse(modelId=NOVA, messages=messages(name)))


def boto3_stream(sluice: Sluice, name: str) -> str:
    client = boto3_client(sluice)
    events = client.converse_stream(modelId=NOVA, messages=messages(name))["stream"]
    deltas = [e["contentBlockDelta"]["delta"] for e in events if "contentBlockDelta" in e]
    return "".join(delta["text"] for delta in deltas)


def botocore_(sluice: Sluice, name: str) -> str:
    client = botocore.session.Session().create_client(
        "bedrock-runtime",
        endpoint_url=sluice.url,
        region_name=REGION,
        aws_access_key_id=CLIENT_KEY,
        aws_secret_access_key=CLIENT_SECRET,
        config=botocore.config.Config(
            read_timeout=READ_TIMEOUT, retries={"total_max_attempts": 1}
        ),
    )
    return text_of(client.converse(modelId=NOVA, messages=messages(name)))


def requests_(sluice: Sluice, name: str) -> str:
    url, body = sluice.url + CONVERSE, {"messages": messages(name)}
    return text_of(requests.post(url, json=body, timeout=READ_TIMEOUT).json())


def urllib3_(sluice: Sluice, name: str) -> str:
    timeout = urllib3.Timeout(read=READ_TIMEOUT)
    pool = urllib3.PoolManager(timeout=timeout, retries=False)
    body = {"messages": messages(name)}
    return text_of(pool.request("POST", sluice.url + CONVERSE, json=body).json())


def httpx_(sluice: Sluice, name: str) -> str:
    url, body = sluice.url + CONVERSE, {"messages": messages(name)}
    return text_of(httpx.post(url, json=body, timeout=READ_TIMEOUT).json())


def aiohttp_(sluice: Sluice, name: str) -> str:
    async def ask() -> str:
        timeout = aiohttp.ClientTimeout(sock_read=READ_TIMEOUT)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            body = {"messages": messages(name)}
            async with session.post(sluice.url + CONVERSE, json=body) as answer:
                return text_of(await answer.json())

    return asyncio.run(ask())


# Their SDKs hand the timeout to httpx and its fork httpx2.
WAIT = {"max_retries": 0, "timeout": READ_TIMEOUT}
CHAT = {"model": NOVA}
MESSAGE = {"model": CLAUDE, "max_tokens": 99}


def ask(name: str) -> list:
    return [{"role": "user", "content": name}]


def openai_(sluice: Sluice, name: str) -> str:
    with openai.OpenAI(base_url=f"{sluice.url}/v1", api_key=sdk.ANY_KEY, **WAIT) as client:
        done = client.chat.completions.create(**CHAT, messages=ask(name))
    return done.choices[0].message.content or ""


def openai_async(sluice: Sluice, name: str) -> str:
    async def create() -> str:
        async with openai.AsyncOpenAI(
            base_url=f"{sluice.url}/v1", api_key=sdk.ANY_KEY, **WAIT
        ) as client:
            done = await client.chat.completions.create(**CHAT, messages=ask(name))
        return done.choices[0].message.content or ""

    return asyncio.run(create())


AWS = {"aws_access_key": CLIENT_KEY, "aws_secret_key": CLIENT_SECRET, "aws_region": REGION}


def anthropic_(make: Callable, **options: object) -> Callable[[Sluice, str], str]:
    def create(sluice: Sluice, name: str) -> str:
        with make(base_url=sluice.url, **options, **WAIT) as client:
            return client.messages.create(**MESSAGE, messages=ask(name)).content[0].text

    return create


def anthropic_async(make: Callable, **options: object) -> Callable[[Sluice, str], str]:
    async def create(sluice: Sluice, name: str) -> str:
        async with make(base_url=sluice.url, **options, **WAIT) as client:
            done = await client.messages.create(**MESSAGE, messages=ask(name))
        return done.content[0].text

    return lambda sluice, name: asyncio.run(create(sluice, name))


PYTHON: dict[str, Callable[[Sluice, str], str]] = {
    "boto3": boto3_whole,
    "boto3 stream": boto3_stream,
    "botocore": botocore_,
    "requests": requests_,
    "urllib3": urllib3_,
    "httpx": httpx_,
    "aiohttp": aiohttp_,
    "openai": openai_,
    "openai async": openai_async,
    "anthropic": anthropic_(anthropic.Anthropic, api_key=sdk.ANY_KEY),
    "anthropic async": anthropic_async(anthropic.AsyncAnthropic, api_key=sdk.ANY_KEY),
    "anthropic bedrock": anthropic_(anthropic.AnthropicBedrock, **AWS),
    "anthropic bedrock async": anthropic_async(anthropic.AsyncAnthropicBedrock, **AWS),
}
JAVASCRIPT = [
    "node fetch",
    "undici",
    "openai js",
    "anthropic js",
    "aws sdk js",
]
# The timer of one request, which is off unless an application sets it, nothing but bytes restarts.
HOPELESS = "aws sdk js, requestTimeout"
CLIENTS = [*PYTHON, *JAVASCRIPT]


@dataclass
class Wait:
    """How all of them fared."""

    outcomes: dict[str, dict[str, str]]  # "answer" or "error", by client
    calls: list[str]  # what upstream was asked


def outcome(client: Callable[[Sluice, str], str], sluice: Sluice, name: str) -> dict[str, str]:
    try:
        return {"answer": client(sluice, name)}
    except Exception as why:  # of any library's own kind
        return {"error": f"{type(why).__name__}: {why}"}


def wait_all(home: Path, js: Path, interim: str) -> Wait:  # noqa: F811
    settings = {
        "keepalive.interim": interim,
        "keepalive.interval": INTERVAL,
        "cache.when": "never",
        "flight.linger": "0ms",
    }
    upstream = Slow(**SIGNER)
    sluice = Sluice(home, upstream=upstream.url, settings=settings)
    milliseconds = str(int(1000 * READ_TIMEOUT))
    env = environment(sluice, E2E_URL=sluice.url, E2E_READ_TIMEOUT_MS=milliseconds)
    with ThreadPoolExecutor(len(CLIENTS)) as pool:
        node = pool.submit(run, js, "patient", "wait", env)
        waits = {
            name: pool.submit(outcome, client, sluice, name) for name, client in PYTHON.items()
        }
        outcomes = {name: wait.result() for name, wait in waits.items()}
        outcomes |= json.loads(node.result())
    sluice.stop()
    calls = [question(json.loads(request.body)) for request in upstream.requests]
    upstream.close()
    return Wait(outcomes, calls)


@pytest.fixture(scope="module")
def waits(js: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Wait]:  # noqa: F811
    """By keepalive.interim."""
    homes = {interim: tmp_path_factory.mktemp(interim) for interim in ("auto", "off")}
    return {interim: wait_all(home, js, interim) for interim, home in homes.items()}


@pytest.mark.parametrize("name", CLIENTS)
def test_client_holds_on(waits: dict[str, Wait], name: str) -> None:
    assert waits["auto"].outcomes[name] == {"answer": ANSWER}
    assert waits["auto"].calls.count(name) == 1


@pytest.mark.parametrize("name", CLIENTS)
def test_client_gives_up_without(waits: dict[str, Wait], name: str) -> None:
    assert re.search("timeout|timed out", waits["off"].outcomes[name]["error"], re.I)


def test_timer_that_is_not_restarted(waits: dict[str, Wait]) -> None:
    """Told here so that nobody promises it."""
    for wait in waits.values():
        assert "no activity" in wait.outcomes[HOPELESS]["error"]


# --- who gets which, on the wire

BOTO = b"Boto3/1.44.5 md/Botocore#1.44.5"
AIOHTTP = b"Python/3.11 aiohttp/3.14.5"
# User-Agent, further headers, and what comes before the answer.
TELLS: dict[str, tuple[bytes, wire.Headers, int | None]] = {
    "boto3": (BOTO, [], 100),
    "aws-cli": (b"aws-cli/1.45.11 md/Botocore#1.43.11", [], 100),
    "aiohttp": (AIOHTTP, [], 100),
    "node": (b"node", [], 102),
    "unknown": (b"Go-http-client/1.1", [], None),
    "none": (b"", [], None),
    "named within": (b"like-Boto3/1.44.5", [], None),
    "aws sdk js by 1.1": (b"aws-sdk-js/3.1164.0", [], None),
    "via": (BOTO, [(b"Via", b"1.1 proxy")], None),
    "forwarded": (AIOHTTP, [(b"Forwarded", b"for=192.0.2.1")], None),
    "x-forwarded-for": (BOTO, [(b"X-Forwarded-For", b"192.0.2.1")], None),
    "x-forwarded-proto": (b"node", [(b"X-Forwarded-Proto", b"https")], None),
}


def heads(client: wire.Client) -> list[int]:
    """Status lines as they come, up to the final one."""
    seen: list[int] = []
    while not seen or seen[-1] < 200:
        head = client.read_until(b"\r\n\r\n")
        assert head is not None, seen
        seen.append(int(wire.parse_head(head)[0].split(b" ")[1]))
    return seen


def send(client: wire.Client, name: str, agent: bytes, headers: wire.Headers) -> None:
    agents = [(b"User-Agent", agent)] if agent else []
    body = json.dumps({"messages": messages(name)}).encode()
    client.send(wire.request("POST", CONVERSE, [(b"Host", b"localhost"), *agents, *headers], body))


def test_only_those_that_are_known(upstream: Upstream, gateway: Start) -> None:
    """All wait equally long; the last to ask gets two before any answer comes."""
    gate = Gate()
    upstream.answer = [gate, *reply(200, Converse().whole(None))]
    settings = {"keepalive.interval": INTERVAL, "cache.when": "never"}
    sluice = gateway(upstream=upstream.url, settings=settings)
    with ExitStack() as stack:

        def connect() -> wire.Client:
            return stack.enter_context(wire.Client(sluice.host, sluice.port, PATIENCE))

        clients = {name: connect() for name in TELLS}
        for name, (agent, headers, _) in TELLS.items():
            send(clients[name], name, agent, headers)
        old = connect()
        body = json.dumps({"messages": messages("old")}).encode()
        old.send(
            b"POST %s HTTP/1.0\r\nHost: localhost\r\nUser-Agent: %s\r\nContent-Length: %d\r\n\r\n%s"
            % (CONVERSE.encode(), BOTO, len(body), body)
        )
        upstream.wait_requests(len(TELLS) + 1)
        last = connect()
        send(last, "last", BOTO, [])
        for _ in range(2):
            assert last.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
        gate.open()
        seen = {name: heads(client) for name, client in clients.items()}
        assert heads(old) == [200]
    for name, (_, _, status) in TELLS.items():
        *before, final = seen[name]
        assert final == 200 and set(before) == ({status} if status else set()), (name, seen[name])
        assert not status or len(before) >= 2, (name, before)
    told = sum(len(before) - 1 for before in seen.values())
    assert sluice.metrics()["sluice_interim_responses_total"] >= told + 2


def test_waiting_in_the_queue(upstream: Upstream, gateway: Start) -> None:
    """Signs of life do not wait for upstream: here no call has been made for this client."""
    gate = Gate()
    upstream.answer = [gate, *reply(200, Converse().whole(None))]
    settings = {
        "keepalive.interval": INTERVAL,
        "cache.when": "never",
        "upstream.max_in_flight": 1,
    }
    sluice = gateway(upstream=upstream.url, settings=settings)
    with (
        wire.Client(sluice.host, sluice.port, PATIENCE) as first,
        wire.Client(sluice.host, sluice.port, PATIENCE) as second,
    ):
        send(first, "first", BOTO, [])
        assert gate.reached.wait(PATIENCE)
        send(second, "second", BOTO, [])
        assert second.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
        assert len(upstream.requests) == 1
        gate.open()
        assert heads(first)[-1] == heads(second)[-1] == 200
