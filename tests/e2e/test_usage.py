"""`sluice usage` over the ledger of a gateway that runs."""

import json
from pathlib import Path

from gateway import MODEL_A, Sluice, run, wait_until


def test_usage_of_a_running_gateway(tmp_path: Path) -> None:
    pass
