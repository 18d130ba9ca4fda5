"""HTTP/2 clients that are still sending when their answer is there: a refusal needs no body.

What is left of the body is thrown away for a while before the stream is reset, as a client that is
busy sending may take a reset for the answer (curl 7.88 did so now and then).
"""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h2wire
from gateway import PATIENCE, Sluice

# Refused as soon as the head is read: there is nothing to POST here.
PATH = "/v1/models"
REFUSAL = 404
TIMES = 20


def test_curl_hears_refusals(simulated: Sluice, tmp_path: Path) -> None:
    """As often as it asks, also with more than a window's worth of body."""
    body = tmp_path / "body"
    body.write_bytes(b"x" * 900_000)
    command = ["curl", "-sS", "--http2-prior-knowledge", "--max-time", str(PATIENCE)]
    command += ["-o", "/dev/null", "-w", "%{http_version} %{http_code}"]
    command += ["--data-binary", f"@{body}", f"{simulated.url}{PATH}"]

    def ask(_: int) -> subprocess.CompletedProcess:
        return subprocess.run(command, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(ask, range(TIMES)))
    assert [(t.returncode, t.stdout, t.stderr) for t in told] == [(0, f"2 {REFUSAL}", "")] * TIMES


def request(simulated: Sluice, *rest: bytes) -> bytes:
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", PATH.encode())]
    fields += [(b":authority", f"{simulated.host}:{simulated.port}".encode())]
    head = h2wire.frame(h2wire.HEADERS, h2wire.END_HEADERS, 1, h2wire.block(fields))
    return head + b"".join(rest)


def data(payload: bytes, flags: int = 0) -> bytes:
    return h2wire.frame(h2wire.DATA, flags, 1, payload)


def test_a_small_rest_ends_in_peace(simulated: Sluice) -> None:
    frames = request(simulated, *[data(b"x" * 16384)] * 3, data(b"", h2wire.END_STREAM))
    with h2wire.Client(simulated.host, simulated.port, PATIENCE) as client:
        outcome = client.exchange(frames)
    assert outcome == h2wire.Outcome(status=REFUSAL, reset=None, alive=True)


def test_a_rest_that_does_not_come_ends_by_a_reset(simulated: Sluice) -> None:
    """Without an error, some seconds later; until then, and after, the connection serves."""
    with h2wire.Client(simulated.host, simulated.port, PATIENCE) as client:
        assert client.exchange(request(simulated)).reset is None
        reset = client.await_reset()
    assert reset == 0
