"""Fixtures of the end-to-end tests. The program under test is $SLUICE_BUILD/sluice (build/dev).

    simulated       the gateway with the embedded simulator, shared by all tests of a run
    gateway(...)    starts a gateway of the test's own: gateway(simulator=True),
                    gateway(upstream=upstream.url, settings={"flight.linger": "1s"}, env={…},
                    args=["--config", path]). At the end of the test it gets SIGTERM and must exit
                    with 0, without a leak or another report of a sanitizer; a test that stops it
                    itself (`.stop()`, `.wait()`) has judged it already.
    upstream        an independent Bedrock-like server (upstream.py) to script and to look into
    talker          one that answers any conversation (talker.py), shared by the tests of a module
    talking         a gateway in front of it that keeps no answers
    throttled       a gateway with a simulator of THROTTLED_RPM requests in THROTTLED_WINDOW

Both kinds of gateway are gateway.Sluice: .url, .host, .port, .admin_url, .token, .metrics(),
.stderr, .wait_line(regex), .boto(service, **config), .sdk_env() (the environment for a program that
is to use it), .signal(), .pid.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import gateway as program
from talker import Talker
from upstream import Upstream

# A request that never ends must fail its own test, not the run.
TIMEOUT = 180 if program.SANITIZED else 90

# So few that four questions at once meet a throttle, and a window that a test can wait for.
THROTTLED_RPM = 3
THROTTLED_WINDOW = "1s"

# SDKs in this process must not find settings of the machine.
for _name in [n for n in os.environ if n.startswith("AWS_") or n.lower().endswith("_proxy")]:
    del os.environ[_name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TIMEOUT))


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[program.Sluice]:
    sluice = program.Sluice(tmp_path_factory.mktemp("simulated"), simulator=True)
    yield sluice
    sluice.stop()


@pytest.fixture
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., program.Sluice]]:
    started: list[program.Sluice] = []

    def start(*, home: Path | None = None, **options) -> program.Sluice:
        sluice = program.Sluice(home or tmp_path_factory.mktemp("gateway"), **options)
        started.append(sluice)
        return sluice

    yield start
    for sluice in started:
        if sluice.process.returncode is None:
            sluice.stop()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    server = Upstream(**program.SIGNER)
    yield server
    server.close()


@pytest.fixture(scope="module")
def talker() -> Iterator[Talker]:
    server = Talker(**program.SIGNER)
    yield server
    server.close()


@pytest.fixture(scope="module")
def talking(
    talker: Talker, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[program.Sluice]:
    settings = {"cache.when": "never", "retry.backoff": "20ms"}
    home = tmp_path_factory.mktemp("talking")
    sluice = program.Sluice(home, upstream=talker.url, settings=settings)
    yield sluice
    sluice.stop()


@pytest.fixture(scope="session")
def throttled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[program.Sluice]:
    settings = {
        "simulator.rpm": THROTTLED_RPM,
        "simulator.window_length": THROTTLED_WINDOW,
        "quotas.window_length": THROTTLED_WINDOW,
        "quotas.source": "config",  # it is not told the quota, and meets throttles
        "cache.when": "never",
    }
    sluice = program.Sluice(
        tmp_path_factory.mktemp("throttled"), simulator=True, settings=settings
    )
    yield sluice
    sluice.stop()
