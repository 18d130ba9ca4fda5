"""Sluice beside what people use, in one run: ./dev bench peers [--scale N] [--only NAME,…]

What each peer is, how it is set up and what is measured: bench/peers/README.md. Results go to
bench/results/peers.json, peers.md and peers-*.svg.
"""

import argparse
import contextlib
import json
import math
import os
import resource
import secrets
import shutil
import signal
import socket
import string
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from harness import ROOT, describe_machine, free_port, save, start_ready, start_sluice

PEERS = ROOT / "bench" / "peers"
INSTALLED = ROOT / ".deps" / "peers"
PORTKEY = "@portkey-ai/gateway@1.15.2"
MODEL = "us.meta.llama3-3-70b-instruct-v1:0"
LITELLM_KEY = "sk-" + secrets.token_urlsafe(32)  # it refuses to run without
PROMPT = "Why is the sky blue? Answer in a sentence that a child understands."
STREAMS = (1, 100, 1000, 10000)
IDLE = 1000
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
CORES = sorted(os.sched_getaffinity(0))
SLOW_MS = 60


# ---- Processes ----------------------------------------------------------------------

@contextlib.contextmanager
def on_core(which: int) -> Iterator[None]:
    """What is started inside runs there: the peer has the last core, all else the first."""
    os.sched_setaffinity(0, {CORES[which]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, CORES)


def family(pid: int) -> list[int]:
    pids = [pid]
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in path.read_text().split():
                pids += family(int(child))
    return pids


def cpu_seconds(pid: int) -> float:
    total = 0
    for p in family(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def rss_kib(pid: int) -> float:
    total = 0
    for p in family(pid):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{p}/statm").read_text().split()[1])
    return total * os.sysconf("SC_PAGE_SIZE") / 1024


def end(process: subprocess.Popen | None) -> None:
    if process and process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Upstream:
    """Always on the same port; started anew for another behaviour."""

    def __init__(self, build: Path, folder: Path) -> None:
        self.build, self.folder, self.port = build, folder, free_port()
        self.process: subprocess.Popen | None = None
        self.now: tuple = ()

    def be(self, latency: int = 0, gap: int = 20, frames: int = 200) -> None:
        if self.now == (latency, gap, frames):
            return
        end(self.process)
        with on_core(0):
            self.process, _ = start_ready(
                [self.build / "bench" / "bench_upstream", "--port", str(self.port), "--latency", str(latency),
                 "--gap", str(gap), "--frames", str(frames)], self.folder / "upstream.log", "upstream")
        self.now = latency, gap, frames


# ---- Peers --------------------------------------------------------------------------

class Absent(Exception):
    pass


@dataclass
class Peer:
    name: str
    start: Callable[["Bench", Path], tuple[subprocess.Popen | None, int]]
    native: bool = True  # Bedrock's own API; else OpenAI's
    model: str = MODEL
    headers: dict[str, str] = field(default_factory=dict)
    streams: int = max(STREAMS)


def fill(name: str, bench: "Bench", home: Path, port: int) -> Path:
    text = string.Template((PEERS / name).read_text()).safe_substitute(
        PORT=port, UPSTREAM=bench.upstream.port, HOME=home, MODEL=MODEL, FILES=FILES, CONNECTIONS=FILES // 2 - 50)
    (home / name).write_text(text)
    return home / name


def run(command: list, home: Path, port: int, ready: str = "", env: dict[str, str] | None = None,
        patience: float = 90) -> tuple[subprocess.Popen, int]:
    log = home / "log"
    with on_core(-1), open(log, "w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=home, env={**clean(), **(env or {})})
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError):
            if ready:
                urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=2).close()
            else:
                socket.create_connection(("127.0.0.1", port), 1).close()
            return process, port
        time.sleep(0.1)
    end(process)
    raise Absent(f"it did not start: {log.read_text()[-300:].strip()}")


def clean() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("AWS_") and not k.lower().endswith("_proxy")}


def install(what: str, command: list[str]) -> None:
    print(f"installing {what}", file=sys.stderr)
    done = subprocess.run(command, capture_output=True, text=True, cwd=INSTALLED, timeout=600)
    if done.returncode:
        raise Absent(f"it cannot be installed: {(done.stderr or done.stdout).strip().splitlines()[-1:]}")


def start_direct(bench: "Bench", home: Path) -> tuple[None, int]:
    return None, bench.upstream.port


def start_nginx(bench: "Bench", home: Path) -> tuple[subprocess.Popen, int]:
    port = free_port()
    return run(["nginx", "-c", fill("nginx.conf", bench, home, port), "-p", home], home, port)


def start_haproxy(bench: "Bench", home: Path) -> tuple[subprocess.Popen, int]:
    if not shutil.which("haproxy"):
        raise Absent("haproxy is not installed")
    port = free_port()
    return run(["haproxy", "-f", fill("haproxy.cfg", bench, home, port), "-db"], home, port)


def start_gateway(bench: "Bench", home: Path) -> tuple[subprocess.Popen, int]:
    with on_core(-1):
        return start_sluice(bench.build, home, bench.upstream.port, {
            "cache.when": "never", "quotas.source": "config", "upstream.max_in_flight": FILES // 2 - 50,
            "queue.max_requests": 20000, "limits.connections": 20000})


def start_portkey(bench: "Bench", home: Path) -> tuple[subprocess.Popen, int]:
    server = INSTALLED / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if not shutil.which("node"):
        raise Absent("node is not installed")
    if not server.exists():
        install("Portkey", ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix",
                            str(INSTALLED), PORTKEY])
    port = free_port()
    return run(["node", server, f"--port={port}", "--headless"], home, port,
               env={"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "localhost,127.0.0.1"})


def start_litellm(bench: "Bench", home: Path) -> tuple[subprocess.Popen, int]:
    program = INSTALLED / "litellm" / "bin" / "litellm"
    if not program.exists():
        install("an environment for LiteLLM", [sys.executable, "-m", "venv", str(INSTALLED / "litellm")])
        install("LiteLLM", [str(program.parent / "pip"), "install", "-q", "-r", str(PEERS / "requirements.txt")])
    port = free_port()
    return run([program, "--config", fill("litellm.yaml", bench, home, port), "--host", "127.0.0.1", "--port",
                str(port), "--num_workers", "1"], home, port, "/health/liveliness",
               {"LITELLM_MASTER_KEY": LITELLM_KEY, "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION",
                "LITELLM_LOCAL_MODEL_COST_MAP": "True"})


def start_bifrost(bench: "Bench", home: Path) -> tuple[subprocess.Popen, int]:
    if not shutil.which("bifrost-http"):
        raise Absent("bifrost-http is not on PATH; its Go module is not in the registry here")
    key = {"value": "", "weight": 1, "models": [], "bedrock_key_config": {
        "access_key": "AKIDEXAMPLE", "secret_key": "secret", "region": "us-east-1"}}
    (home / "config.json").write_text(json.dumps({"providers": {"bedrock": {"keys": [key]}}}))
    port = free_port()
    return run(["bifrost-http", "-app-dir", home, "-port", str(port), "-log-level", "error"], home, port,
               env={"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": f"http://127.0.0.1:{bench.upstream.port}"})


def peers(upstream: int) -> list[Peer]:
    portkey = {"x-portkey-provider": "bedrock", "x-portkey-custom-host": f"http://127.0.0.1:{upstream}",
               "x-portkey-aws-access-key-id": "AKIDEXAMPLE", "x-portkey-aws-secret-access-key": "secret",
               "x-portkey-aws-region": "us-east-1"}
    return [
        Peer("direct", start_direct),
        Peer("nginx", start_nginx),
        Peer("HAProxy", start_haproxy),
        Peer("Sluice", start_gateway),
        Peer("Sluice (OpenAI)", start_gateway, native=False),
        Peer("Portkey", start_portkey, native=False, headers=portkey, streams=1000),
        Peer("LiteLLM", start_litellm, native=False, model="llama", streams=1000,
             headers={"Authorization": f"Bearer {LITELLM_KEY}"}),
        Peer("Bifrost", start_bifrost, native=False, model=f"bedrock/{MODEL}", streams=1000),
    ]


def request_of(peer: Peer, streamed: bool) -> bytes:
    if peer.native:
        path = f"/model/{MODEL.replace(':', '%3A')}/converse{'-stream' if streamed else ''}"
        body: dict = {"messages": [{"role": "user", "content": [{"text": PROMPT}]}]}
    else:
        path = "/v1/chat/completions"
        body = {"model": peer.model, "messages": [{"role": "user", "content": PROMPT}]}
        body |= {"stream": True} if streamed else {}
    text = json.dumps(body)
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json",
             f"Content-Length: {len(text)}", *(f"{k}: {v}" for k, v in peer.headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n" + text).encode()


# ---- Measuring ----------------------------------------------------------------------

class Bench:
    def __init__(self, build: Path, folder: Path, scale: float) -> None:
        self.build, self.folder, self.scale = build, folder, scale
        self.upstream = Upstream(build, folder)
        self.loads = 0

    def seconds(self, s: float) -> float:
        return s * self.scale

    def load(self, mode: str, port: int, request: bytes, *args: object) -> subprocess.Popen:
        self.loads += 1
        path = self.folder / f"request-{self.loads}"
        path.write_bytes(request)
        with on_core(0):
            return subprocess.Popen([self.build / "bench" / "bench_load", mode, str(port), path, *map(str, args)],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class Case:
    """A peer that runs."""

    def __init__(self, bench: Bench, peer: Peer, process: subprocess.Popen | None, port: int) -> None:
        self.bench, self.peer, self.process, self.port = bench, peer, process, port

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0

    def timed(self, mode: str, connections: int, seconds: float, *rate: int) -> dict:
        """One load from begin to end, with the peer's CPU."""
        before, begun = cpu_seconds(self.pid) if self.pid else 0.0, time.monotonic()
        load = self.bench.load(mode, self.port, request_of(self.peer, False), connections, seconds, *rate)
        out, err = load.communicate(timeout=seconds + 60)
        if load.returncode:
            raise Absent(f"the load generator: {err.strip()}")
        result = json.loads(out)
        cpu = cpu_seconds(self.pid) - before if self.pid else 0.0
        result |= {"rate": result["finished"] / min(seconds, time.monotonic() - begun), "note": err.strip()}
        if cpu:
            result["per_cpu_second"] = result["finished"] / cpu
        return result

    def held(self, mode: str, request: bytes, *args: int) -> tuple[dict, float]:
        """What the generator says once all connections stand, and the memory then."""
        load = self.bench.load(mode, self.port, request, *args)
        try:
            line = load.stdout.readline()
            time.sleep(0.5)
            return json.loads(line) if line else {}, rss_kib(self.pid) if self.pid else 0.0
        finally:
            end(load)
            load.communicate()

    def maximum(self) -> dict:
        self.bench.upstream.be(0)
        self.timed("closed", 64, self.bench.seconds(1))  # warm-up
        fast = self.timed("closed", 64, self.bench.seconds(3))
        self.bench.upstream.be(SLOW_MS)
        self.timed("closed", 256, self.bench.seconds(1))
        return {"0": fast, str(SLOW_MS): self.timed("closed", 256, self.bench.seconds(3))}

    def latency(self, rate: int, delay: int = 0) -> dict:
        self.bench.upstream.be(delay)
        result = self.timed("open", 512, self.bench.seconds(3), max(1, rate))
        return result | {"asked": rate}

    def memory(self) -> dict:
        """After a little work: idle, and with connections that do nothing."""
        self.bench.upstream.be(0)
        self.timed("open", 1, self.bench.seconds(1), 20)
        idle = rss_kib(self.pid)
        held, with_idle = self.held("hold", request_of(self.peer, False), IDLE)
        return {"idle_kib": idle, "idle_connections": held.get("finished", 0),
                "per_idle_connection_kib": (with_idle - idle) / max(1, held.get("finished", 0))}

    def streams(self, count: int) -> dict:
        """count streams at once, as fast as 500 a second; a single one several times."""
        self.bench.upstream.be(0, gap=1000)
        request, idle = request_of(self.peer, True), rss_kib(self.pid) if self.pid else 0.0
        if count == 1:
            firsts = sorted(self.held("stream", request, 1, 1)[0].get("p50", 0) for _ in range(5))
            return {"opened": 1, "p50": firsts[2], "p99": firsts[-1]}
        said, rss = self.held("stream", request, count, min(500, max(50, count // 5)))
        opened = said.get("first", 0)
        return {"opened": opened, "errors": said.get("errors", 0), "p50": said.get("p50"), "p99": said.get("p99"),
                "rss_kib": rss, "per_stream_kib": (rss - idle) / max(1, opened)}


def say(name: str, what: str) -> None:
    print(f"{name}: {what}", file=sys.stderr)


def measure(case: Case, common: int | None) -> dict:
    """All of one peer; the common rate is known only after the first pass over all."""
    name = case.peer.name
    if common is not None:
        say(name, f"at {common} requests/s")
        return {"common": {str(ms): case.latency(common, ms) for ms in (0, SLOW_MS)}}
    result: dict = {}
    if case.pid:
        say(name, "memory")
        result["memory"] = case.memory()
    say(name, "maximum")
    result["maximum"] = case.maximum()
    top = result["maximum"]["0"]["rate"]
    result["latency"] = {}
    for percent in (25, 50, 75):
        say(name, f"at {percent} % of {top:.0f} requests/s")
        result["latency"][str(percent)] = case.latency(int(top * percent / 100))
    result["streams"] = {}
    for count in STREAMS:
        count = min(count, FILES // 2 - 700)  # idle upstream connections take some, too
        if count > case.peer.streams:
            break
        say(name, f"{count} streams")
        result["streams"][str(count)] = case.streams(count)
    return result


@contextlib.contextmanager
def started(bench: Bench, peer: Peer) -> Iterator[Case]:
    bench.upstream.be(0)
    home = Path(tempfile.mkdtemp(prefix="peer-", dir=bench.folder))
    process, port = peer.start(bench, home)
    try:
        yield Case(bench, peer, process, port)
    finally:
        end(process)


def measure_all(bench: Bench, chosen: list[Peer]) -> tuple[dict, dict]:
    results: dict = {}
    absent: dict = {}

    def visit(common: int | None) -> None:
        for peer in chosen:
            if peer.name in absent:
                continue
            try:
                with started(bench, peer) as case:
                    results.setdefault(peer.name, {}).update(measure(case, common))
            except (Absent, subprocess.SubprocessError, OSError) as e:
                absent[peer.name] = str(e)
                say(peer.name, f"absent: {e}")

    visit(None)
    working = [r["maximum"]["0"]["rate"] for name, r in results.items()
               if name != "direct" and r["maximum"]["0"]["finished"] > 10]
    if working:
        visit(max(1, int(min(working) / 2)))
    return results, absent


# ---- What is shown ------------------------------------------------------------------

def number(value: float | None, digits: int = 0) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def rule(cells: int) -> str:
    return "|" + "---|" * cells


def tables(results: dict, absent: dict) -> str:
    names = list(results)
    slow = str(SLOW_MS)
    lines = [row("peer", "max requests/s", f"… at {SLOW_MS} ms upstream", "requests per CPU-second", "CPU µs a request",
                 "errors"), rule(6)]
    for name in names:
        fast, late = results[name]["maximum"]["0"], results[name]["maximum"][slow]
        per = fast.get("per_cpu_second")
        lines.append(row(name, number(fast["rate"]), number(late["rate"]), number(per),
                         number(1e6 / per if per else None, 1), number(fast["errors"] + late["errors"])))
    rate = next((r["common"]["0"]["asked"] for r in results.values() if "common" in r), 0)
    lines += ["", f"Open loop, p50 / p99 / p99.9 in ms; the common rate is {rate:,} requests/s.", "",
              row("peer", "25 %", "50 %", "75 %", "common", f"common, {SLOW_MS} ms upstream"), rule(6)]
    for name in names:
        common = results[name].get("common", {})
        lines.append(row(name, *(times(results[name]["latency"][p]) for p in ("25", "50", "75")),
                         times(common.get("0")), times(common.get(slow))))
    counts = list(dict.fromkeys(c for r in results.values() for c in r["streams"]))
    lines += ["", "Streams: time to the first token, p50 / p99 in ms, of as many at once (opened, where not all).", "",
              row("peer", *(f"{int(c):,}" for c in counts)), rule(len(counts) + 1)]
    for name in names:
        lines.append(row(name, *(stream(c, results[name]["streams"].get(c)) for c in counts)))
    lines += ["", row("peer", "RSS MiB idle", "KiB an idle connection", "KiB an open stream",
                      "RSS MiB with most streams"), rule(5)]
    for name in names:
        memory = results[name].get("memory")
        open_streams = [s for s in results[name]["streams"].values() if "rss_kib" in s and s["opened"]]
        if memory:
            most = open_streams[-1] if open_streams else None
            lines.append(row(name, number(memory["idle_kib"] / 1024, 1), number(memory["per_idle_connection_kib"], 1),
                             number(most["per_stream_kib"] if most else None, 1),
                             f"{most['rss_kib'] / 1024:.1f} ({most['opened']:,})" if most else "–"))
    lines += [f"\nAbsent: {name}: {why}" for name, why in absent.items()]
    return "\n".join(lines)


def times(result: dict | None) -> str:
    if not result:
        return "–"
    text = " / ".join(f"{result[p] / 1000:.2f}" for p in ("p50", "p99", "p999"))
    missed = result["unserved"] + result["errors"]
    return text + (f" ({missed:,} not served)" if missed else "")


def stream(count: str, result: dict | None) -> str:
    if not result or result.get("p50") is None:
        return "–"
    text = f"{result['p50'] / 1000:.2f} / {result['p99'] / 1000:.2f}"
    return text + (f" ({result['opened']:,})" if result["opened"] < int(count) else "")


def bars(title: str, unit: str, values: dict[str, float]) -> str:
    """Bars on a logarithmic scale, as SVG."""
    values = {name: value for name, value in values.items() if value and value > 0}
    width, left, line = 720, 130, 30
    low = 10 ** math.floor(math.log10(min(values.values())))
    high = 10 ** math.ceil(math.log10(max(values.values()) * 1.01))
    height = 70 + line * len(values)

    def x(value: float) -> float:
        return left + (width - left - 90) * math.log10(value / low) / math.log10(high / low)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
           f'font-size="13"><rect width="{width}" height="{height}" fill="#fff"/>',
           f'<text x="10" y="22" font-size="16">{title}</text>']
    for exponent in range(round(math.log10(low)), round(math.log10(high)) + 1):
        at = x(10.0 ** exponent)
        out.append(f'<line x1="{at:.1f}" y1="36" x2="{at:.1f}" y2="{height - 28}" stroke="#ddd"/>'
                   f'<text x="{at:.1f}" y="{height - 12}" text-anchor="middle" fill="#555">'
                   f'{10.0 ** exponent:,g}</text>')
    for i, (name, value) in enumerate(values.items()):
        y = 40 + line * i
        colour = "#1f6feb" if name.startswith("Sluice") else "#9aa4af"
        out.append(f'<text x="{left - 8}" y="{y + 16}" text-anchor="end">{name}</text>'
                   f'<rect x="{left}" y="{y + 2}" width="{max(1.0, x(value) - left):.1f}" height="20" fill="{colour}"/>'
                   f'<text x="{x(value) + 6:.1f}" y="{y + 16}">{value:,.3g} {unit}</text>'.replace("e+03", "e3"))
    return "\n".join([*out, "</svg>", ""])


def plots(results: dict, folder: Path) -> None:
    def per_stream(r: dict) -> float:
        held = [s["per_stream_kib"] for s in r["streams"].values() if s.get("rss_kib") and s["opened"]]
        return held[-1] if held else 0

    charts = {
        "maximum": ("Maximum, upstream at 0 ms", "requests/s", lambda r: r["maximum"]["0"]["rate"]),
        "cpu": ("Work done with a second of CPU", "requests", lambda r: r["maximum"]["0"].get("per_cpu_second", 0)),
        "p99": ("p99 at the common rate", "ms", lambda r: r.get("common", {}).get("0", {}).get("p99", 0) / 1000),
        "stream-memory": ("Memory of an open stream", "KiB", per_stream),
    }
    for name, (title, unit, value) in charts.items():
        values = {peer: value(r) for peer, r in results.items()}
        if any(v > 0 for v in values.values()):
            (folder / f"peers-{name}.svg").write_text(bars(title, unit, values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="how much longer than the default each load runs")
    parser.add_argument("--only", default="", help="names of peers, with commas")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    INSTALLED.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="sluice-peers-"))
    bench = Bench(args.build.resolve(), folder, args.scale)
    only = {name.strip().lower() for name in args.only.split(",") if name.strip()}
    chosen = [p for p in peers(bench.upstream.port) if not only or p.name.lower() in only]
    try:
        results, absent = measure_all(bench, chosen)
    finally:
        end(bench.upstream.process)
        shutil.rmtree(folder, ignore_errors=True)
    text = f"{describe_machine()}; each peer on one core, load and upstream on {'another' if len(CORES) > 1 else 'it too'}\n\n"
    text += tables(results, absent) + "\n"
    print(text)
    if only:
        return  # half a comparison is not kept
    save("peers", {"scale": args.scale, "results": results, "absent": absent})
    (ROOT / "bench" / "results" / "peers.md").write_text(text)
    plots(results, ROOT / "bench" / "results")


if __name__ == "__main__":
    main()
