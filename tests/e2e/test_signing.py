"""Sluice's SigV4 against botocore's, over many seeded random requests.

botocore is the judge: both sign exactly the same headers at the same frozen time, and canonical
request, signature and Authorization header must be equal. One process signs the whole batch, so
the cached signing key is under test too.
"""

import base64
import datetime
import json
import os
import pathlib
import random
import string
import subprocess
from urllib.parse import quote, urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", ROOT / "build" / "dev"))
TOOL = BUILD / "tests" / "sign_tool"

REQUESTS = 6000
SEED = 20150830
LARGEST_BODY = 1_000_000

MODEL_IDS = [
    "meta.llama3-8b-instruct-v1:0",
    "us.anthropic.claude-sonnet-4-20250514-v1:0",
    "arn:aws:bedrock:us-east-1::foundation-model/amazon.titan-embed-text-v2:0",
    "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/ab12cd34ef56",
    "arn:aws:sagemaker:us-east-1:123456789012:endpoint/my-endpoint",
]
# Raw bytes that can stand in a request target without ending the path or the query, and odd ones.
PATH_CHARACTERS = string.ascii_letters + string.digits + ":%-._~!$&'()*+,;=@ \"<>[]^`{|}\\é漢😀"
QUERY_CHARACTERS = string.ascii_letters + string.digits + ":%-._~!$'()*+,;@/?é漢"
SEGMENTS = ["", "", ".", "..", "...", "%2e%2e", "%2F", "%3A", "%3a", "a:b", "%C3%A9", "%zz", "%"]
TOKEN_CHARACTERS = string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~"
VALUE_CHARACTERS = string.ascii_letters + string.digits + string.punctuation + "é漢"
SECRET_CHARACTERS = string.ascii_letters + string.digits + "+/="


def text(rng, characters, low, high):
    return "".join(rng.choices(characters, k=rng.randint(low, high)))


def make_segment(rng):
    kind = rng.random()
    if kind < 0.3:
        return rng.choice(SEGMENTS)
    if kind < 0.5:
        return quote(rng.choice(MODEL_IDS), safe=rng.choice(["-._~", "-._~:", "-._~:/"]))
    if kind < 0.6:
        return quote(text(rng, PATH_CHARACTERS, 0, 12), safe="-._~")
    return text(rng, PATH_CHARACTERS, 0, 12)


def make_path(rng):
    if rng.random() < 0.3:
        model = quote(rng.choice(MODEL_IDS), safe=rng.choice(["-._~", "-._~:"]))
        return f"/model/{model}/{rng.choice(['converse', 'converse-stream', 'invoke'])}"
    if rng.random() < 0.03:
        return ""
    path = "".join("/" + make_segment(rng) for _ in range(rng.randint(1, 8)))
    return path + rng.choice(["", "", "/", "//"])


def make_query(rng):
    if rng.random() < 0.4:
        return ""
    names = [text(rng, QUERY_CHARACTERS, 0, 6) for _ in range(rng.randint(1, 5))]
    pairs = []
    for _ in range(rng.choice([1, 2, 3, 5, 10, 60])):
        name = rng.choice(names) + rng.choice(["", "", "-", "a"])
        value = rng.choice(["", text(rng, QUERY_CHARACTERS, 0, 8), "x=y", "%2F"])
        pairs.append(rng.choice([f"{name}={value}", f"{name}={value}", name, ""]))
    return "&".join(pairs)


def make_value(rng):
    words = [text(rng, VALUE_CHARACTERS, 0, 12) for _ in range(rng.randint(0, 5))]
    spaces = [" ", " ", "  ", "   ", "\t", " \t "]
    value = rng.choice(["", *spaces]) + "".join(word + rng.choice(spaces) for word in words)
    return value if rng.random() < 0.5 else value.strip(" \t")


def vary_case(rng, name):
    return "".join(rng.choice([c.lower(), c.upper(), c]) for c in name)


def make_headers(rng):
    headers = [("Content-Type", "application/json")] if rng.random() < 0.7 else []
    if rng.random() < 0.5:
        headers.append(("amz-sdk-invocation-id", text(rng, string.hexdigits, 36, 36)))
    if rng.random() < 0.3:
        headers.append(("X-Amz-Content-SHA256", text(rng, "0123456789abcdef", 64, 64)))
    if rng.random() < 0.1:
        headers.append((":authority", "bedrock-runtime.us-east-1.amazonaws.com"))
    if rng.random() < 0.2:
        headers.append(("Date", "Sun, 30 Aug 2015 12:36:00 GMT"))
    for _ in range(rng.choice([0, 1, 2, 4, 8, 20])):
        name = "x-" + text(rng, TOKEN_CHARACTERS, 1, rng.choice([2, 10]))
        headers.append((name, make_value(rng)))
        while rng.random() < 0.3:
            headers.append((vary_case(rng, name), make_value(rng)))
    if rng.random() < 0.5:
        headers += [("User-Agent", "not signed"), ("Expect", "100-continue")]
    rng.shuffle(headers)
    return headers


def make_body(rng, index):
    if index % 400 == 0:
        return rng.randbytes(LARGEST_BODY - index)
    return rng.randbytes(rng.choice([0, 0, 1, 55, 56, 63, 64, 65, 300, 4000]))


class RecordingAuth(botocore.auth.SigV4Auth):
    """botocore's signer, keeping what it signed."""

    def canonical_request(self, request):
        self.signed = [
            (name, value)
            for name, value in request.headers.items()
            if name.lower() not in botocore.auth.SIGNED_HEADERS_BLACKLIST
        ]
        if "host" not in request.headers:
            self.signed.append(("Host", urlsplit(request.url).netloc))
        self.canonical = super().canonical_request(request)
        return self.canonical

    def signature(self, string_to_sign, request):
        self.digest = super().signature(string_to_sign, request)
        return self.digest


def make_identity(rng):
    """Few of them, in runs, so that the cached key is both reused and replaced."""
    token = text(rng, SECRET_CHARACTERS, 200, 1200) if rng.random() < 0.5 else None
    secret = text(rng, SECRET_CHARACTERS, *rng.choice([(40, 40), (1, 30), (61, 100)]))
    credentials = Credentials("AKIA" + text(rng, string.ascii_uppercase, 16, 16), secret, token)
    service = rng.choice(["bedrock", "bedrock-mantle", "servicequotas", "sts"])
    region = rng.choice(["us-east-1", "eu-central-1", "us-gov-west-1"])
    return credentials, service, region


def make_case(rng, index, identity, monkeypatch):
    """Signs one random request with botocore. Returns what the tool must be asked, and answer."""
    credentials, service, region = identity
    now = datetime.datetime(2015, 8, 30) + datetime.timedelta(seconds=rng.randrange(400_000_000))
    if rng.random() < 0.8:
        now = datetime.datetime(2026, 11, 22, 10, 7, index % 60)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: now)
    path, query = make_path(rng), make_query(rng)
    url = f"https://bedrock-runtime.{region}.amazonaws.com{path}"
    url += f"?{query}" if query or rng.random() < 0.1 else ""
    if url.endswith(" "):  # urlsplit strips it; a request target cannot end so
        url, path = url + ".", path + "."
    assert (urlsplit(url).path, urlsplit(url).query) == (path, query), "the case tests no signer"
    body = make_body(rng, index)
    request = AWSRequest(rng.choice(["GET", "POST", "PUT", "DELETE"]), url, data=body)
    for name, value in make_headers(rng):
        request.headers[name] = value
    signer = RecordingAuth(credentials, service, region)
    signer.add_auth(request)
    ask = {
        "method": request.method,
        "path": path,
        "query": query,
        "headers": signer.signed,
        "access_key_id": credentials.access_key,
        "secret": credentials.secret_key,
        "region": region,
        "service": service,
        "date": now.strftime("%Y%m%dT%H%M%SZ"),
    }
    if "X-Amz-Content-SHA256" in request.headers:
        ask["body_hash"] = request.headers["X-Amz-Content-SHA256"]
    else:
        ask["body_base64"] = base64.b64encode(body).decode()
    names = signer.signed_headers(dict((n.lower(), v) for n, v in signer.signed))
    return ask, {
        "canonical": signer.canonical,
        "signed_headers": names,
        "signature": signer.digest,
        "authorization": request.headers["Authorization"],
    }


def run_tool(lines):
    done = subprocess.run(
        [TOOL], input="\n".join(lines).encode(), stdout=subprocess.PIPE, check=True, timeout=120
    )
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def test_signatures_equal_botocores(monkeypatch):
    rng = random.Random(SEED)
    asks, expected = [], []
    identity = make_identity(rng)
    for index in range(REQUESTS):
        if rng.random() < 0.2:
            identity = make_identity(rng)
        ask, answer = make_case(rng, index, identity, monkeypatch)
        asks.append(ask)
        expected.append(answer)
    answers = run_tool([json.dumps(ask, ensure_ascii=False) for ask in asks])
    assert len(answers) == REQUESTS
    for ask, answer, right in zip(asks, answers, expected):
        ask.pop("body_base64", None)  # would drown the message
        assert answer == right, ask


@pytest.mark.parametrize(
    "change, error",
    [
        ({"path": "no-slash"}, "invalid"),
        ({"query": "a=1\nb=2"}, "invalid"),
        ({"headers": [["a b", "v"]]}, "invalid"),
        ({"date": "2015-08-30T12:36"}, "invalid"),
        ({"query": "&" * 128}, "limit"),
        ({"secret": "s" * 257}, "limit"),
    ],
)
def test_refusals(change, error):
    ask = {
        "method": "GET",
        "path": "/",
        "query": "",
        "headers": [["host", "h"]],
        "access_key_id": "AKID",
        "secret": "secret",
        "region": "us-east-1",
        "service": "bedrock",
        "date": "20150830T123600Z",
        "body_hash": "UNSIGNED-PAYLOAD",
    }
    good, refused = run_tool([json.dumps(ask), json.dumps({**ask, **change})])
    assert len(good["signature"]) == 64
    assert refused == {"error": error}
