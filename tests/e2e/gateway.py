"""The real program under test: starts it, reads its stderr as it comes, stops it, judges its end.

Nothing here sleeps: what must have happened is waited for by its log line, its exit or its page,
each with a deadline.
"""

import http.client
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SLUICE_BUILD", ROOT / "build" / "dev")).resolve()
BINARY = BUILD / "sluice"
SANITIZED = "SLUICE_SANITIZED" in os.environ or "asan" in str(BUILD)
# Sanitizers slow everything down, and two cores run the whole suite.
PATIENCE = 30.0 if SANITIZED else 15.0

REGION = "us-east-1"
# What the gateway signs with, where a test's own server is its upstream.
GATEWAY_KEY = "AKIDGATEWAYEXAMPLE01"
GATEWAY_SECRET = "wJalrXUtnFEMI/K7MDENG+gatewayEXAMPLEKEY"
GATEWAY_SESSION = "gateway-session-token/with+odd=characters"
# The same, as Upstream takes it.
SIGNER = {
    "key": GATEWAY_KEY,
    "secret": GATEWAY_SECRET,
    "session": GATEWAY_SESSION,
    "region": REGION,
}
# What clients sign with. It must never reach an upstream, nor a log.
CLIENT_KEY = "AKIDCLIENTEXAMPLE002"
CLIENT_SECRET = "client/secret/EXAMPLE/that/must/stay"
CLIENT_SESSION = "client-session-token-that-must-stay"

REPORTS = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|Assertion .* failed", re.I)


def clean_environment() -> dict[str, str]:
    """The environment without what would lead an SDK, or the gateway, elsewhere."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "SLUICE_")) and not name.lower().endswith("_proxy")
    }


def wait_until(condition: Callable[[], object], what: str, timeout: float = PATIENCE) -> None:
    """For conditions nobody announces (a page's number, /proc): looks again every 10 ms."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout:.0f} s: {what}"
        threading.Event().wait(0.01)


def run(*args: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The program, for what ends by itself."""
    return subprocess.run(
        [str(BINARY), *args],
        env={**clean_environment(), **sanitizer_options(), **(env or {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def sanitizer_options() -> dict[str, str]:
    return {
        "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "detect_leaks=1:exitcode=99"),
        "UBSAN_OPTIONS": os.environ.get("UBSAN_OPTIONS", "halt_on_error=1:print_stacktrace=1"),
    }


class Program:
    """`sluice serve` or `sluice simulator`, running."""

    def __init__(
        self,
        home: Path,
        command: str,
        args: Sequence[str] = (),
        settings: Mapping[str, object] | None = None,
        env: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        """prefix: a command that ends by executing what follows it."""
        self.home = home
        self.state = home / "state"
        argv = [*prefix, str(BINARY), command, *args]
        for path, value in (settings or {}).items():
            argv += ["--set", f"{path}={value}"]
        environment = {
            **clean_environment(),
            **sanitizer_options(),
            "HOME": str(home),
            "AWS_EC2_METADATA_DISABLED": "true",
            **(env or {}),
        }
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._closed = False
        self.process = subprocess.Popen(
            argv, env=environment, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=home
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        for raw in self.process.stderr:
            with self._news:
                self._lines.append(raw.decode("utf-8", "replace"))
                self._news.notify_all()
        with self._news:
            self._closed = True
            self._news.notify_all()

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def stderr(self) -> str:
        """All that it has written so far."""
        with self._news:
            return "".join(self._lines)

    def wait_line(
        self, pattern: str, count: int = 1, timeout: float = PATIENCE
    ) -> list[re.Match[str]]:
        """Waits for that many lines of stderr that match; returns all matches."""

        def matches() -> list[re.Match[str]]:
            return [m for line in self._lines if (m := re.search(pattern, line))]

        with self._news:
            done = self._news.wait_for(
                lambda: len(matches()) >= count or self._closed, timeout=timeout
            )
            found = matches()
        assert done and len(found) >= count, (
            f"{len(found)} of {count} lines like {pattern!r} in:\n{self.stderr}"
        )
        return found

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> int:
        """The exit code, once it has ended by itself and all its stderr is read."""
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code

    def stop(self, expect: int = 0) -> None:
        """SIGTERM; it must end with that code, without a report of leaks or bad memory."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it did not end after SIGTERM:\n{self.stderr[-4000:]}") from None
        report = REPORTS.search(self.stderr)
        assert not report, self.stderr[max(0, report.start() - 200) :][:8000]
        assert code == expect, f"exit code {code}:\n{self.stderr[-4000:]}"

    def kill(self) -> None:
        self.process.kill()
        self.wait()


def split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


class Sluice(Program):
    """`sluice serve`, accepting on ports of the kernel's choice."""

    def __init__(
        self,
        home: Path,
        *,
        simulator: bool = False,
        upstream: str | None = None,
        settings: Mapping[str, object] | None = None,
        env: Mapping[str, str] | None = None,
        args: Sequence[str] = (),
        prefix: Sequence[str] = (),
    ) -> None:
        argv = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *args]
        defaults: dict[str, object] = {"state": home / "state"}
        environment: dict[str, str] = {}
        if simulator:
            argv.append("--simulator")
        if upstream:
            # A witness is asked for nothing but what the test asks for.
            defaults |= {"upstream.endpoint": upstream, "upstream.region": REGION}
            defaults["quotas.source"] = "config"
            environment = {
                "AWS_ACCESS_KEY_ID": GATEWAY_KEY,
                "AWS_SECRET_ACCESS_KEY": GATEWAY_SECRET,
                "AWS_SESSION_TOKEN": GATEWAY_SESSION,
            }
        super().__init__(
            home,
            "serve",
            argv,
            {**defaults, **(settings or {})},
            {**environment, **(env or {})},
            prefix,
        )
        try:
            ready = self.wait_line(r"^ready client=(\S+) admin=(\S+)$")[0]
        except AssertionError:
            self.kill()
            raise
        self.address, self.admin_address = ready[1], ready[2]
        self.host, self.port = split(self.address)
        self.url = f"http://{self.address}"
        self.admin_url = f"http://{self.admin_address}"

    def admin(self, path: str, token: str | None = None) -> tuple[int, str]:
        """An admin page: its status and text."""
        host, port = split(self.admin_address)
        connection = http.client.HTTPConnection(host, port, timeout=PATIENCE)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    @property
    def token(self) -> str:
        return (self.state / "admin.token").read_text().strip()

    def metrics(self) -> dict[str, float]:
        """The /metrics page by name, labels included: {'sluice_joins_total': 1.0, …}."""
        status, page = self.admin("/metrics", self.token)
        assert status == 200, page
        lines = [line for line in page.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def wait_metric(self, name: str, at_least: float = 1) -> None:
        wait_until(lambda: self.metrics()[name] >= at_least, f"{name} >= {at_least}")

    def sdk_env(self) -> dict[str, str]:
        """What a program needs to know: the endpoint, and any keys at all."""
        return {
            **clean_environment(),
            "HOME": str(self.home),
            "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": self.url,
            "AWS_ACCESS_KEY_ID": CLIENT_KEY,
            "AWS_SECRET_ACCESS_KEY": CLIENT_SECRET,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def boto(self, service: str = "bedrock-runtime", session_token: str | None = None, **config):
        """A boto3 client that knows nothing of the gateway but its endpoint; config: of Config.

        One attempt is the default here, so that a test sees what happened and not its repetition.
        """
        config = {"retries": {"total_max_attempts": 1}, "read_timeout": PATIENCE, **config}
        session = boto3.session.Session(
            aws_access_key_id=CLIENT_KEY,
            aws_secret_access_key=CLIENT_SECRET,
            aws_session_token=session_token,
            region_name=REGION,
        )
        variable = f"AWS_ENDPOINT_URL_{service.replace('-', '_').upper()}"
        os.environ[variable] = self.url
        try:
            return session.client(service, config=Config(**config))
        finally:
            del os.environ[variable]
