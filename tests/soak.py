"""Everything at once, for a while: ./dev soak [MINUTES]

    clients (here) ──▶ sluice serve ──▶ relay (here) ──▶ sluice simulator, which fails now and then

All dialects, streamed and not, over HTTP/1.1 and 2; repeated prompts, clients that leave, new
connections, a reload every few seconds. Every prompt carries a tag, and every answer the gateway's
own request id, so that in the end three books can be held beside each other:

    client    what it asked, which id it was given, how that ended
    ledger    one row an id, in STATE/sluice.db: status, attempts, whether it was shared
    relay     how often each tag went to the simulator

Checked: every request was answered, each id stands in the ledger exactly once, with the status its
client saw, no tag went upstream more often than the ledger says, no answer ends early without
saying so, answers are those that the simulator gives directly, memory and file descriptors stay
flat after the warm-up, and the process ends well.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import aiohttp
import boto3
import botocore.exceptions
from botocore.config import Config
from botocore.eventstream import EventStreamBuffer

LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
TITAN = "amazon.titan-embed-text-v2:0"
TAG = re.compile(rb"soak-[0-9a-f]{8}")
TAG_SIZE = len("soak-00000000")
# Each N-th call at the simulator; primes, so that they do not meet.
FAULTS = ("503/53,delay=200/61,500/67,reset-head/83,reset-midway/97,exception-midway/101,"
          "truncate/103,truncate-frame/107,malformed-frame/109,503-first-frame/113,stall-midway/211,"
          "stall-head/223,validation/307")
# Throttles are real: the gateway is not told the quota of a window and has to learn it.
WINDOW = "2s"
SETTINGS = {
    "log.access": "off", "cache.size": "4MiB", "cache.snapshot_interval": "5s", "models.default": LLAMA,
    "quotas.source": "config", "retry.backoff": "20ms", "retry.backoff_max": "200ms",
    "upstream.first_byte_timeout": "2s", "upstream.idle_timeout": "2s", "flight.linger": "1s",
    "quotas.window_length": WINDOW,
}
SIMULATOR = {
    "simulator.latency": "5ms", "simulator.first_token": "5ms", "simulator.tokens_per_second": 2000,
    "simulator.faults": FAULTS, "simulator.rpm": 300, "simulator.window_length": WINDOW,
}
KEY = {"AWS_ACCESS_KEY_ID": "AKIASIMULATOR0000001", "AWS_SECRET_ACCESS_KEY": "simulated/secret/key/that/opens/nothing",
       "AWS_REGION": "us-east-1"}
# What malformed-frame puts into a document: nothing in HTTP/1.1 tells that it is not upstream's word.
GARBLED = b"\x01"
PATIENCE = 60       # seconds without an answer are a lost request
WORD_EVERY = 30
RELOAD_EVERY = 5.0
ROUND = 20.0        # seconds that a worker keeps its connections
LEAVE = 0.03        # share of requests whose client leaves early
REPEAT = 0.15       # share of requests that ask what was asked before
SAMPLES = 100       # answers compared with the simulator's own


# ---- What is asked ------------------------------------------------------------------

def events_end(body: bytes) -> bool | None:
    """True: whole; None: ended with an exception; False: cut off. A bad checksum raises."""
    buffer = EventStreamBuffer()
    buffer.add_data(body)
    whole = False
    for event in buffer:
        if ":exception-type" in event.headers or event.headers.get(":message-type") == "error":
            return None
        kind, payload = event.headers.get(":event-type"), event.payload
        if kind == "chunk":
            payload = base64.b64decode(json.loads(payload)["bytes"])
            whole = whole or b'"stop_reason":"' in payload or b"message_stop" in payload
        whole = whole or kind == "messageStop"
    return whole


def sse_end(marker: bytes) -> Callable[[bytes], bool | None]:
    def end(body: bytes) -> bool | None:
        if marker in body:
            return True
        return None if b'"error"' in body or b"event: error" in body else False
    return end


def document_end(body: bytes) -> bool | None:
    json.loads(body)
    return True


@dataclass(frozen=True)
class Kind:
    name: str
    path: str
    body: Callable[[str], dict]
    end: Callable[[bytes], bool | None] = document_end


def text(prompt: str) -> list[dict]:
    return [{"role": "user", "content": prompt}]


def blocks(prompt: str) -> list[dict]:
    return [{"role": "user", "content": [{"text": prompt}]}]


def at(model: str, action: str) -> str:
    return f"/model/{quote(model, safe='')}/{action}"


def llama(p: str) -> dict:
    return {"prompt": p, "max_gen_len": 256}


def claude(p: str) -> dict:
    return {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 256, "messages": text(p)}


KINDS = [
    Kind("converse", at(LLAMA, "converse"), lambda p: {"messages": blocks(p)}),
    Kind("converse stream", at(CLAUDE, "converse-stream"), lambda p: {"messages": blocks(p)}, events_end),
    Kind("invoke llama", at(LLAMA, "invoke"), llama),
    Kind("invoke llama stream", at(LLAMA, "invoke-with-response-stream"), llama, events_end),
    Kind("invoke claude", at(CLAUDE, "invoke"), claude),
    Kind("invoke claude stream", at(CLAUDE, "invoke-with-response-stream"), claude, events_end),
    Kind("embed", at(TITAN, "invoke"), lambda p: {"inputText": p}),
    Kind("openai chat", "/v1/chat/completions", lambda p: {"model": LLAMA, "messages": text(p)}),
    Kind("openai chat stream", "/v1/chat/completions",
         lambda p: {"model": LLAMA, "messages": text(p), "stream": True}, sse_end(b"data: [DONE]")),
    Kind("openai responses", "/v1/responses", lambda p: {"model": LLAMA, "input": p}),
    Kind("openai responses stream", "/v1/responses",
         lambda p: {"model": CLAUDE, "input": p, "stream": True}, sse_end(b"event: response.completed")),
    Kind("openai embeddings", "/v1/embeddings", lambda p: {"model": TITAN, "input": p}),
    Kind("anthropic", "/v1/messages", lambda p: {"model": CLAUDE, "max_tokens": 256, "messages": text(p)}),
    Kind("anthropic stream", "/v1/messages",
         lambda p: {"model": LLAMA, "max_tokens": 256, "messages": text(p), "stream": True},
         sse_end(b"event: message_stop")),
    Kind("rest", "/invoke", lambda p: {"prompt": p}),
    Kind("rest stream", "/invoke", lambda p: {"prompt": p, "stream": True}, sse_end(b'"tokens_output"')),
    Kind("rest chat", "/chat", lambda p: {"session": p.split(":")[0] + "-" + os.urandom(6).hex(), "message": p}),
]


# ---- The relay ----------------------------------------------------------------------

class Relay:
    """A TCP relay to the simulator that counts the tags of what goes there."""

    def __init__(self, port: int) -> None:
        self.upstream = port
        self.seen: Counter[str] = Counter()

    async def start(self) -> int:
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: RelaySide(self, None), "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]


class RelaySide(asyncio.Protocol):
    """One side of a relayed connection; the side of the gateway (made first) counts."""

    def __init__(self, relay: Relay, other: "RelaySide | None") -> None:
        self.relay, self.other, self.counts = relay, other, other is None
        self.transport: asyncio.Transport | None = None
        self.waiting, self.tail = b"", b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        if self.counts:
            self.opening = asyncio.ensure_future(self.open())
        elif self.other and self.other.waiting:
            transport.write(self.other.waiting)
            self.other.waiting = b""

    async def open(self) -> None:
        other = RelaySide(self.relay, self)
        try:
            await asyncio.get_running_loop().create_connection(lambda: other, "127.0.0.1", self.relay.upstream)
            self.other = other
            if self.transport.is_closing():
                other.transport.close()
        except OSError:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.counts:
            bytes_ = self.tail + data
            for match in TAG.finditer(bytes_):
                self.relay.seen[match.group().decode()] += 1
            # What may be the beginning of a tag, but never a whole one: that was counted.
            cut = bytes_.rfind(b"s", max(0, len(bytes_) - TAG_SIZE + 1))
            self.tail = bytes_[cut:] if cut >= 0 else b""
            if TAG.fullmatch(self.tail):
                self.tail = b""
        if self.other and self.other.transport:
            self.other.transport.write(data)
        else:
            self.waiting += data

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, why: Exception | None) -> None:
        if self.other and self.other.transport:
            # A break is passed on as what it was.
            self.other.transport.abort() if why else self.other.transport.close()


# ---- The clients --------------------------------------------------------------------

@dataclass
class Books:
    """What the clients know."""
    outcomes: dict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))
    statuses: Counter = field(default_factory=Counter)
    ids: dict[str, tuple[str, int]] = field(default_factory=dict)  # id → tag, status
    doubled: list[str] = field(default_factory=list)               # ids that came twice
    left: dict[str, int] = field(default_factory=lambda: defaultdict(int))  # tag → answers not seen to the head
    left_before_id: int = 0
    bad: list[str] = field(default_factory=list)                   # what must not be, in words
    samples: dict[str, str] = field(default_factory=dict)          # prompt → text of Converse's answer
    recent: list[tuple[Kind, str]] = field(default_factory=list)   # to repeat
    asked: int = 0
    number: int = 0

    def tag(self) -> str:
        self.number += 1
        return f"soak-{self.number:08x}"

    def note(self, tag: str, request_id: str | None, status: int) -> None:
        if not request_id:
            self.bad.append(f"{tag}: status {status} without a request id")
        elif request_id in self.ids:
            self.doubled.append(request_id)
        else:
            self.ids[request_id] = (tag, status)

    def choose(self) -> tuple[Kind, str]:
        """Something new, or what was asked before."""
        if self.recent and random.random() < REPEAT:
            return random.choice(self.recent)
        kind = random.choice(KINDS)
        chosen = kind, f"{self.tag()}: say {random.randrange(5, 120)} words"
        self.recent.append(chosen)
        if len(self.recent) > 500:
            self.recent.pop(random.randrange(400))
        return chosen


class Client:
    def __init__(self, books: Books, url: str) -> None:
        self.books, self.url = books, url

    async def ask(self, session: aiohttp.ClientSession) -> None:
        kind, prompt = self.books.choose()
        leaves = random.random() < LEAVE
        self.books.asked += 1
        try:
            async with asyncio.timeout(random.uniform(0, 0.06) if leaves else PATIENCE):
                outcome = await self.exchange(session, kind, prompt)
        except TimeoutError:
            outcome = "left" if leaves else "lost"
        if outcome == "lost":
            self.books.bad.append(f"{prompt.split(':')[0]} ({kind.name}): no answer within {PATIENCE} s")
        self.books.outcomes[kind.name][outcome] += 1

    async def exchange(self, session: aiohttp.ClientSession, kind: Kind, prompt: str) -> str:
        """"whole", "refused", "broken" (and said so), "garbled" upstream, or what must not be."""
        tag, noted, body = prompt.split(":")[0], False, b""
        data = json.dumps(kind.body(prompt))
        try:
            async with session.post(self.url + kind.path, data=data,
                                    headers={"Content-Type": "application/json"}) as response:
                self.books.note(tag, response.headers.get("x-sluice-request-id"), response.status)
                self.books.statuses[response.status] += 1
                noted = True
                async for piece in response.content.iter_any():
                    body += piece
                return self.judge(kind, prompt, response.status, body)
        except asyncio.CancelledError:
            self.books.left[tag] += not noted
            self.books.left_before_id += not noted
            raise
        except aiohttp.ClientError as e:
            if noted:
                return "broken"  # HTTP itself says that the body is not whole
            self.books.left[tag] += 1
            self.books.bad.append(f"{tag} ({kind.name}): {e!r}")
            return "no answer"

    def judge(self, kind: Kind, prompt: str, status: int, body: bytes) -> str:
        if status != 200:
            document_end(body)
            return "refused"
        try:
            end = kind.end(body)
        except Exception as e:  # whatever a parser may say
            if kind.end is document_end and GARBLED in body:
                return "garbled"
            self.books.bad.append(f"{prompt} ({kind.name}): {e!r} in {body[-200:]!r}")
            return "damaged"
        if end is False:
            self.books.bad.append(f"{prompt} ({kind.name}): cut off without a word: …{body[-400:]!r}")
            return "cut off"
        if end and kind.name == "converse" and len(self.books.samples) < SAMPLES:
            self.books.samples[prompt] = said(json.loads(body))
        return "whole" if end else "broken"

    async def work(self, until: float) -> None:
        while time.monotonic() < until:
            round_end = min(until, time.monotonic() + random.uniform(0, ROUND))
            connector = aiohttp.TCPConnector(limit=0, force_close=random.random() < 0.1)
            async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
                while time.monotonic() < round_end:
                    await self.ask(session)

    async def work_h2(self, until: float) -> None:
        """Over HTTP/2, by curl, one at a time."""
        while time.monotonic() < until:
            kind, prompt = self.books.choose()
            self.books.asked += 1
            process = await asyncio.create_subprocess_exec(
                "curl", "-s", "--http2-prior-knowledge", "--max-time", str(PATIENCE), "-H",
                "Content-Type: application/json", "-d", json.dumps(kind.body(prompt)), "-w",
                "\n%{http_code} %header{x-sluice-request-id}", self.url + kind.path, stdout=subprocess.PIPE)
            output, _ = await process.communicate()
            body, _, tail = output.rpartition(b"\n")
            status, _, request_id = tail.decode().partition(" ")
            outcome = "no answer"
            if int(status):
                self.books.note(prompt.split(":")[0], request_id, int(status))
                self.books.statuses[int(status)] += 1
                outcome = "broken" if process.returncode else self.judge(kind, prompt, int(status), body)
            else:
                self.books.left[prompt.split(":")[0]] += 1
                self.books.bad.append(f"{prompt} ({kind.name}, HTTP/2): curl ended with {process.returncode}")
            self.books.outcomes[kind.name][outcome] += 1
            await asyncio.sleep(0.02)


def said(answer: dict) -> str:
    return answer["output"]["message"]["content"][0]["text"]


# ---- The process under test ---------------------------------------------------------

class Program:
    def __init__(self, command: list[str], log: Path, ready: str, env: dict[str, str]) -> None:
        self.log = log
        with open(log, "w") as out:
            self.process = subprocess.Popen(command, stderr=out, env=env)
        deadline = time.monotonic() + 20
        while not (match := re.search(rf"ready {ready}=\S+:(\d+)", log.read_text())):
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"soak: {command[:2]} did not start\n{log.read_text()}")
            time.sleep(0.02)
        self.port = int(match.group(1))

    def rss(self) -> float:
        """MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def fds(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def start(binary: Path, command: list[str], settings: dict, log: Path, ready: str) -> Program:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "SLUICE_"))} | KEY
    argv = [str(binary), *command]
    for name, value in settings.items():
        argv += ["--set", f"{name}={value}"]
    return Program(argv, log, ready, env)


@dataclass
class Watch:
    """RSS and descriptors once a second, the reloads, and now and then a word of how far it is."""
    program: Program
    books: Books
    seconds: float
    begin: float = field(default_factory=time.monotonic)
    rss: list[tuple[float, float]] = field(default_factory=list)
    fds: list[tuple[float, float]] = field(default_factory=list)
    reloads: int = 0

    async def run(self) -> None:
        next_reload = time.monotonic() + RELOAD_EVERY
        next_word = time.monotonic() + WORD_EVERY
        while True:
            now = time.monotonic()
            self.rss.append((now - self.begin, self.program.rss()))
            self.fds.append((now - self.begin, self.program.fds()))
            if now >= next_reload:
                self.program.process.send_signal(signal.SIGHUP)
                self.reloads += 1
                next_reload = now + RELOAD_EVERY
            if now >= next_word:
                print(f"{now - self.begin:5.0f} of {self.seconds:.0f} s: {self.books.asked:,} requests, "
                      f"{self.rss[-1][1]:.1f} MiB, {self.fds[-1][1]} descriptors", file=sys.stderr, flush=True)
                next_word = now + WORD_EVERY
            await asyncio.sleep(1)

    def parts(self, series: list[tuple[float, float]], warm_up: float) -> tuple[float, float]:
        """Medians of the first and the last third behind the warm-up."""
        values = [value for at, value in series if at >= warm_up]
        third = max(1, len(values) // 3)
        return statistics.median(values[:third]), statistics.median(values[-third:])


# ---- The judgement ------------------------------------------------------------------

class Verdict:
    def __init__(self) -> None:
        self.failed = 0

    def say(self, good: bool, what: str, detail: object = "") -> None:
        self.failed += not good
        print(f"{'ok  ' if good else 'FAIL'}  {what}{f': {detail}' if detail != '' else ''}")


def check_books(v: Verdict, books: Books, relay: Relay, ledger: Path) -> None:
    with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT request_id, status, cache, attempts FROM ledger").fetchall()
    count = Counter(row[0] for row in rows)
    by_id = {row[0]: row for row in rows}
    twice = [i for i, n in count.items() if n > 1]
    # What the gateway refuses itself is no call, and has no row.
    missing = [f"{i} {tag}" for i, (tag, status) in books.ids.items() if i not in by_id and status < 400]
    wrong = [f"{i}: client {status}, ledger {by_id[i][1]}" for i, (_, status) in books.ids.items()
             if i in by_id and by_id[i][1] != status]
    strangers = sum(i not in books.ids for i in count)
    v.say(not books.bad, "every request was answered, whole or with a word", "\n      " + "\n      ".join(books.bad[:10]) if books.bad else "")
    v.say(not books.doubled and not twice, "each id answered once and in the ledger once",
          len(books.doubled) + len(twice) or f"{len(rows)} rows")
    v.say(not missing, "each answer has its row in the ledger", "; ".join(missing[:3]))
    v.say(not wrong, "with the status that its client saw", "; ".join(wrong[:3]))
    v.say(strangers <= books.left_before_id, "rows of unknown ids are of clients that left before one came",
          f"{strangers} of {books.left_before_id}")
    check_tags(v, books, relay, by_id)


def check_tags(v: Verdict, books: Books, relay: Relay, by_id: dict) -> None:
    attempts: Counter[str] = Counter()
    for request_id, (tag, _) in books.ids.items():
        if request_id in by_id and by_id[request_id][2] not in ("hit", "join"):
            attempts[tag] += by_id[request_id][3]
    tags = {tag for tag, _ in books.ids.values()} | set(relay.seen)
    sure = [tag for tag in tags if not books.left[tag]]
    more = [f"{t}: upstream {relay.seen[t]}, ledger {attempts[t]}" for t in sure if relay.seen[t] > attempts[t]]
    less = sum(relay.seen[t] < attempts[t] for t in sure)
    v.say(not more, "no prompt went upstream more often than the ledger says",
          "; ".join(more[:3]) or f"{sum(relay.seen[t] for t in sure)} calls of {len(sure)} prompts")
    # An attempt may end before its body is sent: throttled or broken connections.
    v.say(less <= len(sure) // 50, "and hardly one less often", less)


def check_samples(v: Verdict, books: Books, port: int) -> None:
    client = boto3.client("bedrock-runtime", endpoint_url=f"http://127.0.0.1:{port}",
                          region_name=KEY["AWS_REGION"], aws_access_key_id=KEY["AWS_ACCESS_KEY_ID"],
                          aws_secret_access_key=KEY["AWS_SECRET_ACCESS_KEY"],
                          config=Config(read_timeout=3, retries={"total_max_attempts": 10, "mode": "standard"}))
    other = [prompt for prompt, answer in books.samples.items() if ask_simulator(client, prompt) != answer]
    v.say(not other, f"{len(books.samples)} answers are the simulator's own", "; ".join(other[:3]))


def ask_simulator(client, prompt: str) -> str:
    """Again, where it was one of its faults."""
    for _ in range(10):
        with contextlib.suppress(botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, KeyError,
                                 ValueError):
            return said(client.converse(modelId=LLAMA, messages=blocks(prompt)))
    return "ten faults in a row"


def check_flat(v: Verdict, watch: Watch, warm_up: float) -> None:
    first, last = watch.parts(watch.rss, warm_up)
    series = [f"{value:.0f}" for _, value in watch.rss[:: max(1, len(watch.rss) // 12)]]
    v.say(last <= first * 1.05 + 2, "RSS is flat after the warm-up",
          f"{first:.1f} → {last:.1f} MiB ({' '.join(series)})")
    first, last = watch.parts(watch.fds, warm_up)
    v.say(last <= first * 1.1 + 8, "so are file descriptors", f"{first:.0f} → {last:.0f}")


def check_log(v: Verdict, program: Program, reloads: int, code: int) -> None:
    log = program.log.read_text()
    errors = [line for line in log.splitlines() if re.search(r"\berror\b|assert|Sanitizer|runtime error", line, re.I)]
    done = log.count("configuration loaded again")
    v.say(done == reloads, "each SIGHUP was a reload", f"{done} of {reloads}")
    v.say(not errors, "no error in the log", "; ".join(errors[:3]))
    v.say(code == 0, "it ended well", f"exit code {code}")


def show(books: Books, relay: Relay, seconds: float) -> None:
    names = ["whole", "refused", "broken", "garbled", "left"]
    print(f"\n{'':26}" + "".join(f"{name:>9}" for name in names) + "   other")
    for kind, outcomes in sorted(books.outcomes.items()):
        other = {k: n for k, n in outcomes.items() if k not in names}
        print(f"{kind:26}" + "".join(f"{outcomes[name]:9}" for name in names) + f"   {other or ''}")
    statuses = " ".join(f"{s}×{n}" for s, n in sorted(books.statuses.items()))
    print(f"\n{books.asked} requests in {seconds:.0f} s ({books.asked / seconds:.0f}/s), of {books.number} prompts; "
          f"{sum(relay.seen.values())} calls upstream; statuses {statuses}\n")


# ---- The whole ----------------------------------------------------------------------

async def soak(binary: Path, folder: Path, seconds: float, workers: int) -> int:
    config = folder / "sluice.yaml"
    config.write_text("# read again at every SIGHUP\nlog: {level: info}\n")
    simulator = start(binary, ["simulator", "--listen", "127.0.0.1:0"], SIMULATOR, folder / "simulator.log",
                      "simulator")
    relay = Relay(simulator.port)
    port = await relay.start()
    sluice = start(binary, ["serve", "--config", str(config), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
                   {**SETTINGS, "state": folder / "state", "upstream.endpoint": f"http://127.0.0.1:{port}"},
                   folder / "sluice.log", "client")
    books = Books()
    watch = Watch(sluice, books, seconds)
    try:
        client = Client(books, f"http://127.0.0.1:{sluice.port}")
        until = time.monotonic() + seconds
        watching = asyncio.create_task(watch.run())
        await asyncio.gather(*(client.work(until) for _ in range(workers)), client.work_h2(until))
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching  # or it ended with an exception, which is shown
        code = await asyncio.to_thread(sluice.stop)  # the relay lives on this loop
        show(books, relay, seconds)
        verdict = Verdict()
        check_books(verdict, books, relay, folder / "state" / "sluice.db")
        check_samples(verdict, books, simulator.port)
        check_flat(verdict, watch, seconds / 4)
        check_log(verdict, sluice, watch.reloads, code)
        return 1 if verdict.failed else 0
    finally:
        sluice.stop()
        simulator.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("minutes", type=float, nargs="?", default=5.0)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=32, help="requests at once (default 32)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="do not delete logs and state")
    args = parser.parse_args()
    random.seed(args.seed)
    folder = Path(tempfile.mkdtemp(prefix="sluice-soak-"))
    try:
        code = asyncio.run(soak(args.build.resolve() / "sluice", folder, args.minutes * 60, args.workers))
    finally:
        if args.keep:
            print(f"logs and state: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
