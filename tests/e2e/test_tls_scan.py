"""What a scanner finds that knows every version and cipher: TLS 1.2 and 1.3, and nothing weak."""

import shutil
import socket
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from certificate import make_certificate
from gateway import PATIENCE, Sluice

CIPHERS = {
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
}


def test_scan(gateway: Callable[..., Sluice], tmp_path: Path) -> None:
    if not shutil.which("sslscan"):
        pytest.skip("sslscan is not there: ./dev test installs it from Debian")
    make_certificate(tmp_path, "localhost")
    settings = {"tls.certificate": tmp_path / "chain.pem", "tls.key": tmp_path / "key.pem"}
    sluice = gateway(simulator=True, settings=settings)
    report = tmp_path / "scan.xml"
    argv = ["sslscan", "--no-colour", f"--xml={report}", sluice.address]
    subprocess.run(argv, capture_output=True, timeout=PATIENCE * 3, check=True)
    found = ET.parse(report).getroot().find("ssltest")
    assert found is not None
    enabled = {
        (item.get("type"), item.get("version"))
        for item in found.iter("protocol")
        if item.get("enabled") == "1"
    }
    assert enabled == {("tls", "1.2"), ("tls", "1.3")}
    assert {item.get("cipher") for item in found.iter("cipher")} == CIPHERS
    assert {item.get("strength") for item in found.iter("cipher")} <= {"strong", "acceptable"}
    renegotiation = found.find("renegotiation")
    assert renegotiation is not None and renegotiation.get("supported") == "0"
    assert all(item.get("vulnerable") == "0" for item in found.iter("heartbleed"))
    assert all(item.get("supported") == "0" for item in found.iter("compression"))
    assert all(int(item.get("bits", "0")) >= 128 for item in found.iter("group"))


def test_no_compression(gateway: Callable[..., Sluice], tmp_path: Path) -> None:
    """The scanner's own library cannot compress: the offer is made by hand (RFC 3749)."""
    make_certificate(tmp_path, "localhost")
    settings = {"tls.certificate": tmp_path / "chain.pem", "tls.key": tmp_path / "key.pem"}
    sluice = gateway(simulator=True, settings=settings)
    groups = b"\0\x0a\0\4\0\2\0\x17" + b"\0\x0d\0\4\0\2\4\3"
    hello = b"\3\3" + b"r" * 32 + b"\0" + b"\0\2\xc0\x2b" + b"\2\1\0"  # DEFLATE, then none
    hello += len(groups).to_bytes(2, "big") + groups
    message = b"\1" + len(hello).to_bytes(3, "big") + hello
    with socket.create_connection((sluice.host, sluice.port), PATIENCE) as raw:
        raw.sendall(b"\x16\3\1" + len(message).to_bytes(2, "big") + message)
        record = raw.recv(65536)
    assert record[0] == 0x16 and record[5] == 2, "a ServerHello"
    session = record[5 + 4 + 2 + 32]
    chosen = record[5 + 4 + 2 + 32 + 1 + session :][:3]
    assert chosen == b"\xc0\x2b\0", "without compression"
