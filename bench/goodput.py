"""How much of a quota is turned into answers, and who sees a throttle: boto3 alone, and through Sluice.

64 clients are given bursts of three times the quota at the start of each window. Upstream is the
simulator, and a server that shares neither code nor arithmetic with Sluice (bench/quota_server.py).
The quota binds by requests, or by tokens where no call sets maxTokens, so that each reserves the
model's 8,192 and uses a few; its window is fixed, of a phase that nobody is told, or a bucket. Sluice
is told the quota and the kind of window, or only the quota, or neither.

The share of the quota used is by upstream's own count, over whole windows after the first ones. Every
combination has an upstream, a gateway and clients of its own; several run at once, for they mostly
wait. A minute is short by default, which costs Sluice a larger part of it: the 100 ms that it keeps
between two windows of unknown phase, and of a token quota what one reservation holds at its end. The
aims are for a real one: --window 60. Calls that take longer (--latency) hold their reservations for
longer; in fixed windows of unknown phase that share of a token quota stays unused.
"""

import argparse
import http.client
import json
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CLIENTS, PROCESSES = 64, 2
MODEL = "us.meta.llama3-3-70b-instruct-v1:0"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIASIMULATOR0000001",
               "AWS_SECRET_ACCESS_KEY": "simulated/secret/key/that/opens/nothing",
               "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1",
               "AWS_EC2_METADATA_DISABLED": "true"}


@dataclass(frozen=True)
class Regime:
    words: int            # of a prompt, on average
    tokens: int           # that such a call uses, about
    max_tokens: int       # 0: not set
    limit: str            # what binds


REGIMES = {"requests": Regime(30, 100, 60, "rpm"), "tokens": Regime(4000, 6500, 0, "tpm")}


@dataclass(frozen=True)
class Cell:
    upstream: str # simulator or independent
    regime: str
    window: str
    client: str   # boto3's mode, or what Sluice is told

    def is_sluice(self) -> bool:
        return self.client.startswith("sluice")


@dataclass
class Result:
    completed: int = 0
    failed: int = 0
    share: float = 0.0
    shares: list[float] = field(default_factory=list) # window by window
    refused: int = 0       # by upstream
    refused_share: float = 0.0 # of the calls that reached it
    refused_late: float = 0.0  # the same, after the first windows
    seen: int = 0          # throttles that reached a client
    p50: float = 0.0
    p99: float = 0.0
    errors: dict[str, int] = field(default_factory=dict)


DIRECT = ("legacy", "standard", "adaptive")
TOLD = {"sluice": ("quota", "window"), "sluice, window auto": ("quota",), "sluice, told nothing": ()}


def cells() -> list[Cell]:
    """Sluice's first. A hidden quota makes no difference to those who go direct."""
    settings = [(upstream, regime, window)
                for upstream, regime in (("simulator", "requests"), ("simulator", "tokens"),
                                         ("independent", "tokens"))
                for window in ("fixed", "bucket")]
    return ([Cell(*s, client) for client in TOLD for s in settings]
            + [Cell(*s, client) for client in DIRECT for s in settings])


def environment() -> dict[str, str]:
    env = {k: v for k, v in os.environ.items()
           if not k.startswith(("AWS_", "SLUICE_")) and not k.lower().endswith("_proxy")}
    return {**env, **CREDENTIALS}


def start(command: list[str], log: Path, ready: str) -> tuple[subprocess.Popen, int]:
    with open(log, "w") as out:
        process = subprocess.Popen(command, stderr=out, env=environment())
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        if match := re.search(rf"ready {ready}=\S+:(\d+)", log.read_text()):
            return process, int(match.group(1))
        time.sleep(0.05)
    sys.exit(f"bench: {command[0]} did not start\n{log.read_text()}")


def get_json(port: int, path: str) -> dict:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


class Run:
    """One cell, while it runs."""

    def __init__(self, cell: Cell, args: argparse.Namespace, folder: Path, seed: int) -> None:
        self.cell, self.args = cell, args
        self.folder = folder / str(seed)
        self.folder.mkdir()
        self.regime = REGIMES[cell.regime]
        self.per_window = int(args.rate * args.window)
        self.quota = self.per_window * (self.regime.tokens if self.regime.limit == "tpm" else 1)
        self.processes: list[subprocess.Popen] = []
        self.phase = 0.0
        self.counts: list[tuple[int, int, int]] = [] # used, admitted, refused
        self.upstream = self.start_upstream()
        port = self.start_sluice() if cell.is_sluice() else self.upstream
        self.clients = [self.start_client(port, seed * PROCESSES + i) for i in range(PROCESSES)]
        for client in self.clients:
            if client.stdout.readline() != "ready\n":
                sys.exit("bench: a client did not start")

    def start_upstream(self) -> int:
        length = self.args.window
        if self.cell.upstream == "independent":
            command = [sys.executable, str(ROOT / "bench" / "quota_server.py"), f"--{self.regime.limit}",
                       str(self.quota), "--window", self.cell.window, "--window-length", str(length),
                       "--latency", str(self.args.latency)]
            process, port = start(command, self.folder / "upstream.log", "quota_server")
            self.phase = get_json(port, "/stats")["phase"]
        else:
            values = {"listen": "127.0.0.1:0", self.regime.limit: self.quota, "window": self.cell.window,
                      "window_length": f"{int(length * 1000)}ms", "latency": f"{self.args.latency}ms"}
            command = [self.args.build / "sluice", "simulator"]
            for key, value in values.items():
                command += ["--set", f"simulator.{key}={value}"]
            process, port = start(command, self.folder / "upstream.log", "simulator")
        self.processes.append(process)
        return port

    def start_sluice(self) -> int:
        told = TOLD[self.cell.client]
        values = {"upstream.endpoint": f"http://127.0.0.1:{self.upstream}", "state": self.folder / "state",
                  "cache.when": "never", "quotas.source": "config", "log.access": "off",
                  "quotas.window_length": f"{int(self.args.window * 1000)}ms",
                  "quotas.window": self.cell.window if "window" in told else "auto"}
        if "quota" in told:
            values["quotas.default"] = f"{{{self.regime.limit}: {self.quota}}}"
        command = [self.args.build / "sluice", "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
        for key, value in values.items():
            command += ["--set", f"{key}={value}"]
        process, port = start(command, self.folder / "sluice.log", "client")
        self.processes.append(process)
        return port

    def start_client(self, port: int, seed: int) -> subprocess.Popen:
        client = subprocess.Popen([sys.executable, str(ROOT / "bench" / "goodput_client.py")], text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment())
        self.processes.append(client)
        order = {"endpoint": f"http://127.0.0.1:{port}", "seed": seed, "clients": CLIENTS // PROCESSES,
                 "mode": "legacy" if self.cell.is_sluice() else self.cell.client, "model": MODEL,
                 "words": self.regime.words, "max_tokens": self.regime.max_tokens,
                 "window": self.args.window, "burst": -(-3 * self.per_window // CLIENTS)}
        client.stdin.write(json.dumps(order) + "\n")
        client.stdin.flush()
        return client

    def begin(self, windows: int) -> list[float]:
        """When upstream's windows end, by its clock, which is this machine's. Clients begin anywhere
        within one, but not so near its end that a burst is under way when it is looked at."""
        length = self.args.window
        ends = (time.monotonic() + self.phase) // length * length + length - self.phase
        begin = ends + length * random.uniform(0.2, 0.8)
        times = [ends + length * (i + 1) for i in range(windows + 1)]
        for client in self.clients:
            client.stdin.write(json.dumps({"begin": begin, "end": times[-1]}) + "\n")
            client.stdin.flush()
        return times

    def look(self) -> None:
        """What has been used and refused so far, as upstream counts."""
        if self.cell.upstream == "independent":
            s = get_json(self.upstream, "/stats")
            admitted, tokens, refused = s["admitted"], s["tokens"], s["refused"]
        else:
            s = get_json(self.upstream, "/simulator/stats")
            tokens = s["tokens"]["input"] + s["tokens"]["output"]
            refused = sum(s["throttles"].values())
            admitted = s["requests"].get("Converse", 0) - refused
        used = tokens if self.regime.limit == "tpm" else admitted
        self.counts.append((used, admitted, refused))

    def finish(self) -> Result:
        skip, result, took = self.skip(), Result(), []
        for client in self.clients:
            saw = json.loads(client.communicate(timeout=60)[0])
            took += saw["took"]
            result.failed += saw["failed"]
            result.seen += saw["throttles"]
            for name, count in saw["errors"].items():
                result.errors[name] = result.errors.get(name, 0) + count
        self.look()
        _, admitted, result.refused = self.counts.pop()
        result.completed = len(took)
        result.refused_share = result.refused / max(1, admitted + result.refused)
        used = [counts[0] for counts in self.counts]
        result.shares = [(b - a) / self.quota for a, b in zip(used, used[1:])]
        result.share = (used[-1] - used[skip]) / (len(used) - 1 - skip) / self.quota
        late = [b - a for a, b in zip(self.counts[skip], self.counts[-1])]
        result.refused_late = late[2] / max(1, late[1] + late[2])
        if len(took) > 1:
            cuts = statistics.quantiles(took, n=100, method="inclusive")
            result.p50, result.p99 = cuts[49], cuts[98]
        return result

    def skip(self) -> int:
        """Windows that are not counted: the first, in which a bucket was full; where there is
        something to learn, more."""
        return min(self.args.learning if self.cell.client in TOLD and self.cell.client != "sluice" else 1,
                   len(self.counts) - 2)

    def stop(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def run_batch(batch: list[Cell], args: argparse.Namespace, folder: Path, seed: int) -> dict[Cell, Result]:
    windows = args.windows if batch[0].is_sluice() else args.direct_windows
    runs: list[Run] = []
    try:
        for cell in batch:
            runs.append(Run(cell, args, folder, seed + len(runs)))
        moments = sorted((at, i) for i, run in enumerate(runs) for at in run.begin(windows))
        shown = 0.0
        for at, i in moments:
            if time.monotonic() > shown + 10:
                shown = time.monotonic()
                print(f"  {moments[-1][0] - shown:.0f} s to go", file=sys.stderr)
            time.sleep(max(0.0, at - time.monotonic()))
            runs[i].look()
        return {run.cell: run.finish() for run in runs}
    finally:
        for run in runs:
            run.stop()


def table(results: dict[Cell, Result]) -> str:
    lines = ["| upstream | binds | window | client | completed | given up | quota used | refused by upstream "
             "| seen by clients | p50 s | p99 s |", "|---|---|---|---|---|---|---|---|---|---|---|"]
    for c, r in sorted(results.items(), key=lambda item: (item[0].upstream != "simulator", item[0].regime,
                                                          item[0].window != "fixed")):
        lines.append(f"| {c.upstream} | {c.regime} | {c.window} | {c.client} | {r.completed:,} | {r.failed:,} "
                     f"| {r.share:.2%} | {r.refused:,} ({r.refused_share:.2%}) | {r.seen:,} | {r.p50:.1f} "
                     f"| {r.p99:.1f} |")
    return "\n".join(lines)


def judge(results: dict[Cell, Result]) -> str:
    lines = []
    for c, r in results.items():
        if not c.is_sluice():
            continue
        knows = c.client == "sluice"
        misses = [text for ok, text in (
            (r.share >= (0.99 if knows else 0.95), f"{r.share:.2%} of the quota used"),
            (r.seen == 0, f"{r.seen} throttles seen by clients"),
            (r.failed == 0, f"{r.failed} calls given up: {r.errors}"),
            (not knows or r.refused_share < 0.001, f"{r.refused_share:.2%} of calls refused")) if not ok]
        lines.append(f"{'missed' if misses else 'met'}: {c.client}; {c.upstream}, {c.regime}, {c.window}"
                     f"{': ' + ', '.join(misses) if misses else ''}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=Path, required=True)
    parser.add_argument("--window", type=float, default=10.0, help="seconds that stand for a minute")
    parser.add_argument("--windows", type=int, default=8, help="to run through Sluice")
    parser.add_argument("--direct-windows", type=int, default=4, help="to run directly")
    parser.add_argument("--learning", type=int, default=3, help="windows not counted where Sluice learns")
    parser.add_argument("--rate", type=float, default=8.0, help="calls a second that the quota allows")
    parser.add_argument("--latency", type=int, help="ms that upstream takes for an answer; default: a 300th of "
                        "the window, 200 for a real minute")
    parser.add_argument("--at-once", type=int, default=9, help="combinations that run at once")
    parser.add_argument("--only", default="", help="combinations that match this regular expression")
    args = parser.parse_args()
    args.build = args.build.resolve()
    args.latency = args.latency or int(args.window * 1000 / 300)
    folder = Path(tempfile.mkdtemp(prefix="sluice-goodput-"))
    chosen = [c for c in cells() if re.search(args.only, f"{c.upstream} {c.regime} {c.window} {c.client}")]
    groups = [[c for c in chosen if c.is_sluice()], [c for c in chosen if not c.is_sluice()]]
    batches = [g[i:i + args.at_once] for g in groups for i in range(0, len(g), args.at_once)]
    results: dict[Cell, Result] = {}
    try:
        for number, batch in enumerate(batches):
            print(f"batch {number + 1}/{len(batches)}: {len(batch)} combinations", file=sys.stderr)
            results.update(run_batch(batch, args, folder, number * 100))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{CLIENTS} clients, bursts of 3 x the quota, window of {args.window:g} s, {args.rate:g} calls/s "
          f"allowed, answers after about {args.latency} ms")
    print(table(results))
    print(judge(results))
    out = ROOT / "bench" / "results"
    out.mkdir(exist_ok=True)
    (out / "goodput.json").write_text(json.dumps(
        {"window_s": args.window, "windows": args.windows, "direct_windows": args.direct_windows,
         "learning": args.learning, "rate": args.rate, "clients": CLIENTS, "latency_ms": args.latency,
         "results": [{**vars(c), **vars(r)} for c, r in results.items()]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
