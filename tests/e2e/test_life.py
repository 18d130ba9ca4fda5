"""How the program starts, reloads and ends, and what it says and returns when it cannot."""

import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import gateway as program
import wire
from certificate import make_certificate
from gateway import PATIENCE, Program, Sluice, split
from samples import LLAMA, MESSAGES
from upstream import Gate, Upstream, open_stream, reply

Start = Callable[..., Sluice]
TARGET = f"/model/{LLAMA}/invoke"


def connect(sluice: Sluice) -> wire.Client:
    return wire.Client(sluice.host, sluice.port, PATIENCE)


# --- SIGTERM


def test_drain(upstream: Upstream, gateway: Start) -> None:
    """A running stream goes on to its end; nobody else gets in; then it ends with 0."""
    frames, gate = wire.converse_stream(["one", "two"]), Gate()
    upstream.answer = [
        open_stream(),
        wire.chunk(frames[0]),
        gate,
        *map(wire.chunk, frames[1:]),
        wire.LAST_CHUNK,
    ]
    sluice = gateway(upstream=upstream.url)
    idle = connect(sluice)
    assert idle.ask("GET", "/health").status == 200
    client = sluice.boto()
    events = iter(client.converse_stream(modelId=LLAMA, messages=MESSAGES)["stream"])
    assert "messageStart" in next(events)

    sluice.signal(signal.SIGTERM)
    sluice.wait_line("stopping: requests under way")
    assert idle.socket.recv(1) == b"", "idle connections close"
    with pytest.raises(ConnectionError):
        connect(sluice)
    assert sluice.admin("/readyz") == (503, "stopping\n")
    assert sluice.admin("/healthz")[0] == 200
    assert sluice.process.poll() is None

    gate.open()
    assert "metadata" in list(events)[-1]
    assert sluice.wait() == 0
    sluice.stop()


def test_drain_has_an_end(upstream: Upstream, gateway: Start) -> None:
    upstream.answer = [Gate()]
    sluice = gateway(upstream=upstream.url, settings={"drain": "200ms"})
    with connect(sluice) as client:
        client.send(wire.request("POST", TARGET, [(b"Host", b"localhost")], b"{}"))
        upstream.wait_requests(1)
        sluice.stop()
    assert "requests unfinished" in sluice.stderr
    assert upstream.last.left.wait(PATIENCE)


def test_second_signal_ends_at_once(upstream: Upstream, gateway: Start) -> None:
    upstream.answer = [Gate()]
    sluice = gateway(upstream=upstream.url, settings={"drain": "1h"})
    with connect(sluice) as client:
        client.send(wire.request("POST", TARGET, [(b"Host", b"localhost")], b"{}"))
        upstream.wait_requests(1)
        sluice.signal(signal.SIGINT)
        sluice.wait_line("stopping: requests under way")
        sluice.stop()


def test_lingering_calls_do_not_hold_the_end(upstream: Upstream, gateway: Start) -> None:
    """Nobody can come back to a program that stops."""
    upstream.answer = [Gate()]
    sluice = gateway(upstream=upstream.url, settings={"flight.linger": "1h", "drain": "1h"})
    with connect(sluice) as client:
        headers = [(b"Host", b"localhost"), (b"amz-sdk-invocation-id", b"1234")]
        client.send(wire.request("POST", TARGET, headers, b"{}"))
        upstream.wait_requests(1)
    sluice.wait_line("client left")
    sluice.stop()


def test_request_that_comes_during_the_drain(upstream: Upstream, gateway: Start) -> None:
    """On a kept connection it gets 503 and Connection: close, and is not sent upstream."""
    gate = Gate()
    upstream.answer = [gate, *reply(200, b"{}")]
    sluice = gateway(upstream=upstream.url)
    with connect(sluice) as busy:
        busy.send(wire.request("POST", TARGET, [(b"Host", b"localhost")], b"{}"))
        upstream.wait_requests(1)
        sluice.signal(signal.SIGTERM)
        sluice.wait_line("stopping: requests under way")
        busy.send(wire.request("POST", TARGET, [(b"Host", b"localhost")], b"second"))
        gate.open()
        first = busy.read()
        assert first.status == 200
        if first.get("connection") != "close":
            second = busy.read()
            assert (second.status, second.get("connection")) == (503, "close")
    assert sluice.wait() == 0
    sluice.stop()
    assert [request.body for request in upstream.requests] == [b"{}"]


# --- SIGHUP


def test_reload(upstream: Upstream, gateway: Start, tmp_path: Path) -> None:
    """A good file takes effect and drops no request; a bad one changes nothing and says why."""
    file = tmp_path / "sluice.yaml"
    file.write_text("limits:\n  body_bytes: 1MB\n")
    sluice = gateway(upstream=upstream.url, args=["--config", str(file)])
    gate = Gate()
    upstream.answer = [gate, *reply(200, b"before")]
    running = connect(sluice)
    running.send(wire.request("POST", TARGET, [(b"Host", b"localhost")], b"{}"))
    upstream.wait_requests(1)

    file.write_text("limits:\n  body_bytes: 2KiB\n")
    sluice.signal(signal.SIGHUP)
    sluice.wait_line("configuration loaded again")
    with connect(sluice) as client:
        assert client.ask("POST", TARGET, [], b"x" * 2049).status == 413
    gate.open()
    assert running.read().body == b"before"
    running.close()

    upstream.answer = reply()
    file.write_text("limits:\n  body_byte: 1MB\n")
    sluice.signal(signal.SIGHUP)
    why = sluice.wait_line("configuration not changed: (.*)")[0][1]
    assert "sluice.yaml" in why and "2" in why and "body_bytes" in why, why
    with connect(sluice) as client:
        assert client.ask("POST", TARGET, [], b"x" * 2049).status == 413
    with connect(sluice) as client:
        assert client.ask("POST", TARGET, [], b"x" * 2048).status == 200

    file.unlink()
    sluice.signal(signal.SIGHUP)
    sluice.wait_line("configuration not changed", 2)


def test_reload_moves_to_another_upstream(
    upstream: Upstream, gateway: Start, tmp_path: Path
) -> None:
    """What runs stays with the old one."""
    other = Upstream(**program.SIGNER)
    other.answer = reply(200, b"other")
    gate = Gate()
    upstream.answer = [gate, *reply(200, b"first")]
    file = tmp_path / "sluice.yaml"
    keys = {
        "AWS_ACCESS_KEY_ID": program.GATEWAY_KEY,
        "AWS_SECRET_ACCESS_KEY": program.GATEWAY_SECRET,
        "AWS_SESSION_TOKEN": program.GATEWAY_SESSION,
    }
    text = "upstream: {{region: us-east-1, endpoint: '{}'}}\nquotas: {{source: config}}\n"
    file.write_text(text.format(upstream.url))
    sluice = gateway(args=["--config", str(file)], env=keys)
    with connect(sluice) as running, connect(sluice) as fresh:
        running.send(wire.request("POST", TARGET, [(b"Host", b"localhost")], b"{}"))
        upstream.wait_requests(1)
        file.write_text(text.format(other.url))
        sluice.signal(signal.SIGHUP)
        sluice.wait_line("configuration loaded again")
        assert fresh.ask("POST", TARGET, [], b'{"n":2}').body == b"other"
        gate.open()
        assert running.read().body == b"first"
    other.close()


# --- TLS


def served_name(sluice: Sluice, alpn: str) -> tuple[str, str | None, str | None]:
    """Subject, negotiated protocol and TLS version of a new connection."""
    context = ssl.create_default_context(cafile=str(sluice.home / "chain.pem"))
    context.set_alpn_protocols([alpn])
    with socket.create_connection((sluice.host, sluice.port), PATIENCE) as raw:
        with context.wrap_socket(raw, server_hostname="localhost") as secure:
            certificate = secure.getpeercert()
            assert certificate
            subject = dict(pair for part in certificate["subject"] for pair in part)
            return subject["commonName"], secure.selected_alpn_protocol(), secure.version()


def test_tls_and_its_reload(gateway: Start, tmp_path: Path) -> None:
    make_certificate(tmp_path, "first")
    settings = {"tls.certificate": tmp_path / "chain.pem", "tls.key": tmp_path / "key.pem"}
    sluice = gateway(simulator=True, home=tmp_path, settings=settings)
    assert served_name(sluice, "h2") == ("first", "h2", "TLSv1.3")
    assert served_name(sluice, "http/1.1") == ("first", "http/1.1", "TLSv1.3")
    for option, version in (("--http2", "2"), ("--http1.1", "1.1")):
        argv = ["curl", "-sS", option, "--cacert", str(tmp_path / "chain.pem")]
        argv += ["-w", "\n%{http_version} %{http_code}"]
        done = subprocess.run(
            [*argv, f"https://{sluice.address}/health"],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        assert done.stdout.splitlines()[-1] == f"{version} 200"

    make_certificate(tmp_path, "second")
    sluice.signal(signal.SIGHUP)
    sluice.wait_line("configuration loaded again")
    assert served_name(sluice, "h2")[0] == "second"

    (tmp_path / "chain.pem").write_text("no certificate")
    sluice.signal(signal.SIGHUP)
    sluice.wait_line("configuration not changed")
    context = ssl._create_unverified_context()
    with socket.create_connection((sluice.host, sluice.port), PATIENCE) as raw:
        with context.wrap_socket(raw) as secure:
            assert secure.version() == "TLSv1.3", "the former certificate is still served"


# --- starting


def test_state_is_private(simulated: Sluice) -> None:
    assert simulated.state.stat().st_mode & 0o777 == 0o700
    assert (simulated.state / "admin.token").stat().st_mode & 0o777 == 0o600


def test_token_outlives_a_restart(gateway: Start, tmp_path: Path) -> None:
    first = gateway(simulator=True, home=tmp_path)
    token = first.token
    first.stop()
    assert gateway(simulator=True, home=tmp_path).token == token and len(token) >= 32


def test_several_addresses(gateway: Start) -> None:
    sluice = gateway(simulator=True, settings={"listen": "127.0.0.1:0,127.0.0.2:0"}, args=[])
    with connect(sluice) as client:
        assert client.ask("GET", "/health").status == 200


def test_simulator_alone(tmp_path: Path, gateway: Start) -> None:
    """`sluice simulator` checks signatures: the gateway needs the keys that its help names."""
    help_text = program.run("simulator", "--help").stdout
    keys = dict(re.findall(r"(AWS_ACCESS_KEY_ID|AWS_SECRET_ACCESS_KEY)=(\S+)", help_text))
    assert len(keys) == 2, help_text
    simulator = Program(tmp_path, "simulator", ["--listen", "127.0.0.1:0"])
    address = simulator.wait_line(r"^ready simulator=(\S+)$")[0][1]
    assert split(address)[0] == "127.0.0.1"
    url = f"http://{address}"
    good = gateway(upstream=url, env={**keys, "AWS_SESSION_TOKEN": ""})
    assert good.boto().converse(modelId=LLAMA, messages=MESSAGES)["usage"]["outputTokens"] > 0
    bad = {**keys, "AWS_SESSION_TOKEN": "", "AWS_SECRET_ACCESS_KEY": "wrong"}
    with connect(gateway(upstream=url, env=bad)) as client:
        got = client.ask("POST", f"/model/{LLAMA}/converse", [], b"{}")
    assert (got.status, got.error_type) == (403, "InvalidSignatureException")
    simulator.stop()


# --- bad usage: 2, and a sentence that helps


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["serve", "--lisen", "127.0.0.1:0"], "--listen"),
        (["serv"], "serve"),
        (["serve", "--set", "memory.mx=1GiB"], "memory.max"),
        (["serve", "--set", "memory.max=lots"], "memory.max"),
        (["serve", "--set", "upstream.endpoint=ftp://x"], "upstream.endpoint"),
        (["serve", "--listen", "0.0.0.0:0", "--set", "auth=some"], "auth"),
        (["serve", "--listen", "127.0.0.1:99999"], "listen"),
        (["serve", "--config", "/nowhere/sluice.yaml"], "/nowhere/sluice.yaml"),
        (["simulator", "--set", "simulator.faults=nonsense/2"], "faults"),
        ([], "sluice"),
    ],
)
def test_bad_usage(args: list[str], says: str, tmp_path: Path) -> None:
    done = program.run(*args, env={"HOME": str(tmp_path)})
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "ready" not in done.stderr


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("queue:\n  max_wait: 5m\n  max_reqests: 5\n", 3, "max_requests"),
        ("memory:\n  max: [1, 2]\n", 2, "memory.max"),
        ("log:\n\tlevel: info\n", 2, "sluice.yaml"),
        ("listen: 127.0.0.1:0\nlisten: 127.0.0.1:0\n", 2, "listen"),
        ("tls:\n  certificate: x.pem\n", 2, "tls.key"),
    ],
    ids=["unknown", "type", "syntax", "twice", "rule"],
)
def test_bad_file(text: str, line: int, says: str, tmp_path: Path) -> None:
    """The message names file, line, key, and the nearest valid key."""
    file = tmp_path / "sluice.yaml"
    file.write_text(text)
    done = program.run("serve", "--config", str(file), env={"HOME": str(tmp_path)})
    assert done.returncode == 2, done.stderr
    assert str(file) in done.stderr and says in done.stderr
    assert re.search(rf"\b{line}\b", done.stderr), done.stderr


def test_bad_variable(tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "SLUICE_MEMORY_MAXX": "1GiB"}
    done = program.run("serve", env=env)
    assert done.returncode == 2
    assert "SLUICE_MEMORY_MAX" in done.stderr


def test_address_in_use(gateway: Start, tmp_path: Path) -> None:
    """Not the user's mistake in writing: 1."""
    sluice = gateway(simulator=True)
    done = program.run(
        "serve", "--simulator", "--listen", sluice.address, env={"HOME": str(tmp_path)}
    )
    assert done.returncode == 1
    assert sluice.address in done.stderr or str(sluice.port) in done.stderr


@pytest.mark.parametrize("command", ["serve", "simulator", "check", "version"])
def test_help(command: str) -> None:
    done = program.run(command, "--help")
    assert done.returncode == 0
    assert f"sluice {command}" in done.stdout


def test_version() -> None:
    done = program.run("version")
    assert done.returncode == 0 and re.search(r"\d+\.\d+", done.stdout)


def test_sample_configuration_is_accepted(tmp_path: Path) -> None:
    """What `check --sample` prints, a start takes."""
    sample = program.run("check", "--sample")
    assert sample.returncode == 0
    committed = (program.ROOT / "conf" / "sluice.yaml").read_text()
    assert sample.stdout == committed
    file = tmp_path / "sluice.yaml"
    file.write_text(committed)
    done = program.run(
        "check", "--offline", "--config", str(file), env={"HOME": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr


def test_check_against_the_simulator(gateway: Start, tmp_path: Path) -> None:
    done = program.run("check", "--simulator", "--model", LLAMA, env={"HOME": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr
