"""What Sluice adds to a stream, beside nginx passing the same bytes on (proxy_buffering off).

Upstream is bench/upstream.c, which answers ConverseStream with frames made beforehand. A stream goes
directly, through nginx, and through Sluice natively and as OpenAI's and Anthropic's, which are made
of the same frames. Two loads:

- one stream at a time, its first token at once: the time to the first token. Rounds are interleaved;
- 500 streams at once of 200 frames each at a steady pace, begun one after another within two
  seconds: the same time, CPU for each frame and memory of the proxy process.

The first token is there when its text is, wherever in the answer's framing.
"""

import argparse
import json
import re
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness import (cpu_seconds, describe_machine, save, start_nginx, start_ready, start_sluice, stop)

MODEL = "us.meta.llama3-3-70b-instruct-v1:0"
PROMPT = "Why is the sky blue?"
BEGIN_WITHIN = 2.0 # s


def request(path: str, body: dict) -> bytes:
    text = json.dumps(body).encode()
    return (f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(text)}\r\n\r\n").encode() + text


NATIVE = request(f"/model/{MODEL.replace(':', '%3A')}/converse-stream",
                 {"messages": [{"role": "user", "content": [{"text": PROMPT}]}]})
OPENAI = request("/v1/chat/completions",
                 {"model": MODEL, "stream": True, "messages": [{"role": "user", "content": PROMPT}]})
ANTHROPIC = request("/v1/messages", {"model": MODEL, "stream": True, "max_tokens": 1000,
                                     "messages": [{"role": "user", "content": PROMPT}]})


@dataclass
class Way:
    port: int
    pid: int | None
    request: bytes
    seconds: float # that a stream takes


class Stream:
    """One connection, one stream after another."""

    def __init__(self, path: Way) -> None:
        self.request = path.request
        self.socket = socket.create_connection(("127.0.0.1", path.port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.begun = self.first = 0.0
        self.head = self.tail = b""
        self.got = 0
        self.over = False

    def begin(self) -> None:
        self.first, self.head, self.tail, self.got, self.over = 0.0, b"", b"", 0, False
        self.begun = time.perf_counter()
        self.socket.sendall(self.request)

    def has_length(self) -> bool:
        """All of it, where it came so fast that its length was known and told instead of chunks."""
        head = self.head.partition(b"\r\n\r\n")[0]
        told = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        return told is not None and self.got == len(head) + 4 + int(told.group(1))

    def read(self) -> bool:
        """True at the end of the stream."""
        try:
            data = self.socket.recv(1 << 16)
        except TimeoutError:
            sys.exit(f"bench: a stream stands still\n{self.request!r}\n{self.head[:300]!r}\n…{self.tail[-300:]!r}")
        now = time.perf_counter()
        if not self.first:
            self.head += data
            if b"first-token" in self.head:
                self.first = now - self.begun
                if not self.head.startswith(b"HTTP/1.1 200"):
                    data = b""
        self.got += len(data)
        self.tail = (self.tail + data)[-4096:]
        if not data:
            sys.exit(f"bench: a stream broke off\n{self.head[:500]!r} … {self.tail[-200:]!r}")
        if not self.tail.endswith(b"\r\n0\r\n\r\n") and not self.has_length():
            return False
        if b"last-token" not in self.tail:
            sys.exit(f"bench: a stream's end is missing\n{self.tail!r}")
        self.over = True
        return True


def one_at_a_time(path: Way, count: int) -> list[float]:
    stream, times = Stream(path), []
    for _ in range(count):
        stream.begin()
        while not stream.read():
            pass
        times.append(stream.first)
    stream.socket.close()
    return times


def memory(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return 0


def at_once(path: Way, count: int) -> dict:
    streams = [Stream(path) for _ in range(count)]
    poll = select.epoll()
    by_fd = {s.socket.fileno(): s for s in streams}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    cpu, most = cpu_seconds(path.pid) if path.pid else 0.0, 0
    begun, done, begin, look_at = 0, 0, time.monotonic(), time.monotonic()
    late = begin + BEGIN_WITHIN + 60 + path.seconds
    while done < count:
        now = time.monotonic()
        if now > late:
            stuck = next(s for s in streams if not s.over)
            sys.exit(f"bench: {count - done} streams do not end; one says …{stuck.tail[-300:]!r}")
        while begun < count and now >= begin + begun * BEGIN_WITHIN / count:
            streams[begun].begin()
            begun += 1
        if path.pid and now >= look_at:
            most, look_at = max(most, memory(path.pid)), now + 0.2
        for fd, _ in poll.poll(BEGIN_WITHIN / count if begun < count else 0.2):
            if by_fd[fd].read():
                done += 1
    cpu = cpu_seconds(path.pid) - cpu if path.pid else 0.0
    times = [s.first for s in streams]
    for s in streams:
        s.socket.close()
    cuts = statistics.quantiles(times, n=100, method="inclusive")
    return {"p50": cuts[49] * 1e6, "p99": cuts[98] * 1e6, "seconds": time.monotonic() - begin,
            "cpu": cpu * 1e6, "rss": most}


def paths_to(args: argparse.Namespace, folder: Path, gap: int,
             keep: Callable[[tuple[subprocess.Popen, int]], tuple[int, int]]) -> dict[str, Way]:
    folder.mkdir()
    upstream, _ = keep(start_ready([args.build / "bench" / "bench_upstream", "--frames", str(args.frames),
                                    "--gap", str(gap)], folder / "upstream.log", "upstream"))
    nginx = keep(start_nginx(
        folder, "nginx",
        "location / { proxy_pass http://upstream; proxy_http_version 1.1; proxy_buffering off; "
        "proxy_set_header Connection \"\"; }",
        f"upstream upstream {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 100000000; }}"))
    sluice = keep(start_sluice(args.build, folder, upstream, {"cache.when": "never"}))
    took = args.frames * gap / 1000
    return {"direct": Way(upstream, None, NATIVE, took), "nginx": Way(*nginx, NATIVE, took),
            "sluice, native": Way(*sluice, NATIVE, took), "sluice, OpenAI": Way(*sluice, OPENAI, took),
            "sluice, Anthropic": Way(*sluice, ANTHROPIC, took)}


def measure_one(paths: dict[str, Way], args: argparse.Namespace) -> dict[str, dict]:
    times: dict[str, list[float]] = {name: [] for name in paths}
    for path in paths.values():
        one_at_a_time(path, 20)
    for number in range(args.rounds):
        print(f"one stream, round {number + 1}/{args.rounds}", file=sys.stderr)
        for name, path in paths.items():
            times[name] += one_at_a_time(path, args.count)
    cuts = {name: statistics.quantiles(t, n=100, method="inclusive") for name, t in times.items()}
    return {name: {"p50": c[49] * 1e6, "p99": c[98] * 1e6} for name, c in cuts.items()}


def measure_many(paths: dict[str, Way], args: argparse.Namespace) -> dict[str, dict]:
    results: dict[str, list[dict]] = {name: [] for name in paths}
    for number in range(args.many_rounds):
        for name, path in paths.items():
            print(f"{args.streams} streams, {name}, round {number + 1}/{args.many_rounds}", file=sys.stderr)
            results[name].append(at_once(path, args.streams))
    frames = args.streams * args.frames
    return {name: {"p50": statistics.median(r["p50"] for r in rs), "p99": statistics.median(r["p99"] for r in rs),
                   "frames_per_s": frames / statistics.median(r["seconds"] for r in rs),
                   "cpu_per_frame": statistics.median(r["cpu"] for r in rs) / frames,
                   "rss": max(r["rss"] for r in rs)} for name, rs in results.items()}


def show(one: dict[str, dict], many: dict[str, dict], args: argparse.Namespace) -> None:
    direct, nginx = one["direct"], many["nginx"]["cpu_per_frame"]
    print("time to the first token, one stream at a time")
    print("| path | p50 µs | added | p99 µs | added |\n|---|---|---|---|---|")
    for name, r in one.items():
        print(f"| {name} | {r['p50']:.0f} | {r['p50'] - direct['p50']:.0f} | {r['p99']:.0f} "
              f"| {r['p99'] - direct['p99']:.0f} |")
    print(f"\n{args.streams} streams at once of {args.frames} frames, one each {args.gap} ms")
    print("| path | first token p50 µs | p99 µs | frames/s | CPU µs/frame | × nginx | RSS MiB |\n"
          "|---|---|---|---|---|---|---|")
    for name, r in many.items():
        proxied = name != "direct"
        cpu = f"{r['cpu_per_frame']:.2f} | {r['cpu_per_frame'] / nginx:.2f}" if proxied and nginx else "– | –"
        rss = f"{r['rss'] / 2**20:.1f}" if proxied else "–"
        print(f"| {name} | {r['p50']:.0f} | {r['p99']:.0f} | {r['frames_per_s']:,.0f} | {cpu} | {rss} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5, help="of one stream at a time")
    parser.add_argument("--count", type=int, default=100, help="streams in each of those")
    parser.add_argument("--many-rounds", type=int, default=2, help="of many streams at once")
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--gap", type=int, default=30, help="ms between frames of many streams")
    args = parser.parse_args()
    args.build = args.build.resolve()
    folder = Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    processes: list[subprocess.Popen] = []

    def keep(started: tuple[subprocess.Popen, int]) -> tuple[int, int]:
        processes.append(started[0])
        return started[1], started[0].pid

    try:
        one = measure_one(paths_to(args, folder / "one", 0, keep), args)
        stop(processes)
        many = measure_many(paths_to(args, folder / "many", args.gap, keep), args)
    finally:
        stop(processes)
        shutil.rmtree(folder, ignore_errors=True)
    print(describe_machine())
    show(one, many, args)
    save("stream", {"streams": args.streams, "frames": args.frames, "gap_ms": args.gap, "one": one, "many": many})


if __name__ == "__main__":
    main()
