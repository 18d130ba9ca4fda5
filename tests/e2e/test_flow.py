"""What happens between a client and Bedrock when not all goes well: the failure contract.

The upstream is upstream.py: it says how slow it is, where it breaks off, and sees who leaves.
"""

import json
import socket
import threading
import time
from collections.abc import Callable

import botocore.exceptions
import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.exceptions import ClientError, EventStreamError

import wire
from gateway import PATIENCE, Sluice, wait_until
from samples import LLAMA, MESSAGES
from upstream import (
    Close,
    Delay,
    Gate,
    Reset,
    Script,
    Upstream,
    error,
    open_stream,
    reply,
)

Start = Callable[..., Sluice]
CONVERSE = f"/model/{LLAMA}/converse"
STREAM = f"/model/{LLAMA}/converse-stream"
ANSWER = (
    b'{"metrics":{"latencyMs":1},"output":{"message":{"role":"assistant","content":'
    b'[{"text":"paid once"}]}},"stopReason":"end_turn",'
    b'"usage":{"inputTokens":3,"outputTokens":2,"totalTokens":5}}'
)
BODY = json.dumps({"messages": MESSAGES}).encode()
# A request that nothing else is to answer: not the cache, nor a flight of the same meaning.
ALONE = (b"Cache-Control", b"no-store")
WORDS = ["a", "sluice", "gate", "controls", "a", "flow"]


def numbered(n: int) -> bytes:
    """A body of its own: equal ones share their answer."""
    return json.dumps({"messages": [{"role": "user", "content": [{"text": f"No. {n}"}]}]}).encode()


def connect(sluice: Sluice) -> wire.Client:
    return wire.Client(sluice.host, sluice.port, PATIENCE)


def stream(frames: list[bytes]) -> Script:
    return [open_stream(), *map(wire.chunk, frames), wire.LAST_CHUNK]


def text_of(answer: dict) -> str:
    return answer["output"]["message"]["content"][0]["text"]


# --- clients that time out and come back


def test_retry_after_a_timeout_is_not_paid_twice(upstream: Upstream, gateway: Start) -> None:
    """boto3 gives up after 1 s; the answer takes 3 s. One call, and a retry gets its answer."""
    upstream.answer = [Delay(3.0), *reply(200, ANSWER)]
    sluice = gateway(upstream=upstream.url)
    client = sluice.boto(read_timeout=1, retries={"mode": "standard", "total_max_attempts": 8})
    answer = client.converse(modelId=LLAMA, messages=MESSAGES)
    assert text_of(answer) == "paid once"
    assert answer["ResponseMetadata"]["RetryAttempts"] >= 1
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-sluice-cache"] == "join"
    assert len(upstream.requests) == 1
    assert sluice.metrics()["sluice_attempts_total"] == 1


def test_answer_waits_for_its_client(upstream: Upstream, gateway: Start) -> None:
    """The answer may be whole before the client is back."""
    gate = Gate()
    upstream.answer = [gate, *reply(200, ANSWER)]
    sluice = gateway(upstream=upstream.url)
    headers = [(b"amz-sdk-invocation-id", b"11111111-2222-3333-4444-555555555555")]
    with connect(sluice) as client:
        client.send(wire.request("POST", CONVERSE, [(b"Host", b"localhost"), *headers], BODY))
        assert gate.reached.wait(PATIENCE)
    sluice.wait_line(r"client left")
    gate.open()
    wait_until(lambda: sluice.metrics()["sluice_in_flight"] == 0, "the flight has landed")
    with connect(sluice) as client:
        got = client.ask("POST", CONVERSE, headers, BODY)
    assert (got.status, got.body, got.get("x-sluice-cache")) == (200, ANSWER, "join")
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("second", "body"),
    [
        (b"11111111-2222-3333-4444-555555555555", BODY + b" "),
        (b"99999999-2222-3333-4444-555555555555", BODY),
    ],
    ids=["another body", "another id"],
)
def test_only_the_same_request_rejoins(
    upstream: Upstream, gateway: Start, second: bytes, body: bytes
) -> None:
    gate = Gate()
    upstream.answer = [gate, *reply(200, ANSWER)]
    sluice = gateway(upstream=upstream.url)
    headers = [(b"Host", b"localhost"), ALONE]
    first = [*headers, (b"amz-sdk-invocation-id", b"11111111-2222-3333-4444-555555555555")]
    with connect(sluice) as one, connect(sluice) as two:
        one.send(wire.request("POST", CONVERSE, first, BODY))
        upstream.wait_requests(1)
        headers += [(b"amz-sdk-invocation-id", second)]
        two.send(wire.request("POST", CONVERSE, headers, body))
        upstream.wait_requests(2)
        gate.open()
        assert [c.read().get("x-sluice-cache") for c in (one, two)] == ["bypass", "bypass"]


def test_error_is_not_kept_for_a_retry(upstream: Upstream, gateway: Start) -> None:
    """The next attempt of the same call asks again."""
    answers = iter([error(503, "ServiceUnavailableException", "no"), reply(200, ANSWER)])
    upstream.answer = lambda _: next(answers)
    sluice = gateway(upstream=upstream.url)
    client = sluice.boto(retries={"mode": "standard", "total_max_attempts": 3})
    assert text_of(client.converse(modelId=LLAMA, messages=MESSAGES)) == "paid once"
    assert len(upstream.requests) == 2


def test_linger_ends(upstream: Upstream, gateway: Start) -> None:
    """Nobody came back within flight.linger: the call is dropped."""
    gate = Gate()
    upstream.answer = [gate, *reply(200, ANSWER)]
    sluice = gateway(upstream=upstream.url, settings={"flight.linger": "100ms"})
    headers = [(b"Host", b"localhost"), (b"amz-sdk-invocation-id", b"1234")]
    with connect(sluice) as client:
        client.send(wire.request("POST", CONVERSE, headers, BODY))
        assert gate.reached.wait(PATIENCE)
    assert upstream.last.left.wait(PATIENCE)


# --- clients that leave


@pytest.mark.parametrize("target", [CONVERSE, STREAM])
def test_leaving_cancels(upstream: Upstream, gateway: Start, target: str) -> None:
    """Without an id nobody can come back: upstream sees its connection close."""
    gate = Gate()
    upstream.answer = [gate, *reply(200, ANSWER)]
    sluice = gateway(upstream=upstream.url)
    with connect(sluice) as client:
        client.send(wire.request("POST", target, [(b"Host", b"localhost")], BODY))
        assert gate.reached.wait(PATIENCE)
        assert not upstream.last.left.is_set()
    assert upstream.last.left.wait(PATIENCE)
    sluice.wait_metric("sluice_canceled_total")


def test_leaving_a_running_stream_cancels(upstream: Upstream, gateway: Start) -> None:
    """A stream cannot be taken up again, id or not."""
    frames, gate = wire.converse_stream(WORDS), Gate()
    upstream.answer = [open_stream(), *map(wire.chunk, frames[:3]), gate]
    sluice = gateway(upstream=upstream.url)
    client = sluice.boto()
    answer = client.converse_stream(modelId=LLAMA, messages=MESSAGES)["stream"]
    assert "messageStart" in next(iter(answer))
    answer.close()
    client.close()
    assert upstream.last.left.wait(PATIENCE)


def test_a_leaver_leaves_the_others_alone(upstream: Upstream, gateway: Start) -> None:
    gate = Gate()
    upstream.answer = [gate, *reply(200, ANSWER)]
    sluice = gateway(upstream=upstream.url)
    headers = [(b"Host", b"localhost"), (b"amz-sdk-invocation-id", b"1234")]
    with connect(sluice) as stays:
        with connect(sluice) as leaves:
            leaves.send(wire.request("POST", CONVERSE, headers, BODY))
            assert gate.reached.wait(PATIENCE)
            stays.send(wire.request("POST", CONVERSE, headers, BODY))
            sluice.wait_metric("sluice_joins_total")
        sluice.wait_line("client left")
        gate.open()
        assert stays.read().body == ANSWER
    assert len(upstream.requests) == 1


def test_another_guardrail_is_another_request(upstream: Upstream, gateway: Start) -> None:
    """An id of the client's own choice says nothing of the headers that shape the answer."""
    gate = Gate()
    upstream.answer = [gate, *reply(200, ANSWER)]
    sluice = gateway(upstream=upstream.url)
    target = f"/model/{LLAMA}/invoke"
    with connect(sluice) as first, connect(sluice) as second:
        for client, guardrail in ((first, b"strict"), (second, b"lax")):
            headers = [
                (b"Host", b"localhost"),
                (b"Idempotency-Key", b"always-the-same"),
                (b"X-Amzn-Bedrock-GuardrailIdentifier", guardrail),
            ]
            client.send(wire.request("POST", target, headers, BODY))
        upstream.wait_requests(2)
        gate.open()
        assert first.read().status == second.read().status == 200


# --- streams: how they begin


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("serviceUnavailableException", 503, "ServiceUnavailableException"),
        ("internalServerException", 500, "InternalServerException"),
    ],
)
def test_refusal_in_the_first_frame(
    upstream: Upstream, gateway: Start, name: str, status: int, kind: str
) -> None:
    """SDKs do not retry behind a 200: the status line is held until the first frame is known."""
    upstream.answer = stream([wire.exception(name, b'{"message":"Too many t\xc3\xb6kens."}')])
    sluice = gateway(upstream=upstream.url)
    with pytest.raises(ClientError) as caught:
        sluice.boto().converse_stream(modelId=LLAMA, messages=MESSAGES)
    assert not isinstance(caught.value, EventStreamError)
    response = caught.value.response
    assert response["Error"] == {"Code": kind, "Message": "Too many t\u00f6kens."}
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert len(upstream.requests) == 3, "tried again as often as retry.max_attempts says"


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (b"Too many tokens, please wait before trying again.", "tokens"),
        (b"Too many requests, please wait before trying again.", "requests"),
        (b"Not now.", "health"),
    ],
)
def test_throttle_in_the_first_frame(
    upstream: Upstream, gateway: Start, message: bytes, kind: str
) -> None:
    """Waited for until the client's deadline; then told with its status and what is short."""
    upstream.answer = stream([wire.exception("throttlingException", b'{"message":"%s"}' % message)])
    sluice = gateway(upstream=upstream.url)
    with connect(sluice) as client:
        got = client.ask("POST", STREAM, [(b"x-sluice-timeout", b"1")], BODY)
    assert (got.status, got.error_type, got.whole) == (429, "ThrottlingException", True)
    assert json.loads(got.body)["message"].startswith(f"{kind}: ")
    assert int(got.get("retry-after") or 0) >= 1 and int(got.get("x-amz-retry-after") or 0) > 0


def test_throttle_is_absorbed(upstream: Upstream, gateway: Start) -> None:
    """Two refusals, one in the head and one behind a 200; the client sees the answer alone."""
    frames = wire.converse_stream(WORDS)
    refusal = wire.exception("throttlingException", b'{"message":"Too many requests."}')
    answers = iter(
        [error(429, "ThrottlingException", "Too many requests."), stream([refusal]), stream(frames)]
    )
    upstream.answer = lambda _: next(answers)
    sluice = gateway(upstream=upstream.url, settings={"retry.backoff": "50ms"})
    with connect(sluice) as client:
        got = client.ask("POST", STREAM, [], BODY)
    assert (got.status, got.body, got.whole) == (200, b"".join(frames), True)
    assert got.get("x-sluice-attempts") == "3"
    assert sluice.metrics()["sluice_throttles_total"] == 2


def test_first_frame_in_pieces_is_awaited(upstream: Upstream, gateway: Start) -> None:
    """No head before the first frame is whole; then head and frame at once."""
    frames, gate = wire.converse_stream(WORDS), Gate()
    cut = len(frames[0]) - 1
    upstream.answer = [
        open_stream(),
        wire.chunk(frames[0][:cut]),
        gate,
        wire.chunk(frames[0][cut:]),
        *map(wire.chunk, frames[1:]),
        wire.LAST_CHUNK,
    ]
    sluice = gateway(upstream=upstream.url)
    with connect(sluice) as client:
        client.send(wire.request("POST", STREAM, [(b"Host", b"localhost")], BODY))
        assert gate.reached.wait(PATIENCE)
        client.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        client.socket.settimeout(PATIENCE)
        gate.open()
        got = client.read()
    assert got.whole and got.body == b"".join(frames)


def test_validation_in_the_first_frame_passes(upstream: Upstream, gateway: Start) -> None:
    """What waiting cannot cure stays as upstream said it, byte for byte."""
    frame = wire.exception("validationException", b'{"message":"bad"}')
    upstream.answer = stream([frame])
    sluice = gateway(upstream=upstream.url)
    with connect(sluice) as client:
        got = client.ask("POST", STREAM, [], BODY)
    assert (got.status, got.body, got.whole) == (200, frame, True)


def test_frames_come_as_they_are_sent(upstream: Upstream, gateway: Start) -> None:
    """Nothing is kept back: each frame arrives before the next one is sent."""
    frames = wire.converse_stream(WORDS)
    gates = [Gate() for _ in frames]
    steps: Script = [open_stream()]
    for frame, gate in zip(frames, gates):
        steps += [wire.chunk(frame), gate]
    upstream.answer = [*steps, wire.LAST_CHUNK]
    sluice = gateway(upstream=upstream.url)
    events = iter(sluice.boto().converse_stream(modelId=LLAMA, messages=MESSAGES)["stream"])
    for gate in gates:
        next(events)
        gate.open()
    assert next(events, None) is None


# --- streams: how they break


ENDS = {"reset": Reset, "close": Close}  # the last chunk is missing
CHUNK = wire.event("chunk", b'{"bytes":"eyJ0eXBlIjoicGluZyJ9","p":"a"}')


def broken(frames: list[bytes], gate: Gate, rest: Script) -> Script:
    """A stream whose rest comes when the gate opens: by then the frames can have been read."""
    return [open_stream(), *map(wire.chunk, frames), gate, *rest]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("operation", ["converse", "invoke"])
def test_stream_that_breaks_off(
    upstream: Upstream, gateway: Start, operation: str, end: str
) -> None:
    """boto3 takes a clean end between frames for success: it must get an exception instead."""
    gate = Gate()
    frames = [CHUNK] * 4 if operation == "invoke" else wire.converse_stream(WORDS)[:4]
    upstream.answer = broken(frames, gate, [ENDS[end]])
    client = gateway(upstream=upstream.url).boto()
    if operation == "converse":
        events = iter(client.converse_stream(modelId=LLAMA, messages=MESSAGES)["stream"])
    else:
        answer = client.invoke_model_with_response_stream(modelId="m", body=b"{}")
        events = iter(answer["body"])
    for _ in frames:
        next(events)
    gate.open()
    with pytest.raises(EventStreamError, match="internalServerException.*broke off"):
        next(events)


@pytest.mark.parametrize("damage", ["end", "cut", "checksum", "length", "noise"])
def test_damaged_stream(upstream: Upstream, gateway: Start, damage: str) -> None:
    """What was good has arrived; nothing of the damaged frame does, but an exception."""
    frames, gate = wire.converse_stream(WORDS), Gate()
    bad = bytearray(frames[3])
    if damage == "end":
        bad.clear()  # a clean end of HTTP, but not of the message
    elif damage == "cut":
        del bad[-5:]
    elif damage == "checksum":
        bad[-1] ^= 1
    elif damage == "length":
        bad[0] = 0x7F
    else:
        bad = bytearray(b"HTTP/1.1 500 Surprise\r\n\r\n")
    tail = [wire.chunk(bytes(bad))] if bad else []
    if damage not in ("end", "cut"):
        tail += map(wire.chunk, frames[4:])
    upstream.answer = broken(frames[:3], gate, [*tail, wire.LAST_CHUNK])
    client = gateway(upstream=upstream.url).boto()
    events = iter(client.converse_stream(modelId=LLAMA, messages=MESSAGES)["stream"])
    for _ in range(3):
        next(events)
    gate.open()
    with pytest.raises(EventStreamError, match="internalServerException"):
        next(events)


@pytest.mark.parametrize("frames", [0, 1, 3])
def test_stream_that_breaks_at_once(upstream: Upstream, gateway: Start, frames: int) -> None:
    """All that upstream ever says comes in one piece, broken: an error either way."""
    whole = b"".join(wire.converse_stream(WORDS)[:frames])
    head = open_stream()
    upstream.answer = [head + (wire.chunk(whole) if whole else b""), Close]
    client = gateway(upstream=upstream.url).boto()
    with pytest.raises((client.exceptions.ServiceUnavailableException, EventStreamError)):
        list(client.converse_stream(modelId=LLAMA, messages=MESSAGES)["stream"])


def test_stall_midway(upstream: Upstream, gateway: Start) -> None:
    """An upstream that says nothing more is taken for dead after idle_timeout."""
    frames = wire.converse_stream(WORDS)
    upstream.answer = [open_stream(), *map(wire.chunk, frames[:3]), Gate()]
    sluice = gateway(upstream=upstream.url, settings={"upstream.idle_timeout": "1s"})
    events = sluice.boto().converse_stream(modelId=LLAMA, messages=MESSAGES)["stream"]
    with pytest.raises(EventStreamError, match="internalServerException"):
        list(events)
    assert upstream.last.left.wait(PATIENCE)


SSE_HEADERS = [(b"Content-Type", b"text/event-stream")]
SSE_CASES = {
    "/openai/v1/chat/completions": (
        b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n',
        None,
        "server_error",
    ),
    "/openai/v1/responses": (
        b'event: response.created\ndata: {"type":"response.created"}\n\n',
        "error",
        "server_error",
    ),
    "/anthropic/v1/messages": (
        b'event: message_start\ndata: {"type":"message_start"}\n\n',
        "error",
        "api_error",
    ),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("path", SSE_CASES)
def test_events_that_break_off(upstream: Upstream, gateway: Start, path: str, end: str) -> None:
    """Server-sent events end with an error event of that API, in place of the one cut short."""
    first, name, kind = SSE_CASES[path]
    gate = Gate()
    half = wire.chunk(b"data: half an ev")
    upstream.answer = [open_stream(SSE_HEADERS), wire.chunk(first), half, gate, ENDS[end]]
    sluice = gateway(upstream=upstream.url)
    with connect(sluice) as client:
        headers = [(b"Host", b"localhost")]
        body = b'{"model":"m","stream":true,"messages":[]}'
        client.send(wire.request("POST", path, headers, body))
        got = client.read_head()
        gate.open()
        got.body = b"".join(client.read_pieces(got))
    assert got.status == 200 and got.body.startswith(first)
    lines = got.body[len(first) :].decode().strip().split("\n")
    assert ("event: error" in lines) == (name == "error")
    data = json.loads(next(line for line in lines if line.startswith("data:"))[5:])
    assert data["error"]["type"] == kind and "broke off" in data["error"]["message"]
    assert "half an ev" not in got.body.decode()


# --- answers that are not streamed


LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("size", [0, 500, 3_000_000])
def test_truncated_answer_is_no_success(
    upstream: Upstream, gateway: Start, size: int, end: str
) -> None:
    """What is held when it breaks becomes an error, in Bedrock's shape."""
    upstream.answer = [LENGTH % (size + 1) + b"x" * size, ENDS[end]]
    sluice = gateway(upstream=upstream.url)
    with connect(sluice) as client:
        got = client.ask("POST", CONVERSE, [], BODY)
    if size < 1 << 20:
        assert (got.status, got.error_type) == (503, "ServiceUnavailableException")
        assert got.whole and len(upstream.requests) == 3
    else:  # part of it may be on its way already
        assert got.status == 503 if got.whole else got.status == 200
    assert sluice.metrics()["sluice_attempts_lost_total"] == len(upstream.requests)


@pytest.mark.parametrize("end", ENDS)
def test_truncated_answer_on_its_way(upstream: Upstream, gateway: Start, end: str) -> None:
    """Beyond 1 MiB it is not held to its end: then the client's connection breaks, too."""
    gate = Gate()
    upstream.answer = [LENGTH % 3_000_000, b"x" * 2_000_000, gate, ENDS[end]]
    sluice = gateway(upstream=upstream.url)
    answer = sluice.boto().invoke_model(modelId=LLAMA, body=b"{}")
    gate.open()
    broken_off = (
        botocore.exceptions.IncompleteReadError,
        botocore.exceptions.ResponseStreamingError,
        botocore.exceptions.ConnectionClosedError,
    )
    with pytest.raises(broken_off):
        answer["body"].read()


@pytest.mark.parametrize(
    "script",
    [
        [Close],
        [Reset],
        [b"HTTP/1.1 200 OK\r\nContent-Le", Close],
        [b"\x00\x01\x02 this is no HTTP\r\n\r\n", Close],
        [b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", Close],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n", Close],
    ],
    ids=["close", "reset", "half a head", "garbage", "negative length", "bad chunk"],
)
@pytest.mark.parametrize("target", [CONVERSE, STREAM])
def test_answer_that_is_none(
    upstream: Upstream, gateway: Start, target: str, script: Script
) -> None:
    upstream.answer = script
    sluice = gateway(upstream=upstream.url)
    with connect(sluice) as client:
        got = client.ask("POST", target, [], BODY)
    assert (got.status, got.error_type) == (503, "ServiceUnavailableException")
    assert json.loads(got.body)["message"]


def test_dead_connection_is_not_used_twice(upstream: Upstream, gateway: Start) -> None:
    """Upstream closes a kept connection between two calls: the second call must not fail."""
    sluice = gateway(upstream=upstream.url)
    upstream.answer = [*reply(200, ANSWER), Close]
    for _ in range(5):
        with connect(sluice) as client:
            assert client.ask("POST", CONVERSE, [], BODY).status == 200
        wait_until(lambda: upstream.connections == 0, "upstream has closed")


def test_connections_are_reused(upstream: Upstream, gateway: Start) -> None:
    upstream.answer = reply(200, ANSWER)
    sluice = gateway(upstream=upstream.url)
    with connect(sluice) as client:
        for _ in range(10):
            assert client.ask("POST", CONVERSE, [], BODY).status == 200
    assert {request.connection for request in upstream.requests} == {1}


def test_nothing_listens_there(gateway: Start) -> None:
    """boto3 gets an error that it retries, and that says what is wrong."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        sluice = gateway(upstream=f"http://127.0.0.1:{taken.getsockname()[1]}")
        client = sluice.boto()
        with pytest.raises(client.exceptions.ServiceUnavailableException) as caught:
            client.converse(modelId=LLAMA, messages=MESSAGES)
    assert "could not reach Bedrock" in caught.value.response["Error"]["Message"]


def test_no_answer_within_first_byte_timeout(upstream: Upstream, gateway: Start) -> None:
    upstream.answer = [Gate()]
    sluice = gateway(upstream=upstream.url, settings={"upstream.first_byte_timeout": "1s"})
    with connect(sluice) as client:
        got = client.ask("POST", CONVERSE, [], BODY)
    assert (got.status, got.error_type) == (503, "ServiceUnavailableException")
    assert upstream.last.left.wait(PATIENCE)


def test_no_credentials(upstream: Upstream, gateway: Start) -> None:
    """Told with the cure, and not as something that waiting mends."""
    sluice = gateway(
        upstream=upstream.url, env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    )
    with connect(sluice) as client:
        got = client.ask("POST", CONVERSE, [], BODY)
    assert (got.status, got.error_type) == (403, "AccessDeniedException")
    assert "sluice check" in json.loads(got.body)["message"]
    assert not upstream.requests


# --- pace and number


def test_slow_reader_slows_upstream(upstream: Upstream, gateway: Start) -> None:
    """60 MB for a client that does not read: upstream is paused, memory stays bounded."""
    size, piece = 60_000_000, b"y" * 100_000
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
    upstream.answer = [head % size, *[piece] * (size // len(piece))]
    sluice = gateway(upstream=upstream.url, settings={"memory.max": "32MiB"})
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.connect((sluice.host, sluice.port))
        client.settimeout(PATIENCE)
        client.sendall(wire.request("POST", "/model/m/invoke", [(b"Host", b"localhost")], b"{}"))
        upstream.wait_requests(1)
        # Asleep in one and the same step: neither side moves until the client reads.
        wait_until(lambda: upstream.is_stuck(0.3), "upstream is paused")
        assert upstream.last.steps * len(piece) < size // 2
        assert sluice.metrics()["sluice_memory_bytes"] <= 32 << 20
        received = 0
        while received < size:
            data = client.recv(1 << 20)
            assert data, f"broke off after {received}"
            received += len(data)


def test_calls_wait_for_their_turn(upstream: Upstream, gateway: Start) -> None:
    """upstream.max_in_flight: 2, and five callers: all are served, two at a time."""
    gates: list[Gate] = []

    def script(_: object) -> Script:
        gates.append(Gate())
        return [gates[-1], *reply(200, ANSWER)]

    upstream.answer = script
    sluice = gateway(upstream=upstream.url, settings={"upstream.max_in_flight": 2})
    clients = [connect(sluice) for _ in range(5)]
    for n, client in enumerate(clients):
        client.send(wire.request("POST", CONVERSE, [(b"Host", b"localhost")], numbered(n)))
    sluice.wait_metric("sluice_queued", 3)
    for served in range(5):
        upstream.wait_requests(min(served + 2, 5))
        assert sluice.metrics()["sluice_in_flight"] <= 2
        gates[served].open()
    answers = [client.read() for client in clients]
    assert [answer.status for answer in answers] == [200] * 5
    for client in clients:
        client.close()


def test_queue_is_full(upstream: Upstream, gateway: Start) -> None:
    """Refused at once, in Bedrock's shape, with the time to come back."""
    gate = Gate()
    upstream.answer = [gate, *reply(200, ANSWER)]
    settings = {"upstream.max_in_flight": 1, "queue.max_requests": 1}
    sluice = gateway(upstream=upstream.url, settings=settings)
    first, second = connect(sluice), connect(sluice)
    with first, second:
        first.send(wire.request("POST", CONVERSE, [(b"Host", b"localhost")], BODY))
        upstream.wait_requests(1)
        second.send(wire.request("POST", CONVERSE, [(b"Host", b"localhost")], numbered(2)))
        sluice.wait_metric("sluice_queued")
        with connect(sluice) as third:
            got = third.ask("POST", CONVERSE, [], numbered(3))
        assert (got.status, got.error_type) == (429, "ThrottlingException")
        assert "capacity" in json.loads(got.body)["message"]
        assert int(got.get("retry-after") or 0) >= 1
        assert int(got.get("x-amz-retry-after") or 0) >= 1000
        gate.open()
        assert first.read().status == second.read().status == 200


def test_queue_wait_ends(upstream: Upstream, gateway: Start) -> None:
    gate = Gate()
    upstream.answer = [gate, *reply(200, ANSWER)]
    settings = {"upstream.max_in_flight": 1, "queue.max_wait": "100ms"}
    sluice = gateway(upstream=upstream.url, settings=settings)
    with connect(sluice) as first, connect(sluice) as second:
        first.send(wire.request("POST", CONVERSE, [(b"Host", b"localhost")], BODY))
        upstream.wait_requests(1)
        began = time.monotonic()
        got = second.ask("POST", CONVERSE, [], numbered(2))
        assert (got.status, got.error_type) == (429, "ThrottlingException")
        assert time.monotonic() - began >= 0.1
        assert got.get("retry-after") is not None
        gate.open()
        assert first.read().status == 200


def test_leaving_frees_the_place_in_the_queue(upstream: Upstream, gateway: Start) -> None:
    gate = Gate()
    upstream.answer = [gate, *reply(200, ANSWER)]
    sluice = gateway(upstream=upstream.url, settings={"upstream.max_in_flight": 1})
    with connect(sluice) as first:
        first.send(wire.request("POST", CONVERSE, [(b"Host", b"localhost")], BODY))
        upstream.wait_requests(1)
        with connect(sluice) as second:
            second.send(wire.request("POST", CONVERSE, [(b"Host", b"localhost")], numbered(2)))
            sluice.wait_metric("sluice_queued")
        wait_until(lambda: sluice.metrics()["sluice_queued"] == 0, "the queue is empty")
        gate.open()
        assert first.read().status == 200
    assert len(upstream.requests) == 1


def test_only_the_impatient_reader_gives_up(upstream: Upstream, gateway: Start) -> None:
    """Two wait for one call that has not begun: the deadline of one is none of the other's."""
    gate = Gate()
    upstream.answer = lambda r: [*([gate] if r.body == BODY else []), *reply(200, ANSWER)]
    sluice = gateway(upstream=upstream.url, settings={"upstream.max_in_flight": 1})
    with connect(sluice) as first, connect(sluice) as patient, connect(sluice) as hurried:
        first.send(wire.request("POST", CONVERSE, [(b"Host", b"localhost")], BODY))
        assert gate.reached.wait(PATIENCE)
        patient.send(wire.request("POST", CONVERSE, [(b"Host", b"localhost")], numbered(1)))
        sluice.wait_metric("sluice_queued")
        began = time.monotonic()
        got = hurried.ask("POST", CONVERSE, [(b"x-sluice-timeout", b"300ms")], numbered(1))
        assert 0.2 < time.monotonic() - began < 5
        assert (got.status, got.error_type) == (429, "ThrottlingException")
        assert json.loads(got.body)["message"].split(": ")[0] in ("connections", "capacity")
        assert int(got.get("x-amz-retry-after") or 0) > 0
        gate.open()
        assert first.read().status == patient.read().status == 200
    assert sluice.metrics()["sluice_joins_total"] == 1
    assert len(upstream.requests) == 2


def test_slow_reader_of_a_converted_answer(upstream: Upstream, gateway: Start) -> None:
    """A kept document asked for as a stream is converted while it is read, however slowly."""
    text = "".join(f"{n:07d} " for n in range(100_000))
    upstream.answer = reply(200, ANSWER.replace(b"paid once", text.encode()))
    sluice = gateway(upstream=upstream.url)
    with connect(sluice) as client:
        assert client.ask("POST", CONVERSE, [], BODY).status == 200
    with wire.Client(sluice.host, sluice.port, PATIENCE, receive_buffer=16384) as slow:
        slow.send(wire.request("POST", STREAM, [(b"Host", b"localhost")], BODY))
        got = slow.read_head()
        for n, piece in enumerate(slow.read_pieces(got)):
            got.body += piece
            if n < 20:
                threading.Event().wait(0.02)
    assert (got.get("x-sluice-cache"), got.whole) == ("hit", True)
    buffer = EventStreamBuffer()
    buffer.add_data(got.body)
    events = [(frame.headers[":event-type"], json.loads(frame.payload)) for frame in buffer]
    deltas = [payload["delta"]["text"] for name, payload in events if name == "contentBlockDelta"]
    assert "".join(deltas) == text
    assert len(upstream.requests) == 1


def test_slow_reader_of_a_translated_stream(upstream: Upstream, gateway: Start) -> None:
    """Two read one stream in another API's words. Upstream and the first are done long before the
    second has taken its own: nothing of it is left behind."""
    words = [f"{n:07d} " for n in range(25_000)]
    gate = Gate()
    upstream.answer = [gate, *stream(wire.converse_stream(words))]
    sluice = gateway(upstream=upstream.url, settings={"cache.max_entry": "16MiB"})
    data = json.dumps(
        {"model": LLAMA, "stream": True, "messages": [{"role": "user", "content": "count"}]}
    ).encode()
    request = wire.request("POST", "/v1/chat/completions", [(b"Host", b"localhost")], data)
    slow = wire.Client(sluice.host, sluice.port, PATIENCE, receive_buffer=16384)
    with connect(sluice) as fast, slow:
        for client in (fast, slow):
            client.send(request)
        sluice.wait_metric("sluice_joins_total")
        gate.open()
        answers = [fast.read(), slow.read()]
    for got in answers:
        assert got.whole and got.body.endswith(b"data: [DONE]\n\n")
        chunks = [json.loads(line[6:]) for line in got.body.split(b"\n\n")[:-2]]
        said = [c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]]
        assert "".join(said) == "".join(words)


def test_a_success_that_is_no_answer_is_not_kept(upstream: Upstream, gateway: Start) -> None:
    """200, but not what Converse says: it passes, and the next one asks again."""
    upstream.answer = reply(200, b'{"of":"tomorrow"}')
    sluice = gateway(upstream=upstream.url)
    with connect(sluice) as client:
        got = [client.ask("POST", CONVERSE, [], BODY) for _ in range(2)]
    assert [(g.status, g.body) for g in got] == [(200, b'{"of":"tomorrow"}')] * 2
    assert len(upstream.requests) == 2
