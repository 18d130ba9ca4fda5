"""boto3 as it comes, told nothing but an endpoint, against the gateway with its simulator."""

import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError, EventStreamError

import samples
from certificate import make_certificate
from gateway import REGION, Sluice
from samples import CLAUDE, LLAMA, MESSAGES, NOVA, PROMPT, TOOL


@pytest.fixture(scope="module")
def runtime(simulated: Sluice):
    return simulated.boto()


def with_headers(client, **headers: str):
    """Adds headers to each request of this client, as any hook of a program may."""

    def add(request, **_) -> None:
        for name, value in headers.items():
            request.headers.add_header(name.replace("_", "-"), value)

    client.meta.events.register("before-sign.*.*", add)
    return client


def faulty(sluice: Sluice, fault: str, **headers: str):
    """A client whose calls fail at the simulator; answers kept of other tests do not hide that."""
    return with_headers(
        sluice.boto(), x_simulator_fault=fault, cache_control="no-store", **headers
    )


def invoke(runtime, model: str, body: dict) -> dict:
    answer = runtime.invoke_model(modelId=model, body=json.dumps(body))
    assert answer["contentType"] == "application/json"
    return json.loads(answer["body"].read())


# --- InvokeModel, each family in its own words


def test_invoke_llama(runtime) -> None:
    answer = invoke(runtime, LLAMA, samples.LLAMA_BODY)
    assert answer["generation"].strip()
    assert answer["prompt_token_count"] > 10
    assert 0 < answer["generation_token_count"] <= 64
    assert answer["stop_reason"] in ("stop", "length")


def test_invoke_claude(runtime) -> None:
    answer = invoke(runtime, CLAUDE, samples.CLAUDE_BODY)
    assert (answer["type"], answer["role"]) == ("message", "assistant")
    assert answer["content"][0]["type"] == "text" and answer["content"][0]["text"]
    assert answer["usage"]["input_tokens"] > 0 and answer["usage"]["output_tokens"] > 0


def test_invoke_nova(runtime) -> None:
    answer = invoke(runtime, NOVA, {"messages": MESSAGES, "inferenceConfig": {"maxTokens": 50}})
    assert answer["output"]["message"]["content"][0]["text"]
    assert answer["usage"]["inputTokens"] > 0


def test_invoke_titan(runtime) -> None:
    body = {"inputText": PROMPT, "textGenerationConfig": {"maxTokenCount": 50, "temperature": 0}}
    answer = invoke(runtime, "amazon.titan-text-express-v1", body)
    assert answer["inputTextTokenCount"] > 0
    assert answer["results"][0]["outputText"] and answer["results"][0]["tokenCount"] > 0


def test_invoke_mistral(runtime) -> None:
    body = {"prompt": f"<s>[INST] {PROMPT} [/INST]", "max_tokens": 50}
    raw = runtime.invoke_model(modelId="mistral.mistral-large-2402-v1:0", body=json.dumps(body))
    assert json.loads(raw["body"].read())["outputs"][0]["text"]
    headers = raw["ResponseMetadata"]["HTTPHeaders"]
    assert int(headers["x-amzn-bedrock-input-token-count"]) > 0


@pytest.mark.parametrize(
    ("model", "body", "length"),
    [
        ("amazon.titan-embed-text-v2:0", {"inputText": PROMPT, "dimensions": 256}, 256),
        ("amazon.titan-embed-text-v1", {"inputText": PROMPT}, 1536),
    ],
)
def test_embed_titan(runtime, model: str, body: dict, length: int) -> None:
    answer = invoke(runtime, model, body)
    assert len(answer["embedding"]) == length
    assert answer["inputTextTokenCount"] > 0


def test_embed_cohere(runtime) -> None:
    body = {"texts": ["one", "two"], "input_type": "search_document"}
    answer = invoke(runtime, "cohere.embed-english-v3", body)
    assert [len(vector) for vector in answer["embeddings"]] == [1024, 1024]


def test_invoke_with_a_file(runtime) -> None:
    """botocore asks for 100-continue before it sends a file."""
    body = io.BytesIO(json.dumps(samples.LLAMA_BODY).encode())
    answer = runtime.invoke_model(modelId=LLAMA, body=body)
    assert json.loads(answer["body"].read())["generation"]


@pytest.mark.parametrize(
    "model",
    [
        f"arn:aws:bedrock:{REGION}:123456789012:inference-profile/{LLAMA}",
        f"arn:aws:bedrock:{REGION}::foundation-model/{NOVA}",
        f"arn:aws:bedrock:{REGION}:123456789012:application-inference-profile/abcdef123456",
        "global.anthropic.claude-haiku-4-5-20251001-v1:0",
    ],
)
def test_model_ids(runtime, model: str) -> None:
    answer = runtime.converse(modelId=model, messages=MESSAGES)
    assert answer["output"]["message"]["content"][0]["text"]


# --- streams


def test_invoke_stream_llama(simulated: Sluice) -> None:
    runtime = with_headers(simulated.boto(), cache_control="no-store")  # in the model's own pieces
    answer = runtime.invoke_model_with_response_stream(
        modelId=LLAMA, body=json.dumps(samples.LLAMA_BODY)
    )
    assert answer["contentType"] == "application/json"
    chunks = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
    assert len(chunks) > 2
    assert "".join(chunk["generation"] for chunk in chunks).strip()
    assert chunks[0]["prompt_token_count"] > 10
    metrics = chunks[-1]["amazon-bedrock-invocationMetrics"]
    assert metrics["inputTokenCount"] == chunks[0]["prompt_token_count"]
    assert metrics["outputTokenCount"] > 0


def test_invoke_stream_claude(runtime) -> None:
    answer = runtime.invoke_model_with_response_stream(
        modelId=CLAUDE, body=json.dumps(samples.CLAUDE_BODY)
    )
    chunks = [json.loads(event["chunk"]["bytes"]) for event in answer["body"]]
    kinds = [chunk["type"] for chunk in chunks]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop")
    assert any(chunk.get("delta", {}).get("text") for chunk in chunks)


def test_stream_says_what_the_whole_says(runtime) -> None:
    """Deterministic text: the two ways to ask for it can be compared."""
    whole = runtime.converse(modelId=LLAMA, messages=MESSAGES)
    stream = list(runtime.converse_stream(modelId=LLAMA, messages=MESSAGES)["stream"])
    deltas = [e["contentBlockDelta"]["delta"]["text"] for e in stream if "contentBlockDelta" in e]
    assert "".join(deltas) == whole["output"]["message"]["content"][0]["text"]
    assert stream[-1]["metadata"]["usage"]["outputTokens"] == whole["usage"]["outputTokens"]


# --- Converse


def test_converse(runtime) -> None:
    answer = runtime.converse(
        modelId=CLAUDE,
        system=[{"text": "Answer briefly."}],
        messages=MESSAGES,
        inferenceConfig={"maxTokens": 80, "temperature": 0.1},
    )
    assert answer["output"]["message"]["role"] == "assistant"
    assert answer["stopReason"] in ("end_turn", "max_tokens")
    usage = answer["usage"]
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    assert headers["x-sluice-cache"] == "miss" and headers["x-sluice-attempts"] == "1"
    assert headers["x-amzn-requestid"] != headers["x-sluice-request-id"]


def collect(stream) -> dict:
    """A streamed message put together, as programs do it."""
    blocks: dict[int, dict] = {}
    reason, usage = None, None
    for event in stream:
        if "contentBlockStart" in event:
            start = event["contentBlockStart"]
            use = start["start"]["toolUse"]
            blocks[start["contentBlockIndex"]] = {"toolUse": {**use, "input": ""}}
        elif "contentBlockDelta" in event:
            part = event["contentBlockDelta"]
            delta = part["delta"]
            if "toolUse" in delta:
                blocks[part["contentBlockIndex"]]["toolUse"]["input"] += delta["toolUse"]["input"]
            else:
                block = blocks.setdefault(part["contentBlockIndex"], {"text": ""})
                block["text"] += delta["text"]
        elif "messageStop" in event:
            reason = event["messageStop"]["stopReason"]
        elif "metadata" in event:
            usage = event["metadata"]["usage"]
    content = [block for _, block in sorted(blocks.items())]
    for block in content:
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"])
    return {"content": content, "stopReason": reason, "usage": usage}


def test_converse_stream_with_tool_and_image(runtime) -> None:
    """The round trip of an agent: picture and tool in, tool use out, its result in, text out."""
    content = [
        {"image": {"format": "png", "source": {"bytes": samples.png()}}},
        {"text": "Use get_weather for the city in this picture."},
    ]
    messages = [{"role": "user", "content": content}]
    tools = {"tools": [TOOL]}
    first = collect(
        runtime.converse_stream(modelId=CLAUDE, messages=messages, toolConfig=tools)["stream"]
    )
    assert first["stopReason"] == "tool_use"
    use = next(block["toolUse"] for block in first["content"] if "toolUse" in block)
    assert use["name"] == "get_weather"
    assert isinstance(use["input"]["city"], str) and isinstance(use["input"]["days"], int)

    result = {"toolUseId": use["toolUseId"], "content": [{"json": {"celsius": 21}}]}
    messages += [
        {"role": "assistant", "content": first["content"]},
        {"role": "user", "content": [{"toolResult": result}]},
    ]
    second = collect(
        runtime.converse_stream(modelId=CLAUDE, messages=messages, toolConfig=tools)["stream"]
    )
    assert second["stopReason"] == "end_turn"
    assert second["content"][0]["text"]
    assert second["usage"]["inputTokens"] > first["usage"]["inputTokens"]


# --- the smaller operations


def test_count_tokens(runtime) -> None:
    body = json.dumps(samples.CLAUDE_BODY).encode()
    model = "anthropic.claude-3-5-haiku-20241022-v1:0"
    counted = runtime.count_tokens(modelId=model, input={"invokeModel": {"body": body}})
    assert counted["inputTokens"] > 5
    longer = [{"role": "user", "content": [{"text": PROMPT * 10}]}]
    more = runtime.count_tokens(modelId=model, input={"converse": {"messages": longer}})
    assert more["inputTokens"] > counted["inputTokens"]


def test_apply_guardrail(runtime) -> None:
    def apply(text: str) -> str:
        return runtime.apply_guardrail(
            guardrailIdentifier="gr-1a2b3c",
            guardrailVersion="DRAFT",
            source="INPUT",
            content=[{"text": {"text": text}}],
        )["action"]

    assert apply("good morning") == "NONE"
    assert apply("BLOCKME at once") == "GUARDRAIL_INTERVENED"


def test_async_invoke(runtime) -> None:
    started = runtime.start_async_invoke(
        modelId="amazon.nova-reel-v1:0",
        modelInput={"taskType": "TEXT_VIDEO", "textToVideoParams": {"text": PROMPT}},
        outputDataConfig={"s3OutputDataConfig": {"s3Uri": "s3://bucket/prefix"}},
    )
    arn = started["invocationArn"]
    job = runtime.get_async_invoke(invocationArn=arn)
    assert job["invocationArn"] == arn and job["status"] in ("InProgress", "Completed")
    listed = runtime.list_async_invokes(maxResults=10)["asyncInvokeSummaries"]
    assert arn in [summary["invocationArn"] for summary in listed]


def test_control_plane(simulated: Sluice) -> None:
    bedrock = simulated.boto("bedrock")
    models = bedrock.list_foundation_models()["modelSummaries"]
    assert NOVA in [model["modelId"] for model in models]
    details = bedrock.get_foundation_model(modelIdentifier=NOVA)["modelDetails"]
    assert details["modelId"] == NOVA and details["responseStreamingSupported"]
    profiles = bedrock.list_inference_profiles()["inferenceProfileSummaries"]
    assert LLAMA in [profile["inferenceProfileId"] for profile in profiles]
    profile = bedrock.get_inference_profile(inferenceProfileIdentifier=LLAMA)
    assert profile["inferenceProfileId"] == LLAMA and profile["status"] == "ACTIVE"


def test_api_key(
    gateway: Callable[..., Sluice], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program with an API key in place of a key pair. botocore shows one over TLS only."""
    make_certificate(tmp_path, "gateway")
    settings = {"tls.certificate": tmp_path / "chain.pem", "tls.key": tmp_path / "key.pem"}
    sluice = gateway(simulator=True, settings=settings)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "chain.pem"))
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-of-the-client")
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", f"https://{sluice.address}")
    client = boto3.client("bedrock-runtime", region_name=REGION)
    sent = []
    client.meta.events.register("before-send.*.*", lambda request, **_: sent.append(request))
    assert client.converse(modelId=LLAMA, messages=MESSAGES)["usage"]["outputTokens"] > 0
    assert sent[0].headers["Authorization"] == b"Bearer bedrock-api-key-of-the-client"


# --- what goes wrong, as boto3 tells it


def test_throttle(gateway: Callable[..., Sluice]) -> None:
    """Throttles are waited for, but not beyond the client's deadline; then it is told why."""
    runtime = faulty(gateway(simulator=True), "throttle", x_sluice_timeout="1")
    with pytest.raises(runtime.exceptions.ThrottlingException) as caught:
        runtime.converse(modelId=LLAMA, messages=MESSAGES)
    error = caught.value.response
    assert error["Error"]["Message"].startswith("requests: ")
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 429
    headers = error["ResponseMetadata"]["HTTPHeaders"]
    assert int(headers["retry-after"]) >= 1 and int(headers["x-amz-retry-after"]) > 0


def test_validation_error(runtime) -> None:
    with pytest.raises(runtime.exceptions.ValidationException) as caught:
        messages = [{"role": "assistant", "content": [{"text": "x"}]}]
        runtime.converse(modelId=LLAMA, messages=messages)
    assert "must start with a user message" in caught.value.response["Error"]["Message"]


def test_unknown_model(runtime) -> None:
    with pytest.raises(runtime.exceptions.ValidationException) as caught:
        runtime.converse(modelId="acme.no-such-model-v1:0", messages=MESSAGES)
    message = caught.value.response["Error"]["Message"]
    assert message == "The provided model identifier is invalid."


def test_on_demand_message_keeps_its_apostrophe(runtime) -> None:
    """U+2019 in Bedrock's own words."""
    with pytest.raises(ClientError, match="isn\u2019t supported"):
        runtime.converse(modelId="meta.llama3-3-70b-instruct-v1:0", messages=MESSAGES)


def test_exception_midway(simulated: Sluice) -> None:
    runtime = faulty(simulated, "exception-midway")
    stream = runtime.converse_stream(modelId=LLAMA, messages=MESSAGES)["stream"]
    seen = []
    with pytest.raises(EventStreamError, match="modelStreamErrorException"):
        seen.extend(stream)
    assert "messageStart" in seen[0]


def test_exception_midway_invoke(simulated: Sluice) -> None:
    runtime = faulty(simulated, "exception-midway")
    answer = runtime.invoke_model_with_response_stream(
        modelId=LLAMA, body=json.dumps(samples.LLAMA_BODY)
    )
    with pytest.raises(EventStreamError, match="modelStreamErrorException"):
        list(answer["body"])


# --- size and number


def test_prompt_of_200_kb(runtime) -> None:
    text = samples.words(200_000)
    messages = [{"role": "user", "content": [{"text": text}]}]
    answer = runtime.converse(modelId=CLAUDE, messages=messages)
    assert answer["usage"]["inputTokens"] > 20_000


def test_body_of_20_mb(runtime) -> None:
    answer = invoke(runtime, CLAUDE, samples.image_body(20_000_000))
    assert answer["content"][0]["text"]


def test_200_requests_at_once(simulated: Sluice) -> None:
    """One client, 200 threads, half of them streaming."""
    runtime = simulated.boto(max_pool_connections=200)

    def ask(n: int) -> str:
        messages = [{"role": "user", "content": [{"text": f"{PROMPT} Number {n}."}]}]
        if n % 2:
            stream = runtime.converse_stream(modelId=LLAMA, messages=messages)["stream"]
            return collect(stream)["content"][0]["text"]
        answer = runtime.converse(modelId=LLAMA, messages=messages)
        return answer["output"]["message"]["content"][0]["text"]

    with ThreadPoolExecutor(200) as pool:
        answers = list(pool.map(ask, range(200)))
    assert all(answers)
    # Each got its own answer: the same question asked alone is answered the same.
    for n in (0, 1, 198, 199):
        assert ask(n) == answers[n]
