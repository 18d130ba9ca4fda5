"""Sluice's event-stream decoder against botocore's, over many seeded random and broken streams.

botocore is the judge: what it accepts must be accepted with equal contents, what it refuses must be
refused, message for message. The frame scanner must come to the same frames at every split. The
only exception is pinned by test_contradicting_lengths: lengths that contradict each other.
"""

import json
import os
import pathlib
import random
import struct
import subprocess
import zlib

import pytest
from botocore.eventstream import EventStreamBuffer

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", ROOT / "build" / "dev"))
TOOL = BUILD / "tests" / "eventstream_tool"

SEED = 20181128
VALID_STREAMS = 3000
MUTATIONS = 6000
SMALL = 600  # bytes; every split of such a stream is tried
MAX_HEADERS = 128 * 1024
MAX_PAYLOAD = 24 * 1024 * 1024

TRUE, FALSE, INT8, INT16, INT32, INT64, BYTES, STRING, TIMESTAMP, UUID = range(10)
INTEGERS = {INT8: "!b", INT16: "!h", INT32: "!i", INT64: "!q", TIMESTAMP: "!q"}


def run_tool(mode, streams):
    assert TOOL.exists(), f"{TOOL} is not built (set SLUICE_BUILD)"
    lines = "".join(stream.hex() + "\n" for stream in streams)
    done = subprocess.run([TOOL, mode], input=lines, capture_output=True, text=True, check=True)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == len(streams)
    return results


# --- what botocore says


class NoHeaders:
    """Stands in for botocore's header parser: leaves the framing alone to be judged."""

    def parse(self, data):
        return {}


def judge(stream, framing_only=False):
    """(messages, verdict) by botocore; a message is (headers, payload)."""
    buffer = EventStreamBuffer()
    if framing_only:
        buffer._header_parser = NoHeaders()
    buffer.add_data(stream)
    messages = []
    try:
        for message in buffer:
            messages.append((message.headers, message.payload))
    except Exception:  # struct.error, KeyError and UnicodeDecodeError are refusals too
        return messages, "error"
    return messages, "incomplete" if buffer._data else "ok"


def as_botocore(header):
    if header["type"] in (BYTES, UUID):
        return bytes.fromhex(header["value"])
    return header["value"]


def check_against_botocore(streams):
    """Decodes all; how often each verdict came, so that a test can see what it has tested."""
    verdicts = {"ok": 0, "incomplete": 0, "error": 0}
    for stream, ours in zip(streams, run_tool("decode", streams)):
        messages, verdict = judge(stream)
        assert ours["verdict"] == verdict, stream.hex()
        assert len(ours["messages"]) == len(messages), stream.hex()
        for message, (headers, payload) in zip(ours["messages"], messages):
            pairs = [(header["name"], as_botocore(header)) for header in message["headers"]]
            assert pairs == list(headers.items()), stream.hex()
            kinds = [type(value) for _, value in pairs]
            assert kinds == [type(value) for value in headers.values()], stream.hex()
            assert bytes.fromhex(message["payload"]) == payload
        verdicts[verdict] += 1
    return verdicts


def check_splits(streams):
    small = [stream for stream in streams if len(stream) <= SMALL]
    assert small
    for stream, ours in zip(small, run_tool("splits", small)):
        messages, verdict = judge(stream, framing_only=True)
        assert ours == {"frames": len(messages), "verdict": verdict}, stream.hex()


# --- making streams


def frame(headers, payload, header_len=None, total=None):
    header_len = len(headers) if header_len is None else header_len
    total = 16 + len(headers) + len(payload) if total is None else total
    data = struct.pack("!II", total, header_len)
    data += struct.pack("!I", zlib.crc32(data)) + headers + payload
    return data + struct.pack("!I", zlib.crc32(data))


def text(rng, low, high):
    alphabet = rng.choice(["abcdefghijklmnopqrstuvwxyz:-", "é中😀\0\x7f\"\\ ", "ab\uffff\U0010ffff"])
    return "".join(rng.choices(alphabet, k=rng.randint(low, high)))


def encode_header(name, kind, value):
    data = bytes([len(name)]) + name + bytes([kind])
    if kind in INTEGERS:
        return data + struct.pack(INTEGERS[kind], value)
    if kind in (BYTES, STRING):
        return data + struct.pack("!H", len(value)) + value
    return data + value


def random_value(rng, kind):
    if kind in INTEGERS:
        bits = 8 * struct.calcsize(INTEGERS[kind]) - 1
        low, high = -(1 << bits), (1 << bits) - 1
        return rng.choice([low, -1, 0, 1, high, rng.randint(low, high)])
    if kind == BYTES:
        return rng.randbytes(rng.choice([0, 1, 5, 40, 300]))
    if kind == STRING:
        return text(rng, 0, 30).encode()
    return rng.randbytes(16) if kind == UUID else b""


def random_headers(rng, count=None):
    names = {}
    for _ in range(rng.choice([0, 1, 3, 3, 3, 6, 12]) if count is None else count):
        names[text(rng, 0, 12).encode()] = rng.randrange(10)
    return b"".join(
        encode_header(name, kind, random_value(rng, kind)) for name, kind in names.items()
    )


def bedrock_headers(rng):
    event = rng.choice([b"chunk", b"contentBlockDelta", b"messageStop", b"metadata"])
    return b"".join(
        encode_header(name, STRING, value)
        for name, value in [
            (b":event-type", event),
            (b":content-type", b"application/json"),
            (b":message-type", b"event"),
        ]
    )


def random_frame(rng):
    headers = bedrock_headers(rng) if rng.random() < 0.3 else random_headers(rng)
    return frame(headers, rng.randbytes(rng.choice([0, 0, 1, 7, 40, 120, 1000])))


def random_stream(rng):
    return b"".join(random_frame(rng) for _ in range(rng.choice([0, 1, 1, 2, 3, 5])))


def flip_bits(rng, stream):
    data = bytearray(stream)
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        at = rng.randrange(len(data) * 8)
        data[at // 8] ^= 1 << at % 8
    return bytes(data)


def change_bytes(rng, stream):
    at = rng.randrange(len(stream))
    kind = rng.randrange(3)
    if kind == 0:  # some go
        return stream[:at] + stream[at + rng.randint(1, 5) :]
    if kind == 1:  # some come
        return stream[:at] + rng.randbytes(rng.randint(1, 5)) + stream[at:]
    return stream[:at] + stream[: rng.randrange(len(stream))]


MUTATORS = [flip_bits, change_bytes, lambda rng, stream: stream[: rng.randrange(len(stream))]]


# --- tests


def test_valid_streams():
    rng = random.Random(SEED)
    streams = [random_stream(rng) for _ in range(VALID_STREAMS)]
    verdicts = check_against_botocore(streams)
    assert verdicts["ok"] == VALID_STREAMS
    check_splits(streams)


def test_every_header_type():
    rng = random.Random(SEED + 1)
    streams = [
        frame(encode_header(b"name", kind, random_value(rng, kind)), b"payload")
        for kind in range(10)
        for _ in range(50)
    ]
    assert check_against_botocore(streams)["ok"] == len(streams)


def test_broken_streams():
    rng = random.Random(SEED + 2)
    streams = []
    while len(streams) < MUTATIONS:
        stream = random_stream(rng)
        if stream:
            streams.append(rng.choice(MUTATORS)(rng, stream))
    verdicts = check_against_botocore(streams)
    assert verdicts["error"] > MUTATIONS / 3 and verdicts["incomplete"] > MUTATIONS / 10
    check_splits(streams)


def test_every_flipped_bit_and_every_cut():
    rng = random.Random(SEED + 3)
    stream = frame(bedrock_headers(rng), b'{"bytes":"eA=="}') + frame(b"", b"x")
    streams = []
    for bit in range(len(stream) * 8):
        data = bytearray(stream)
        data[bit // 8] ^= 1 << bit % 8
        streams.append(bytes(data))
    streams += [stream[:cut] for cut in range(len(stream) + 1)]
    check_against_botocore(streams)
    check_splits(streams)


def test_broken_headers_under_good_checksums():
    """Whatever stands in the header bytes: the CRCs are right, so the header parsers decide."""
    rng = random.Random(SEED + 4)
    streams = []
    for _ in range(MUTATIONS):
        headers = random_headers(rng, rng.randint(1, 4))
        headers = rng.choice(MUTATORS)(rng, headers)
        streams.append(frame(headers, b"payload") + frame(b"", b"next"))
    verdicts = check_against_botocore(streams)
    assert verdicts["ok"] > MUTATIONS / 10 and verdicts["error"] > MUTATIONS / 3


def header(name, value=b"v"):
    return encode_header(name, STRING, value)


@pytest.mark.parametrize(
    "headers, verdict",
    [
        (header(b"a") + header(b"b") + header(b"a"), "error"),  # duplicate
        (header(b"a") + header(b"A"), "ok"),
        (header(b"") + header(b"a"), "ok"),
        (header(b"") + header(b""), "error"),
        (b"".join(header(b"%d" % i) for i in range(2000)), "ok"),
        (b"".join(header(b"%d" % i) for i in range(2000)) + header(b"0"), "error"),
        (b"".join(header(b"%d" % i) for i in range(2000)) + header(b"1999"), "error"),
        (b"\x01a\x0a", "error"),  # no such type
        (b"\x01a\xff", "error"),
        (b"\x05a", "error"),
        (b"\x01a", "error"),
        (b"\x01a\x07\x00", "error"),
        (b"\x01a\x07\x00\x05xy", "ok"),  # cut at the end of the headers, as botocore does
        (b"\x01a\x06\xff\xff", "ok"),
        (b"\x01a\x09short", "ok"),
        (b"\x01a\x05\x00\x00", "error"),
        (b"\x01\xff\x00", "error"),  # not UTF-8
        (header(b"a", b"\xed\xa0\x80"), "error"),
        (header(b"a", b"\xc0\x80"), "error"),
        (header(b"a", b"\xf4\x90\x80\x80"), "error"),
        (header(b"a", b"\xe2\x82"), "error"),
        (b"\x01a\x07\x00\x03\xe2\x82", "error"),
    ],
)
def test_headers(headers, verdict):
    assert check_against_botocore([frame(headers, b"p")])[verdict] == 1


def zeros(count):
    """count bytes of headers, each 300 bytes long or so, of different names."""
    out = b""
    while len(out) + 310 < count:
        out += encode_header(b"%06d" % len(out), BYTES, bytes(290))
    rest = count - len(out)
    return out + encode_header(b"last00", BYTES, bytes(rest - 10))


@pytest.mark.parametrize(
    "stream, verdict",
    [
        (frame(zeros(MAX_HEADERS), b"p"), "ok"),
        (frame(zeros(MAX_HEADERS + 1), b"p"), "error"),
        (frame(b"", bytes(MAX_PAYLOAD)), "ok"),
        (frame(b"", bytes(MAX_PAYLOAD + 1)), "error"),
        # Limits hold as soon as the prelude is there.
        (frame(b"", b"", total=MAX_PAYLOAD + 16), "incomplete"),
        (frame(b"", b"", total=MAX_PAYLOAD + 17), "error"),
        (frame(b"", b"", total=MAX_PAYLOAD + 17)[:12], "error"),
        (frame(b"", b"", total=MAX_PAYLOAD + 17)[:11], "incomplete"),
        (frame(b"", b"", MAX_HEADERS, MAX_HEADERS + 16), "incomplete"),
        (frame(b"", b"", MAX_HEADERS + 1, MAX_HEADERS + 100), "error"),
        (frame(b"", b"", MAX_HEADERS, MAX_HEADERS + MAX_PAYLOAD + 16), "incomplete"),
        (frame(b"", b"", 0, 0xFFFFFFFF), "error"),
        (frame(b"", b"", 0xFFFFFFFF, 0xFFFFFFFF), "error"),
        (frame(b"abc", b"", 2), "error"),
        (b"", "ok"),
        (b"\x00", "incomplete"),
        (bytes(12), "error"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)}bytes",
)
def test_limits(stream, verdict):
    assert check_against_botocore([stream])[verdict] == 1


@pytest.mark.parametrize(
    "stream",
    [
        frame(b"", b"", total=12)[:12],
        frame(header(b"a"), b"p", header_len=200),
        frame(header(b"a"), b"p", header_len=len(header(b"a")) + 2) + frame(b"", b""),
        frame(b"", b"", total=15),
        frame(b"", b"", total=0),
    ],
)
def test_contradicting_lengths(stream):
    """The one exception: botocore takes some of these, reading headers where none are (with the
    first, it takes a message of 12 bytes). Sluice refuses them all, as the format does."""
    for mode in ("decode", "splits"):
        (ours,) = run_tool(mode, [stream])
        assert ours["verdict"] == "error"


def test_botocore_takes_twelve_bytes():
    """Keeps the exception above honest: should botocore change, it can go."""
    assert judge(frame(b"", b"", total=12)[:12])[1] == "ok"
