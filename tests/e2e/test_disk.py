"""The state folder takes no more: a full disk, a limit of file sizes, a folder that became read-only.

Requests are served all the same, each kind of loss is told once, with what to do, and when there is
room again, what waited is written.
"""

import json
import os
import re
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

import wire
from gateway import (
    BINARY,
    PATIENCE,
    Sluice,
    clean_environment,
    sanitizer_options,
    split,
    wait_until,
)
from samples import CLAUDE

Start = Callable[..., Sluice]
SETTINGS = {"cache.when": "always", "cache.snapshot_interval": "1s", "log.access": "off"}
# What is tried while there is no room: quotas each 2 s, the ledger and the snapshot each second.
SPELL = 5.0
COMPLAINTS = {
    "quotas": r"error app: what is known of quotas would be lost by a restart: ",
    "ledger": r"error app: the ledger and changes of keys wait: ",
    "snapshot": r"error app: kept answers would be lost by a restart: ",
}


def ask(port: int, prompt: str) -> wire.Response:
    body = json.dumps({"messages": [{"role": "user", "content": [{"text": prompt}]}]}).encode()
    with wire.Client("127.0.0.1", port, PATIENCE) as client:
        path = f"/model/{CLAUDE}/converse"
        got = client.ask("POST", path, [(b"Content-Type", b"application/json")], body)
    assert got.status == 200 and got.whole, (got.status, got.body[:300])
    return got


def ledger(sluice: Sluice, enter: Sequence[str] = ()) -> int:
    """Requests in it; enter: a command that goes where the gateway has its files."""
    done = subprocess.run(
        [*enter, str(BINARY), "usage", "--json", "--state", str(sluice.state)],
        env={**clean_environment(), **sanitizer_options(), "HOME": str(sluice.home)},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["total"]["requests"]


def ask_for(seconds: float, sluice: Sluice) -> int:
    """One request after the other; how many. Not so many that they fill a disk by themselves."""
    until, count = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        ask(sluice.port, f"while there is no room, {count}")
        count += 1
        threading.Event().wait(0.02)
    return count


def complaints(sluice: Sluice, kind: str) -> list[str]:
    return [line for line in sluice.stderr.splitlines() if re.search(COMPLAINTS[kind], line)]


def expect_once(sluice: Sluice, kind: str) -> None:
    (line,) = complaints(sluice, kind)
    assert "Requests are served all the same" in line and str(sluice.state) in line
    assert "can be written to and has space" in line


# --- ways to have no room

@dataclass
class Disk:
    """A gateway, what takes the room from its files for a while, and how to get to them."""

    sluice: Sluice
    full: Callable[[], AbstractContextManager[None]]
    enter: Sequence[str] = ()


@contextmanager
def no_growth(pid: int) -> Iterator[None]:
    """No file of that process may be written to: stands for a disk that is full, anywhere."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, hard))
    yield
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(65536))
            os.fsync(file.fileno())
    yield
    ballast.unlink()


def on_limit(gateway: Start, home: Path) -> Disk:
    sluice = gateway(simulator=True, settings=SETTINGS, home=home)
    return Disk(sluice, lambda: no_growth(sluice.pid))


def on_small_disk(gateway: Start, home: Path) -> Disk:
    """A tmpfs of its own, seen by the gateway alone, and by the test through /proc."""
    (home / "state").mkdir(mode=0o700)
    apart = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    mount = f"mount -t tmpfs -o size=8m,mode=700 tmpfs {home / 'state'}"
    tried = subprocess.run([*apart, "sh", "-c", mount], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"no mounts here: {tried.stderr.strip()}")
    prefix = [*apart, "sh", "-c", f'{mount} && exec "$@"', "sh"]
    sluice = gateway(simulator=True, settings=SETTINGS, home=home, prefix=prefix)
    user = [] if os.geteuid() == 0 else ["-U", "--preserve-credentials"]
    enter = ["nsenter", "-t", str(sluice.pid), *user, "-m", "--"]
    return Disk(sluice, lambda: filled(Path(f"/proc/{sluice.pid}/root{sluice.state}")), enter)


@pytest.mark.parametrize("place", [on_limit, on_small_disk])
def test_full_disk(place: Callable[..., Disk], gateway: Start, tmp_path: Path) -> None:
    disk = place(gateway, tmp_path)
    sluice = disk.sluice
    ask(sluice.port, "before")
    wait_until(lambda: ledger(sluice, disk.enter) == 1, "the first request is in the ledger")
    with disk.full():
        asked = 1 + ask_for(SPELL, sluice)
        for kind in COMPLAINTS:
            sluice.wait_line(COMPLAINTS[kind])
        assert ledger(sluice, disk.enter) < asked, "something must have had to wait"
    sluice.wait_line("can be written to again", count=len(COMPLAINTS))
    for kind in COMPLAINTS:
        expect_once(sluice, kind)
    wait_until(lambda: ledger(sluice, disk.enter) == asked, "the ledger has all requests")
    ask(sluice.port, "after")
    if place is on_limit:  # the small disk is gone with its process
        sluice.stop()
        later = gateway(simulator=True, settings=SETTINGS, home=tmp_path)
        for prompt in ("before", "after", "while there is no room, 0"):
            assert ask(later.port, prompt).get("x-sluice-cache") == "hit"
        assert ledger(later) >= asked


def test_stopped_while_full(gateway: Start, tmp_path: Path) -> None:
    """It ends, says what is lost, and what was written before is there at the next start."""
    sluice = gateway(simulator=True, settings=SETTINGS, home=tmp_path)
    ask(sluice.port, "before")
    wait_until(lambda: ledger(sluice) == 1, "the request is in the ledger")
    wait_until((sluice.state / "cache").exists, "the first snapshot is written")
    with no_growth(sluice.pid):
        ask(sluice.port, "lost")
        sluice.stop()
    for kind in ("quotas", "snapshot"):
        expect_once(sluice, kind)
    later = gateway(simulator=True, settings=SETTINGS, home=tmp_path)
    assert ask(later.port, "before").get("x-sluice-cache") == "hit"
    assert ask(later.port, "lost").get("x-sluice-cache") == "miss"


# --- a folder that cannot be written to

def bound_by_modes() -> list[str]:
    """Root may write anywhere, unless it is without that capability."""
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]


def test_folder_becomes_read_only(gateway: Start, tmp_path: Path) -> None:
    sluice = gateway(simulator=True, settings=SETTINGS, home=tmp_path, prefix=bound_by_modes())
    ask(sluice.port, "before")
    sluice.state.chmod(0o500)
    try:
        ask_for(SPELL, sluice)
        for kind in ("quotas", "snapshot"):
            sluice.wait_line(COMPLAINTS[kind] + ".*Permission denied")
    finally:
        sluice.state.chmod(0o700)
    sluice.wait_line("can be written to again", count=2)
    for kind in ("quotas", "snapshot"):
        expect_once(sluice, kind)


@pytest.mark.parametrize("make", [True, False])
def test_folder_is_read_only_at_start(make: bool, tmp_path: Path) -> None:
    """There is nowhere to keep anything: said at once, with the folder's name."""
    state = tmp_path / "above" / "state"
    (state if make else state.parent).mkdir(parents=True, mode=0o700)
    closed = state if make else state.parent
    closed.chmod(0o500)
    try:
        done = subprocess.run(
            [*bound_by_modes(), str(BINARY), "serve", "--simulator", "--listen", "127.0.0.1:0",
             "--admin", "127.0.0.1:0", "--set", f"state={state}"],
            env={**clean_environment(), **sanitizer_options(), "HOME": str(tmp_path)},
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
    finally:
        closed.chmod(0o700)
    assert done.returncode == 1, done.stderr
    assert str(state) in done.stderr and "Permission denied" in done.stderr


# --- the log

def test_log_takes_no_more(tmp_path: Path) -> None:
    """Its file is on the full disk: lines are lost, requests are not."""
    log = tmp_path / "log"
    argv = [str(BINARY), "serve", "--simulator", "--listen", "127.0.0.1:0", "--admin",
            "127.0.0.1:0", "--set", f"state={tmp_path / 'state'}"]  # fmt: skip
    with log.open("wb") as file:
        process = subprocess.Popen(
            argv,
            env={**clean_environment(), **sanitizer_options(), "HOME": str(tmp_path)},
            stderr=file,
            stdin=subprocess.DEVNULL,
        )
    try:
        wait_until(lambda: "ready client=" in log.read_text(), "it is ready")
        port = split(re.search(r"client=(\S+)", log.read_text())[1])[1]
        ask(port, "before")
        wait_until(lambda: log.read_text().count(" info access: ") == 1, "its line")
        with no_growth(process.pid):
            for count in range(20):
                ask(port, f"unheard of {count}")
            assert log.read_text().count(" info access: ") == 1
        ask(port, "after")
        wait_until(lambda: log.read_text().count(" info access: ") >= 2, "lines are written again")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, log.read_text()
