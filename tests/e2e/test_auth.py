"""`auth: keys`, as clients meet it: who gets in by what, and what each SDK says when it does not.

The keys are made by `sluice key` in the state folder of a gateway that runs already, as its
operator does; nothing is restarted, and what changes is waited for.
"""

import contextlib
import json
import os
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import anthropic
import boto3
import openai
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

import sdk
from certificate import make_certificate
from gateway import PATIENCE, REGION, Sluice, wait_until
from gateway import run as sluice_run
from samples import CLAUDE, MESSAGES, NOVA, PROMPT, RETIRED
from test_js import Node, environment, js  # noqa: F401  (js is a fixture)

Start = Callable[..., Sluice]
ASK = [{"role": "user", "content": PROMPT}]
SETTINGS = {"auth": "keys", "keys.reload": "100ms"}
ONCE = {"max_retries": 0, "timeout": PATIENCE}
ARN = "arn:aws:bedrock:us-east-1:123456789012:async-invoke/abcdef123456"


def manage(sluice: Sluice, *args: str) -> dict:
    done = sluice_run("key", *args, "--json", "--state", str(sluice.state))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@dataclass
class Holder:
    """Someone with a key, and with every client that shows it."""

    sluice: Sluice
    name: str
    bearer: str
    access: str
    secret: str

    def boto(self, service: str = "bedrock-runtime", **options: str):
        """options: in place of the key's own pair."""
        pair = {"aws_access_key_id": self.access, "aws_secret_access_key": self.secret}
        return boto3.session.Session(region_name=REGION).client(
            service,
            endpoint_url=self.sluice.url,
            config=Config(retries={"total_max_attempts": 1}, read_timeout=PATIENCE),
            **{**pair, **options},
        )

    def openai(self, key: str | None = None) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.sluice.url}/v1", api_key=key or self.bearer, **ONCE)

    def anthropic(self, key: str | None = None) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=self.sluice.url, api_key=key or self.bearer, **ONCE)

    def gets_in(self) -> bool:
        try:
            self.openai().models.with_raw_response.list()
        except openai.AuthenticationError:
            return False
        except openai.PermissionDeniedError:
            pass  # listings need a grant, and so a key that is known
        return True

    def wait(self, inside: bool = True) -> "Holder":
        wait_until(lambda: self.gets_in() == inside, f"{self.name} gets in: {inside}")
        return self


def holder(sluice: Sluice, made: dict) -> Holder:
    return Holder(
        sluice,
        made["name"],
        made["bearer_token"],
        made["aws_access_key_id"],
        made["aws_secret_access_key"],
    )


def create(sluice: Sluice, name: str, *args: str) -> Holder:
    return holder(sluice, manage(sluice, "create", "--name", name, *args))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sluice]:
    sluice = Sluice(tmp_path_factory.mktemp("guarded"), simulator=True, settings=SETTINGS)
    yield sluice
    sluice.stop()


@pytest.fixture(scope="module")
def ada(guarded: Sluice) -> Holder:
    return create(guarded, "ada").wait()


def converse(client, model: str = NOVA) -> str:
    answer = client.converse(modelId=model, messages=MESSAGES)
    return answer["output"]["message"]["content"][0]["text"]


def code(caught: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


def curl(sluice: Sluice, *headers: str, path: str = "/v1/chat/completions") -> tuple[int, dict]:
    body = {"model": NOVA, "max_tokens": 300, "messages": ASK}
    options = [option for header in headers for option in ("-H", header)]
    done = subprocess.run(
        ["curl", "-sS", "-w", "\n%{http_code}", "-H", "Content-Type: application/json", *options,
         "-d", json.dumps(body), sluice.url + path],
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    text, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(text)


# --- one key, every client


def test_every_client_gets_in(guarded: Sluice, ada: Holder) -> None:
    said = converse(ada.boto())
    assert said.startswith("[simulated]")
    assert converse(ada.boto(aws_session_token="is/ignored")) == said
    chat = ada.openai().chat.completions.create(model=NOVA, messages=ASK)
    assert chat.choices[0].message.content == said
    parts = ada.openai().chat.completions.create(model=NOVA, messages=ASK, stream=True)
    assert "".join(p.choices[0].delta.content or "" for p in parts) == said
    request = {"model": CLAUDE, "max_tokens": 300, "messages": ASK}
    assert ada.anthropic().messages.create(**request).content[0].text.startswith("[simulated]")
    for header in (f"Authorization: Bearer {ada.bearer}", f"x-api-key: {ada.bearer}"):
        status, answer = curl(guarded, header)
        assert (status, answer["choices"][0]["message"]["content"]) == (200, said)
    stream = ada.boto().converse_stream(modelId=NOVA, messages=MESSAGES)["stream"]
    deltas = [event["contentBlockDelta"]["delta"]["text"] for event in stream
              if "contentBlockDelta" in event]  # fmt: skip
    assert "".join(deltas) == said


@pytest.mark.parametrize("scenario", ["converse", "converseStreamTools", "invokeStream"])
def test_javascript_sdk_gets_in(
    js: Path,  # noqa: F811
    guarded: Sluice,
    ada: Holder,
    scenario: str,
) -> None:
    keys = {"AWS_ACCESS_KEY_ID": ada.access, "AWS_SECRET_ACCESS_KEY": ada.secret}
    with Node(js, "runtime", scenario, environment(guarded, **keys)) as node:
        node.verdict()


def test_javascript_sdk_with_the_bearer(
    js: Path,  # noqa: F811
    guarded: Sluice,
    ada: Holder,
) -> None:
    env = environment(guarded, AWS_BEARER_TOKEN_BEDROCK=ada.bearer)
    with Node(js, "runtime", "converse", env) as node:
        node.verdict()


def test_wrong_secrets(js: Path, guarded: Sluice, ada: Holder) -> None:  # noqa: F811
    """In each SDK's own words, and none of them tries again."""
    wrong = ada.bearer[:-1] + ("A" if ada.bearer[-1] != "A" else "B")
    forger = Holder(guarded, "forger", wrong, ada.access, "x" * 40)
    with pytest.raises(ClientError) as caught:
        converse(forger.boto())
    assert code(caught) == (403, "InvalidSignatureException")
    assert "Canonical String" in str(caught.value)
    stranger = Holder(guarded, "stranger", wrong, "AKSLAAAAAAAAAAAAAAAA", ada.secret)
    with pytest.raises(ClientError) as caught:
        converse(stranger.boto())
    assert code(caught) == (403, "UnrecognizedClientException")
    with pytest.raises(openai.AuthenticationError) as refused:
        forger.openai().chat.completions.create(model=NOVA, messages=ASK)
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(anthropic.AuthenticationError) as denied:
        forger.anthropic().messages.create(model=CLAUDE, max_tokens=9, messages=ASK)
    assert denied.value.body["error"]["type"] == "authentication_error"
    for header in (f"Authorization: Bearer {wrong}", "x-api-key: sk-else", "x-nothing: at-all"):
        assert curl(guarded, header)[0] == 401
    keys = {"AWS_ACCESS_KEY_ID": ada.access, "AWS_SECRET_ACCESS_KEY": "x" * 40}
    with Node(js, "runtime", "converse", environment(guarded, **keys)) as node:
        with pytest.raises(AssertionError, match="InvalidSignatureException"):
            node.verdict()
    assert ada.secret not in guarded.stderr and ada.bearer[-20:] not in guarded.stderr
    assert wrong[-20:] not in guarded.stderr


def test_guessing_is_slowed_down(gateway: Start) -> None:
    """Thirty wrong secrets a minute from one address; then all from there wait."""
    sluice = gateway(simulator=True, settings=SETTINGS)
    statuses = [curl(sluice, f"x-api-key: sk-sluice-guess-{n}")[0] for n in range(32)]
    assert statuses == [401] * 30 + [429] * 2


def test_boto3_with_the_bearer(gateway: Start, tmp_path: Path) -> None:
    """boto3 shows a token over https only, and needs no other credentials then."""
    make_certificate(tmp_path, "bearer")
    tls = {"tls.certificate": tmp_path / "chain.pem", "tls.key": tmp_path / "key.pem"}
    sluice = gateway(simulator=True, settings={**SETTINGS, **tls})
    made = manage(sluice, "create", "--name", "boto3")

    def ask(token: str) -> str:
        with sdk.environ({"AWS_BEARER_TOKEN_BEDROCK": token}):
            session = boto3.session.Session(region_name=REGION)
            return converse(
                session.client(
                    "bedrock-runtime",
                    endpoint_url=f"https://{sluice.address}",
                    verify=str(tmp_path / "chain.pem"),
                    config=Config(retries={"total_max_attempts": 1}, read_timeout=PATIENCE),
                )
            )

    def is_known() -> bool:
        with contextlib.suppress(ClientError):
            return ask(made["bearer_token"]).startswith("[simulated]")
        return False

    wait_until(is_known, "the token is known")
    with pytest.raises(ClientError, match="API Key is valid") as caught:
        ask("sk-sluice-of-nobody")
    assert code(caught) == (403, "AccessDeniedException")


# --- the life of a key, while the gateway runs


def test_revoked(guarded: Sluice) -> None:
    bob = create(guarded, "bob").wait()
    manage(guarded, "revoke", "bob")
    bob.wait(inside=False)
    with pytest.raises(ClientError) as caught:
        converse(bob.boto())
    assert code(caught) == (403, "UnrecognizedClientException")
    with pytest.raises(anthropic.AuthenticationError):
        bob.anthropic().messages.create(model=CLAUDE, max_tokens=9, messages=ASK)


def test_expired(guarded: Sluice) -> None:
    """The shortest life a key can be given is an hour: its last second is moved to the past."""
    eve = create(guarded, "eve", "--expires", "1h").wait()
    with sqlite3.connect(guarded.state / "sluice.db") as database:
        database.execute("UPDATE keys SET expires_at = ? WHERE name = 'eve'", [int(time.time())])
    eve.wait(inside=False)
    with pytest.raises(ClientError, match="expired") as caught:
        converse(eve.boto())
    assert code(caught)[0] == 403
    with pytest.raises(openai.AuthenticationError, match="expired"):
        eve.openai().chat.completions.create(model=NOVA, messages=ASK)


def test_rotated(guarded: Sluice) -> None:
    """With an overlap both generations get in, without one the former does not."""
    old = create(guarded, "rota").wait()
    new = holder(guarded, manage(guarded, "rotate", "rota", "--overlap", "7d")).wait()
    assert new.bearer != old.bearer and new.access != old.access
    assert converse(old.boto()) == converse(new.boto())
    newest = holder(guarded, manage(guarded, "rotate", "rota", "--overlap", "0")).wait()
    new.wait(inside=False)
    assert not old.gets_in() and newest.gets_in()


def ask_admin(sluice: Sluice, method: str, path: str, body: object = None) -> tuple[int, dict]:
    request = urllib.request.Request(
        sluice.admin_url + path,
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Bearer {sluice.token}", "Content-Type": "application/json"},
        method=method,
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PATIENCE) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as refusal:
        return refusal.code, json.load(refusal)


def test_admin_api(guarded: Sluice) -> None:
    status, made = ask_admin(guarded, "POST", "/admin/keys", {"name": "page", "rpm": 600})
    assert status == 201 and made["rpm"] == 600
    page = holder(guarded, made).wait()
    assert ask_admin(guarded, "POST", "/admin/keys", {"name": "page"})[0] == 409
    assert ask_admin(guarded, "POST", "/admin/keys", {"name": "x", "rmp": 1})[0] == 400
    _, listed = ask_admin(guarded, "GET", "/admin/keys")
    (row,) = [key for key in listed["keys"] if key["name"] == "page"]
    assert not any(name.startswith(("bearer", "aws")) for name in row)
    status, rotated = ask_admin(
        guarded, "POST", f"/admin/keys/{made['id']}/rotate", {"overlap": "1d"}
    )
    assert status == 200 and holder(guarded, rotated).wait() and page.gets_in()
    assert ask_admin(guarded, "DELETE", f"/admin/keys/{made['id']}")[0] == 200
    page.wait(inside=False)


# --- what a key was granted


def test_models(guarded: Sluice) -> None:
    nova = create(guarded, "nova-only", "--models", "*nova*").wait()
    assert converse(nova.boto()).startswith("[simulated]")
    with pytest.raises(ClientError) as caught:
        converse(nova.boto(), CLAUDE)
    assert code(caught) == (403, "AccessDeniedException")
    with pytest.raises(openai.PermissionDeniedError):
        nova.openai().chat.completions.create(model=CLAUDE, messages=ASK)
    with pytest.raises(anthropic.PermissionDeniedError):
        nova.anthropic().messages.create(model=CLAUDE, max_tokens=9, messages=ASK)


def test_models_are_those_that_serve(guarded: Sluice) -> None:
    """A withdrawn model's name opens no door to its successor, and needs none of its own."""
    former = create(guarded, "former", "--models", RETIRED).wait()
    with pytest.raises(ClientError) as caught:
        converse(former.boto(), RETIRED)
    assert code(caught) == (403, "AccessDeniedException")
    later = create(guarded, "later", "--models", "*llama3-70b*").wait()
    assert converse(later.boto(), RETIRED).startswith("[simulated]")


S3_MESSAGE = {
    "role": "user",
    "content": [
        {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/in/a.png"}}}},
        {"text": PROMPT},
    ],
}


def test_nothing_runs_with_the_gateways_role(guarded: Sluice, ada: Holder) -> None:
    attempts = guarded.metrics()["sluice_attempts_total"]
    runtime, control = ada.boto(), ada.boto("bedrock")
    for call in (
        lambda: runtime.converse(modelId=NOVA, messages=[S3_MESSAGE]),
        lambda: runtime.list_async_invokes(),
        lambda: runtime.get_async_invoke(invocationArn=ARN),
        lambda: runtime.start_async_invoke(
            modelId=NOVA,
            modelInput={"a": 1},
            outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://bucket/out/"}},
        ),
        lambda: control.list_foundation_models(),
        lambda: control.list_inference_profiles(),
    ):
        with pytest.raises(ClientError) as caught:
            call()
        assert code(caught) == (403, "AccessDeniedException")
    with pytest.raises(openai.PermissionDeniedError):
        ada.openai().models.list()
    assert guarded.metrics()["sluice_attempts_total"] == attempts


def test_grants(guarded: Sluice) -> None:
    lister = create(guarded, "lister", "--operations", "listings").wait()
    assert lister.boto("bedrock").list_foundation_models()["modelSummaries"]
    assert NOVA in {model.id for model in lister.openai().models.list()}
    with pytest.raises(ClientError) as caught:
        lister.boto().list_async_invokes()
    assert code(caught) == (403, "AccessDeniedException")
    reader = create(guarded, "reader", "--s3-prefix", "s3://bucket/in/").wait()
    reader.boto().converse(modelId=NOVA, messages=[S3_MESSAGE])
    for uri in ("s3://bucket/other/a.png", "s3://bucket/in/../a.png", "s3://bucketeer/in/a.png"):
        elsewhere = json.loads(json.dumps(S3_MESSAGE).replace("s3://bucket/in/a.png", uri))
        with pytest.raises(ClientError) as caught:
            reader.boto().converse(modelId=NOVA, messages=[elsewhere])
        assert code(caught) == (403, "AccessDeniedException")


def test_rpm_is_kept_by_waiting(gateway: Start) -> None:
    """No refusal: what is more than a minute admits is held in the queue, and other keys go on."""
    sluice = gateway(simulator=True, settings={**SETTINGS, "cache.when": "never"})
    slow, free = create(sluice, "slow", "--rpm", "30").wait(), create(sluice, "free").wait()

    def waits(who: Holder, count: int) -> list[float]:
        create = who.openai().chat.completions.with_raw_response.create
        answers = [create(model=NOVA, messages=ASK) for _ in range(count)]
        return [float(answer.headers["x-sluice-queue-ms"]) for answer in answers]

    begun = time.monotonic()
    held = waits(slow, 32)
    took = time.monotonic() - begun
    assert max(held[:20]) < 500 and took >= 1 and max(held) >= 500, held
    assert max(waits(free, 32)) < 500


# --- a client certificate in place of a key


def openssl(*args: str) -> None:
    subprocess.run(["openssl", *args], check=True, capture_output=True)


def client_certificate(folder: Path, subject: str) -> list[str]:
    """Signed by folder/ca; curl's options that show it."""
    name = subject.rpartition("=")[2]
    key, csr, pem = (str(folder / f"{name}.{kind}") for kind in ("key", "csr", "pem"))
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", *curve, "-keyout", key, "-out", csr, "-subj", "/" + subject)
    authority = [str(folder / "ca" / file) for file in ("chain.pem", "key.pem")]
    openssl("x509", "-req", "-in", csr, "-CA", authority[0], "-CAkey", authority[1],
            "-CAcreateserial", "-days", "2", "-out", pem)  # fmt: skip
    return ["--cert", pem, "--key", key]


def test_client_certificate_names_the_key(gateway: Start, tmp_path: Path) -> None:
    for name in ("ca", "server"):
        (tmp_path / name).mkdir()
        make_certificate(tmp_path / name, name)
    settings = {
        **SETTINGS,
        "tls.certificate": tmp_path / "server" / "chain.pem",
        "tls.key": tmp_path / "server" / "key.pem",
        "tls.client_ca": tmp_path / "ca" / "chain.pem",
    }
    sluice = gateway(simulator=True, settings=settings)
    manage(sluice, "create", "--name", "machine", "--subject", "CN=machine", "--models", "*nova*")

    def ask(options: list[str], model: str = NOVA) -> int:
        body = json.dumps({"model": model, "messages": ASK})
        done = subprocess.run(
            ["curl", "-sS", "-o", os.devnull, "-w", "%{http_code}", *options, "--http1.1",
             "--cacert", str(tmp_path / "server" / "chain.pem"),
             "-H", "Content-Type: application/json",
             "-d", body, f"https://{sluice.address}/v1/chat/completions"],
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        return int(done.stdout or 0)

    machine = client_certificate(tmp_path, "CN=machine")
    wait_until(lambda: ask(machine) == 200, "the subject's key is known")
    assert ask(machine, CLAUDE) == 403
    assert ask(client_certificate(tmp_path, "CN=nobody")) == 401
    assert ask([]) in (0, 401), "no certificate"
