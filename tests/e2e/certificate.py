"""Certificates of the tests' own, made by openssl."""

import subprocess
from pathlib import Path


def make_certificate(folder: Path, name: str) -> None:
    """folder/chain.pem and folder/key.pem, self-signed by `name` for localhost and 127.0.0.1."""
    argv = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subprocess.run(
        [*argv.split(), "-keyout", str(folder / "key.pem"), "-out", str(folder / "chain.pem"),
         "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True,
        capture_output=True,
    )  # fmt: skip
