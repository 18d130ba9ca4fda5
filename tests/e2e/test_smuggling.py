"""Requests that two servers on the way might read differently: what smuggling is made of.

Every case stands in front of, or around, a request for the model "smuggled". A refusal has its
status, closes the connection and lets nothing through; what is accepted reaches an independent
upstream once, as one request with the body it should have. Each case is told again a byte at a
time, and must end alike.
"""

from collections.abc import Iterator
from contextlib import suppress

import pytest

import h2wire
import wire
from gateway import PATIENCE, SIGNER, Sluice
from samples import CLAUDE
from upstream import Upstream

HOST = b"Host: localhost\r\n"
POST = b"POST /model/%s/invoke HTTP/1.1\r\n" % CLAUDE.encode()
SMUGGLED = b"POST /model/smuggled/invoke HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
END = b"0\r\n\r\n"


def head(*lines: bytes) -> bytes:
    """A request's head with a Host, these lines, and what would be smuggled behind it."""
    return POST + HOST + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + SMUGGLED


def line(first: bytes) -> bytes:
    return first + b"\r\n" + HOST + b"\r\n" + SMUGGLED


def chunks(body: bytes) -> bytes:
    return POST + HOST + CHUNKED + b"\r\n" + body + SMUGGLED


REFUSED: dict[str, tuple[bytes, int]] = {
    # how long is the body?
    "length, then chunks": (head(b"Content-Length: 5", b"Transfer-Encoding: chunked"), 400),
    "chunks, then length": (head(b"Transfer-Encoding: chunked", b"Content-Length: 5"), 400),
    "length 0 and chunks": (head(b"Content-Length: 0", b"Transfer-Encoding: chunked"), 400),
    "length and unknown coding": (head(b"Content-Length: 5", b"Transfer-Encoding: x"), 400),
    "two lengths": (head(b"Content-Length: 0", b"Content-Length: 91"), 400),
    "two equal lengths": (head(b"Content-Length: 0", b"Content-Length: 0"), 400),
    "a list of lengths": (head(b"Content-Length: 0, 91"), 400),
    "a list of equal lengths": (head(b"Content-Length: 0, 0"), 400),
    "length with plus": (head(b"Content-Length: +0"), 400),
    "negative length": (head(b"Content-Length: -1"), 400),
    "hexadecimal length": (head(b"Content-Length: 0x0"), 400),
    "length with a space": (head(b"Content-Length: 0 0"), 400),
    "length with a point": (head(b"Content-Length: 0.0"), 400),
    "empty length": (head(b"Content-Length:"), 400),
    "length with NUL": (head(b"Content-Length: 0\0"), 400),
    "length with a vertical tab": (head(b"Content-Length: 0\x0b"), 400),
    "length beyond 64 bits": (head(b"Content-Length: 18446744073709551616"), 400),
    "length of 63 bits": (head(b"Content-Length: 9223372036854775807"), 413),
    "length in other digits": (head("Content-Length: ٠".encode()), 400),
    "length before a tab": (head(b"Content-Length: 0\t"), 400),
    "folded length": (head(b"Content-Length:", b" 0"), 400),
    # which coding?
    "xchunked": (head(b"Transfer-Encoding: xchunked"), 501),
    "identity": (head(b"Transfer-Encoding: identity"), 501),
    "chunked, identity": (head(b"Transfer-Encoding: chunked, identity"), 400),
    "gzip, chunked": (head(b"Transfer-Encoding: gzip, chunked"), 501),
    "chunked, chunked": (head(b"Transfer-Encoding: chunked, chunked"), 400),
    "chunked with a comma": (head(b"Transfer-Encoding: chunked,"), 400),
    "comma before chunked": (head(b"Transfer-Encoding: , chunked"), 501),
    "chunked with a parameter": (head(b"Transfer-Encoding: chunked;q=1"), 501),
    "quoted chunked": (head(b'Transfer-Encoding: "chunked"'), 501),
    "chunked with NUL": (head(b"Transfer-Encoding: chunked\0"), 400),
    "chunked with a vertical tab": (head(b"Transfer-Encoding: \x0bchunked"), 400),
    "chunked before a tab": (head(b"Transfer-Encoding: chunked\t"), 400),
    "chunked with a bare CR": (head(b"Transfer-Encoding: chunked\r"), 400),
    "chunked and junk": (head(b"Transfer-Encoding: chunked x"), 501),
    "no coding": (head(b"Transfer-Encoding:"), 400),
    "two codings": (head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 400),
    "two codings, one odd": (head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: x"), 400),
    "coding with space before the colon": (head(b"Transfer-Encoding : chunked"), 400),
    "coding with tab before the colon": (head(b"Transfer-Encoding\t: chunked"), 400),
    "folded coding": (head(b"Transfer-Encoding:", b" chunked"), 400),
    "coding in a fold": (head(b"X-A: b", b" Transfer-Encoding: chunked"), 400),
    "coding in 1.0": (line(POST[:-3] + b"0\r\n" + CHUNKED[:-2]), 400),
    # where does a line end?
    "bare LF in the head": (POST + HOST + b"X-A: b\n\r\n" + SMUGGLED, 400),
    "bare LF behind the request line": (POST[:-2] + b"\n" + HOST + b"\r\n" + SMUGGLED, 400),
    "bare LF ends the head": (POST + HOST + b"\n" + SMUGGLED, 400),
    "bare CR in a value": (head(b"X-A: b\rTransfer-Encoding: chunked"), 400),
    "bare CR behind the request line": (POST[:-1] + HOST + b"\r\n" + SMUGGLED, 505),
    "CR CR LF": (head(b"X-A: b\r"), 400),
    "folded header": (head(b"X-A: b", b" c"), 400),
    "header folded by a tab": (head(b"X-A: b", b"\tc"), 400),
    "fold before the first header": (POST + b" X-A: b\r\n" + HOST + b"\r\n" + SMUGGLED, 400),
    # what is a header?
    "space before the colon": (head(b"X-A : b"), 400),
    "space in a name": (head(b"X A: b"), 400),
    "no name": (head(b": b"), 400),
    "no colon": (head(b"X-A"), 400),
    "NUL in a name": (head(b"X\0A: b"), 400),
    "NUL in a value": (head(b"X-A: b\0c"), 400),
    "control byte in a value": (head(b"X-A: b\x08c"), 400),
    "DEL in a value": (head(b"X-A: b\x7fc"), 400),
    "non-ASCII name": (head("X-Ä: b".encode()), 400),
    "name with a bracket": (head(b"X(A): b"), 400),
    # for whom?
    "no host": (POST + b"\r\n" + SMUGGLED, 400),
    "two hosts": (head(b"Host: evil.example"), 400),
    "two equal hosts": (head(b"Host: localhost"), 400),
    "host with space before the colon": (POST + b"Host : localhost\r\n\r\n" + SMUGGLED, 400),
    "host with a user": (POST + b"Host: x@localhost\r\n\r\n" + SMUGGLED, 400),
    "host with a path": (POST + b"Host: localhost/x\r\n\r\n" + SMUGGLED, 400),
    "list of hosts": (POST + b"Host: localhost, evil.example\r\n\r\n" + SMUGGLED, 400),
    "host with a space": (POST + b"Host: localhost evil.example\r\n\r\n" + SMUGGLED, 400),
    "absolute target with a user": (line(b"GET http://x@localhost/health HTTP/1.1"), 400),
    "absolute target without a host": (line(b"GET http:///health HTTP/1.1"), 400),
    "absolute target of another scheme": (line(b"GET ftp://localhost/health HTTP/1.1"), 400),
    # the request line
    "HTTP/0.9": (b"GET /health\r\n" + SMUGGLED, 400),
    "version 0.9": (line(b"GET /health HTTP/0.9"), 505),
    "version 1.2": (line(b"GET /health HTTP/1.2"), 505),
    "version 2.0": (line(b"GET /health HTTP/2.0"), 505),
    "version 11.1": (line(b"GET /health HTTP/11.1"), 505),
    "version 1.10": (line(b"GET /health HTTP/1.10"), 505),
    "small version": (line(b"GET /health http/1.1"), 400),
    "another protocol": (line(b"GET /health ICE/1.0"), 400),
    "word behind the version": (line(b"GET /health HTTP/1.1 HTTP/1.1"), 505),
    "space behind the version": (line(b"GET /health HTTP/1.1 "), 505),
    "two spaces": (line(b"GET  /health HTTP/1.1"), 400),
    "tab for a space": (line(b"GET\t/health HTTP/1.1"), 400),
    "space before the method": (line(b" GET /health HTTP/1.1"), 400),
    "space in the target": (line(b"GET /hea lth HTTP/1.1"), 400),
    "fragment in the target": (line(b"GET /health#x HTTP/1.1"), 400),
    "NUL in the target": (line(b"GET /health\0 HTTP/1.1"), 400),
    "bare CR in the target": (line(b"GET /health\rX HTTP/1.1"), 400),
    "non-ASCII target": (line("GET /hälth HTTP/1.1".encode()), 400),
    "target that is no path": (line(b"GET health HTTP/1.1"), 400),
    "empty target": (line(b"GET  HTTP/1.1"), 400),
    "asterisk": (line(b"GET * HTTP/1.1"), 400),
    "CONNECT": (line(b"CONNECT localhost:443 HTTP/1.1"), 501),
    "method with a bracket": (line(b"G(T /health HTTP/1.1"), 400),
    "preface with another end": (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + SMUGGLED, 505),
    # chunks
    "no chunk size": (chunks(b"\r\n" + END), 400),
    "chunk size with plus": (chunks(b"+2\r\n{}\r\n" + END), 400),
    "negative chunk size": (chunks(b"-2\r\n{}\r\n" + END), 400),
    "0x chunk size": (chunks(b"0x2\r\n{}\r\n" + END), 400),
    "space before a chunk size": (chunks(b" 2\r\n{}\r\n" + END), 400),
    "space behind a chunk size": (chunks(b"2 \r\n{}\r\n" + END), 400),
    "tab behind a chunk size": (chunks(b"2\t\r\n{}\r\n" + END), 400),
    "underscore in a chunk size": (chunks(b"0_2\r\n{}\r\n" + END), 400),
    "chunk size of 65 bits": (chunks(b"10000000000000002\r\n{}\r\n" + END), 400),
    "no digit": (chunks(b"g\r\n{}\r\n" + END), 400),
    "bare LF behind a chunk size": (chunks(b"2\n{}\r\n" + END), 400),
    "bare CR behind a chunk size": (chunks(b"2\r{}\r\n" + END), 400),
    "bare LF behind a chunk": (chunks(b"2\r\n{}\n" + END), 400),
    "two bytes for CR LF": (chunks(b"2\r\n{}xx" + END), 400),
    "nothing behind a chunk": (chunks(b"2\r\n{}" + END), 400),
    "two extensions": (chunks(b"2;a=b;c=d\r\n{}\r\n" + END), 400),  # llhttp takes one
    "LF in an extension": (chunks(b"2;a\nb\r\n{}\r\n" + END), 400),
    "CR in an extension": (chunks(b"2;a\rb\r\n{}\r\n" + END), 400),
    "NUL in an extension": (chunks(b"2;a\0\r\n{}\r\n" + END), 400),
    "LF ends the last chunk": (chunks(b"2\r\n{}\r\n0\n\r\n"), 400),
    "LF ends the body": (chunks(b"2\r\n{}\r\n0\r\n\n"), 400),
    "trailer without a name": (chunks(b"2\r\n{}\r\n0\r\n: b\r\n\r\n"), 400),
    "trailer with space before the colon": (chunks(b"2\r\n{}\r\n0\r\nX-A : b\r\n\r\n"), 400),
    "folded trailer": (chunks(b"2\r\n{}\r\n0\r\nX-A: b\r\n c\r\n\r\n"), 400),
    "trailer with NUL": (chunks(b"2\r\n{}\r\n0\r\nX-A: \0\r\n\r\n"), 400),
    "trailer that ends in LF": (chunks(b"2\r\n{}\r\n0\r\nX-A: b\n\r\n"), 400),
    "length in a trailer": (chunks(b"2\r\n{}\r\n0\r\nContent-Length: 91\r\n\r\n"), 400),
    "coding in a trailer": (chunks(b"2\r\n{}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400),
    "endless extension": (chunks(b"2;" + b"a" * 40_000 + b"\r\n{}\r\n" + END), 400),
    "large trailers": (chunks(b"0\r\n" + b"X-A: b\r\n" * 9_000 + b"\r\n"), 431),
    "one large trailer": (chunks(b"0\r\nX-A: " + b"b" * 70_000), 431),
    "host in a trailer": (chunks(b"2\r\n{}\r\n0\r\nHost: evil.example\r\n\r\n"), 400),
}


@pytest.fixture(scope="module")
def witness() -> Iterator[Upstream]:
    server = Upstream(**SIGNER)
    yield server
    server.close()


@pytest.fixture(scope="module")
def sluice(witness: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    home = tmp_path_factory.mktemp("smuggling")
    settings = {"cache.when": "never", "log.access": "off"}
    program = Sluice(home, upstream=witness.url, settings=settings)
    yield program
    program.stop()


def send(client: wire.Client, data: bytes, whole: bool) -> None:
    """In one piece, or byte by byte; a server that had enough may close meanwhile."""
    with suppress(ConnectionError):
        size = len(data) if whole else 1 if len(data) < 1000 else 997
        for at in range(0, len(data), size):
            client.send(data[at : at + size])


WAYS = pytest.mark.parametrize("whole", [True, False], ids=["whole", "bytes"])


@WAYS
@pytest.mark.parametrize("case", REFUSED)
def test_refused(sluice: Sluice, witness: Upstream, case: str, whole: bool) -> None:
    data, status = REFUSED[case]
    before = len(witness.requests)
    with wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        send(client, data, whole)
        got = client.read()
        assert (got.status, got.get("connection")) == (status, "close"), got.body
        assert client.socket.recv(1) == b"", "and nothing more is said"
    assert len(witness.requests) == before, "nothing came through"


# --- accepted, and what arrives

BODY = b'{"a":1}'


def chunked(framed: bytes, *lines: bytes) -> bytes:
    more = b"".join(line + b"\r\n" for line in lines)
    return POST + HOST + CHUNKED + more + b"\r\n" + framed


LENGTH = b"Content-Length: %d\r\n" % len(BODY)
ACCEPTED: dict[str, tuple[bytes, bytes]] = {
    "length": (POST + HOST + LENGTH + b"\r\n" + BODY, BODY),
    "length with zeros": (POST + HOST + b"Content-Length: 0007\r\n\r\n" + BODY, BODY),
    "length between spaces": (POST + HOST + b"content-length:\t 7 \r\n\r\n" + BODY, BODY),
    "no space behind the colon": (POST + b"Host:localhost\r\n" + LENGTH + b"\r\n" + BODY, BODY),
    "empty lines before it": (b"\r\n\r\n" + POST + HOST + LENGTH + b"\r\n" + BODY, BODY),
    "a body like a request": (
        POST + HOST + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        SMUGGLED,
    ),
    "chunks": (chunked(b'2\r\n{"\r\n5\r\na":1}\r\n' + END), BODY),
    "chunks like a request": (chunked(wire.chunk(SMUGGLED) + END), SMUGGLED),
    "upper-case coding": (
        POST + HOST + b"TRANSFER-ENCODING: CHUNKED\r\n\r\n" + wire.chunk(BODY) + END,
        BODY,
    ),
    "coding between spaces": (
        POST + HOST + b"Transfer-Encoding: \t chunked \r\n\r\n" + wire.chunk(BODY) + END,
        BODY,
    ),
    "underscores": (
        POST + HOST + LENGTH + b"Transfer_Encoding: chunked\r\n\r\n" + BODY,
        BODY,
    ),
    "zeros in a chunk size": (chunked(b"0000007\r\n" + BODY + b"\r\n00\r\n\r\n"), BODY),
    "extensions": (chunked(b'7;a="b;c d"\r\n' + BODY + b"\r\n0;last\r\n\r\n"), BODY),
    "small chunks": (chunked(b"".join(wire.chunk(b"x") for _ in range(300)) + END), b"x" * 300),
    "trailers": (chunked(wire.chunk(BODY) + b"0\r\nX-A: b\r\nX-C: d\r\n\r\n"), BODY),
    "announced trailers": (
        chunked(wire.chunk(BODY) + b"0\r\nX-A: b\r\n\r\n", b"Trailer: X-A", b"TE: trailers"),
        BODY,
    ),
    "absolute target, another host": (
        POST.replace(b" /", b" http://localhost/") + b"Host: evil.example\r\n" + LENGTH
        + b"\r\n" + BODY,
        BODY,
    ),
    "framing named in Connection": (
        POST + HOST + LENGTH + b"Connection: Content-Length, Host, Content-Type\r\n\r\n" + BODY,
        BODY,
    ),
    "upgrade": (
        POST + HOST + LENGTH + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + BODY,
        BODY,
    ),
}  # fmt: skip


@WAYS
@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(sluice: Sluice, witness: Upstream, case: str, whole: bool) -> None:
    """Once, alone, framed anew; then the connection serves the next request."""
    data, body = ACCEPTED[case]
    before = len(witness.requests)
    with wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        send(client, data + POST + HOST + b"Content-Length: 4\r\n\r\nnext", whole)
        assert [client.read().status for _ in range(2)] == [200, 200]
    arrived = witness.requests[before:]
    assert [request.body for request in arrived] == [body, b"next"]
    for request in arrived:
        names = request.names()
        assert names.count("content-length") == 1 and names.count("host") == 1
        assert request.get("host") == f"127.0.0.1:{witness.port}"
        assert not {"transfer-encoding", "upgrade", "trailer", "te", "x-a"} & set(names)


# --- what is left unfinished

UNFINISHED = {
    "no last CR LF": chunked(wire.chunk(BODY) + b"0\r\n"),
    "no last chunk": chunked(wire.chunk(BODY)),
    "half a chunk": chunked(b"7\r\n{"),
    "half a trailer": chunked(wire.chunk(BODY) + b"0\r\nX-A: b"),
    "half a body": POST + HOST + b"Content-Length: 100\r\n\r\n" + BODY,
    "half a head": POST + HOST + b"Content-Len",
}


@pytest.mark.parametrize("case", UNFINISHED)
def test_unfinished(sluice: Sluice, witness: Upstream, case: str) -> None:
    """The sender's end is no end of a message: nothing is sent upstream."""
    before = len(witness.requests)
    with wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        client.send(UNFINISHED[case])
        client.socket.shutdown(1)
        with suppress(ConnectionError):
            assert not client.socket.recv(1 << 16).startswith(b"HTTP/1.1 200")
    with wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        assert client.ask("GET", "/health").status == 200
    assert len(witness.requests) == before


def test_bytes_behind_a_body(sluice: Sluice, witness: Upstream) -> None:
    """They are the next request, and no good one."""
    before = len(witness.requests)
    with wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        client.send(POST + HOST + b"Content-Length: 2\r\n\r\n{}X-Injected: a\r\n\r\n")
        first, second = client.read(), client.read()
        assert (first.status, second.status) == (200, 400)
        assert client.socket.recv(1) == b""
    assert [request.body for request in witness.requests[before:]] == [b"{}"]


def test_body_of_a_get(sluice: Sluice, witness: Upstream) -> None:
    """Belongs to it, wanted or not."""
    before = len(witness.requests)
    length = b"Content-Length: %d\r\n\r\n" % len(SMUGGLED)
    with wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        client.send(b"GET /health HTTP/1.1\r\n" + HOST + length + SMUGGLED)
        assert client.read().status == 200
        assert client.ask("GET", "/health").status == 200
    assert len(witness.requests) == before


def test_1_0_closes(sluice: Sluice) -> None:
    with wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        client.send(POST[:-3] + b"0\r\n" + HOST + LENGTH + b"\r\n" + BODY + SMUGGLED)
        got = client.read()
        assert (got.status, got.get("connection")) == (200, "close")
        assert client.socket.recv(1) == b""


# --- HTTP/2 before, HTTP/1.1 behind

TARGET = b"/model/%s/invoke" % CLAUDE.encode()
PROTOCOL_ERROR = 1
INJECTED = b"x\r\n\r\n" + SMUGGLED
PSEUDO: dict[bytes, bytes] = {
    b":method": b"POST",
    b":scheme": b"http",
    b":path": TARGET,
    b":authority": b"localhost",
}


def h2(
    *fields: tuple[bytes, bytes],
    body: bytes = BODY,
    trailers: h2wire.Fields | None = None,
    **pseudo: bytes | None,
) -> bytes:
    """A request on stream 1: its pseudo headers (None: without), fields and body."""
    changed = {b":" + name.encode(): value for name, value in pseudo.items()}
    first = [(k, v) for k, v in {**PSEUDO, **changed}.items() if v is not None]
    parts = [(h2wire.HEADERS, h2wire.block([*first, *fields]))]
    parts += [(h2wire.DATA, body)] if body else []
    parts += [(h2wire.HEADERS, h2wire.block(trailers))] if trailers is not None else []
    return b"".join(
        h2wire.frame(
            kind,
            (h2wire.END_HEADERS if kind == h2wire.HEADERS else 0)
            | (h2wire.END_STREAM if at == len(parts) - 1 else 0),
            1,
            payload,
        )
        for at, (kind, payload) in enumerate(parts)
    )


# A status, or the code of the stream's reset as a negative number.
RESET = -PROTOCOL_ERROR
H2_REFUSED: dict[str, tuple[bytes, int]] = {
    "CR LF in a value": (h2((b"x-a", INJECTED)), 400),
    "LF in a value": (h2((b"x-a", b"b\nc: d")), 400),
    "CR in a value": (h2((b"x-a", b"b\rc: d")), 400),
    "NUL in a value": (h2((b"x-a", b"b\0c")), 400),
    "control byte in a value": (h2((b"x-a", b"b\x08")), 400),
    "CR LF in a name": (h2((b"x-a: b\r\nx-c", b"d")), 400),
    "colon in a name": (h2((b"x-a:", b"b")), 400),
    "space in a name": (h2((b"x a", b"b")), 400),
    "NUL in a name": (h2((b"x\0a", b"b")), 400),
    "no name": (h2((b"", b"b")), 400),
    "upper-case name": (h2((b"X-A", b"b")), RESET),
    "transfer-encoding": (h2((b"transfer-encoding", b"chunked")), RESET),
    "connection": (h2((b"connection", b"close")), RESET),
    "keep-alive": (h2((b"keep-alive", b"timeout=5")), RESET),
    "proxy-connection": (h2((b"proxy-connection", b"close")), RESET),
    "upgrade": (h2((b"upgrade", b"h2c")), RESET),
    "te": (h2((b"te", b"gzip")), RESET),
    "length too small": (h2((b"content-length", b"2")), RESET),
    "length too large": (h2((b"content-length", b"100")), RESET),
    "length without a body": (h2((b"content-length", b"7"), body=b""), RESET),
    "two lengths": (h2((b"content-length", b"7"), (b"content-length", b"0")), RESET),
    "length with plus": (h2((b"content-length", b"+7")), RESET),
    "length with CR LF": (h2((b"content-length", b"7\r\nx-a: b")), 400),
    "another host": (h2((b"host", b"evil.example")), 400),
    "two hosts": (h2((b"host", b"localhost"), (b"host", b"evil.example")), RESET),
    "foreign authority": (h2(authority=b"evil.example"), 403),
    "authority with a user": (h2(authority=b"x@localhost"), 400),
    "authority with CR LF": (h2(authority=b"localhost\r\nx-a: b"), RESET),
    "authority with a space": (h2(authority=b"localhost evil.example"), RESET),
    "authority with a path": (h2(authority=b"localhost/x"), RESET),
    "list of authorities": (h2(authority=b"localhost,evil.example"), 400),
    "no authority": (h2(authority=None), RESET),
    "host with a user": (h2((b"host", b"x@localhost"), authority=None), 400),
    "path with CR LF": (h2(path=TARGET + b" HTTP/1.1\r\nx-a: b"), RESET),
    "path with a space": (h2(path=TARGET + b" HTTP/1.1"), RESET),
    "path with NUL": (h2(path=TARGET + b"\0"), RESET),
    "path with a fragment": (h2(path=TARGET + b"#x"), 400),
    "model with a fragment": (h2(path=b"/model/m#x/invoke"), 400),
    "model in other letters": (h2(path="/model/ä/invoke".encode()), 400),
    "non-ASCII path": (h2(path="/hälth".encode()), 400),
    "absolute path": (h2(path=b"http://localhost" + TARGET), RESET),
    "path without a slash": (h2(path=b"health"), RESET),
    "asterisk": (h2(path=b"*"), RESET),
    "empty path": (h2(path=b""), RESET),
    "no path": (h2(path=None), RESET),
    "no method": (h2(method=None), RESET),
    "no scheme": (h2(scheme=None), RESET),
    "method with CR LF": (h2(method=b"GET / HTTP/1.1\r\nx-a: b\r\n\r\nPOST"), RESET),
    "method with a space": (h2(method=b"POST /x"), RESET),
    "CONNECT": (h2(method=b"CONNECT", path=None, scheme=None), 501),
    "unknown pseudo header": (h2((b":x", b"y")), RESET),
    "late pseudo header": (h2((b"x-a", b"b"), (b":path", b"/health")), RESET),
    "two paths": (h2((b":path", b"/health")), RESET),
    "pseudo header in a trailer": (h2(trailers=[(b":path", b"/health")]), RESET),
    "upper-case trailer": (h2(trailers=[(b"X-A", b"b")]), RESET),
    "length in a trailer": (h2(trailers=[(b"content-length", b"100")]), RESET),
    "coding in a trailer": (h2(trailers=[(b"transfer-encoding", b"chunked")]), RESET),
}


@pytest.mark.parametrize("case", H2_REFUSED)
def test_refused_before_http1(sluice: Sluice, witness: Upstream, case: str) -> None:
    """The stream ends; the connection and its other streams live on."""
    frames, expected = H2_REFUSED[case]
    before = len(witness.requests)
    with h2wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        got = client.exchange(frames)
    found = got.status if got.status else -(got.reset or 0)
    assert (found, got.alive) == (expected, True), got
    assert len(witness.requests) == before, "nothing came through"


H2_ACCEPTED: dict[str, tuple[bytes, bytes]] = {
    "plain": (h2(), BODY),
    "length": (h2((b"content-length", b"7")), BODY),
    "body like a request": (h2(body=SMUGGLED), SMUGGLED),
    "same host": (h2((b"host", b"localhost")), BODY),
    "host alone": (h2((b"host", b"localhost"), authority=None), BODY),
    "te: trailers": (h2((b"te", b"trailers")), BODY),
    "trailers": (h2(trailers=[(b"x-a", b"b")]), BODY),
    "empty value": (h2((b"x-b", b"")), BODY),
}


@pytest.mark.parametrize("case", H2_ACCEPTED)
def test_accepted_before_http1(sluice: Sluice, witness: Upstream, case: str) -> None:
    frames, body = H2_ACCEPTED[case]
    before = len(witness.requests)
    with h2wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        got = client.exchange(frames)
    assert (got.status, got.alive) == (200, True)
    (arrived,) = witness.requests[before:]
    assert arrived.body == body
    assert arrived.names().count("content-length") == 1 and arrived.names().count("host") == 1
    assert not {"transfer-encoding", "te", "x-a", ":path"} & set(arrived.names())
