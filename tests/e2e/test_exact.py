"""Native traffic passes byte for byte: every operation, both ways, by digest.

The upstream is not the simulator but upstream.py, which sees and sends raw bytes, and has botocore
check each signature it gets. What may differ between the two sides is listed here, name by name.
"""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

import wire
from gateway import CLIENT_KEY, CLIENT_SESSION, PATIENCE, SIGNER, Sluice
from upstream import STREAM_HEADERS, Close, Received, Script, Upstream, open_stream, reply
from wire import Headers, Response

JSON, EVENTS, SSE = "json", "events", "sse"


@dataclass(frozen=True)
class Operation:
    """A row of Bedrock's API as a client writes it, and what the upstream is to see."""

    name: str
    method: str
    path: str  # "{}" stands for an id
    kind: str = JSON
    service: str = "bedrock"
    upstream_path: str = ""  # where it differs

    def target(self, identifier: str = "") -> str:
        return self.path.replace("{}", identifier)

    def upstream_target(self, identifier: str = "") -> str:
        return (self.upstream_path or self.path).replace("{}", identifier)


MODEL_OPERATIONS = [
    Operation("InvokeModel", "POST", "/model/{}/invoke"),
    Operation("InvokeModelStream", "POST", "/model/{}/invoke-with-response-stream", EVENTS),
    Operation("Converse", "POST", "/model/{}/converse"),
    Operation("ConverseStream", "POST", "/model/{}/converse-stream", EVENTS),
    Operation("CountTokens", "POST", "/model/{}/count-tokens"),
    Operation("GetFoundationModel", "GET", "/foundation-models/{}"),
    Operation("GetInferenceProfile", "GET", "/inference-profiles/{}"),
]
JOB = quote("arn:aws:bedrock:us-east-1:123456789012:async-invoke/abc123def456", safe="")
MANTLE = "bedrock-mantle"
OTHER_OPERATIONS = [
    Operation("ApplyGuardrail", "POST", "/guardrail/gr-1a2b/version/DRAFT/apply"),
    Operation("InvokeGuardrailChecks", "POST", "/guardrail-checks/invoke"),
    Operation("StartAsyncInvoke", "POST", "/async-invoke"),
    Operation("GetAsyncInvoke", "GET", f"/async-invoke/{JOB}"),
    Operation("ListAsyncInvokes", "GET", "/async-invoke?maxResults=5&statusEquals=Completed"),
    Operation("ListFoundationModels", "GET", "/foundation-models?byProvider=Meta%20AI"),
    Operation("ListInferenceProfiles", "GET", "/inference-profiles?maxResults=10&type=SYSTEM%5F"),
    Operation("ChatCompletions", "POST", "/openai/v1/chat/completions"),
    Operation("ChatCompletionsStream", "POST", "/openai/v1/chat/completions", SSE),
    Operation("Responses", "POST", "/openai/v1/responses"),
    Operation("ResponsesStream", "POST", "/openai/v1/responses", SSE),
    Operation("Messages", "POST", "/anthropic/v1/messages"),
    Operation("MessagesStream", "POST", "/anthropic/v1/messages", SSE),
    *(
        Operation(f"Mantle{name}", method, f"/mantle{path}", kind, MANTLE, path)
        for name, method, path, kind in [
            ("ChatCompletions", "POST", "/v1/chat/completions", JSON),
            ("ChatCompletionsStream", "POST", "/v1/chat/completions", SSE),
            ("OpenaiChatCompletions", "POST", "/openai/v1/chat/completions", JSON),
            ("Responses", "POST", "/v1/responses", JSON),
            ("Messages", "POST", "/anthropic/v1/messages", JSON),
            ("MessagesStream", "POST", "/anthropic/v1/messages", SSE),
            ("MessagesCount", "POST", "/anthropic/v1/messages/count_tokens", JSON),
            ("Models", "GET", "/v1/models", JSON),
        ]
    ),
]
ACCOUNT = "arn:aws:bedrock:us-east-1:123456789012"
MODEL_IDS = {
    "base": "meta.llama3-8b-instruct-v1:0",
    "profile": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "global": "global.anthropic.claude-haiku-4-5-20251001-v1:0",
    "gov": "us-gov.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "foundation-model": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-pro-v1:0",
    "inference-profile": f"{ACCOUNT}:inference-profile/us.meta.llama3-3-70b-instruct-v1:0",
    "application-profile": f"{ACCOUNT}:application-inference-profile/abcdef123456",
    "provisioned": f"{ACCOUNT}:provisioned-model/abcdefghij12",
    "custom-model": f"{ACCOUNT}:custom-model/amazon.nova-pro-v1:0/abcdefghij12",
    "custom-deployment": f"{ACCOUNT}:custom-model-deployment/abcdefghij12",
    "imported": f"{ACCOUNT}:imported-model/abcdefghij12",
    "prompt": f"{ACCOUNT}:prompt/ABCDEFGHIJ:3",
    "prompt-router": f"{ACCOUNT}:prompt-router/abcdefghij12",
    "default-router": f"{ACCOUNT}:default-prompt-router/anthropic.claude:1",
    "sagemaker": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/my-endpoint",
    "unknown": "acme.of-tomorrow-v9:0",
}
ENCODINGS = {
    "encoded": lambda identifier: quote(identifier, safe="-._~"),  # boto3, JavaScript
    "raw": lambda identifier: identifier,  # @anthropic-ai/bedrock-sdk, curl
    "lower": lambda identifier: quote(identifier, safe="-._~").replace("%3A", "%3a"),
    "slash": lambda identifier: quote(identifier, safe="-._~:"),
}

# No two parsers agree on this one, and 20 digits do not fit a double: it must not be parsed.
ODD_JSON = (
    b'{ "z" :1e2,"a":[1.0,12345678901234567890 ],"a":"twice","t":"\\u00e9\\ud83d\\ude00\\/",\r\n'
    b'\t"max_tokens":16 ,"utf8":"\xc3\xa9\xf0\x9f\x98\x80","nested":{"stream":true}} '
)
# Everything here must arrive as it is, in this order.
KEPT: Headers = [
    (b"User-Agent", b"Boto3/1.44 md/Botocore#1.44 ua/2.1"),
    (b"ACCEPT", b"application/json, */*;q=0.5"),
    (b"Content-Type", b"application/json"),
    (b"X-Amzn-Bedrock-Trace", b"ENABLED_FULL"),
    (b"X-Amzn-Bedrock-GuardrailIdentifier", b"gr-1a2b"),
    (b"x-amzn-bedrock-PERFORMANCECONFIG-latency", b"optimized"),
    (b"X-Amzn-Bedrock-Service-Tier", b"flex"),
    (b"X-Amzn-Trace-Id", b"Root=1-5759e988-bd862e3fe1be46a994272793"),
    (b"amz-sdk-request", b"attempt=1; max=5"),
    (b"anthropic-beta", b"one"),
    (b"anthropic-beta", b"two,  three"),
    (b"X-UTF8", b"caf\xc3\xa9"),
]
SIGNED_AUTHORIZATION = (
    f"AWS4-HMAC-SHA256 Credential={CLIENT_KEY}/20251122/us-east-1/bedrock/aws4_request, "
    "SignedHeaders=host;x-amz-date, Signature=" + "ab" * 32
).encode()
# Of this hop only, or the client's own authentication: none of it may arrive.
DROPPED: Headers = [
    (b"Authorization", SIGNED_AUTHORIZATION),
    (b"X-Amz-Date", b"20251122T000000Z"),
    (b"X-Amz-Security-Token", CLIENT_SESSION.encode()),
    (b"X-Amz-Content-SHA256", b"00" * 32),
    (b"x-api-key", b"sk-client-key-that-must-stay"),
    (b"Connection", b"keep-alive, X-Named-Hop"),
    (b"X-Named-Hop", b"gone"),
    (b"Keep-Alive", b"timeout=5"),
    (b"Proxy-Authorization", b"Basic cHJveHk6c2VjcmV0"),
    (b"Proxy-Connection", b"keep-alive"),
    (b"TE", b"trailers"),
    (b"Trailer", b"X-Check"),
    (b"X-Sluice-Priority", b"batch"),
]
# What the gateway puts there itself: its signature, and what its own hop needs.
ADDED = {
    "host",
    "authorization",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
    "content-length",
    "accept-encoding",
}
ANSWER_HEADERS: Headers = [
    (b"Date", b"Sat, 22 Nov 2025 12:34:56 GMT"),
    (b"Content-Type", b"application/json"),
    (b"x-amzn-RequestId", b"4f1b3c5d-1234-5678-9abc-def012345678"),
    (b"X-Amzn-Bedrock-Input-Token-Count", b"12"),
    (b"x-amzn-bedrock-output-token-count", b"34"),
    (b"x-ODD-cASe", b"Kept; as=it  is"),
    (b"Set-Cookie", b"a=1"),
    (b"Set-Cookie", b"b=2"),
    (b"X-Empty", b""),
    (b"X-UTF8", b"caf\xc3\xa9"),
    (b"Server", b"not-sluice/1.0"),
]
ANSWER_HOP: Headers = [
    (b"Connection", b"X-Back-Hop"),
    (b"X-Back-Hop", b"gone"),
    (b"Keep-Alive", b"timeout=60"),
]
SSE_BODY = (
    b': a comment\r\nevent: message_start\r\ndata: {"type":"message_start","message":'
    b'{"usage":{"input_tokens":9}}}\r\n\r\n'
    b'data: {"choices":[{"delta":{"content":"h\xc3\xa9"}}]}\n\n'
    b"id: 7\nretry: 10\ndata: two\ndata: lines\n\n"
    b'event: message_stop\ndata: {"type":"message_stop"}\n\ndata: [DONE]\n\n'
)


@dataclass
class Witness:
    """A gateway, and the server behind it that sees what comes out."""

    sluice: Sluice
    upstream: Upstream

    def connect(self) -> wire.Client:
        return wire.Client(self.sluice.host, self.sluice.port, PATIENCE)


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Witness]:
    upstream = Upstream(**SIGNER)
    settings = {"upstream.mantle": "on", "cache.when": "never"}
    home = tmp_path_factory.mktemp("exact")
    sluice = Sluice(home, upstream=upstream.url, settings=settings)
    yield Witness(sluice, upstream)
    sluice.stop()
    upstream.close()


def frames() -> bytes:
    """A stream with an event that no SDK knows, which must pass all the same."""
    return b"".join(
        [
            *wire.converse_stream(["one", "two"])[:-1],
            wire.event("ofTomorrow", b'{"new":true,"p":"abcdefghijklmnopqrstuvwxyz"}'),
            wire.event("chunk", b'{"bytes":"eyJhIjoxfQ==","p":"ab"}'),
            wire.converse_stream(["one", "two"])[-1],
        ]
    )


def answer_for(operation: Operation) -> tuple[Script, Headers, bytes]:
    """What the upstream is to say, cut where no boundary lies: its script, headers and body."""
    if operation.kind == JSON:
        body = b'{"ok":"\xc3\xa9","n":12345678901234567890 , "n":1.50}\n'
        return reply(200, body, ANSWER_HEADERS + ANSWER_HOP), ANSWER_HEADERS, body
    if operation.kind == EVENTS:
        headers = [*STREAM_HEADERS, (b"X-Odd-CASE", b"a"), (b"X-odd-case", b"b")]
        body = frames()
    else:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"X-Request-ID", b"r1")]
        body = SSE_BODY
    pieces = [body[at : at + 37] for at in range(0, len(body), 37)]
    return [open_stream(headers), *map(wire.chunk, pieces), wire.LAST_CHUNK], headers, body


def body_for(operation: Operation) -> bytes:
    if operation.method == "GET":
        return b""
    if operation.kind == SSE:
        return b'{"model":"openai.gpt-oss-120b-1:0", "stream" : true,"messages":[ ]}'
    return ODD_JSON


def check_request(received: Received, operation: Operation, target: str, body: bytes) -> None:
    """What left the gateway is what the client sent, but for the lists above."""
    assert received.target == target.encode()
    assert received.method == operation.method
    assert wire.digest(received.body) == wire.digest(body)
    assert not received.fault
    assert received.service == operation.service
    kept = [h for h in received.headers if h[0].decode().lower() not in ADDED]
    assert kept == KEPT
    assert received.get("accept-encoding") in (None, "identity")
    everything = b"\n".join(b"%s: %s" % header for header in received.headers)
    for _, value in DROPPED[:5]:
        assert value not in everything
    assert CLIENT_KEY.encode() not in everything


def check_response(got: Response, status: int, headers: Headers, body: bytes) -> None:
    assert got.status == status
    assert wire.end_to_end(got.headers) == headers
    assert wire.digest(got.body) == wire.digest(body)
    assert got.whole
    for name in ("request-id", "cache", "queue-ms", "attempts", "target"):
        assert got.get(f"x-sluice-{name}") is not None, name


def exchange(witness: Witness, operation: Operation, identifier: str = "") -> None:
    script, headers, answer = answer_for(operation)
    witness.upstream.answer = script
    body = body_for(operation)
    with witness.connect() as client:
        got = client.ask(operation.method, operation.target(identifier), KEPT + DROPPED, body)
    check_request(witness.upstream.last, operation, operation.upstream_target(identifier), body)
    check_response(got, 200, headers, answer)


@pytest.mark.parametrize("operation", OTHER_OPERATIONS, ids=lambda o: o.name)
def test_operation(witness: Witness, operation: Operation) -> None:
    exchange(witness, operation)


@pytest.mark.parametrize("operation", MODEL_OPERATIONS, ids=lambda o: o.name)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_model_id(witness: Witness, operation: Operation, encoding: str) -> None:
    for identifier in MODEL_IDS.values():
        exchange(witness, operation, ENCODINGS[encoding](identifier))


def test_signed_for_mantle(witness: Witness) -> None:
    """A client that signs for bedrock-mantle needs no prefix in the path."""
    authorization = SIGNED_AUTHORIZATION.replace(b"/bedrock/", b"/bedrock-mantle/")
    witness.upstream.answer = reply()
    with witness.connect() as client:
        got = client.ask("GET", "/v1/models", [(b"Authorization", authorization)])
    assert got.status == 200
    assert (witness.upstream.last.target, witness.upstream.last.service) == (b"/v1/models", MANTLE)


def test_query_of_a_presigned_request(witness: Witness) -> None:
    """The client's signature goes, wherever it stands; the rest of the query stays as it is."""
    witness.upstream.answer = reply()
    query = (
        "maxResults=5&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + CLIENT_KEY + "%2F1"
        "&X-Amz-Date=20251122T000000Z&nextToken=a%2Fb+c&X-Amz-Expires=60"
        "&X-Amz-SignedHeaders=host&X-Amz-Signature=abcd&empty=&flag"
    )
    with witness.connect() as client:
        assert client.ask("GET", f"/async-invoke?{query}").status == 200
    expected = b"/async-invoke?maxResults=5&nextToken=a%2Fb+c&empty=&flag"
    assert witness.upstream.last.target == expected


ERROR_HEADERS: Headers = [
    *ANSWER_HEADERS,
    (b"x-amzn-ErrorType", b"OddException:http://internal.amazon.com/coral/x/"),
]
ERROR_BODY = b'{"message":"Too many tokens, isn\xe2\x80\x99t it?" , "extra":[1]}'


def refusal(status: int) -> Script:
    return reply(status, ERROR_BODY, ERROR_HEADERS + ANSWER_HOP, "Refused For A Reason")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 409, 413, 424, 500, 502, 503, 504])
@pytest.mark.parametrize("operation", MODEL_OPERATIONS[:4], ids=lambda o: o.name)
def test_refusals_pass_as_they_are(
    upstream: Upstream, gateway, operation: Operation, status: int
) -> None:
    """Whatever upstream refuses, in its own words, on streaming operations too; what trying again
    may cure, once that was tried."""
    upstream.answer = refusal(status)
    sluice = gateway(upstream=upstream.url)
    with wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        got = client.ask("POST", operation.target(MODEL_IDS["base"]), KEPT, ODD_JSON)
    check_response(got, status, ERROR_HEADERS, ERROR_BODY)
    assert len(upstream.requests) == (3 if status >= 500 else 1)


@pytest.mark.parametrize("operation", MODEL_OPERATIONS[:4], ids=lambda o: o.name)
def test_throttles_do_not_pass(upstream: Upstream, gateway, operation: Operation) -> None:
    """They are waited for; at the client's deadline the gateway tells what is short, and how long."""
    upstream.answer = refusal(429)
    sluice = gateway(upstream=upstream.url)
    with wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        headers = [*KEPT, (b"x-sluice-timeout", b"1")]
        got = client.ask("POST", operation.target(MODEL_IDS["base"]), headers, ODD_JSON)
    assert (got.status, got.error_type) == (429, "ThrottlingException")
    assert json.loads(got.body)["message"].startswith("tokens: ")
    assert int(got.get("retry-after") or 0) >= 1 and int(got.get("x-amz-retry-after") or 0) > 0
    assert "x-sluice-timeout" not in upstream.last.names()


def test_error_that_is_no_json(upstream: Upstream, gateway) -> None:
    """Load balancers in between answer HTML."""
    headers = [(b"Content-Type", b"text/html"), (b"Server", b"awselb/2.0")]
    body = b"<html>\r\n<head><title>503 Service Temporarily Unavailable</title></head></html>"
    upstream.answer = reply(503, body, headers, "Service Unavailable")
    sluice = gateway(upstream=upstream.url)
    with wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        got = client.ask("POST", "/model/m/converse-stream", KEPT, ODD_JSON)
    check_response(got, 503, headers, body)


@pytest.mark.parametrize(
    "body",
    [b"", b"\x00", bytes(range(256)) * 3, b"{" * 1000, b'{"a":', b"\xff\xfe{}", b"null"],
    ids=["empty", "nul", "binary", "braces", "cut", "bom", "null"],
)
def test_body_that_is_no_json(witness: Witness, body: bytes) -> None:
    """Not the gateway's to refuse."""
    witness.upstream.answer = reply()
    with witness.connect() as client:
        assert client.ask("POST", "/model/m/invoke", KEPT, body).status == 200
    assert witness.upstream.last.body == body


def test_chunked_request(witness: Witness) -> None:
    """Arrives whole, with a length: an upstream of AWS takes no chunks."""
    witness.upstream.answer = reply()
    pieces = [ODD_JSON[at : at + 9] for at in range(0, len(ODD_JSON), 9)]
    body = b"".join(map(wire.chunk, pieces)) + wire.LAST_CHUNK
    with witness.connect() as client:
        headers = [*KEPT, (b"Transfer-Encoding", b"chunked")]
        assert client.ask("POST", "/model/m/invoke", headers, body).status == 200
    assert witness.upstream.last.body == ODD_JSON
    assert witness.upstream.last.get("content-length") == str(len(ODD_JSON))
    assert witness.upstream.last.get("transfer-encoding") is None


def test_byte_by_byte(witness: Witness) -> None:
    witness.upstream.answer = reply(200, b"answer", ANSWER_HEADERS)
    headers = [(b"Host", b"localhost"), *KEPT]
    with witness.connect() as client:
        for byte in wire.request("POST", "/model/m/invoke", headers, ODD_JSON):
            client.send(bytes([byte]))
        check_response(client.read(), 200, ANSWER_HEADERS, b"answer")
    assert witness.upstream.last.body == ODD_JSON


def test_pipelined(witness: Witness) -> None:
    """Answers come in the order of the requests."""
    witness.upstream.answer = lambda r: reply(200, b"answer to " + r.body, ANSWER_HEADERS)
    with witness.connect() as client:
        client.send(
            b"".join(
                wire.request("POST", "/model/m/invoke", [(b"Host", b"localhost")], b"%d" % n)
                for n in range(20)
            )
        )
        for n in range(20):
            check_response(client.read(), 200, ANSWER_HEADERS, b"answer to %d" % n)


def test_expect_continue(witness: Witness) -> None:
    """Answered at once: botocore waits for it before it sends a file's body."""
    witness.upstream.answer = reply()
    with witness.connect() as client:
        head = [(b"Host", b"localhost"), (b"Expect", b"100-continue"), (b"Content-Length", b"2")]
        client.send(wire.request("POST", "/model/m/invoke", head))
        assert client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
        client.send(b"{}")
        assert client.read().status == 200
    assert witness.upstream.last.get("expect") is None


def test_large_bodies(witness: Witness) -> None:
    """20 MB each way; an answer beyond what is held for its end included."""
    body = b'{"image":"' + b"QUJD" * 5_000_000 + b'"}'
    answer = b'{"video":"' + b"xyz0" * 5_000_000 + b'"}'
    witness.upstream.answer = reply(200, answer, ANSWER_HEADERS)
    with witness.connect() as client:
        got = client.ask("POST", "/model/m/invoke", KEPT, body)
    assert wire.digest(witness.upstream.last.body) == wire.digest(body)
    check_response(got, 200, ANSWER_HEADERS, answer)


def test_answer_without_length(witness: Witness) -> None:
    """An upstream that ends its answer by closing."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    witness.upstream.answer = [head, b"until ", b"the end", Close]
    with witness.connect() as client:
        got = client.ask("POST", "/model/m/invoke", KEPT, b"{}")
    check_response(got, 200, [(b"Content-Type", b"text/plain")], b"until the end")


# --- HTTP/2: names are lower case there; all else is equal


def curl_http2(
    witness: Witness, tmp_path: Path, method: str, target: str, headers: Headers, body: bytes
) -> Response:
    """A request by curl with prior knowledge of HTTP/2."""
    sent, head, answer = tmp_path / "body", tmp_path / "head", tmp_path / "answer"
    sent.write_bytes(body)
    argv = ["curl", "-sS", "--http2-prior-knowledge", "--path-as-is", "-X", method]
    argv += ["-D", str(head), "-o", str(answer), "-H", "Content-Type:", "-H", "Accept:"]
    if body:
        argv += ["--data-binary", f"@{sent}"]
    for name, value in headers:
        argv += ["-H", f"{name.decode()}: {value.decode()}"]
    done = subprocess.run(
        [*argv, witness.sluice.url + target], capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    block, _, behind = head.read_bytes().rstrip(b"\r\n").partition(b"\r\n\r\n")
    first, parsed = wire.parse_head(block)
    assert first.startswith(b"HTTP/2 "), first
    trailers = wire.parse_head(b"\r\n" + behind)[1] if behind else []
    assert {name for name, _ in trailers} <= {b"x-sluice-cost-usd"}, trailers
    return Response(int(first.split()[1]), parsed, answer.read_bytes())


def lower(headers: Headers) -> Headers:
    return [(name.lower(), value) for name, value in headers]


@pytest.mark.parametrize(
    "operation", [*MODEL_OPERATIONS, *OTHER_OPERATIONS], ids=lambda o: o.name
)
def test_operation_http2(witness: Witness, tmp_path: Path, operation: Operation) -> None:
    script, headers, answer = answer_for(operation)
    witness.upstream.answer = script
    identifier = ENCODINGS["encoded"](MODEL_IDS["inference-profile"])
    body = body_for(operation)
    own = [h for h in wire.end_to_end(DROPPED) if h[0] not in (b"X-Named-Hop", b"TE", b"Trailer")]
    target = operation.target(identifier)
    got = curl_http2(witness, tmp_path, operation.method, target, KEPT + own, body)
    received = witness.upstream.last
    assert received.target == operation.upstream_target(identifier).encode()
    assert wire.digest(received.body) == wire.digest(body)
    kept = [h for h in received.headers if h[0].decode().lower() not in ADDED]
    assert lower(kept) == lower(KEPT)
    check_response(got, 200, lower(headers), answer)


# --- API keys


def test_api_key_upstream(upstream: Upstream, gateway) -> None:
    """With AWS_BEARER_TOKEN_BEDROCK in its environment the gateway shows that, and signs nothing."""
    upstream.api_key = "bedrock-api-key-of-the-gateway"
    sluice = gateway(upstream=upstream.url, env={"AWS_BEARER_TOKEN_BEDROCK": upstream.api_key})
    with wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        got = client.ask(
            "POST", "/model/m/converse", [(b"Authorization", b"Bearer the-clients-own")], b"{}"
        )
    assert got.status == 200
    assert upstream.last.get("authorization") == f"Bearer {upstream.api_key}"
    assert upstream.last.get("x-amz-date") is None
    assert upstream.api_key not in sluice.stderr


def test_error_of_a_wrong_signature(upstream: Upstream, gateway) -> None:
    """The witness can fail: keys it does not know are refused, and the refusal passes as it is."""
    sluice = gateway(upstream=upstream.url, env={"AWS_SECRET_ACCESS_KEY": "another"})
    with wire.Client(sluice.host, sluice.port, PATIENCE) as client:
        got = client.ask("POST", "/model/m/converse", [], b"{}")
    assert (got.status, got.error_type) == (403, "InvalidSignatureException")
    assert json.loads(got.body)["message"] == "The signature is wrong."
    assert "does not match" in upstream.last.fault
    upstream.last.fault = ""
