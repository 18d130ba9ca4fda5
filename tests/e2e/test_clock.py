"""The machine's clock is wrong, or is set, while requests run.

The gateway's calendar clock is moved (preload/clock.c); the simulator that judges its signatures has
the right time, and is strict: five minutes.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import wire
from gateway import PATIENCE, Program, Sluice
from preload import Clock
from samples import CLAUDE

Start = Callable[..., Sluice]
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIASIMULATOR0000001",
    "AWS_SECRET_ACCESS_KEY": "simulated/secret/key/that/opens/nothing",
    "AWS_SESSION_TOKEN": "",
}
HOUR = 3600
STEPS = [HOUR, -HOUR, 0, -HOUR, HOUR, 0]


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = Program(tmp_path_factory.mktemp("sim"), "simulator", ["--listen", "127.0.0.1:0"])
    yield "http://" + program.wait_line(r"^ready simulator=(\S+)$")[0][1]
    program.stop()


def ask(sluice: Sluice, prompt: str, stream: bool = False) -> wire.Response:
    body = json.dumps({"messages": [{"role": "user", "content": [{"text": prompt}]}]}).encode()
    path = f"/model/{CLAUDE}/converse{'-stream' if stream else ''}"
    with wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        got = client.ask("POST", path, [(b"Content-Type", b"application/json")], body)
    assert got.status == 200 and got.whole, (got.status, got.body[:300])
    return got


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_no_request_is_lost(clock: Clock, simulator: str, gateway: Start) -> None:
    """Requests run while the clock is set by an hour, and again: each is signed well in the end."""
    sluice = gateway(upstream=simulator, env=KEYS | clock.env, settings={"cache.when": "never"})
    over, asked = threading.Event(), threading.Semaphore(0)

    def keep_asking(worker: int) -> int:
        count = 0
        while not over.is_set():
            count += 1
            ask(sluice, f"worker {worker}, question {count}", stream=count % 2 == 0)
            asked.release()
        return count

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(keep_asking, worker) for worker in range(4)]
        try:
            for offset in STEPS:
                clock.set(offset)
                for _ in range(20):  # so many answers, under way and begun after it
                    assert asked.acquire(timeout=PATIENCE), "no answers any more"
        finally:
            over.set()
        total = sum(worker.result() for worker in workers)
    metrics = sluice.metrics()
    answered = {n: v for n, v in metrics.items() if n.startswith("sluice_responses_total")}
    assert sum(answered.values()) == total
    # The first to be refused tells all the others, but for those under way with it.
    assert len(STEPS) <= metrics["sluice_retries_total"] <= 2 * 4 * len(STEPS)


def test_wrong_from_the_start(clock: Clock, simulator: str, gateway: Start) -> None:
    clock.set(-24 * HOUR)
    sluice = gateway(upstream=simulator, env=KEYS | clock.env)
    assert ask(sluice, "first").get("x-sluice-attempts") == "2"
    assert ask(sluice, "second").get("x-sluice-attempts") == "1"


def test_kept_answers(clock: Clock, simulator: str, gateway: Start) -> None:
    """Their age is never negative; forward past their time, they are asked for again."""
    settings = {"cache.when": "always", "cache.ttl": "30m"}
    sluice = gateway(upstream=simulator, env=KEYS | clock.env, settings=settings)
    assert ask(sluice, "kept").get("x-sluice-cache") == "miss"
    for offset in (0, 60, -HOUR, -60):
        clock.set(offset)
        hit = ask(sluice, "kept")
        assert hit.get("x-sluice-cache") == "hit"
        assert 0 <= int(hit.get("Age")) <= 60 + PATIENCE
    clock.set(HOUR)
    assert ask(sluice, "kept").get("x-sluice-cache") == "miss"


def test_rest_stays_rest(clock: Clock, simulator: str, gateway: Start) -> None:
    """No timer runs wild: who has nothing to do does nothing, whatever the clock says."""
    sluice = gateway(upstream=simulator, env=KEYS | clock.env)
    ask(sluice, "once")
    for offset in (HOUR, -HOUR):
        clock.set(offset)
        ask(sluice, f"at {offset}")
        before, since = processor_seconds(sluice.pid), time.monotonic()
        threading.Event().wait(1.0)
        used, passed = processor_seconds(sluice.pid) - before, time.monotonic() - since
        assert used < passed / 4, f"{used:.2f} s of processor in {passed:.2f} s of rest"
