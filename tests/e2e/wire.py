"""HTTP/1.1 and event streams, byte by byte: what the tests send, and what they look at.

Shares nothing with the program under test, and no HTTP library: those tidy up what is to be seen.
"""

import hashlib
import socket
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

Headers = list[tuple[bytes, bytes]]

# Of one hop only, and what the framing of one hop decides (RFC 9110 7.6.1).
HOP_HEADERS = {
    b"connection",
    b"content-length",
    b"keep-alive",
    b"proxy-connection",
    b"transfer-encoding",
}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def get(headers: Headers, name: str) -> bytes | None:
    """The first header of that name, in any case."""
    wanted = name.lower().encode()
    return next((value for key, value in headers if key.lower() == wanted), None)


def end_to_end(headers: Headers) -> Headers:
    """What a proxy must carry unchanged, without what this one adds of its own."""
    return [
        (name, value)
        for name, value in headers
        if name.lower() not in HOP_HEADERS and not name.lower().startswith(b"x-sluice-")
    ]


def parse_head(head: bytes) -> tuple[bytes, Headers]:
    """The first line, and headers with their case and order."""
    first, *lines = head.split(b"\r\n")
    headers = []
    for line in lines:
        name, colon, value = line.partition(b":")
        assert colon, line
        headers.append((name, value.strip(b" \t")))
    return first, headers


def request(method: str, target: str | bytes, headers: Headers = (), body: bytes = b"") -> bytes:
    """The bytes of a request; Content-Length stands last unless the headers frame the body."""
    path = target.encode() if isinstance(target, str) else target
    lines = [b"%s %s HTTP/1.1" % (method.encode(), path)]
    lines += [b"%s: %s" % header for header in headers]
    framed = get(headers, "content-length") or get(headers, "transfer-encoding")
    if not framed and (body or method == "POST"):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


@dataclass
class Response:
    """What came back. whole: the framing ended as promised, not by a broken connection."""

    status: int
    headers: Headers
    body: bytes = b""
    whole: bool = True
    trailers: Headers = field(default_factory=list)

    def get(self, name: str) -> str | None:
        value = get(self.headers, name)
        return None if value is None else value.decode("latin-1")

    @property
    def error_type(self) -> str:
        """The exception as SDKs read it."""
        return (self.get("x-amzn-errortype") or "").partition(":")[0]


class Client:
    """One connection to the gateway."""

    def __init__(
        self, host: str, port: int, timeout: float = 30, receive_buffer: int = 0
    ) -> None:
        self.host = f"{host}:{port}"
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._data = bytearray()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _more(self) -> bool:
        """More bytes; False at the end of the connection, clean or not."""
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            return False
        self._data += data
        return bool(data)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._data[:count])
        del self._data[:count]
        return taken

    def read_until(self, mark: bytes) -> bytes | None:
        while (at := self._data.find(mark)) < 0:
            if not self._more():
                return None
        taken = self._take(at)
        self._take(len(mark))
        return taken

    def read_head(self) -> Response:
        """The head of the next final response; informational ones are passed over."""
        while True:
            head = self.read_until(b"\r\n\r\n")
            assert head is not None, f"no response: {bytes(self._data)!r}"
            first, headers = parse_head(head)
            status = int(first.split(b" ")[1])
            if status >= 200 or status == 101:
                return Response(status, headers)

    def read_pieces(self, response: Response) -> Iterator[bytes]:
        """The body as it comes; sets response.whole at the end."""
        if get(response.headers, "transfer-encoding") == b"chunked":
            yield from self._read_chunks(response)
            return
        length = get(response.headers, "content-length")
        left = int(length) if length is not None else None
        response.whole = left is not None
        while left is None or left > 0:
            if not self._data and not self._more():
                response.whole = left is None
                return
            piece = self._take(len(self._data) if left is None else min(left, len(self._data)))
            left = None if left is None else left - len(piece)
            yield piece

    def _read_chunks(self, response: Response) -> Iterator[bytes]:
        response.whole = False
        while (size := self.read_until(b"\r\n")) is not None:
            length = int(size.partition(b";")[0], 16)
            if length == 0:
                while (line := self.read_until(b"\r\n")) is not None:
                    if not line:
                        response.whole = True
                        return
                    response.trailers.append(parse_head(b"\r\n" + line)[1][0])
                return
            while len(self._data) < length + 2:
                if not self._more():
                    return
            yield self._take(length)
            assert self._take(2) == b"\r\n"

    def read(self) -> Response:
        response = self.read_head()
        response.body = b"".join(self.read_pieces(response))
        return response

    def ask(
        self, method: str, target: str | bytes, headers: Headers = (), body: bytes = b""
    ) -> Response:
        """A request with a Host of its own, and the answer to it."""
        headers = list(headers)
        if get(headers, "host") is None:
            headers.insert(0, (b"Host", self.host.encode()))
        self.send(request(method, target, headers, body))
        return self.read()


# --- event streams


def frame(headers: Iterable[tuple[str, str]], payload: bytes) -> bytes:
    """One message of application/vnd.amazon.eventstream, headers of type string."""
    block = b""
    for name, value in headers:
        text = value.encode()
        block += struct.pack("!B", len(name)) + name.encode()
        block += struct.pack("!BH", 7, len(text)) + text
    prelude = struct.pack("!II", 16 + len(block) + len(payload), len(block))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + block + payload
    return message + struct.pack("!I", zlib.crc32(message))


def event(kind: str, payload: bytes) -> bytes:
    return frame(
        [
            (":event-type", kind),
            (":content-type", "application/json"),
            (":message-type", "event"),
        ],
        payload,
    )


def exception(kind: str, payload: bytes) -> bytes:
    return frame(
        [
            (":exception-type", kind),
            (":content-type", "application/json"),
            (":message-type", "exception"),
        ],
        payload,
    )


def converse_stream(words: list[str]) -> list[bytes]:
    """The frames of a ConverseStream answer that says these words."""
    deltas = [
        event(
            "contentBlockDelta",
            b'{"contentBlockIndex":0,"delta":{"text":"%s"},"p":"abc"}' % word.encode(),
        )
        for word in words
    ]
    return [
        event("messageStart", b'{"p":"abcdefgh","role":"assistant"}'),
        *deltas,
        event("contentBlockStop", b'{"contentBlockIndex":0,"p":"ab"}'),
        event("messageStop", b'{"p":"abcde","stopReason":"end_turn"}'),
        event(
            "metadata",
            b'{"metrics":{"latencyMs":7},"p":"a","usage":{"inputTokens":11,'
            b'"outputTokens":%d,"totalTokens":%d}}' % (len(words), 11 + len(words)),
        ),
    ]
