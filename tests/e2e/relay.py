"""A relay between the gateway and the simulator that breaks what passes, as told.

It takes one request, has the simulator answer it whole, and then plays that answer: cut, stalled,
reset, changed. A fault may hold for every request, or for the first of each sender ("once").
"""

import asyncio
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

DEADLINE = 20.0


class Stall:
    """Nothing more comes, and the connection stays."""


class Close:
    """The connection ends here, by FIN."""


class Reset:
    """The connection ends here, by RST."""


class Cut:
    """The connection ends here, by FIN, and of TLS no word that it does."""


@dataclass
class Delay:
    seconds: float


Step = bytes | Delay | type[Stall] | type[Close] | type[Reset] | type[Cut]
# From the simulator's answer, head and body apart, to what is played.
Play = Callable[[bytes, bytes], list[Step]]


@dataclass
class Fault:
    play: Play = lambda head, body: [head + body]
    on_accept: type | None = None  # Stall or Reset, before anything is read
    hello: tuple[Step, ...] | None = None  # to the first byte, in place of TLS
    certificate: str = "good"  # of those that the relay was given
    name: str = "there"  # what is said of the relay's name: "missing", "silent"
    refuse: bool = False  # nobody listens
    once: bool = False  # only the first time that a prompt is asked


FINE = Fault()
MARK = re.compile(rb"cell-[0-9]+")


class Relay:
    """With certificates it speaks TLS; with a file for names, it is known by NAME (names.c)."""

    NAME = "upstream.sluice.test"

    def __init__(
        self,
        upstream: tuple[str, int],
        certificates: Mapping[str, ssl.SSLContext] | None = None,
        names: Path | None = None,
    ) -> None:
        self.fault = FINE
        self._certificates = certificates
        self._names = names
        self.requests = 0
        self._upstream = upstream
        self._seen: set[bytes] = set()
        self._tasks: set[asyncio.Task] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server: asyncio.Server | None = None
        self.port = 0
        self._call(self._listen(FINE))

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(DEADLINE)

    @property
    def url(self) -> str:
        host = self.NAME if self._names else "127.0.0.1"
        return f"http{'s' if self._certificates else ''}://{host}:{self.port}"

    def use(self, fault: Fault) -> None:
        """For connections to come; those that are open end."""

        async def change() -> None:
            self.fault = fault
            await self._end()
            if not fault.refuse:
                await self._listen(fault)

        self._call(change())

    def close(self) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()

    async def _listen(self, fault: Fault) -> None:
        if self._names:
            self._names.write_text(fault.name)
        bare = fault.on_accept or fault.hello is not None
        context = self._certificates[fault.certificate] if self._certificates and not bare else None
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=context
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _end(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            if self.fault.on_accept:
                await self._act(self.fault.on_accept, reader, writer)
            elif self.fault.hello is not None:
                await reader.readexactly(1)
                for step in self.fault.hello:
                    await self._act(step, reader, writer)
            else:
                while await self._exchange(reader, writer):
                    pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: *([0-9]+)", head, re.I)
        body = await reader.readexactly(int(length[1]) if length else 0)
        self.requests += 1
        mark = MARK.search(body)
        again = mark is not None and mark[0] in self._seen
        if mark:
            self._seen.add(mark[0])
        play = FINE.play if self.fault.once and again else self.fault.play
        for step in play(*await self._ask(head, body)):
            if not await self._act(step, reader, writer):
                return False
        return True

    async def _ask(self, head: bytes, body: bytes) -> tuple[bytes, bytes]:
        """The simulator's answer, as if the connection could go on."""
        reader, writer = await asyncio.open_connection(*self._upstream)
        writer.write(head[:-2] + b"Connection: close\r\n\r\n" + body)
        answer = await reader.read()
        writer.close()
        first, _, rest = answer.partition(b"\r\n\r\n")
        return first.replace(b"\r\nConnection: close", b"") + b"\r\n\r\n", rest

    async def _act(
        self, step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        if isinstance(step, bytes):
            writer.write(step)
            await writer.drain()
        elif isinstance(step, Delay):
            await asyncio.sleep(step.seconds)
        elif step is Stall:
            while await reader.read(65536):  # until the sender gives up
                pass
            return False
        elif step is Cut:
            writer.transport.abort()
            return False
        else:
            if step is Reset:
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        return True
