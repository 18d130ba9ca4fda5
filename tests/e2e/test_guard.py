"""Who is let in, what is said to those who ask for the wrong thing, and what is written down."""

import http.client
import json
import os
import re
import subprocess
from collections.abc import Callable

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

import wire
from gateway import (
    CLIENT_KEY,
    CLIENT_SECRET,
    CLIENT_SESSION,
    GATEWAY_SECRET,
    GATEWAY_SESSION,
    PATIENCE,
    REGION,
    Sluice,
)
from samples import CLAUDE, LLAMA, MESSAGES
from upstream import Close, Upstream, error, reply

Start = Callable[..., Sluice]
TARGET = f"/model/{LLAMA}/converse"
BODY = json.dumps({"messages": MESSAGES}).encode()
SETTING = "AWS_ENDPOINT_URL_BEDROCK_RUNTIME"


def ask(
    sluice: Sluice, method: str, target: str, headers: wire.Headers = (), body: bytes = b""
) -> wire.Response:
    with wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        return client.ask(method, target, headers, body)


def message(got: wire.Response) -> str:
    assert got.get("content-type") == "application/json"
    return json.loads(got.body)["message"]


# --- no web page may spend the account's money


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "x"],
)
def test_foreign_host(simulated: Sluice, host: str) -> None:
    """DNS rebinding: the page's own name, resolved to this machine."""
    got = ask(simulated, "POST", TARGET, [(b"Host", host.encode())], BODY)
    assert (got.status, got.error_type) == (403, "AccessDeniedException")
    assert "hosts" in message(got)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost:1234", "LOCALHOST", "[::1]:80", "10.1.2.3"]
)
def test_own_host(simulated: Sluice, host: str) -> None:
    assert ask(simulated, "POST", TARGET, [(b"Host", host.encode())], BODY).status == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://localhost:3000", "null", "file://"]
)
def test_foreign_origin(simulated: Sluice, origin: str) -> None:
    """A page of another origin; another port of this machine is another program."""
    headers = [(b"Origin", origin.encode()), (b"Content-Type", b"text/plain")]
    got = ask(simulated, "POST", TARGET, headers, BODY)
    assert (got.status, got.error_type) == (403, "AccessDeniedException")
    preflight = [(b"Origin", origin.encode()), (b"Access-Control-Request-Method", b"POST")]
    got = ask(simulated, "OPTIONS", TARGET, preflight)
    assert got.status >= 400 and got.get("access-control-allow-origin") is None


def test_own_origin(simulated: Sluice) -> None:
    headers = [(b"Origin", simulated.url.encode())]
    assert ask(simulated, "POST", TARGET, headers, BODY).status == 200


def test_configured_host(gateway: Start) -> None:
    sluice = gateway(simulator=True, settings={"hosts": "gateway.example.com,other.example"})
    for host in (b"gateway.example.com", b"Other.Example:443"):
        assert ask(sluice, "POST", TARGET, [(b"Host", host)], BODY).status == 200
    got = ask(sluice, "POST", TARGET, [(b"Host", b"third.example")], BODY)
    assert got.status == 403


def test_foreign_authority_http2(simulated: Sluice) -> None:
    argv = ["curl", "-sS", "--http2-prior-knowledge", "-o", os.devnull, "-w", "%{http_code}"]
    argv += ["-H", "Host: evil.example", f"{simulated.url}/health"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout == "403"


def test_foreign_host_on_admin(simulated: Sluice) -> None:
    host, port = simulated.admin_address.split(":")
    with wire.Client(host, int(port), PATIENCE) as client:
        got = client.ask("GET", "/healthz", [(b"Host", b"evil.example")])
    assert got.status == 403
    with wire.Client(host, int(port), PATIENCE) as client:
        got = client.ask("GET", "/healthz", [(b"Origin", b"https://evil.example")])
    assert got.status == 403


# --- health and admin pages


def test_health(simulated: Sluice) -> None:
    got = ask(simulated, "GET", "/health")
    assert got.status == 200 and json.loads(got.body)["status"] == "ok"
    connection = http.client.HTTPConnection(simulated.host, simulated.port, timeout=PATIENCE)
    connection.request("HEAD", "/health")
    response = connection.getresponse()
    assert response.status == 200 and response.read() == b""
    connection.close()


def test_admin_pages(simulated: Sluice) -> None:
    assert simulated.admin("/healthz") == (200, "ok\n")
    assert simulated.admin("/readyz") == (200, "ready\n")
    for path in ("/metrics", "/", "/nowhere"):
        assert simulated.admin(path)[0] == 401
        assert simulated.admin(path, simulated.token[:-1])[0] == 401
        assert simulated.admin(path, "x" * len(simulated.token))[0] == 401
    assert simulated.admin("/nowhere", simulated.token)[0] == 404
    status, page = simulated.admin("/metrics", simulated.token)
    assert status == 200 and "# TYPE sluice_attempts_total counter" in page


# --- requests that are not for this gateway


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/"),
        ("POST", "/model/m/no-such-operation"),
        ("GET", "/model/m/invoke"),
        ("DELETE", "/model/m/invoke"),
        ("POST", "/model//invoke"),
        ("POST", "/agents/ABC/agentAliases/DEF/sessions/1/text"),
        ("POST", "/knowledgebases/KB1/retrieve"),
        ("GET", "/guardrails"),
        ("POST", "/mantle/model/m/invoke"),
        ("GET", "/v3/models"),
    ],
)
def test_unknown_path(simulated: Sluice, method: str, target: str) -> None:
    """Told which setting keeps such a client at AWS."""
    got = ask(simulated, method, target, [], b"{}" if method == "POST" else b"")
    assert (got.status, got.error_type) == (404, "UnknownOperationException")
    assert SETTING in message(got)
    assert got.get("x-sluice-attempts") == "0"


def test_bidirectional_stream(simulated: Sluice) -> None:
    got = ask(simulated, "POST", "/model/amazon.nova-sonic-v1:0/invoke-with-bidirectional-stream")
    assert got.error_type == "UnknownOperationException" and got.status == 404
    assert "BidirectionalStream" in message(got) and SETTING in message(got)


def test_another_service(simulated: Sluice) -> None:
    """AWS_ENDPOINT_URL was set, and all of the program's clients came here."""
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={CLIENT_KEY}/20251122/us-east-1/s3/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={'ab' * 32}"
    )
    got = ask(simulated, "GET", "/", [(b"Authorization", authorization.encode())])
    assert got.error_type == "UnknownOperationException"
    assert "'s3'" in message(got) and SETTING in message(got)


def test_another_service_in_boto3(simulated: Sluice) -> None:
    client = boto3.client(
        "bedrock-agent-runtime",
        endpoint_url=simulated.url,
        region_name=REGION,
        aws_access_key_id=CLIENT_KEY,
        aws_secret_access_key=CLIENT_SECRET,
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(ClientError, match=SETTING) as caught:
        client.retrieve(knowledgeBaseId="KB12345678", retrievalQuery={"text": "x"})
    assert caught.value.response["Error"]["Code"] == "UnknownOperationException"


def test_mantle_must_be_switched_on(upstream: Upstream, gateway: Start) -> None:
    got = ask(gateway(upstream=upstream.url), "GET", "/mantle/v1/models")
    assert got.status == 404 and "upstream.mantle" in message(got)
    assert not upstream.requests


def test_model_id_that_is_none(upstream: Upstream, gateway: Start) -> None:
    sluice = gateway(upstream=upstream.url)
    for identifier in ("x" * 2049, "%zz", "a%"):
        got = ask(sluice, "POST", f"/model/{identifier}/invoke", [], b"{}")
        assert (got.status, got.error_type) == (400, "ValidationException"), identifier
    assert not upstream.requests


# --- HTTP that a proxy must refuse


MALFORMED = {
    "no HTTP": (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    "version": (b"POST /model/m/invoke HTTP/3.0\r\nHost: localhost\r\n\r\n", 505),
    "no host": (b"POST /model/m/invoke HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 400),
    "two hosts": (b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
    "two lengths": (
        b"POST /model/m/invoke HTTP/1.1\r\nHost: localhost\r\n"
        b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
        400,
    ),
    "length and chunks": (
        b"POST /model/m/invoke HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "folded header": (
        b"POST /model/m/invoke HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n c\r\n"
        b"Content-Length: 0\r\n\r\n",
        400,
    ),
    "folded coding": (
        b"POST /model/m/invoke HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding:\r\n chunked"
        b"\r\n\r\n0\r\n\r\n",
        400,
    ),
    "odd coding": (
        b"POST /model/m/invoke HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
        None,
    ),
    "chunks in 1.0": (
        b"POST /model/m/invoke HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        b"\r\n0\r\n\r\n",
        400,
    ),
    "name with a space": (
        b"POST /model/m/invoke HTTP/1.1\r\nHost: localhost\r\nX A: b\r\nContent-Length: 0\r\n\r\n",
        400,
    ),
    "no name": (
        b"POST /model/m/invoke HTTP/1.1\r\nHost: localhost\r\n: b\r\nContent-Length: 0\r\n\r\n",
        400,
    ),
    "long header": (
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"a" * 70_000 + b"\r\n\r\n",
        431,
    ),
    "many headers": (
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: b\r\n" * 200 + b"\r\n",
        431,
    ),
    "bad chunk": (
        b"POST /model/m/invoke HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        b"\r\nzz\r\n",
        400,
    ),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed(upstream: Upstream, gateway: Start, case: str) -> None:
    """Answered in Bedrock's shape, then the connection ends; nothing is sent upstream."""
    data, status = MALFORMED[case]
    sluice = gateway(upstream=upstream.url)
    with wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        client.send(data)
        got = client.read()
        assert got.status == status if status else 400 <= got.status <= 501
        assert message(got)
        assert got.error_type
        assert client.socket.recv(1) == b"", "the connection closes"
    assert not upstream.requests
    assert ask(sluice, "GET", "/health").status == 200


def test_http_0_9(simulated: Sluice) -> None:
    with wire.Client(simulated.host, simulated.port, PATIENCE) as client:
        client.send(b"GET /health\r\n\r\n")
        data = client.socket.recv(65536)
    assert b"sluice" not in data.partition(b"\r\n\r\n")[2] and b" 200 " not in data


def test_upgrade_to_h2c_is_ignored(simulated: Sluice) -> None:
    """Java's HttpClient asks for it by default."""
    headers = [
        (b"Connection", b"Upgrade, HTTP2-Settings"),
        (b"Upgrade", b"h2c"),
        (b"HTTP2-Settings", b"AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"),
    ]
    got = ask(simulated, "POST", TARGET, headers, BODY)
    assert got.status == 200 and json.loads(got.body)["output"]


# --- the log


SECRET_WORD = "xylophone-quagmire"
SECRETS = [
    SECRET_WORD,
    CLIENT_SECRET,
    CLIENT_SESSION,
    GATEWAY_SECRET,
    GATEWAY_SESSION,
    "sk-bearer-of-a-client",
    "ab" * 32,
]


def converse(sluice: Sluice, text: str, **more) -> dict:
    messages = [{"role": "user", "content": [{"text": text}]}]
    client = sluice.boto(session_token=CLIENT_SESSION)
    return client.converse(modelId=CLAUDE, messages=messages, **more)


@pytest.mark.parametrize("shape", ["json", "text"])
def test_access_log(gateway: Start, shape: str) -> None:
    """One line an exchange: ids, model, operation, status, tokens, times, attempts."""
    settings = {"log.format": shape}
    sluice = gateway(simulator=True, settings=settings)
    answer = converse(sluice, SECRET_WORD)
    identifier = answer["ResponseMetadata"]["HTTPHeaders"]["x-sluice-request-id"]
    line = sluice.wait_line(f".*{identifier}.*")[0][0]
    if shape == "json":
        fields = json.loads(line)
        assert fields["level"] == "info" and re.match(r"\d{4}-\d\d-\d\dT", fields["time"])
    else:
        fields = dict(re.findall(r'(\w+)=("[^"]*"|\S+)', line))
        fields = {k: int(v) if v.isdigit() else v for k, v in fields.items()}
    expected = {
        "id": identifier,
        "method": "POST",
        "operation": "Converse",
        "model": CLAUDE,
        "status": 200,
        "outcome": "done",
        "input_tokens": answer["usage"]["inputTokens"],
        "output_tokens": answer["usage"]["outputTokens"],
        "attempts": 1,
        "queue_ms": 0,
    }
    assert {key: fields.get(key) for key in expected} == expected
    assert fields["bytes_in"] > 50 and fields["bytes_out"] > 50
    assert 0 <= fields["first_byte_ms"] <= fields["total_ms"] < 60_000
    assert len(sluice.wait_line(identifier)) == 1


def test_tokens_of_streams_are_logged(gateway: Start) -> None:
    sluice = gateway(simulator=True, settings={"log.format": "json"})
    client = sluice.boto()
    events = list(client.converse_stream(modelId=LLAMA, messages=MESSAGES)["stream"])
    client.invoke_model_with_response_stream(
        modelId=LLAMA, body=json.dumps({"prompt": "hello", "max_gen_len": 20})
    )["body"].close()
    line = sluice.wait_line(r'.*"operation":"ConverseStream".*')[0][0]
    usage = events[-1]["metadata"]["usage"]
    fields = json.loads(line)
    assert fields["input_tokens"] == usage["inputTokens"]
    assert fields["output_tokens"] == usage["outputTokens"]
    assert sluice.metrics()["sluice_output_tokens_total"] >= usage["outputTokens"]


def test_access_log_can_be_switched_off(gateway: Start) -> None:
    sluice = gateway(simulator=True, settings={"log.access": "off"})
    assert ask(sluice, "GET", "/health").status == 200
    sluice.stop()
    assert "access:" not in sluice.stderr


def test_nothing_secret_is_logged(upstream: Upstream, gateway: Start) -> None:
    """Prompts, answers, keys and tokens: not of good requests, not of bad ones, at any level."""
    # Once each: what is to be seen is the log, not patience.
    once = {"retry.max_attempts": 1, "breaker.threshold": 100}
    sluice = gateway(upstream=upstream.url, settings={"log.level": "debug", **once})
    answers = [
        reply(200, b'{"output":"' + SECRET_WORD.encode() + b'"}'),
        error(400, "ValidationException", SECRET_WORD),
        reply(500, SECRET_WORD.encode()),
        [b"HTTP/1.1 200 OK\r\n" + SECRET_WORD.encode(), Close],
    ]
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={CLIENT_KEY}/20251122/us-east-1/bedrock/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={'ab' * 32}"
    ).encode()
    prompt = SECRET_WORD.encode()
    headers = [(b"X-Amz-Security-Token", CLIENT_SESSION.encode()), (b"x-api-key", prompt)]
    for answer in answers:
        upstream.answer = answer
        for kind in (authorization, b"Bearer sk-bearer-of-a-client"):
            body = b'{"prompt":"%s"}' % prompt
            ask(sluice, "POST", "/model/m/invoke", [(b"Authorization", kind), *headers], body)
            ask(sluice, "POST", "/model/m/converse-stream", [(b"Authorization", kind)], b"%" + body)
    # Malformed requests, with the secret where it may end up in a message. The second is what a
    # body looks like behind a Content-Length that is too small.
    for bad in (
        b"POST /model/m/invoke HTTP/1.1\r\nHost: localhost\r\nAuthorization : %s\r\n\r\n",
        b"%s is a word\r\n\r\n",
        b"POST /model/m/invoke HTTP/1.1\r\nHost: localhost\r\nContent-Length: %s\r\n\r\n",
    ):
        with wire.Client(sluice.host, sluice.port, PATIENCE) as client:
            client.send(bad % prompt)
            client.read()
    ask(sluice, "GET", "/no-such-operation", [(b"Authorization", authorization)])
    sluice.stop()
    log = sluice.stderr
    assert log.count("access: request") >= 10
    for secret in SECRETS:
        assert secret not in log, log[max(0, log.find(secret) - 300) : log.find(secret) + 100]


def test_a_log_line_cannot_be_forged(gateway: Start) -> None:
    """What clients choose is quoted, and cut."""
    sluice = gateway(simulator=True, settings={"log.format": "json"})
    forged = "%0A%7B%22level%22%3A%22error%22%7D%22" + "x" * 600
    ask(sluice, "POST", f"/model/m{forged}/invoke", [], b"{}")
    ask(sluice, "GET", "/health")
    sluice.stop()
    lines = [line for line in sluice.stderr.splitlines() if not line.startswith("ready")]
    access = [json.loads(line) for line in lines if '"area":"access"' in line]
    assert len(access) == 2 and len(access[0]["model"]) <= 200
    assert all(len(line) < 2000 for line in lines)


def test_simulated_errors_are_counted(gateway: Start) -> None:
    sluice = gateway(simulator=True)
    client = sluice.boto()
    client.meta.events.register(
        "before-sign.*.*",
        lambda request, **_: request.headers.add_header("x-simulator-fault", "exception-midway"),
    )
    with pytest.raises(EventStreamError):
        list(client.converse_stream(modelId=LLAMA, messages=MESSAGES)["stream"])
    ask(sluice, "GET", "/nowhere")
    metrics = sluice.metrics()
    assert metrics['sluice_responses_total{class="2xx"}'] == 1
    assert metrics['sluice_responses_total{class="4xx"}'] == 1
