"""A small Bedrock-like server that is not our simulator: the other witness.

It keeps every request as its bytes came, checks the signature with botocore, and answers exactly
the bytes that a test has scripted. It knows nothing of models.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

import wire
from wire import Headers

DEADLINE = 20.0


@dataclass
class Delay:
    """A pause of the script in seconds: how slow this upstream is."""

    seconds: float


class Gate:
    """A place where a script waits until the test opens it; reached says that it waits there."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def open(self) -> None:
        self._open.set()

    async def wait(self) -> None:
        self.reached.set()
        while not self._open.is_set():
            await asyncio.sleep(0.005)


class Close:
    """The connection is closed cleanly."""


class Reset:
    """The connection is reset."""


Step = bytes | Delay | Gate | type[Close] | type[Reset]
Script = list[Step]


@dataclass
class Received:
    """One request, verbatim. left is set when its sender closes before the answer is through."""

    method: str
    target: bytes
    headers: Headers
    body: bytes
    connection: int
    service: str = ""  # that it is signed for; empty with an API key
    fault: str = ""  # why its signature is wrong
    left: threading.Event = field(default_factory=threading.Event)
    steps: int = 0  # of the script that are done

    def get(self, name: str) -> str | None:
        value = wire.get(self.headers, name)
        return None if value is None else value.decode("latin-1")

    def names(self) -> list[str]:
        return [name.decode("latin-1").lower() for name, _ in self.headers]


def reply(
    status: int = 200,
    body: bytes = b"{}",
    headers: Headers | None = None,
    reason: str = "OK",
    *,
    chunked: list[bytes] | None = None,
) -> Script:
    """A whole answer with Content-Length, or with these chunks. JSON, unless headers say more."""
    lines = [b"HTTP/1.1 %d %s" % (status, reason.encode())]
    named = [(b"Content-Type", b"application/json")] if headers is None else headers
    lines += [b"%s: %s" % header for header in named]
    if chunked is None:
        lines.append(b"Content-Length: %d" % len(body))
        return [b"\r\n".join(lines) + b"\r\n\r\n" + body]
    lines.append(b"Transfer-Encoding: chunked")
    steps: Script = [b"\r\n".join(lines) + b"\r\n\r\n"]
    return [*steps, *(wire.chunk(piece) for piece in chunked), wire.LAST_CHUNK]


def error(status: int, kind: str, message: str) -> Script:
    """A refusal in Bedrock's own shape."""
    headers = [
        (b"Content-Type", b"application/json"),
        (b"x-amzn-RequestId", b"0b2c4d6e-1111-2222-3333-444455556666"),
        (
            b"x-amzn-ErrorType",
            kind.encode() + b":http://internal.amazon.com/coral/com.amazon.bedrock/",
        ),
    ]
    return reply(status, b'{"message":"%s"}' % message.encode(), headers, "Error")


STREAM_HEADERS: Headers = [
    (b"Date", b"Sat, 22 Nov 2025 12:00:00 GMT"),
    (b"Content-Type", b"application/vnd.amazon.eventstream"),
    (b"x-amzn-RequestId", b"3f5a7c9e-aaaa-bbbb-cccc-ddddeeeeffff"),
    (b"X-Amzn-Bedrock-Content-Type", b"application/json"),
]


def open_stream(headers: Headers = STREAM_HEADERS) -> bytes:
    """The head of a stream in chunks; wire.chunk(frame) steps and wire.LAST_CHUNK follow."""
    lines = [b"HTTP/1.1 200 OK", *(b"%s: %s" % h for h in headers), b"Transfer-Encoding: chunked"]
    return b"\r\n".join(lines) + b"\r\n\r\n"


class Watched(asyncio.StreamReaderProtocol):
    """A stream that also says when its peer has left, read or unread bytes notwithstanding."""

    def __init__(self, serve: Callable[..., Awaitable[None]]) -> None:
        self.left = asyncio.Event()
        super().__init__(asyncio.StreamReader(limit=1 << 20), serve)

    def eof_received(self) -> bool | None:
        self.left.set()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.left.set()
        super().connection_lost(exc)


class Upstream:
    """Serves until closed. `answer` is a script, or a function from a request to one."""

    def __init__(
        self, *, key: str, secret: str, session: str, region: str, port: int = 0
    ) -> None:
        self.answer: Script | Callable[[Received], Script] = reply()
        self.requests: list[Received] = []
        self.api_key: str | None = None  # that is accepted in place of a signature
        self._credentials = Credentials(key, secret, session)
        self._region = region
        self._news = threading.Condition()
        self._accepted = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._call(
            self._loop.create_server(lambda: Watched(self._serve), "127.0.0.1", port)
        )
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(DEADLINE)

    def close(self) -> None:
        """Ends every connection; all signatures that it has seen must have been right."""

        async def end() -> None:
            self._server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        self._call(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()
        faults = [r.fault for r in self.requests if r.fault]
        assert not faults, faults[0]

    def wait_requests(self, count: int, timeout: float = DEADLINE) -> list[Received]:
        """Waits until so many requests have come; returns all."""
        with self._news:
            done = self._news.wait_for(lambda: len(self.requests) >= count, timeout)
        assert done, f"{len(self.requests)} of {count} requests came"
        return self.requests

    def is_stuck(self, seconds: float) -> bool:
        """Whether the last answer has begun and makes no progress for that long."""
        before = self.last.steps
        threading.Event().wait(seconds)
        return 0 < before == self.last.steps

    @property
    def connections(self) -> int:
        """Connections that are open now."""
        return len(self._tasks)

    @property
    def last(self) -> Received:
        return self.requests[-1]

    # --- the server's side

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self._accepted += 1
        connection = self._accepted
        try:
            while (received := await self._receive(reader, connection)) is not None:
                self._check_signature(received)
                script = self._script_for(received)
                with self._news:
                    self.requests.append(received)
                    self._news.notify_all()
                if not await self._perform(script, received, writer):
                    return
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
            self._tasks.discard(task)

    def _script_for(self, received: Received) -> Script:
        if received.fault:
            return error(403, "InvalidSignatureException", "The signature is wrong.")
        return self.answer(received) if callable(self.answer) else self.answer

    async def _receive(self, reader: asyncio.StreamReader, connection: int) -> Received | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as end:
            if end.partial:
                raise
            return None
        first, headers = wire.parse_head(head[:-4])
        method, target, version = first.split(b" ")
        assert version == b"HTTP/1.1", first
        body = await self._read_body(reader, headers)
        return Received(method.decode(), target, headers, body, connection)

    async def _read_body(self, reader: asyncio.StreamReader, headers: Headers) -> bytes:
        if wire.get(headers, "transfer-encoding") is None:
            return await reader.readexactly(int(wire.get(headers, "content-length") or 0))
        body = b""
        while True:
            size = int(await reader.readline(), 16)
            piece = await reader.readexactly(size + 2)
            body += piece[:-2]
            if size == 0:
                return body

    async def _perform(
        self, script: Script, received: Received, writer: asyncio.StreamWriter
    ) -> bool:
        """Plays the script; False when the connection is over. Notes the peer leaving midway."""
        protocol = writer.transport.get_protocol()
        assert isinstance(protocol, Watched)
        play = asyncio.ensure_future(self._play(script, received, writer))
        leave = asyncio.ensure_future(protocol.left.wait())
        try:
            await asyncio.wait({play, leave}, return_when=asyncio.FIRST_COMPLETED)
            if play.done() and not play.exception():
                return play.result()
            received.left.set()
            return False
        finally:
            for task in (play, leave):
                task.cancel()
            await asyncio.gather(play, leave, return_exceptions=True)

    async def _play(
        self, script: Script, received: Received, writer: asyncio.StreamWriter
    ) -> bool:
        for received.steps, step in enumerate(script):
            match step:
                case bytes():
                    writer.write(step)
                    await writer.drain()
                case Delay():
                    await asyncio.sleep(step.seconds)
                case Gate():
                    await step.wait()
                case _ if step is Close:
                    return False
                case _ if step is Reset:
                    writer.transport.abort()
                    return False
        return True

    # --- signatures, by botocore

    def _check_signature(self, received: Received) -> None:
        value = received.get("authorization") or ""
        if self.api_key is not None:
            if value != f"Bearer {self.api_key}":
                received.fault = f"not the API key: {value[:20]!r}"
            return
        try:
            received.service = self._judge(received, value)
        except (AssertionError, KeyError, ValueError) as why:
            received.fault = f"{received.method} {received.target!r}: {why}"

    def _judge(self, received: Received, authorization: str) -> str:
        """The service of a right signature; raises for a wrong one."""
        scheme, _, fields = authorization.partition(" ")
        assert scheme == "AWS4-HMAC-SHA256", f"no signature: {authorization[:40]!r}"
        parts = dict(field.strip().split("=", 1) for field in fields.split(","))
        key, day, region, service, end = parts["Credential"].split("/")
        signed = parts["SignedHeaders"].split(";")
        assert (key, region, end) == (self._credentials.access_key, self._region, "aws4_request")
        assert signed == sorted(signed), signed
        date = received.get("x-amz-date") or ""
        assert date.startswith(day) and datetime.strptime(date, "%Y%m%dT%H%M%SZ"), date
        must = {"host"} | {name for name in received.names() if name.startswith("x-amz-")}
        assert must <= set(signed), f"not signed: {must - set(signed)}"
        assert received.get("x-amz-security-token") == self._credentials.token
        sent_digest = received.get("x-amz-content-sha256")
        assert sent_digest in (None, wire.digest(received.body)), "digest of another body"
        expected = self._sign(received, service, signed, date)
        assert parts["Signature"] == expected, "the signature does not match"
        return service

    def _sign(self, received: Received, service: str, signed: list[str], date: str) -> str:
        url = f"http://{received.get('host')}{received.target.decode('utf-8')}"
        request = AWSRequest(method=received.method, url=url, data=received.body)
        for name, value in received.headers:
            if name.decode("latin-1").lower() in signed:
                request.headers.add_header(name.decode("latin-1"), value.decode("utf-8"))
        request.context["timestamp"] = date
        signer = botocore.auth.SigV4Auth(self._credentials, service, self._region)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        return signer.signature(text, request)
