"""HTTP/2 as an independent tool sees it: h2spec's generic, http2 and hpack cases.

Their target serves GET and POST, reads the whole request before it answers, and takes its time: a
server may answer at once and reset the rest of a request, after which there is nothing left to test.
"""

import os
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

import wire
from certificate import make_certificate
from gateway import PATIENCE, ROOT, Sluice

Start = Callable[..., Sluice]
H2SPEC = Path(os.environ.get("SLUICE_DEPS", ROOT / ".deps")) / "h2spec" / "h2spec"
TARGET = "/async-invoke"
CASES = 145
# One port serves both versions in cleartext, so bytes that do not begin HTTP/2's preface are taken
# for HTTP/1 and get its refusal, then the connection closes; h2spec wants no word before that.
# test_no_preface is this case, told apart by what the port really is.
ON_ONE_PORT = "Sends invalid connection preface"


def failed_cases(sluice: Sluice, report: Path, *options: str) -> list[str]:
    """What h2spec complains about; all of its cases must have run."""
    if not H2SPEC.exists():
        pytest.skip("h2spec is not there: ./dev test builds it where a Go toolchain can be had")
    argv = [str(H2SPEC), "-h", sluice.host, "-p", str(sluice.port), "-P", TARGET, "-j", str(report)]
    subprocess.run([*argv, *options], capture_output=True, timeout=PATIENCE * 4)
    cases = list(ET.parse(report).getroot().iter("testcase"))
    assert len(cases) == CASES, "not all cases have run"
    return [
        f"{case.get('package')} {case.get('classname')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]


SETTINGS = {"simulator.latency": "50ms", "log.access": "off"}


def test_cleartext(gateway: Start, tmp_path: Path) -> None:
    sluice = gateway(simulator=True, settings=SETTINGS)
    failed = failed_cases(sluice, tmp_path / "report.xml")
    assert [name for name in failed if ON_ONE_PORT not in name] == []


def test_no_preface(simulated: Sluice) -> None:
    with wire.Client(simulated.host, simulated.port, PATIENCE) as client:
        client.send(b"INVALID CONNECTION PREFACE\r\n\r\n")
        got = client.read()
        assert (got.status, got.get("connection")) == (400, "close")
        assert client.socket.recv(1) == b""


def test_tls(gateway: Start, tmp_path: Path) -> None:
    make_certificate(tmp_path, "localhost")
    certificate = {"tls.certificate": tmp_path / "chain.pem", "tls.key": tmp_path / "key.pem"}
    sluice = gateway(simulator=True, settings={**SETTINGS, **certificate})
    assert failed_cases(sluice, tmp_path / "report.xml", "--tls", "--insecure") == []
