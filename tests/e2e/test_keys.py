"""`sluice key`: what it prints, what it keeps, and how it ends. No gateway runs."""

import json
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway import run

Key = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def key(tmp_path: Path) -> Key:
    def call(action: str, *args: str) -> subprocess.CompletedProcess[str]:
        return run("key", action, *args, "--state", str(tmp_path / "state"))

    return call


def good(done: subprocess.CompletedProcess[str]) -> str:
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def bad(done: subprocess.CompletedProcess[str], code: int) -> str:
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith("sluice: ") and done.stderr.count("\n") == 1
    return done.stderr


def as_json(done: subprocess.CompletedProcess[str]) -> dict:
    return json.loads(good(done))


def test_create_prints_what_clients_need(key: Key, tmp_path: Path) -> None:
    text = good(key("create", "--name", "chat"))
    made = as_json(key("show", "chat", "--json"))
    for name, value in {
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "http://127.0.0.1:8080",
        "AWS_ACCESS_KEY_ID": made["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": made["aws_secret_access_key"],
        "AWS_BEARER_TOKEN_BEDROCK": made["bearer_token"],
        "OPENAI_BASE_URL": "http://127.0.0.1:8080/v1",
        "OPENAI_API_KEY": made["bearer_token"],
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:8080",
        "ANTHROPIC_API_KEY": made["bearer_token"],
    }.items():
        assert f"export {name}={value}" in text
    assert made["bearer_token"].startswith(f"sk-sluice-{made['id']}-")
    assert len(made["aws_access_key_id"]) == 20 and len(made["aws_secret_access_key"]) == 40
    state = tmp_path / "state"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in state.iterdir()} == {0o600}
    stored = b"".join(file.read_bytes() for file in state.iterdir())
    for secret in ("bearer_token", "aws_secret_access_key"):
        assert made[secret].encode() not in stored


def test_addresses_are_those_of_the_configuration(key: Key, tmp_path: Path) -> None:
    for listen, url in {
        "127.0.0.1:9000": "http://127.0.0.1:9000",
        "[::1]:9000": "http://[::1]:9000",
        "127.0.0.1:0": "http://127.0.0.1:PORT",
    }.items():
        name = listen.replace(":", "-")
        text = good(key("create", "--name", name, "--set", f"listen={listen}"))
        assert f"OPENAI_BASE_URL={url}/v1\n" in text


def test_life_of_a_key(key: Key) -> None:
    assert "There are no keys" in good(key("list"))
    assert as_json(key("list", "--json")) == []
    first = as_json(
        key("create", "--json", "--name", "chat", "--models", "us.*", "--rpm", "60", "--tpm=5000",
            "--priority", "batch", "--expires", "2099-12-31", "--cache", "never",
            "--operations", "listings", "--s3-prefix", "s3://b/in/", "--subject", "CN=x")
    )  # fmt: skip
    second = as_json(key("rotate", "chat", "--json", "--overlap", "1d"))
    assert second["generation"] == 2 and second["overlap_until"]
    assert {first[n] == second[n] for n in first if n.startswith(("bearer", "aws"))} == {False}
    assert as_json(key("show", first["id"], "--json")) == second
    (listed,) = as_json(key("list", "--json"))
    assert listed.items() <= second.items()
    assert not any(name.startswith(("bearer", "aws")) for name in listed)
    assert (listed["models"], listed["rpm"], listed["tpm"]) == ("us.*", 60, 5000)
    assert listed["expires_at"] == "2100-01-01T00:00:00.000Z"
    assert "chat" in good(key("revoke", "chat"))
    good(key("revoke", "chat"))
    assert as_json(key("list", "--json"))[0]["state"] == "revoked"
    assert "is revoked" in bad(key("rotate", "chat"), 1)
    again = as_json(key("create", "--name", "chat", "--json"))
    assert again["id"] != first["id"]
    lines = good(key("list")).splitlines()
    assert [line.split()[2] for line in lines] == ["STATE", "revoked", "live"]


def test_a_retired_master_gives_new_secrets(key: Key, tmp_path: Path) -> None:
    before = as_json(key("create", "--name", "chat", "--json"))
    master = tmp_path / "state" / "master.key"
    master.rename(master.with_name("master.key.old"))
    after = as_json(key("show", "chat", "--json"))
    assert after["bearer_token"] != before["bearer_token"]
    assert after["aws_access_key_id"] == before["aws_access_key_id"]


def test_mistakes(key: Key, tmp_path: Path) -> None:
    good(key("create", "--name", "taken"))
    assert "a live key named" in bad(key("create", "--name", "taken"), 1)
    assert "no key with the name" in bad(key("revoke", "nobody"), 1)
    assert 'rpm "many" is not' in bad(key("create", "--name", "n", "--rpm", "many"), 2)
    assert "overlap" in bad(key("rotate", "taken", "--overlap", "soon"), 2)
    assert "needs --name" in bad(key("create"), 2)
    assert "the nearest is" in bad(key("crate", "--name", "n"), 2)
    assert "nearest" in bad(key("list", "--set", "listn=x"), 2)
    (tmp_path / "state" / "sluice.db").chmod(0o644)
    assert "chmod 600" in bad(key("list"), 1)
