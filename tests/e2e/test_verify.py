"""Signatures verified: what botocore and the JavaScript SDK sign is let in, anything else is not.

verify_tool holds one key and says of each request what the gateway would. The clock is given to
it, so that requests signed at any time are judged at theirs.
"""

import base64
import calendar
import datetime
import json
import random
import string
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

import boto3
import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from gateway import BUILD
from test_js import NODE, environment, js  # noqa: F401  (js is a fixture)

TOOL = BUILD / "tests" / "verify_tool"
SEED = 20261122
REQUESTS = 4000
PRESIGNED = 1000
MUTATED = 12  # requests of each kind of which every byte is changed
SKEW = 300

MODELS = [
    "meta.llama3-8b-instruct-v1:0",
    "us.anthropic.claude-sonnet-4-20250514-v1:0",
    "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-text-v2:0",
    "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/ab12cd34ef56",
    "arn:aws:sagemaker:us-east-1:123456789012:endpoint/my-endpoint",
]
OPERATIONS = ["converse", "converse-stream", "invoke", "invoke-with-response-stream"]
TEXT = string.ascii_letters + string.digits + string.punctuation
AMZ = "%Y%m%dT%H%M%SZ"


@dataclass
class Request:
    """As it is on the wire."""

    method: str
    target: str
    authority: str
    wall: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    signed: list[str] = field(default_factory=list)  # names, in lower case

    def line(self) -> str:
        parts = [self.method, self.target, self.authority, str(self.wall), self.body]
        parts += [text for pair in self.headers for text in pair]
        raw = (p if isinstance(p, bytes) else p.encode() for p in parts)
        return " ".join(p.hex() or "-" for p in raw)


def verify(requests: Iterable[Request]) -> list[str]:
    lines = "".join(request.line() + "\n" for request in requests)
    done = subprocess.run([TOOL], input=lines, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[1:]


@pytest.fixture(scope="module")
def secrets() -> dict[str, str]:
    done = subprocess.run([TOOL], input="", capture_output=True, text=True, check=True)
    return dict(zip(["bearer", "access_key_id", "secret"], done.stdout.split()))


@pytest.fixture(scope="module")
def credentials(secrets: dict[str, str]) -> Credentials:
    return Credentials(secrets["access_key_id"], secrets["secret"])


# ---- Signing with botocore ----


def text(rng: random.Random, characters: str, low: int, high: int) -> str:
    return "".join(rng.choices(characters, k=rng.randint(low, high)))


def make_headers(rng: random.Random) -> list[tuple[str, str]]:
    headers = [("Content-Type", "application/json")] if rng.random() < 0.8 else []
    if rng.random() < 0.7:
        headers.append(("amz-sdk-invocation-id", text(rng, string.hexdigits, 36, 36)))
        headers.append(("amz-sdk-request", "attempt=1"))
    if rng.random() < 0.2:
        headers.append(("Date", "Sun, 22 Nov 2026 10:07:19 GMT"))
    for _ in range(rng.choice([0, 0, 1, 2, 10])):
        words = [text(rng, TEXT, 1, 12) for _ in range(rng.randint(1, 3))]
        name = rng.choice(["X-", "x-amz-", "X-Amzn-Bedrock-"]) + text(rng, string.ascii_letters, 3, 9)
        headers.append((name, rng.choice([" ", "  ", "\t"]).join(words)))
    if rng.random() < 0.5:
        headers += [("User-Agent", "not signed"), ("Expect", "100-continue")]
    return headers


def make_url(rng: random.Random) -> str:
    model = quote(rng.choice(MODELS), safe=rng.choice(["-._~", "-._~:"]))
    host = rng.choice(["127.0.0.1:8080", "llm.example", "[::1]:8080"])
    url = f"http://{host}/model/{model}/{rng.choice(OPERATIONS)}"
    if rng.random() < 0.4:
        pairs = [(text(rng, TEXT, 1, 6), text(rng, TEXT, 0, 6)) for _ in range(rng.randint(1, 5))]
        url += "?" + urlencode(pairs, quote_via=quote, safe="-._~")
    return url


def make_time(rng: random.Random) -> datetime.datetime:
    return datetime.datetime(2020, 2, 28, 23, 59) + datetime.timedelta(
        seconds=rng.randrange(400_000_000)
    )


def to_wire(request: AWSRequest, now: datetime.datetime, names: str) -> Request:
    """As an HTTP client would send it; botocore leaves Host to that."""
    parts = urlsplit(request.url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    headers = [("Host", parts.netloc), *request.headers.items()]
    body = request.data if isinstance(request.data, bytes) else b""
    wall = calendar.timegm(now.timetuple())
    return Request(request.method, target, parts.netloc, wall, headers, body, names.split(";"))


def signed_names(request: AWSRequest) -> str:
    return request.headers["Authorization"].split("SignedHeaders=")[1].split(",")[0]


def sign(rng: random.Random, credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> Request:
    now = make_time(rng)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: now)
    body = rng.randbytes(rng.choice([0, 1, 64, 300, 5000]))
    request = AWSRequest(rng.choice(["POST", "POST", "GET", "DELETE"]), make_url(rng), data=body)
    for name, value in make_headers(rng):
        request.headers[name] = value
    token = text(rng, TEXT.replace(" ", ""), 100, 300) if rng.random() < 0.3 else None
    mine = Credentials(credentials.access_key, credentials.secret_key, token)
    region = rng.choice(["us-east-1", "eu-central-1", "us-gov-west-1", "mars-north-9"])
    service = rng.choice(["bedrock", "bedrock-mantle"])
    botocore.auth.SigV4Auth(mine, service, region).add_auth(request)
    return to_wire(request, now, signed_names(request))


def presign(rng: random.Random, credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> Request:
    now = make_time(rng)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: now)
    request = AWSRequest(rng.choice(["GET", "POST"]), make_url(rng))
    if rng.random() < 0.5:
        request.headers["x-extra"] = text(rng, TEXT, 1, 20)
    token = text(rng, TEXT, 100, 300) if rng.random() < 0.3 else None
    mine = Credentials(credentials.access_key, credentials.secret_key, token)
    expires = rng.choice([1, 60, 3600, 604800])
    botocore.auth.SigV4QueryAuth(mine, "bedrock", "us-east-1", expires).add_auth(request)
    wire = to_wire(request, now, "host;x-extra" if "x-extra" in request.headers else "host")
    return replace(wire, wall=wire.wall + rng.randint(-SKEW, expires))


Maker = Callable[[random.Random, Credentials, pytest.MonkeyPatch], Request]


def make_many(
    maker: Maker, count: int, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> list[Request]:
    rng = random.Random(SEED)
    with monkeypatch.context() as patch:
        return [maker(rng, credentials, patch) for _ in range(count)]


def assert_all(requests: list[Request], good: Callable[[str], bool]) -> None:
    verdicts = verify(requests)
    assert len(verdicts) == len(requests) > 0
    for request, verdict in zip(requests, verdicts):
        assert good(verdict), (verdict, request)


REFUSALS = {
    "InvalidSignatureException",
    "UnrecognizedClientException",
    "IncompleteSignatureException",
    "MissingAuthenticationTokenException",
}


# ---- botocore ----


def test_what_botocore_signs_is_let_in(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = make_many(sign, REQUESTS, credentials, monkeypatch)
    rng = random.Random(SEED)
    requests = [replace(r, wall=r.wall + rng.randint(-SKEW, SKEW)) for r in requests]
    assert_all(requests, "ok".__eq__)


def test_what_botocore_presigns_is_let_in(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_all(make_many(presign, PRESIGNED, credentials, monkeypatch), "ok".__eq__)


def test_replays_outside_the_window_are_refused(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = make_many(sign, 200, credentials, monkeypatch)
    late = [replace(r, wall=r.wall + SKEW + 1) for r in requests]
    early = [replace(r, wall=r.wall - SKEW - 1) for r in requests]
    presigned = make_many(presign, 200, credentials, monkeypatch)
    gone = [replace(r, wall=r.wall + 604800 + SKEW + 1) for r in presigned]
    assert_all(late + early + gone, "InvalidSignatureException".__eq__)


def test_another_secret_or_key_is_refused(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = credentials.secret_key
    wrong = Credentials(credentials.access_key, secret[:-1] + ("A" if secret[-1] != "A" else "B"))
    unknown = Credentials("AKIAIOSFODNN7EXAMPLE", secret)
    for maker in (sign, presign):
        assert_all(make_many(maker, 50, wrong, monkeypatch), "InvalidSignatureException".__eq__)
        assert_all(make_many(maker, 50, unknown, monkeypatch), "UnrecognizedClientException".__eq__)


def other(rng: random.Random, c: str) -> str:
    """Another byte that may stand there; not the same letter in the other case."""
    while True:
        found = rng.choice(string.ascii_letters + string.digits)
        if found.lower() != c.lower():
            return found


def changed(rng: random.Random, s: str) -> Iterator[str]:
    for i in range(len(s)):
        yield s[:i] + other(rng, s[i]) + s[i + 1 :]


def mutations(rng: random.Random, r: Request) -> Iterator[Request]:
    """Each byte of method, target, signed headers, Authorization and body as another one."""
    for method in changed(rng, r.method):
        yield replace(r, method=method)
    for target in changed(rng, r.target[1:]):
        yield replace(r, target="/" + target)
    for authority in changed(rng, r.authority):
        yield replace(r, authority=authority)
    for i, (name, value) in enumerate(r.headers):
        if name.lower() not in [*r.signed, "authorization"] or name == "Host":
            continue
        for mutant in changed(rng, value):
            yield replace(r, headers=[*r.headers[:i], (name, mutant), *r.headers[i + 1 :]])
        for mutant in changed(rng, name):
            yield replace(r, headers=[*r.headers[:i], (mutant, value), *r.headers[i + 1 :]])
    for i in range(len(r.body)):
        byte = bytes([r.body[i] ^ (1 << rng.randrange(8))])
        yield replace(r, body=r.body[:i] + byte + r.body[i + 1 :])
    yield replace(r, body=r.body + b"x")


@pytest.mark.parametrize("maker", [sign, presign])
def test_each_byte_counts(
    maker: Maker, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_many(maker, 10 * MUTATED, credentials, monkeypatch)
    requests = [r for r in made if len(r.body) <= 300][:MUTATED]
    assert len(requests) == MUTATED
    assert_all(requests, "ok".__eq__)
    rng = random.Random(SEED)
    assert_all([m for r in requests for m in mutations(rng, r)], REFUSALS.__contains__)


def without(pairs: list[tuple[str, str]], index: int) -> list[tuple[str, str]]:
    return pairs[:index] + pairs[index + 1 :]


def test_signed_headers_cannot_be_left_out_or_doubled(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutants = []
    for r in make_many(sign, 100, credentials, monkeypatch):
        for i, (name, value) in enumerate(r.headers):
            if name.lower() in r.signed and name != "Host":
                mutants.append(replace(r, headers=without(r.headers, i)))
                mutants.append(replace(r, headers=[*r.headers, (name, value)]))
        mutants.append(replace(r, headers=[*r.headers, ("x-amz-new", "1")]))
    assert_all(mutants, REFUSALS.__contains__)


# ---- Real clients ----


def capture(client: object, calls: Iterable[Callable[[], object]]) -> list[Request]:
    """What boto3 would send, caught before it does."""
    seen: list[Request] = []

    def keep(request: object, **_: object) -> object:
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        parts = urlsplit(request.url)
        text_of = lambda v: v.decode() if isinstance(v, bytes) else v  # noqa: E731
        headers = [("Host", parts.netloc)]
        headers += [(name, text_of(value)) for name, value in request.headers.items()]
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        seen.append(Request(request.method, target, parts.netloc, int(time.time()), headers, body))
        raise InterruptedError

    client.meta.events.register("before-send", keep)
    for call in calls:
        with pytest.raises(InterruptedError):
            call()
    return seen


def test_boto3(secrets: dict[str, str]) -> None:
    keys = {
        "region_name": "eu-central-1",
        "endpoint_url": "http://127.0.0.1:8080",
        "aws_access_key_id": secrets["access_key_id"],
        "aws_secret_access_key": secrets["secret"],
        "config": Config(retries={"total_max_attempts": 1}),
    }
    runtime = boto3.client("bedrock-runtime", **keys)
    control = boto3.client("bedrock", **keys)
    messages = [{"role": "user", "content": [{"text": "ünï 漢字"}]}]
    calls = []
    for model in MODELS:
        calls += [
            lambda model=model: runtime.converse(modelId=model, messages=messages),
            lambda model=model: runtime.invoke_model(
                modelId=model, body=b"{}", trace="ENABLED", guardrailIdentifier="gr1"
            ),
            lambda model=model: runtime.count_tokens(
                modelId=model, input={"converse": {"messages": messages}}
            ),
        ]
    calls.append(lambda: runtime.list_async_invokes(maxResults=5, nextToken="a+/= &~*'()!ü"))
    requests = capture(runtime, calls)
    requests += capture(
        control,
        [
            lambda: control.list_foundation_models(byProvider="Meta", byOutputModality="TEXT"),
            lambda: control.get_foundation_model(modelIdentifier=MODELS[2]),
            lambda: control.list_inference_profiles(maxResults=7, typeEquals="SYSTEM_DEFINED"),
        ],
    )
    assert len(requests) == len(MODELS) * 3 + 4
    assert_all(requests, "ok".__eq__)


def test_boto3_with_a_bearer_token(
    secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", secrets["bearer"])
    client = boto3.client(  # botocore sends such a token over TLS only
        "bedrock-runtime", region_name="us-east-1", endpoint_url="https://127.0.0.1:8080"
    )
    messages = [{"role": "user", "content": [{"text": "hi"}]}]
    requests = capture(client, [lambda: client.converse(modelId=MODELS[0], messages=messages)])
    assert_all(requests, "ok".__eq__)
    spoiled = [
        replace(r, headers=[(n, v[:-1] + "!") if n == "Authorization" else (n, v) for n, v in r.headers])
        for r in requests
    ]
    assert_all(spoiled, "AccessDeniedException".__eq__)


@pytest.fixture(scope="module")
def from_javascript(secrets: dict[str, str], js: Path) -> list[Request]:  # noqa: F811
    env = environment(
        AWS_ACCESS_KEY_ID=secrets["access_key_id"],
        AWS_SECRET_ACCESS_KEY=secrets["secret"],
        AWS_SESSION_TOKEN="a session token that is ignored",
    )
    done = subprocess.run(
        [str(NODE), "signed.mjs", "2"], cwd=js, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    requests = []
    for line in done.stdout.splitlines():
        raw = json.loads(line)
        headers = [(name, value) for name, value in raw["headers"]]
        fields = dict(headers)
        names = fields["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
        when = datetime.datetime.strptime(fields["x-amz-date"], AMZ)
        requests.append(
            Request(
                raw["method"],
                raw["target"],
                raw["authority"],
                calendar.timegm(when.timetuple()),
                headers,
                base64.b64decode(raw["body"]),
                names,
            )
        )
    return requests


def test_what_the_javascript_sdk_signs_is_let_in(from_javascript: list[Request]) -> None:
    assert len(from_javascript) == 2 * 4 * 5 * 7
    assert all(":authority" in request.signed for request in from_javascript)
    assert any("?" in request.target for request in from_javascript)
    assert_all(from_javascript, "ok".__eq__)


def test_each_byte_of_the_javascript_sdks_counts(from_javascript: list[Request]) -> None:
    rng = random.Random(SEED)
    chosen = from_javascript[:7]
    assert_all([m for r in chosen for m in mutations(rng, r)], REFUSALS.__contains__)
