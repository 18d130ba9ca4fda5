"""Quotas, queue, retries and targets, seen from outside: what clients get, and what upstream met.

The upstream is the simulator, or quota_server.py, which shares no arithmetic with Sluice. A minute
is a second or two here (`quotas.window_length`).
"""

import contextlib
import http.client
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

import gateway as program
import wire
from gateway import PATIENCE, REGION, Sluice, split, wait_until
from quota_server import Bucket, Fixed, Minute, QuotaServer, throttle
from samples import LLAMA, NOVA
from upstream import Gate, Received, Reset, Script, Upstream, error, open_stream, reply
from wire import Headers, Response

Start = Callable[..., Sluice]
Serve = Callable[..., QuotaServer]
MINUTES = {"fixed": Fixed, "bucket": Bucket}
# Nothing shares its answer; a pause is short beside the second that a minute is.
PLAIN = {
    "cache.when": "never",
    "log.access": "off",
    "quotas.window_length": "1s",
    "retry.backoff": "50ms",
    "retry.backoff_max": "200ms",
}

# How long an upstream stays down: what is under test does not depend on it, only on its being long.
DOWN_S = float(os.environ.get("SLUICE_DOWN_S", "2"))


def limits(**values: int) -> dict[str, str]:
    """What the operator writes down for every model."""
    return {"quotas.default": json.dumps(values)}


@pytest.fixture
def quota_server() -> Iterator[Serve]:
    servers: list[QuotaServer] = []

    def start(**options) -> QuotaServer:
        servers.append(QuotaServer(**options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@dataclass
class Answer:
    response: Response
    seconds: float

    @property
    def status(self) -> int:
        return self.response.status

    def get(self, name: str) -> str:
        return self.response.get(name) or ""

    @property
    def message(self) -> str:
        return json.loads(self.response.body)["message"]


def ask(
    sluice: Sluice,
    text: str,
    headers: Headers = (),
    *,
    max_tokens: int | None = 50,
    model: str = LLAMA,
) -> Answer:
    """One Converse; the prompt is also its id at the quota server."""
    body: dict = {"messages": [{"role": "user", "content": [{"text": text}]}]}
    if max_tokens is not None:
        body["inferenceConfig"] = {"maxTokens": max_tokens}
    begun = time.monotonic()
    with wire.Client(sluice.host, sluice.port, PATIENCE + DOWN_S) as client:
        path = f"/model/{model}/converse"
        got = client.ask("POST", path, headers, json.dumps(body).encode())
    return Answer(got, time.monotonic() - begun)


class Crowd:
    """Clients at once, a thread each."""

    def __init__(self, size: int = 64) -> None:
        self._pool = ThreadPoolExecutor(size)
        self._asked: list[Future[Answer]] = []

    def ask(self, *args, **options) -> "Future[Answer]":
        self._asked.append(self._pool.submit(ask, *args, **options))
        return self._asked[-1]

    def answers(self) -> list[Answer]:
        answers = [future.result(PATIENCE) for future in self._asked]
        self._asked.clear()
        return answers


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    made = Crowd()
    yield made
    made._pool.shutdown(wait=False, cancel_futures=True)


def all_served(answers: list[Answer]) -> None:
    failed = [(a.status, a.response.body) for a in answers if a.status != 200]
    assert not failed, f"{len(failed)} of {len(answers)}: {failed[0]}"


def admin(sluice: Sluice, method: str, body: object = None) -> dict:
    """/admin/targets."""
    connection = http.client.HTTPConnection(*split(sluice.admin_address), timeout=PATIENCE)
    with contextlib.closing(connection):
        headers = {"Authorization": f"Bearer {sluice.token}"}
        text = None if body is None else json.dumps(body)
        connection.request(method, "/admin/targets", text, headers)
        response = connection.getresponse()
        page = response.read()
    assert response.status == 200, page
    return json.loads(page)


def pool_of(sluice: Sluice, model: str = LLAMA, target: str = "default") -> dict:
    base = model.removeprefix("us.")
    found = [
        pool
        for pool in admin(sluice, "GET")["pools"]
        if pool["id"].startswith(f"{target}/") and pool["id"].endswith(f"/{base}")
    ]
    assert len(found) == 1, found
    return found[0]


def wait_queued(sluice: Sluice, count: int) -> None:
    wait_until(lambda: sluice.metrics()["sluice_queued"] == count, f"{count} wait")


def percentile(answers: list[Answer], share: float) -> float:
    times = sorted(a.seconds for a in answers)
    return times[min(int(len(times) * share), len(times) - 1)]


@pytest.fixture
def tell(capsys) -> Callable[[str], None]:
    def show(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {text}", end="")

    return show


# --- bursts of three times the quota


@pytest.mark.parametrize("window", MINUTES)
def test_burst_at_the_simulator(gateway: Start, crowd: Crowd, tell, window: str) -> None:
    """Told the quota by Service Quotas, the gateway never makes upstream refuse."""
    told = {"quotas.window": "fixed"} if window == "fixed" else {}
    simulated = {
        "simulator.rpm": 8,
        "simulator.window": window,
        "simulator.window_length": "1s",
    }
    sluice = gateway(simulator=True, settings={**PLAIN, **simulated, **told})
    sluice.wait_line("quotas from AWS")
    for n in range(24):
        crowd.ask(sluice, f"No. {n}")
    answers = crowd.answers()
    all_served(answers)
    assert pool_of(sluice)["configured"]["rpm"] == 8
    assert sluice.metrics()["sluice_throttles_total"] == 0
    tell(f"24 calls at 8 a window: the last after {percentile(answers, 1):.2f} s")


@dataclass
class Quota:
    """A limit on the server, and the burst that is three times that."""

    settings: dict[str, int]
    calls: int
    text: str
    max_tokens: int | None

    def meters(self, kind: Callable[[float, float], Minute], length: float) -> dict:
        names = {"rpm": "requests", "tpm": "tokens"}
        return {names[key]: kind(value, length) for key, value in self.settings.items()}


# Each reserves 8,192 tokens, of which it uses some 600.
TOKENS = Quota({"tpm": 20_000}, 100, "No. {}: say 600", None)
REQUESTS = Quota({"rpm": 8}, 24, "No. {}", 50)


@pytest.mark.parametrize("window", MINUTES)
@pytest.mark.parametrize("quota", [REQUESTS, TOKENS], ids=["requests", "tokens"])
def test_burst_at_the_independent_server(
    quota_server: Serve, gateway: Start, crowd: Crowd, tell, quota: Quota, window: str
) -> None:
    """Told the limits and the kind of window, likewise."""
    server = quota_server(**quota.meters(MINUTES[window], 1.0))
    told = limits(**quota.settings)
    sluice = gateway(
        upstream=server.url, settings={**PLAIN, **told, "quotas.window": window}
    )
    for n in range(quota.calls):
        crowd.ask(sluice, quota.text.format(n), max_tokens=quota.max_tokens)
    answers = crowd.answers()
    all_served(answers)
    assert server.refused == []
    assert len(server.served) == quota.calls and max(server.came.values()) == 1
    tell(f"{quota.calls} calls in {percentile(answers, 1):.2f} windows, none refused")


@pytest.mark.parametrize("window", MINUTES)
def test_hidden_quota_is_learned(
    quota_server: Serve, gateway: Start, crowd: Crowd, tell, window: str
) -> None:
    """Nobody told it: refusals are absorbed, and what they teach is shown."""
    server = quota_server(requests=MINUTES[window](8, 1.0))
    sluice = gateway(upstream=server.url, settings=PLAIN)
    for n in range(24):
        crowd.ask(sluice, f"No. {n}")
    answers = crowd.answers()
    all_served(answers)
    assert len(server.served) == 24
    pool = pool_of(sluice)
    assert pool["learned"] is True
    assert 0 < pool["limits"]["rpm"] <= 24 and pool["configured"]["rpm"] == 0
    assert sluice.metrics()["sluice_throttles_total"] == len(server.refused) > 0
    tell(
        f"24 calls in {percentile(answers, 1):.2f} windows: {len(server.refused)} refusals, "
        f"learned {pool['limits']['rpm']} for 8"
    )


# --- who cannot wait is told so at once


def in_seconds(count: float) -> bytes:
    at = datetime.now(UTC) + timedelta(seconds=count)
    return at.strftime("ttl=%Y%m%dT%H%M%SZ; attempt=1; max=1").encode()


def test_deadline(quota_server: Serve, gateway: Start, crowd: Crowd) -> None:
    """However a client says how long it waits, it is refused when that is too short, not after."""
    settings = {**PLAIN, "quotas.window_length": "30s", **limits(rpm=1)}
    server = quota_server()
    sluice = gateway(upstream=server.url, settings=settings)
    began = time.monotonic()
    all_served([ask(sluice, "the first")])

    def refused(header: Headers, windows: int) -> None:
        answer = ask(sluice, "too late", header)
        least = 30 * windows - 2 - (time.monotonic() - began)
        most = 33 * windows
        assert (answer.status, answer.response.error_type) == (429, "ThrottlingException")
        assert answer.seconds < 4, answer.seconds
        assert answer.message.startswith("requests: "), answer.message
        seconds, ms = int(answer.get("retry-after")), int(answer.get("x-amz-retry-after"))
        assert seconds == -(-ms // 1000) and least <= seconds <= most, (seconds, ms)
        assert f"wait {seconds} s" in answer.message, answer.message

    refused([(b"x-sluice-timeout", b"5")], 1)
    refused([(b"x-sluice-timeout", b"5500ms")], 1)
    refused([(b"x-stainless-timeout", b"5")], 1)
    refused([(b"amz-sdk-request", in_seconds(6))], 1)
    crowd.ask(sluice, "one who waits")
    wait_queued(sluice, 1)
    refused([(b"x-sluice-timeout", b"5")], 2)
    assert server.came == {"the first": 1}
    assert sluice.metrics()["sluice_queue_refused_total"] == 5
    [pool] = admin(sluice, "GET")["pools"]
    admin(sluice, "PATCH", {"pool": pool["id"], "rpm": 0})
    all_served(crowd.answers())


def test_queue_is_full(quota_server: Serve, gateway: Start, crowd: Crowd) -> None:
    settings = {
        **PLAIN,
        "quotas.window_length": "4s",
        **limits(rpm=1),
        "queue.max_requests": 1,
    }
    server = quota_server()
    sluice = gateway(upstream=server.url, settings=settings)
    all_served([ask(sluice, "served")])
    crowd.ask(sluice, "waits")
    wait_queued(sluice, 1)
    answer = ask(sluice, "has no place")
    assert answer.status == 429 and answer.seconds < 3
    assert answer.message.startswith("capacity: "), answer.message
    assert 1 <= int(answer.get("retry-after")) <= 10
    all_served(crowd.answers())
    assert "has no place" not in server.came


# --- a call that reserves more than the whole minute


@pytest.mark.parametrize("real", [10_000, 5_000], ids=["fits", "never fits"])
def test_reservation_above_the_quota(
    quota_server: Serve, gateway: Start, crowd: Crowd, real: int
) -> None:
    """It is sent alone, with nothing else in the window: perhaps the limit is wrong. If not, its
    client is told what to do, and at once."""
    server = quota_server(tokens=Bucket(real, 1.0), latency=0.1)
    settings = {**PLAIN, **limits(tpm=5000)}
    sluice = gateway(upstream=server.url, settings=settings)
    for n in range(4):
        crowd.ask(sluice, f"small {n}", max_tokens=1000)
    wait_until(lambda: len(server.served) == 4, "the small ones run")
    answer = ask(sluice, "large", max_tokens=6000)
    all_served(crowd.answers())
    assert server.came["large"] == 1 and server.company["large"] == 0
    if real == 10_000:
        assert answer.status == 200
        return
    assert answer.status == 429 and answer.seconds < 3
    wanted = r"^this call reserves 60\d\d of 5000 tokens a minute: set max_tokens$"
    assert re.search(wanted, answer.message), answer.message


# --- priorities


def test_priorities(quota_server: Serve, gateway: Start, crowd: Crowd, tell) -> None:
    """Interactive requests that come last are served first, and batch is not starved meanwhile."""
    server = quota_server()
    sluice = gateway(upstream=server.url, settings={**PLAIN, **limits(rpm=40)})
    for n in range(40):
        crowd.ask(sluice, f"before {n}")
    wait_until(lambda: len(server.served) == 40, "the quota is used up")
    for n in range(12):
        crowd.ask(sluice, f"batch {n}", [(b"x-sluice-priority", b"batch")])
    wait_queued(sluice, 12)
    for n in range(40):
        crowd.ask(sluice, f"interactive {n}", [(b"x-sluice-priority", b"interactive")])
    all_served(crowd.answers())
    order = [text.split()[0] for text in server.served[40:]]
    places = {kind: [n for n, k in enumerate(order) if k == kind] for kind in set(order)}
    last = places["interactive"][-1]
    between = sum(place < last for place in places["batch"])
    tell(f"the last interactive one was {last + 1}. of 52, {between} of 12 batch ones before it")
    assert last < 46, order
    assert 1 <= between <= 5, order


# --- several targets, and none


def both(first: QuotaServer, second: QuotaServer) -> dict[str, str]:
    targets = [
        {"name": name, "region": REGION, "endpoint": server.url}
        for name, server in (("a", first), ("b", second))
    ]
    return {"targets": json.dumps(targets)}


def two_targets(gateway: Start, first: QuotaServer, second: QuotaServer, **settings) -> Sluice:
    """In place of `upstream`, whose credentials the environment has."""
    env = {
        "AWS_ACCESS_KEY_ID": program.GATEWAY_KEY,
        "AWS_SECRET_ACCESS_KEY": program.GATEWAY_SECRET,
        "AWS_SESSION_TOKEN": program.GATEWAY_SESSION,
    }
    settings = {**PLAIN, **both(first, second), "quotas.source": "config", **settings}
    return gateway(settings=settings, env=env)


@pytest.mark.parametrize("how", ["throttled", "killed"])
def test_one_of_two_targets_is_lost(
    quota_server: Serve, gateway: Start, crowd: Crowd, tell, how: str
) -> None:
    """No client notices."""
    first, second = quota_server(latency=0.15), quota_server(latency=0.15)
    sluice = two_targets(gateway, first, second)
    count = 0
    for round_ in range(15):
        if round_ == 5:
            assert first.served and second.served, "both take part"
            if how == "throttled":
                first.trouble = lambda model, text: throttle("requests")
            else:
                first.stop()
        for _ in range(8):
            crowd.ask(sluice, f"No. {count}")
            count += 1
        time.sleep(0.1)
    answers = crowd.answers()
    if how == "killed":
        first.start()  # to be stopped with the others
    all_served(answers)
    if how == "throttled":
        assert len(first.served) + len(second.served) == count
    tell(
        f"first target {how}: {count} calls served, p50 {percentile(answers, 0.5) * 1000:.0f} ms, "
        f"p99 {percentile(answers, 0.99) * 1000:.0f} ms"
    )


def test_upstream_is_down_for_a_while(
    quota_server: Serve, gateway: Start, crowd: Crowd, tell
) -> None:
    """Calls wait for it, over a reload too; all are served, and none twice."""
    server = quota_server()
    sluice = gateway(upstream=server.url, settings=PLAIN)
    all_served([ask(sluice, "before")])
    server.stop()
    begun = time.monotonic()
    for n in range(20):
        crowd.ask(sluice, f"No. {n}")
    wait_until(lambda: sluice.metrics()["sluice_attempts_lost_total"] >= 10, "it is missed")
    sluice.signal(signal.SIGHUP)
    sluice.wait_line("configuration loaded again")
    time.sleep(DOWN_S)
    server.start()
    back = time.monotonic()
    all_served(crowd.answers())
    tell(f"down for {back - begun:.1f} s, drained {time.monotonic() - back:.2f} s later")
    assert sorted(server.served) == sorted(["before", *(f"No. {n}" for n in range(20))])
    assert max(server.came.values()) == 1


def test_upstream_breaks_off_and_comes_back(
    quota_server: Serve, gateway: Start, crowd: Crowd
) -> None:
    """What ran is lost with it, and asked again."""
    server = quota_server(latency=0.5)
    sluice = gateway(upstream=server.url, settings=PLAIN)
    for n in range(10):
        crowd.ask(sluice, f"No. {n}")
    wait_until(lambda: len(server.served) == 10, "all run")
    server.stop()
    wait_until(lambda: sluice.metrics()["sluice_attempts_lost_total"] >= 10, "all are lost")
    server.start()
    answers = crowd.answers()
    all_served(answers)
    assert set(server.came.values()) == {2}


# --- a restart


@pytest.mark.parametrize("window", MINUTES)
def test_restart_is_no_burst(
    quota_server: Serve, gateway: Start, crowd: Crowd, tmp_path, window: str
) -> None:
    """What was used is remembered, of the minute and of the day."""
    server = quota_server(requests=MINUTES[window](6, 3.0))
    settings = {
        **PLAIN,
        "quotas.window": window,
        "quotas.window_length": "3s",
        **limits(rpm=6, tpd=1_000_000),
    }
    sluice = gateway(upstream=server.url, settings=settings, home=tmp_path)
    for n in range(6):
        crowd.ask(sluice, f"first {n}")
    all_served(crowd.answers())
    day, then = pool_of(sluice)["used"]["day"], time.monotonic()
    sluice.stop()
    sluice = gateway(upstream=server.url, settings=settings, home=tmp_path)
    for n in range(6):
        crowd.ask(sluice, f"later {n}")
    all_served(crowd.answers())
    assert server.refused == [] and len(server.served) == 12
    # Something is assumed for the time between, in which nobody looked: 12 a second at this quota.
    assumed = 12 * (time.monotonic() - then + 1)
    assert 2 * day <= pool_of(sluice)["used"]["day"] <= 2 * day + assumed


# --- the day's quota


def test_the_day_is_used_up(quota_server: Serve, gateway: Start, crowd: Crowd) -> None:
    """Clients are told when to come back, and upstream is left alone."""
    server = quota_server()
    server.trouble = lambda model, text: throttle("day")
    sluice = gateway(upstream=server.url, settings=PLAIN)
    for n in range(10):
        crowd.ask(sluice, f"No. {n}", [(b"x-sluice-timeout", b"20s")])
    answers = crowd.answers()
    came = server.came.total()
    assert came <= 10
    answers += [ask(sluice, f"later {n}", [(b"x-sluice-timeout", b"20s")]) for n in range(10)]
    assert server.came.total() == came, "it is parked"
    left = 86400 - time.time() % 86400
    for answer in answers:
        assert answer.status == 429 and answer.seconds < 10  # it would have waited 20
        assert answer.message.startswith("day: "), answer.message
        # In the first hour of a day it may be that the day's reset is late.
        told = int(answer.get("retry-after"))
        assert abs(told - left) < 10 or (left > 82800 and 30 < told <= 3600), (told, left)
    assert pool_of(sluice)["gate"] == "day"


# --- fallbacks


FALLBACK = {
    "models.fallbacks": json.dumps({LLAMA: [NOVA]}),
    "models.fallback_after": "200ms",
}


def test_fallback_when_the_wait_is_long(quota_server: Serve, gateway: Start) -> None:
    server = quota_server()
    limit = {"quotas.models": json.dumps({LLAMA: {"rpm": 1}}), "quotas.window_length": "10s"}
    sluice = gateway(upstream=server.url, settings={**PLAIN, **FALLBACK, **limit})
    own = ask(sluice, "the first")
    assert (own.status, own.get("x-sluice-model")) == (200, "")
    other = ask(sluice, "the second")
    assert (other.status, other.get("x-sluice-model")) == (200, NOVA)
    assert 0.2 <= other.seconds < 8  # its own quota's next call is due after 10 s


def test_fallback_when_the_model_is_gone(quota_server: Serve, gateway: Start) -> None:
    server = quota_server()
    gone = error(503, "ServiceUnavailableException", "not today")
    server.trouble = lambda model, text: gone if model == LLAMA else None
    sluice = gateway(upstream=server.url, settings={**PLAIN, **FALLBACK})
    answers = [ask(sluice, f"No. {n}") for n in range(5)]
    all_served(answers)
    assert {a.get("x-sluice-model") for a in answers} == {NOVA}


# --- failures


def failing(times: int, script: Script, then: Script) -> Callable[[Received], Script]:
    scripts = iter([script] * times)
    return lambda _: next(scripts, then)


def test_failure_is_tried_again(upstream: Upstream, gateway: Start) -> None:
    upstream.answer = failing(1, error(500, "InternalServerException", "oh"), reply(200, b"{}"))
    sluice = gateway(upstream=upstream.url, settings=PLAIN)
    answer = ask(sluice, "once more")
    assert (answer.status, answer.get("x-sluice-attempts")) == (200, "2")
    assert len(upstream.requests) == 2


def test_failure_that_lasts_is_shown_as_it_came(upstream: Upstream, gateway: Start) -> None:
    body = b'{ "message":"the third answer, with its own spaces" , "more":[1, 2]}'
    headers: Headers = [
        (b"Content-Type", b"application/json"),
        (b"x-amzn-RequestId", b"0b2c4d6e-3333-2222-3333-444455556666"),
        (b"x-amzn-ErrorType", b"ServiceUnavailableException"),
    ]
    upstream.answer = failing(
        2, error(503, "ServiceUnavailableException", "not yet"), reply(503, body, headers, "No")
    )
    sluice = gateway(upstream=upstream.url, settings=PLAIN)
    answer = ask(sluice, "three times")
    assert (answer.status, answer.response.body) == (503, body)
    assert answer.get("x-amzn-requestid") == "0b2c4d6e-3333-2222-3333-444455556666"
    assert answer.get("x-amzn-errortype") == "ServiceUnavailableException"
    assert answer.get("x-sluice-attempts") == "3"
    assert len(upstream.requests) == 3


def test_storm_of_failures(
    quota_server: Serve, gateway: Start, crowd: Crowd, tell
) -> None:
    """Retries are a share of the traffic, the breaker opens, and a probe closes it again."""
    server = quota_server()
    server.trouble = lambda model, text: error(500, "InternalServerException", "oh")
    settings = {**PLAIN, "retry.backoff": "10ms", "retry.backoff_max": "20ms"}
    sluice = gateway(upstream=server.url, settings=settings)
    for n in range(60):
        crowd.ask(sluice, f"No. {n}")
    gates = set()
    while any(not future.done() for future in crowd._asked):
        gates.add(pool_of(sluice)["gate"] if server.came else "")
        time.sleep(0.02)
    answers = crowd.answers()
    assert {a.status for a in answers} == {500}
    attempts = server.came.total()
    tell(f"60 calls that fail: {attempts} attempts instead of 180")
    assert 60 < attempts <= 60 + 20 + 60 * 20 // 100  # 20 are had in advance, 20 % earned
    assert "breaker" in gates, gates

    server.trouble = lambda model, text: None
    all_served([ask(sluice, "healed")])
    pool = pool_of(sluice)
    assert pool["gate"] == "open" and pool["retries"] == attempts - 60


def test_nothing_is_tried_again_once_shown(upstream: Upstream, gateway: Start) -> None:
    frames = wire.converse_stream(["one", "two"])
    shown = b"".join(frames[:2])
    gate = Gate()
    upstream.answer = [open_stream(), *map(wire.chunk, frames[:2]), gate, Reset]
    sluice = gateway(upstream=upstream.url, settings=PLAIN)
    body = b'{"messages":[{"role":"user","content":[{"text":"dies midway"}]}]}'
    with wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        host = [(b"Host", b"localhost")]
        client.send(wire.request("POST", f"/model/{LLAMA}/converse-stream", host, body))
        head = client.read_head()
        pieces = client.read_pieces(head)
        got = b""
        while len(got) < len(shown):
            got += next(pieces)
        gate.open()
        got += b"".join(pieces)
    assert head.status == 200 and got.startswith(shown)
    assert len(upstream.requests) == 1


# --- a client that would give up


def test_boto3_waits_longer_than_its_timeout(quota_server: Serve, gateway: Start, tell) -> None:
    """Read timeout 3 s, a wait of 8 s, one attempt: signs of life keep it."""
    server = quota_server(requests=Bucket(1, 8.0))
    settings = {
        **PLAIN,
        "quotas.window_length": "8s",
        **limits(rpm=1),
        "keepalive.interval": "1s",
    }
    sluice = gateway(upstream=server.url, settings=settings)
    all_served([ask(sluice, "the first")])
    client = sluice.boto(read_timeout=3)
    begun = time.monotonic()
    content = [{"role": "user", "content": [{"text": "patience"}]}]
    answer = client.converse(modelId=LLAMA, messages=content)
    took = time.monotonic() - begun
    assert answer["output"]["message"]["content"][0]["text"] == "re: patience"
    assert answer["ResponseMetadata"]["RetryAttempts"] == 0
    assert took > 6 and server.came == {"the first": 1, "patience": 1}
    assert server.refused == []
    assert sluice.metrics()["sluice_interim_responses_total"] >= 5
    tell(f"waited {took:.1f} s with a read timeout of 3 s")


# --- changes at run time


def test_limits_change_at_run_time(quota_server: Serve, gateway: Start, crowd: Crowd) -> None:
    server = quota_server()
    settings = {**PLAIN, "quotas.window_length": "1m", **limits(rpm=1)}
    sluice = gateway(upstream=server.url, settings=settings)
    all_served([ask(sluice, "the first")])
    for n in range(5):
        crowd.ask(sluice, f"No. {n}")
    wait_queued(sluice, 5)
    admin(sluice, "PATCH", {"pool": pool_of(sluice)["id"], "rpm": 100})
    answers = crowd.answers()
    all_served(answers)
    assert percentile(answers, 1) < PATIENCE  # not a minute each
    assert pool_of(sluice)["limits"]["rpm"] == 100


def test_weights_change_at_run_time(
    quota_server: Serve, gateway: Start, crowd: Crowd, tell
) -> None:
    first, second = quota_server(), quota_server()
    sluice = two_targets(gateway, first, second)

    def share(name: str) -> float:
        before = len(first.served)
        for n in range(60):
            crowd.ask(sluice, f"{name} {n}")
        all_served(crowd.answers())
        return (len(first.served) - before) / 60

    equal = share("equal")
    admin(sluice, "PATCH", {"target": "a", "weight": 1000})
    heavy = share("heavy")
    tell(f"share of the first target: {equal:.2f}, with a weight of 1000: {heavy:.2f}")
    assert 0.3 <= equal <= 0.7 and heavy >= 0.9


def test_reload_keeps_queue_and_quota(quota_server: Serve, gateway: Start, crowd: Crowd) -> None:
    server = quota_server(requests=Bucket(4, 2.0))
    settings = {**PLAIN, "quotas.window_length": "2s", **limits(rpm=4)}
    sluice = gateway(upstream=server.url, settings=settings)
    for n in range(8):
        crowd.ask(sluice, f"No. {n}")
    wait_until(lambda: len(server.served) == 4, "the quota is used up")
    wait_queued(sluice, 4)
    sluice.signal(signal.SIGHUP)
    sluice.wait_line("configuration loaded again")
    assert sluice.metrics()["sluice_queued"] == 4
    answers = crowd.answers()
    all_served(answers)
    assert server.refused == [] and max(server.came.values()) == 1
    assert percentile(answers, 1) >= 1
