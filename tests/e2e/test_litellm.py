"""LiteLLM as a client, by each of its providers that Sluice serves: openai, anthropic, bedrock."""

import base64
import json
import os
from dataclasses import dataclass

import pytest

import sdk
from gateway import CLIENT_KEY, CLIENT_SECRET, PATIENCE, REGION, Sluice
from samples import CLAUDE, NOVA, PROMPT, png
from talker import ANSWER, BIG, BROKEN, INPUT, NUL, REFUSAL, TOOL_ID, Talker

# Prices from its package, not from the network, at import.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm  # noqa: E402

litellm.suppress_debug_info = True
pytestmark = pytest.mark.filterwarnings("ignore")  # its own, of pydantic

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather of a city.",
            "parameters": sdk.WEATHER_SCHEMA,
        },
    }
]


@dataclass
class Provider:
    name: str
    model: str
    quota: str  # a model whose quota no other test uses up
    broken: type[Exception]  # what it makes of an error amid a stream

    def settings(self, sluice: Sluice, model: str | None = None) -> dict:
        common = {"max_tokens": 300, "num_retries": 0, "max_retries": 0, "timeout": PATIENCE}
        common["model"] = f"{self.name}/{model or self.model}"
        if self.name != "bedrock":
            path = "/v1" if self.name == "openai" else ""
            return common | {"api_base": sluice.url + path, "api_key": sdk.ANY_KEY}
        keys = {"aws_access_key_id": CLIENT_KEY, "aws_secret_access_key": CLIENT_SECRET}
        endpoint = {"aws_bedrock_runtime_endpoint": sluice.url, "aws_region_name": REGION}
        return common | keys | endpoint


MIDSTREAM = litellm.exceptions.MidStreamFallbackError
PROVIDERS = [
    Provider("openai", NOVA, "mistral.mistral-small-2402-v1:0", MIDSTREAM),
    Provider("anthropic", CLAUDE, "us.anthropic.claude-opus-4-5-20251101-v1:0", MIDSTREAM),
    Provider("bedrock", NOVA, "us.amazon.nova-micro-v1:0", litellm.BadRequestError),
]
providers = pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.name)


def user(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


def stream(**request: object) -> litellm.ModelResponse:
    """As LiteLLM puts its own chunks together."""
    chunks = list(litellm.completion(stream=True, **request))
    whole = litellm.stream_chunk_builder(chunks, messages=request["messages"])
    assert isinstance(whole, litellm.ModelResponse) and len(chunks) > 1
    return whole


@providers
def test_completion(simulated: Sluice, provider: Provider) -> None:
    request = {**provider.settings(simulated), "messages": user(PROMPT)}
    whole = litellm.completion(**request)
    assert whole.choices[0].message.content.startswith("[simulated]")
    assert whole.choices[0].finish_reason == "stop" and whole.usage.completion_tokens > 5
    streamed = stream(stream_options={"include_usage": True}, **request)
    assert streamed.choices[0].message.content == whole.choices[0].message.content
    assert streamed.choices[0].finish_reason == "stop"
    assert streamed.usage.completion_tokens == whole.usage.completion_tokens


@providers
def test_tool_round_trip(talker: Talker, talking: Sluice, provider: Provider) -> None:
    messages = user(sdk.WEATHER)
    request = {**provider.settings(talking), "tools": TOOLS, "messages": messages}
    said = litellm.completion(**request).choices[0].message
    (call,) = said.tool_calls
    assert (call.id, call.function.name) == (TOOL_ID, "get_weather")
    assert json.loads(call.function.arguments) == {"city": "Köln", "id": BIG, "note": NUL}
    (streamed,) = stream(**request).choices[0].message.tool_calls
    assert streamed.function.arguments == INPUT

    result = {"role": "tool", "tool_call_id": call.id, "content": json.dumps({"id": BIG})}
    messages += [said.model_dump(exclude_none=True), result]
    assert litellm.completion(**request).choices[0].message.content == ANSWER
    sent = talker.last.body.decode()
    assert f'"id":{BIG}' in sent.replace(" ", "") and r"a\u0000b" in sent


@providers
def test_image(simulated: Sluice, provider: Provider) -> None:
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    content = [{"type": "text", "text": PROMPT}, {"type": "image_url", "image_url": {"url": url}}]
    said = litellm.completion(
        messages=[{"role": "user", "content": content}], **provider.settings(simulated)
    )
    assert "1 attachments" in said.choices[0].message.content


@providers
def test_errors(talking: Sluice, provider: Provider) -> None:
    settings = provider.settings(talking)
    with pytest.raises(litellm.BadRequestError, match=REFUSAL):
        litellm.completion(messages=user("refuse"), **settings)
    busy = {"openai": sdk.BUSY, "bedrock": "us." + sdk.BUSY}.get(
        provider.name, "us.anthropic.claude-haiku-4-5-20251001-v1:0"
    )
    with pytest.raises(litellm.RateLimitError):
        litellm.completion(
            messages=user("throttle"),
            extra_headers={"x-sluice-timeout": "500ms"},
            **provider.settings(talking, busy),
        )
    text = ""
    with pytest.raises(provider.broken, match=BROKEN):
        for chunk in litellm.completion(messages=user("break"), stream=True, **settings):
            text += chunk.choices[0].delta.content or ""
    assert text and ANSWER.startswith(text)


@providers
def test_throttles_are_absorbed(throttled: Sluice, provider: Provider) -> None:
    settings = provider.settings(throttled, provider.quota)

    def ask(question: str) -> str:
        done = litellm.completion(messages=user(question), **settings)
        return done.choices[0].message.content

    sdk.absorb(throttled, ask)


def test_embedding(simulated: Sluice) -> None:
    done = litellm.embedding(
        model="openai/amazon.titan-embed-text-v2:0",
        input=["one", "two"],
        api_base=f"{simulated.url}/v1",
        api_key=sdk.ANY_KEY,
    )
    assert [item["index"] for item in done.data] == [0, 1]
    assert len(done.data[0]["embedding"]) > 100
