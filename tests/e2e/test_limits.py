"""Hostile and plentiful: large bodies, small memory, many connections, slow clients."""

import json
import resource
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from botocore.exceptions import BotoCoreError, ClientError

import samples
import wire
from gateway import PATIENCE, SANITIZED, Sluice, wait_until
from upstream import Gate, Upstream, reply

Start = Callable[..., Sluice]
INVOKE = f"/model/{samples.CLAUDE}/invoke"
LARGEST = 25_000_000


def connect(sluice: Sluice) -> wire.Client:
    return wire.Client(sluice.host, sluice.port, PATIENCE)


def is_alive(sluice: Sluice) -> bool:
    with connect(sluice) as client:
        return client.ask("GET", "/health").status == 200


# --- no body holds the loop

TURN = "sluice_turn_cpu_max_seconds"
TURN_LIMIT = 0.001  # of CPU time, for a release build; sanitizers cost ten times as much


def hostile_bodies() -> dict[str, bytes]:
    size = LARGEST - 100
    return {
        "braces": b"{" * 20_000_000,
        "brackets": b"[" * size,
        "objects": b"[" + b'{"a":1},' * (size // 8) + b"0]",
        "string": b'{"prompt":"' + b"x" * size + b'"}',
        "escapes": b'{"prompt":"' + b"\\u00e9" * (size // 6) + b'"}',
        "key": b'{"' + b"k" * size + b'":1}',
        "number": b'{"max_tokens":' + b"9" * size + b"}",
        "spaces": b" " * size,
        "binary": bytes(range(256)) * (size // 256),
    }


BODIES = list(hostile_bodies())


@pytest.mark.parametrize("name", BODIES)
def test_hostile_body(upstream: Upstream, gateway: Start, name: str, capsys) -> None:
    """Passes as it is, and no turn of the loop takes longer than 1 ms for it."""
    body = hostile_bodies()[name]
    sluice = gateway(upstream=upstream.url)
    with connect(sluice) as client:
        assert client.ask("POST", INVOKE, [], body).status == 200
    assert wire.digest(upstream.last.body) == wire.digest(body)
    check_turn(sluice, f"{name}, up", capsys)


@pytest.mark.parametrize("name", ["braces", "objects", "string", "number"])
def test_hostile_answer(upstream: Upstream, gateway: Start, name: str, capsys) -> None:
    """Answers are read beside, too."""
    body = hostile_bodies()[name]
    upstream.answer = reply(200, body)
    sluice = gateway(upstream=upstream.url)
    with connect(sluice) as client:
        got = client.ask("POST", INVOKE, [], b"{}")
    assert got.whole and wire.digest(got.body) == wire.digest(body)
    check_turn(sluice, f"{name}, down", capsys)


def test_hostile_frames(upstream: Upstream, gateway: Start, capsys) -> None:
    """A stream of a million bytes a frame."""
    large = wire.event("contentBlockDelta", b'{"delta":{"text":"%s"}}' % (b"x" * 1_000_000))
    first, *last = wire.converse_stream([])
    frames = [first, *[large] * 10, *last]
    pieces = b"".join(map(wire.chunk, frames))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\n"
    upstream.answer = [head + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + wire.LAST_CHUNK]
    sluice = gateway(upstream=upstream.url)
    with connect(sluice) as client:
        got = client.ask("POST", f"/model/{samples.CLAUDE}/converse-stream", [], b"{}")
    assert got.whole and wire.digest(got.body) == wire.digest(b"".join(frames))
    check_turn(sluice, "frames, down", capsys)


RETIRED_PROMPTS = {
    "long": b"[INST] " + b"x \\u00e9\\n " * 90_000 + b" [/INST]",
    "many turns": b"[INST] x [/INST] \\\"" * 50_000,  # grows tenfold in the other template
}


@pytest.mark.parametrize("name", RETIRED_PROMPTS)
def test_hostile_prompt_for_a_retired_model(
    upstream: Upstream, gateway: Start, name: str, capsys
) -> None:
    """The one body that is edited."""
    body = b'{"prompt":"%s"}' % RETIRED_PROMPTS[name]
    sluice = gateway(upstream=upstream.url)
    with connect(sluice) as client:
        got = client.ask("POST", f"/model/{samples.RETIRED}/invoke", [], body)
    assert got.status in (200, 400), "nothing that an SDK would try again"
    check_turn(sluice, f"retired, {name}, up", capsys)


def check_turn(sluice: Sluice, what: str, capsys) -> None:
    longest = sluice.metrics()[TURN]
    with capsys.disabled():
        print(f"\n    {what}: longest turn {longest * 1000:.3f} ms of CPU", end="")
    if not SANITIZED:
        assert longest <= TURN_LIMIT


# --- too large


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_body_beyond_the_limit(upstream: Upstream, gateway: Start, framing: str) -> None:
    sluice = gateway(upstream=upstream.url)
    with connect(sluice) as client:
        if framing == "length":
            # Refused at the head, before any of it is read.
            headers = [(b"Host", b"localhost"), (b"Content-Length", b"%d" % (LARGEST + 1))]
            client.send(wire.request("POST", INVOKE, headers))
        else:
            headers = [(b"Host", b"localhost"), (b"Transfer-Encoding", b"chunked")]
            client.send(wire.request("POST", INVOKE, headers))
            piece = wire.chunk(b"x" * 1_000_000)
            for _ in range(25):
                client.send(piece)
            client.send(wire.chunk(b"x"))
        got = client.read()
    assert (got.status, got.error_type) == (413, "RequestEntityTooLargeException")
    assert json.loads(got.body)["message"]
    assert not upstream.requests and is_alive(sluice)


def test_largest_body_passes(upstream: Upstream, gateway: Start) -> None:
    sluice = gateway(upstream=upstream.url)
    body = b"x" * LARGEST
    with connect(sluice) as client:
        assert client.ask("POST", INVOKE, [], body).status == 200
    assert wire.digest(upstream.last.body) == wire.digest(body)


def test_too_large_in_boto3(simulated: Sluice) -> None:
    """boto3 may see the refusal, or the end of the connection while it still sends."""
    client = simulated.boto()
    with pytest.raises((ClientError, BotoCoreError)) as caught:
        client.invoke_model(modelId=samples.CLAUDE, body=b"x" * (LARGEST + 1_000_000))
    if isinstance(caught.value, ClientError):
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413
    assert is_alive(simulated)


# --- memory.max


def test_memory_is_used_up(upstream: Upstream, gateway: Start) -> None:
    """Six bodies of 20 MB in 32 MiB: each is served or refused, and the process lives."""
    settings = {"memory.max": "32MiB", "limits.body_time": "1s"}
    sluice = gateway(upstream=upstream.url, settings=settings)
    body = b"x" * 20_000_000

    def ask(_: int) -> int:
        with wire.Client(sluice.host, sluice.port, 10) as client:
            try:
                got = client.ask("POST", INVOKE, [], body)
            except ConnectionError:  # refused while it still sent
                return 503
            if got.status == 503:
                assert got.error_type == "ServiceUnavailableException"
            return got.status

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(ask, range(6)))
    assert set(statuses) <= {200, 408, 503}, statuses
    assert is_alive(sluice)
    wait_until(lambda: sluice.metrics()["sluice_memory_bytes"] == 0, "all memory is given back")
    assert ask(0) == 200


def test_half_sent_bodies_do_not_block_for_ever(upstream: Upstream, gateway: Start) -> None:
    """Clients that stop in the middle, or leave, must not hold the memory that others wait for."""
    settings = {"memory.max": "32MiB", "limits.body_time": "1s"}
    sluice = gateway(upstream=upstream.url, settings=settings)
    headers = [(b"Host", b"localhost"), (b"Content-Length", b"20000000")]
    held = [connect(sluice) for _ in range(4)]
    for client in held:
        client.socket.settimeout(0.5)
        with suppress(TimeoutError, ConnectionError):
            client.send(wire.request("POST", INVOKE, headers) + b"x" * 16_000_000)
    held.pop().close()
    assert is_alive(sluice), "who sends no body is served all the while"
    wait_until(lambda: sluice.metrics()["sluice_memory_bytes"] == 0, "memory is given back", 10)
    for client in held:
        client.close()


def test_no_memory_for_one_request(upstream: Upstream, gateway: Start) -> None:
    """While others hold it all, a request gets 503 in Bedrock's shape."""
    gate = Gate()
    upstream.answer = lambda r: [gate, *reply(200, b"{}")] if r.body[:1] == b"x" else reply()
    settings = {"memory.max": "32MiB", "limits.body_time": "1s"}
    sluice = gateway(upstream=upstream.url, settings=settings)
    held = [connect(sluice) for _ in range(2)]
    for client in held:
        client.send(wire.request("POST", INVOKE, [(b"Host", b"localhost")], b"x" * 14_000_000))
    upstream.wait_requests(2)
    with wire.Client(sluice.host, sluice.port, 10) as client:
        got = client.ask("POST", INVOKE, [], b"y" * 3_000_000)
    assert got.status in (408, 503) and got.error_type
    assert is_alive(sluice)
    gate.open()
    for client in held:
        assert client.read().status == 200
        client.close()
    with connect(sluice) as client:
        assert client.ask("POST", INVOKE, [], b"y" * 3_000_000).status == 200


def test_freed_memory_is_used_at_once(upstream: Upstream, gateway: Start) -> None:
    """A body that waits for memory goes on when a call that held it is gone, not some time later."""
    gate = Gate()
    upstream.answer = lambda r: [gate, *reply()] if r.body[:1] == b"x" else reply()
    sluice = gateway(
        upstream=upstream.url, settings={"memory.max": "32MiB", "limits.body_time": "1m"}
    )
    with connect(sluice) as waiting:
        with connect(sluice) as held:
            held.send(wire.request("POST", INVOKE, [(b"Host", b"localhost")], b"x" * 20_000_000))
            assert gate.reached.wait(PATIENCE)
            body = b"y" * 14_000_000
            length = (b"Content-Length", b"%d" % len(body))
            waiting.send(wire.request("POST", INVOKE, [(b"Host", b"localhost"), length]))
            sluice.wait_metric("sluice_exchanges", 2)
        waiting.socket.settimeout(10)
        waiting.send(body)
        assert waiting.read().status == 200


def test_answers_have_room_beside_bodies(upstream: Upstream, gateway: Start) -> None:
    """Bodies take what they may of memory.max; what has been paid for still arrives."""
    gate = Gate()
    upstream.answer = [gate, *reply(200, b'"' + b"a" * 200_000 + b'"')]
    settings = {"memory.max": "32MiB", "limits.body_time": "2s", "upstream.max_in_flight": 64}
    sluice = gateway(upstream=upstream.url, settings=settings)
    clients = [connect(sluice) for _ in range(2)]
    for client, size in zip(clients, (25_000_000, 4_200_000)):
        client.send(wire.request("POST", INVOKE, [(b"Host", b"localhost")], b"x" * size))
    upstream.wait_requests(2)
    small = [connect(sluice) for _ in range(40)]
    for client in small:
        client.send(wire.request("POST", INVOKE, [(b"Host", b"localhost")], b"x" * 100_000))
    sluice.wait_line("503")
    gate.open()
    assert [client.read().status for client in clients] == [200, 200]
    for client in [*clients, *small]:
        client.close()


# --- slow clients


@pytest.mark.parametrize(
    ("setting", "sent", "status"),
    [
        ("limits.header_time", b"POST /model/m/invoke HTTP/1.1\r\nHost: loc", 408),
        (
            "limits.body_time",
            b"POST /model/m/invoke HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{",
            408,
        ),
        ("limits.idle_time", b"", None),
    ],
    ids=["header", "body", "idle"],
)
def test_stalled_client(gateway: Start, setting: str, sent: bytes, status: int | None) -> None:
    sluice = gateway(simulator=True, settings={setting: "1s"})
    with connect(sluice) as client:
        client.send(sent)
        began = time.monotonic()
        if status:
            assert client.read().status == status
        assert client.socket.recv(1) == b""
        assert time.monotonic() - began < 10


def test_trickled_header(gateway: Start) -> None:
    """Slow loris: bytes keep coming, the head never ends."""
    sluice = gateway(simulator=True, settings={"limits.header_time": "1s"})
    with connect(sluice) as client:
        client.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        client.socket.settimeout(0.05)
        deadline = time.monotonic() + PATIENCE
        answer = b""
        while not answer and time.monotonic() < deadline:
            client.send(b"x")
            with suppress(TimeoutError):
                answer = client.socket.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408")


# --- ten thousand idle connections

IDLE = 10_000


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for IDLE sockets in this process, and in those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = IDLE + 200
    if hard != resource.RLIM_INFINITY and hard < need:
        pytest.skip(f"{IDLE} connections need {need} file descriptors; the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, need), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident(pid: int) -> int:
    """Bytes of memory in use, by /proc."""
    with open(f"/proc/{pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def test_idle_connections(many_files: None, gateway: Start, capsys) -> None:
    """Held, at a price that is printed; and who asks among them is served."""
    sluice = gateway(simulator=True, settings={"log.access": "off"})
    assert is_alive(sluice)
    before = resident(sluice.pid)
    sockets: list[socket.socket] = []
    health = wire.request("GET", "/health", [(b"Host", b"localhost")])
    try:
        for n in range(IDLE):
            one = socket.create_connection((sluice.host, sluice.port), PATIENCE)
            sockets.append(one)
            if n % 2:  # half of them have been used, and are kept alive
                one.sendall(health)
        for one in sockets[1::2]:
            assert one.recv(4096).startswith(b"HTTP/1.1 200")
        wait_until(lambda: sluice.metrics()["sluice_connections"] == IDLE, "all are accepted")
        each = (resident(sluice.pid) - before) / IDLE
        with capsys.disabled():
            print(f"\n    {IDLE} idle connections: {each:.0f} bytes of memory each", end="")
        if not SANITIZED:
            assert each < 4096
        for one in sockets[:: IDLE // 50]:
            one.sendall(health)
            assert one.recv(4096).startswith(b"HTTP/1.1 200")
        assert sluice.boto().converse(modelId=samples.LLAMA, messages=samples.MESSAGES)["usage"]
    finally:
        for one in sockets:
            one.close()
    wait_until(lambda: sluice.metrics()["sluice_connections"] == 0, "all are gone")


def test_more_connections_than_allowed(gateway: Start) -> None:
    """Beyond limits.connections new ones wait in the kernel, and get their turn."""
    sluice = gateway(simulator=True, settings={"limits.connections": 10})
    held = [connect(sluice) for _ in range(10)]
    for client in held:
        assert client.ask("GET", "/health").status == 200
    with connect(sluice) as waiting:
        waiting.send(wire.request("GET", "/health", [(b"Host", b"localhost")]))
        waiting.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            waiting.socket.recv(1)
        waiting.socket.settimeout(PATIENCE)
        held.pop().close()
        assert waiting.read().status == 200
    for client in held:
        client.close()


# --- HTTP/2 rapid reset (CVE-2023-44487)


def frame2(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of HTTP/2 (RFC 9113, 4.1)."""
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


HEADERS, RST_STREAM, SETTINGS, GOAWAY = 1, 3, 4, 7
END_STREAM_AND_HEADERS = 5
CANCEL, ENHANCE_YOUR_CALM = 8, 11


def post2(path: str) -> bytes:
    """A header block: POST, http, that path, localhost; nothing indexed but names."""
    texts = [b"\x04" + bytes([len(path)]) + path.encode(), b"\x01\x09localhost"]
    return b"\x83\x86" + b"".join(texts)


def test_rapid_reset(upstream: Upstream, gateway: Start) -> None:
    """Thousands of streams begun and reset: the connection ends, others do not notice."""
    upstream.answer = [Gate()]
    sluice = gateway(upstream=upstream.url, settings={"limits.resets_burst": 100})
    block = post2("/model/m/converse")
    attack = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame2(SETTINGS, 0, 0, b"")
    for stream in range(1, 4000, 2):
        attack += frame2(HEADERS, END_STREAM_AND_HEADERS, stream, block)
        attack += frame2(RST_STREAM, 0, stream, struct.pack("!I", CANCEL))
    with connect(sluice) as client:
        with suppress(ConnectionError):
            client.send(attack)
        answer = b""
        with suppress(ConnectionError):
            while data := client.socket.recv(65536):
                answer += data
    frames = []
    while len(answer) >= 9:
        size = int.from_bytes(answer[:3], "big")
        frames.append((answer[3], answer[9 : 9 + size]))
        answer = answer[9 + size :]
    goaway = next(payload for kind, payload in frames if kind == GOAWAY)
    assert int.from_bytes(goaway[4:8], "big") == ENHANCE_YOUR_CALM
    assert is_alive(sluice)
    wait_until(lambda: sluice.metrics()["sluice_exchanges"] == 0, "all of them are gone")
    assert len(upstream.requests) < 1000
