"""What an operator gets: socket activation, reloads under load, the package, its manual, completion
and units."""

import gzip
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import gateway as program
import wire
from gateway import BINARY, BUILD, PATIENCE, ROOT, Sluice
from samples import LLAMA
from upstream import Upstream

Start = Callable[..., Sluice]
TARGET = f"/model/{LLAMA}/invoke"


# --- sockets that a service manager opens


class Activated:
    """`sluice serve` started as systemd would: sockets from descriptor 3 on, and who they are for."""

    def __init__(self, home: Path, sockets: list, *options: str, pid: str = "$$") -> None:
        for at, one in enumerate(sockets):
            os.set_inheritable(one.fileno(), True)
            assert one.fileno() not in range(3, 3 + at)
        moves = " ".join(f"{3 + i}<&{one.fileno()}" for i, one in enumerate(sockets))
        admin = ["--admin", "127.0.0.1:0", "--set", f"state={home / 'state'}", "--simulator"]
        argv = " ".join([str(BINARY), "serve", *admin, *options])
        script = f"LISTEN_PID={pid} LISTEN_FDS={len(sockets)} exec {argv} {moves}"
        self.process = subprocess.Popen(
            ["bash", "-c", script],
            env={**program.clean_environment(), **program.sanitizer_options(), "HOME": str(home)},
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            pass_fds=[one.fileno() for one in sockets],
        )
        assert self.process.stderr
        self.first = self.process.stderr.readline()
        ready = re.match(r"ready client=(\S+):(\d+) ", self.first)
        self.port = int(ready[2]) if ready else 0

    def stop(self) -> int:
        if self.port:
            self.process.send_signal(signal.SIGTERM)
        _, rest = self.process.communicate(timeout=PATIENCE)
        assert not program.REPORTS.search(rest), rest
        return self.process.returncode


@pytest.fixture
def listener() -> Iterator[Callable[[str], socket.socket]]:
    opened: list[socket.socket] = []

    def listen(host: str = "127.0.0.1") -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        one = socket.create_server((host, 0), family=family)
        # Above the descriptors that are passed, so that the shell's moves do not cross.
        high = socket.socket(fileno=os.dup(one.fileno()))
        opened.extend((one, high))
        return high

    yield listen
    for one in opened:
        one.close()


def test_sockets_are_taken(listener, tmp_path: Path) -> None:
    """In place of `listen`; a client that came before the start waits, also over a restart."""
    first, second = listener(), listener()
    port = first.getsockname()[1]
    for _ in range(2):
        early = wire.Client("127.0.0.1", port, PATIENCE)
        early.send(wire.request("GET", "/health", [(b"Host", b"localhost")]))
        sluice = Activated(tmp_path, [first, second], "--listen", "127.0.0.1:1")
        assert sluice.port == port, sluice.first
        assert early.read().status == 200
        early.close()
        with wire.Client("127.0.0.1", second.getsockname()[1], PATIENCE) as client:
            assert client.ask("GET", "/health").status == 200
        assert sluice.stop() == 0


def test_sockets_of_ipv6(listener, tmp_path: Path) -> None:
    try:
        one = listener("::1")
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    sluice = Activated(tmp_path, [one])
    assert sluice.port == one.getsockname()[1], sluice.first
    assert sluice.stop() == 0


def test_sockets_of_another_process(listener, tmp_path: Path) -> None:
    one = listener()
    sluice = Activated(tmp_path, [one], "--listen", "127.0.0.1:0", pid="1")
    assert sluice.port not in (0, one.getsockname()[1])
    assert sluice.stop() == 0


def test_public_socket_asks_for_keys(listener, tmp_path: Path) -> None:
    """What the configuration would allow on loopback does not hold for a socket open to all."""
    sluice = Activated(tmp_path, [listener("0.0.0.0")])
    with wire.Client("127.0.0.1", sluice.port, PATIENCE) as client:
        assert client.ask("POST", TARGET, [], b"{}").status in (401, 403)
    assert sluice.stop() == 0


def test_sockets_that_are_none(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        sluice = Activated(tmp_path, [file])
        assert "LISTEN_FDS: descriptor 3 is no TCP socket" in sluice.first
        assert sluice.stop() == 2


# --- reloads under load


def test_reloads_under_load(upstream: Upstream, gateway: Start, tmp_path: Path) -> None:
    """No request fails, on kept connections or new ones, while the configuration changes."""
    file = tmp_path / "sluice.yaml"
    file.write_text("limits: {body_bytes: 1MB}\n")
    settings = {"cache.when": "never", "log.access": "off"}
    sluice = gateway(upstream=upstream.url, settings=settings, args=["--config", str(file)])
    over = threading.Event()
    failed: list[object] = []
    served = [0] * 4

    def ask(worker: int) -> None:
        body = b'{"worker":%d}' % worker
        with wire.Client(sluice.host, sluice.port, PATIENCE) as kept:
            while not over.is_set():
                try:
                    status = kept.ask("POST", TARGET, [], body).status
                    with wire.Client(sluice.host, sluice.port, PATIENCE) as fresh:
                        statuses = {status, fresh.ask("POST", TARGET, [], body).status}
                except (AssertionError, OSError) as why:
                    statuses = {why}
                if statuses != {200}:
                    failed.append(statuses)
                    return
                served[worker] += 2

    workers = [threading.Thread(target=ask, args=(n,)) for n in range(len(served))]
    for worker in workers:
        worker.start()
    for count in range(1, 21):
        file.write_text(f"limits: {{body_bytes: {count}MB}}\nqueue: {{max_wait: {count}m}}\n")
        sluice.signal(signal.SIGHUP)
        sluice.wait_line("configuration loaded again", count)
    over.set()
    for worker in workers:
        worker.join(PATIENCE)
    assert not failed and min(served) > 0, (failed, served)


# --- manual and completion: they know every command and option


def helps() -> Iterator[tuple[list[str], str]]:
    """Every help of the program, by the words that ask for it."""

    def terms(text: str) -> list[str]:
        return re.findall(r"^  ([a-z][a-z-]*)(?: |$)", text.split("Usage:")[1], re.M)

    top = program.run("--help").stdout
    for command in terms(top.split("`sluice COMMAND")[0]):
        text = program.run(command, "--help").stdout
        yield [command], text
        if "ACTION" in text:
            for action in terms(text.split("`sluice ")[0]):
                yield [command, action], program.run(command, action, "--help").stdout


def options(text: str) -> set[str]:
    return set(re.findall(r"^  (--[a-z0-9-]+)", text, re.M))


def manual() -> str:
    argv = [sys.executable, str(ROOT / "packaging" / "man.py"), str(BINARY)]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_manual() -> None:
    page = manual()
    plain = page.replace(r"\-", "-")
    for words, text in helps():
        section = plain.split(f".SS sluice {' '.join(words)}", 1)[1].split("\n.SS ")[0]
        for option in options(text):
            assert re.search(rf"^\.B {option}\b", section, re.M), (words, option)
        for line in filter(str.strip, text.split("Example")[-1].splitlines()[1:]):
            assert line.strip().replace("\\", r"\e") in section, line
    assert {".SH FILES", ".SH ENVIRONMENT", ".SH EXIT STATUS"} <= set(page.splitlines())


def complete(*words: str) -> set[str]:
    script = (
        f"source {ROOT / 'packaging' / 'sluice.bash'}; COMP_WORDS=(\"$@\"); "
        "COMP_CWORD=$(($# - 1)); _sluice; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(
        ["bash", "-c", script, "bash", str(BINARY), *words],
        capture_output=True,
        text=True,
        env={**program.clean_environment(), **program.sanitizer_options()},
        check=True,
    )
    return set(done.stdout.split())


def test_completion(tmp_path: Path) -> None:
    commands = {words[0] for words, _ in helps()}
    assert complete("") == commands | {"--help"} and len(commands) >= 5
    for words, text in helps():
        found = complete(*words, "")
        actions = {other[1] for other, _ in helps() if other[0] == words[0] and other[1:]}
        expected = options(text) | (actions if len(words) == 1 else set())
        assert found == expected | {"--help"}, words
    assert complete("se") == {"serve"}
    assert complete("serve", "--si") == {"--simulator"}
    assert complete("serve", "--simulator", "--li") == {"--listen"}
    (tmp_path / "one.yaml").touch()
    assert complete("serve", "--config", f"{tmp_path}/o") == {f"{tmp_path}/one.yaml"}


# --- package and units


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("dpkg-deb"):
        pytest.skip("dpkg-deb is not there: packages are made on Debian")
    page = BUILD / "packaging" / "sluice.1.gz"  # as the target `manual` makes it
    page.parent.mkdir(exist_ok=True)
    page.write_bytes(gzip.compress(manual().encode(), mtime=0))
    folder = tmp_path_factory.mktemp("package")
    subprocess.run(
        ["cpack", "-G", "DEB", "-B", str(folder)], cwd=BUILD, check=True, capture_output=True
    )
    (made,) = folder.glob("*.deb")
    return made


def dpkg(*argv: str) -> str:
    return subprocess.run(
        ["dpkg-deb", *argv], capture_output=True, text=True, check=True
    ).stdout


PACKAGED = {
    "usr/bin/sluice": 0o755,
    "etc/sluice/sluice.yaml": 0o644,
    "etc/default/sluice": 0o644,
    "usr/lib/systemd/system/sluice.service": 0o644,
    "usr/lib/systemd/system/sluice.socket": 0o644,
    "usr/share/man/man1/sluice.1.gz": 0o644,
    "usr/share/bash-completion/completions/sluice": 0o644,
    "usr/share/doc/sluice/copyright": 0o644,
    "usr/share/doc/sluice/SECURITY.md": 0o644,
}


def test_package(package: Path, tmp_path: Path) -> None:
    """Holds what it should, and what it holds runs with the configuration it brings."""
    dpkg("-x", str(package), str(tmp_path / "root"))
    dpkg("-e", str(package), str(tmp_path / "control"))
    root, control = tmp_path / "root", tmp_path / "control"
    for path, mode in PACKAGED.items():
        assert (root / path).stat().st_mode & 0o777 == mode, path
    fields = dpkg("-f", str(package))
    for library in ("android-libboringssl", "libuv1", "libnghttp2-14", "libsqlite3-0", "libyaml"):
        assert library in fields
    configuration = {f"/{path}" for path in PACKAGED if path.startswith("etc/")}
    assert set((control / "conffiles").read_text().split()) == configuration
    for name in ("postinst", "prerm", "postrm"):
        script = control / name
        assert script.stat().st_mode & 0o111
        subprocess.run(["sh", "-n", str(script)], check=True)
    binary = [str(root / "usr/bin/sluice"), "check", "--offline", "--config"]
    done = subprocess.run(
        [*binary, str(root / "etc/sluice/sluice.yaml")],
        capture_output=True,
        text=True,
        env={**program.clean_environment(), "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_units(tmp_path: Path) -> None:
    """systemd finds no fault in them but that nothing is installed here."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not there")
    text = (ROOT / "packaging" / "sluice.service").read_text()
    text = text.replace("/usr/bin/sluice", str(BINARY))
    (tmp_path / "sluice.service").write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.M))
    shutil.copy(ROOT / "packaging" / "sluice.socket", tmp_path)
    units = [str(tmp_path / "sluice.service"), str(tmp_path / "sluice.socket")]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True
    )
    faults = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert not faults, faults
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", units[0]],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_stop_waits_for_the_drain() -> None:
    """systemd and Kubernetes give longer than running answers get by default."""
    reference = (ROOT / "conf" / "REFERENCE.md").read_text()
    drain = int(re.search(r"`drain`.*?`(\d+)s`", reference)[1])
    unit = (ROOT / "packaging" / "sluice.service").read_text()
    assert int(re.search(r"TimeoutStopSec=(\d+)", unit)[1]) > drain
    pod = (ROOT / "deploy" / "kubernetes.yaml").read_text()
    assert int(re.search(r"terminationGracePeriodSeconds: (\d+)", pod)[1]) > drain


def test_configuration_for_kubernetes(tmp_path: Path) -> None:
    pod = (ROOT / "deploy" / "kubernetes.yaml").read_text()
    block = re.search(r"  sluice\.yaml: \|\n((?:    .*\n)+)", pod)
    assert block
    file = tmp_path / "sluice.yaml"
    file.write_text(re.sub(r"^    ", "", block[1], flags=re.M))
    done = program.run("check", "--offline", "--config", str(file), env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr
