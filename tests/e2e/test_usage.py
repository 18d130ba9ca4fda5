"""`sluice usage` over the ledger of a gateway that runs."""

import json
from pathlib import Path

from gateway import Sluice, run, wait_until

MODEL = "us.meta.llama3-3-70b-instruct-v1:0"


def ask(sluice: Sluice, text: str) -> None:
    messages = [{"role": "user", "content": [{"text": text}]}]
    sluice.boto().converse(modelId=MODEL, messages=messages)


def usage(sluice: Sluice, *args: str) -> dict:
    done = run("usage", "--json", "--state", str(sluice.state), *args)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_usage_of_a_running_gateway(gateway) -> None:
    sluice = gateway(simulator=True)
    ask(sluice, "once")
    ask(sluice, "once")
    ask(sluice, "twice")
    wait_until(lambda: usage(sluice)["total"]["requests"] == 3, "three requests in the ledger")
    (row,) = usage(sluice, "--by", "model")["rows"]
    assert row["model"] == MODEL
    assert (row["requests"], row["shared"], row["failed"], row["unpriced"]) == (3, 1, 0, 0)
    assert row["input_tokens"] > 0 and row["output_tokens"] > 0
    assert row["cost_usd"] > 0 and row["saved_usd"] > 0
    (day,) = usage(sluice, "--by=day", "--since=7d")["rows"]
    assert day["requests"] == 3
    table = run("usage", "--by", "key", "--state", str(sluice.state)).stdout
    assert "SHARED" in table and "(none)" in table and "total" in table


def test_no_ledger_is_made(tmp_path: Path) -> None:
    done = run("usage", "--state", str(tmp_path / "state"))
    assert done.returncode == 1 and "there is no ledger at" in done.stderr
    assert not (tmp_path / "state").exists()
    done = run("usage", "--since", "yesterday", "--state", str(tmp_path / "state"))
    assert done.returncode == 2 and "is not a time such as" in done.stderr
