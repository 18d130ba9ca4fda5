"""Certificates of the tests' own, made by openssl."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

HERE = "DNS:localhost,IP:127.0.0.1"


def make_certificate(
    folder: Path, name: str, san: str = HERE, env: Mapping[str, str] | None = None
) -> None:
    """folder/chain.pem and folder/key.pem, self-signed by `name` for those hosts, for two days."""
    argv = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    subprocess.run(
        [*argv.split(), "-keyout", str(folder / "key.pem"), "-out", str(folder / "chain.pem"),
         "-subj", f"/CN={name}", "-addext", f"subjectAltName={san}"],
        env={**os.environ, **(env or {})},
        check=True,
        capture_output=True,
    )  # fmt: skip
