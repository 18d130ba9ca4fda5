"""curl as it comes, on HTTP/1.1 and on HTTP/2 with prior knowledge, against the simulator."""

import base64
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from botocore.eventstream import EventStreamBuffer

import samples
import wire
from certificate import make_certificate
from gateway import CLIENT_KEY, CLIENT_SECRET, PATIENCE, REGION, Sluice
from samples import CLAUDE, LLAMA, MESSAGES, TOOL

# What was answered before is not what these calls are about.
FRESH = ("-H", "Cache-Control: no-store")
VERSIONS = {"http1.1": ["--http1.1"], "http2": ["--http2-prior-knowledge"]}


@dataclass
class Got:
    """What curl wrote down: the last head, and the body."""

    version: str
    status: int
    headers: wire.Headers
    body: bytes

    def json(self) -> dict:
        return json.loads(self.body)

    def get(self, name: str) -> str:
        return (wire.get(self.headers, name) or b"").decode()

    def events(self) -> list[tuple[str, dict]]:
        """Frames as botocore decodes them: the name of the event or exception, and its payload."""
        assert self.get("content-type") == "application/vnd.amazon.eventstream"
        buffer = EventStreamBuffer()
        buffer.add_data(self.body)
        frames = [
            (
                frame.headers.get(":event-type") or frame.headers[":exception-type"],
                json.loads(frame.payload),
            )
            for frame in buffer
        ]
        assert not buffer._data
        return frames


Curl = Callable[..., Got]


@pytest.fixture(params=VERSIONS)
def curl(request: pytest.FixtureRequest, simulated: Sluice, tmp_path: Path) -> Curl:
    """curl(path, body, *options): a POST of that JSON, signed by curl itself. at: another gateway."""

    def call(
        path: str, body: dict | bytes | None = None, *options: str, at: Sluice = simulated
    ) -> Got:
        sent, head, answer = tmp_path / "sent", tmp_path / "head", tmp_path / "answer"
        argv = ["curl", "-sS", *VERSIONS[request.param], "-D", str(head), "-o", str(answer)]
        argv += ["--aws-sigv4", f"aws:amz:{REGION}:bedrock"]
        argv += ["--user", f"{CLIENT_KEY}:{CLIENT_SECRET}", "-w", "%{http_version}", *options]
        if body is not None:
            sent.write_bytes(body if isinstance(body, bytes) else json.dumps(body).encode())
            argv += ["-H", "Content-Type: application/json", "--data-binary", f"@{sent}"]
        done = subprocess.run(
            [*argv, at.url + path], capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr
        last = head.read_bytes().strip().split(b"\r\n\r\n")[-1]  # behind a 100 Continue
        first, headers = wire.parse_head(last)
        return Got(done.stdout, int(first.split()[1]), headers, answer.read_bytes())

    return call


def test_versions(curl: Curl, request: pytest.FixtureRequest) -> None:
    """The two parametrisations are two protocols."""
    expected = {"http1.1": "1.1", "http2": "2"}[request.node.callspec.params["curl"]]
    assert curl("/health").version == expected


def test_invoke(curl: Curl) -> None:
    got = curl(f"/model/{LLAMA}/invoke", samples.LLAMA_BODY)
    assert got.status == 200 and got.get("content-type") == "application/json"
    answer = got.json()
    assert answer["generation"].strip() and answer["generation_token_count"] > 0
    assert int(got.get("x-amzn-bedrock-input-token-count")) == answer["prompt_token_count"]


def test_invoke_stream(curl: Curl) -> None:
    got = curl(f"/model/{LLAMA}/invoke-with-response-stream", samples.LLAMA_BODY)
    assert got.status == 200 and got.get("x-amzn-bedrock-content-type") == "application/json"
    chunks = [
        json.loads(base64.b64decode(payload["bytes"]))
        for name, payload in got.events()
        if name == "chunk"
    ]
    assert "".join(chunk["generation"] for chunk in chunks).strip()
    assert chunks[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] > 0


def test_converse(curl: Curl) -> None:
    got = curl(f"/model/{CLAUDE}/converse", {"messages": MESSAGES})
    assert got.status == 200
    assert got.json()["output"]["message"]["content"][0]["text"]
    assert got.json()["usage"]["totalTokens"] > 0


def test_converse_stream_with_tool_and_image(curl: Curl) -> None:
    picture = base64.b64encode(samples.png()).decode()
    content = [
        {"image": {"format": "png", "source": {"bytes": picture}}},
        {"text": "Use get_weather for the city in this picture."},
    ]
    messages = [{"role": "user", "content": content}]
    path, tools = f"/model/{CLAUDE}/converse-stream", {"tools": [TOOL]}
    first = curl(path, {"messages": messages, "toolConfig": tools}).events()
    names = [name for name, _ in first]
    assert names[0] == "messageStart" and names[-2:] == ["messageStop", "metadata"]
    start = next(payload for name, payload in first if name == "contentBlockStart")
    use = start["start"]["toolUse"]
    deltas = [p["delta"]["toolUse"]["input"] for n, p in first if n == "contentBlockDelta"]
    tool_input = json.loads("".join(deltas))
    assert use["name"] == "get_weather" and isinstance(tool_input["city"], str)
    assert dict(first)["messageStop"]["stopReason"] == "tool_use"

    used = {"toolUse": {**use, "input": tool_input}}
    result = {"toolUseId": use["toolUseId"], "content": [{"json": {"celsius": 21}}]}
    messages += [
        {"role": "assistant", "content": [used]},
        {"role": "user", "content": [{"toolResult": result}]},
    ]
    second = dict(curl(path, {"messages": messages, "toolConfig": tools}).events())
    assert second["messageStop"]["stopReason"] == "end_turn"


def test_count_tokens(curl: Curl) -> None:
    body = {"input": {"converse": {"messages": MESSAGES}}}
    got = curl("/model/anthropic.claude-3-5-haiku-20241022-v1:0/count-tokens", body)
    assert got.status == 200 and got.json()["inputTokens"] > 5


def test_lists(curl: Curl) -> None:
    assert curl("/foundation-models").json()["modelSummaries"]
    assert curl("/inference-profiles?maxResults=5").json()["inferenceProfileSummaries"]


@pytest.mark.parametrize(
    ("fault", "kind"), [("throttle", "requests"), ("throttle-first-frame", "tokens")]
)
def test_throttle(curl: Curl, gateway: Callable[..., Sluice], fault: str, kind: str) -> None:
    """Waited for, in the head or behind a 200, until the client's deadline."""
    headers = ("-H", f"x-simulator-fault: {fault}", "-H", "x-sluice-timeout: 1")
    sluice = gateway(simulator=True)
    got = curl(f"/model/{LLAMA}/converse-stream", {"messages": MESSAGES}, *headers, at=sluice)
    assert got.status == 429
    name = got.get("x-amzn-errortype")
    assert name == "ThrottlingException:http://internal.amazon.com/coral/com.amazon.bedrock/"
    assert got.json()["message"].startswith(f"{kind}: ")
    assert int(got.get("retry-after")) >= 1 and int(got.get("x-amz-retry-after")) > 0
    assert sluice.metrics()["sluice_throttles_total"] >= 1


def test_validation_error(curl: Curl) -> None:
    got = curl(f"/model/{LLAMA}/converse", {"messages": []})
    assert got.status == 400 and got.get("x-amzn-errortype").startswith("ValidationException:")
    assert got.json()["message"]


def test_exception_midway(curl: Curl) -> None:
    body, fault = {"messages": MESSAGES}, "x-simulator-fault: exception-midway"
    got = curl(f"/model/{LLAMA}/converse-stream", body, *FRESH, "-H", fault)
    events = got.events()
    assert got.status == 200 and events[0][0] == "messageStart"
    assert events[-1][0] == "modelStreamErrorException" and events[-1][1]["message"]


def test_prompt_of_200_kb(curl: Curl) -> None:
    messages = [{"role": "user", "content": [{"text": samples.words(200_000)}]}]
    got = curl(f"/model/{CLAUDE}/converse", {"messages": messages})
    assert got.status == 200 and got.json()["usage"]["inputTokens"] > 20_000


def test_body_of_20_mb(curl: Curl) -> None:
    got = curl(f"/model/{CLAUDE}/invoke", samples.image_body(20_000_000))
    assert got.status == 200 and got.json()["content"][0]["text"]


def parallel(url: str, folder: Path, *options: str) -> list[list[str]]:
    """200 transfers by one curl; of each: status, and how many connections it opened."""
    body = folder / "body"
    body.write_text(json.dumps({"messages": MESSAGES}))
    argv = ["curl", "-sS", "-Z", "--parallel-max", "200", *options]
    argv += ["-H", "Content-Type: application/json", "--data-binary", f"@{body}"]
    argv += ["-w", "%{http_code} %{num_connects} %{http_version}\n"]
    argv += ["-o", str(folder / "answer-#1"), f"{url}/model/{LLAMA}/converse?n=[1-200]"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr[-500:]
    answers = [path.read_bytes() for path in folder.glob("answer-*")]
    assert len(answers) == 200
    texts = {json.loads(a)["output"]["message"]["content"][0]["text"] for a in answers}
    assert len(texts) == 1
    return [line.split() for line in done.stdout.splitlines()]


def test_200_requests_at_once(simulated: Sluice, tmp_path: Path) -> None:
    got = parallel(simulated.url, tmp_path, "--http1.1", "--parallel-immediate")
    assert [status for status, _, _ in got] == ["200"] * 200


def test_200_streams_at_once(gateway: Callable[..., Sluice], tmp_path: Path) -> None:
    """Multiplexed. Over TLS: curl 7.88 cannot take up a connection of prior knowledge."""
    make_certificate(tmp_path, "gateway")
    certificate, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    settings = {"tls.certificate": certificate, "tls.key": key, "simulator.latency": "100ms"}
    sluice = gateway(simulator=True, settings=settings)
    url = f"https://{sluice.address}"
    got = parallel(url, tmp_path, "--http2", "--cacert", str(certificate))
    assert [(status, version) for status, _, version in got] == [("200", "2")] * 200
    # curl puts up to 100 streams on a connection; the rest get one of their own.
    assert sum(int(connects) for _, connects, _ in got) <= 101
