"""Models that Converse does not serve, or not with a system prompt, by every API but Bedrock's own.

Bedrock refuses such conversations; the simulator does so in its words, which the last test sees to.
"""

import json

import anthropic
import httpx
import openai
import pytest
from botocore.exceptions import ClientError

import sdk
from gateway import PATIENCE, Sluice
from test_anthropic import picture, steady, text_of
from test_openai import TOOLS, chunks_of

COMMAND = "cohere.command-text-v14"
JURASSIC = "ai21.j2-mid-v1"  # has no stream either
TITAN = "amazon.titan-text-express-v1"
MISTRAL = "mistral.mistral-7b-instruct-v0:2"
IMPORTED = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefghijkl"
PROMPTS, FOLDED = [COMMAND, JURASSIC, IMPORTED], [TITAN, MISTRAL]
MODELS = PROMPTS + FOLDED
TALK = [
    {"role": "user", "content": "Hello."},
    {"role": "assistant", "content": "What is it?"},
    {"role": "user", "content": "Why is the sky blue?"},
]
SYSTEM = "Answer in one sentence."
every_model = pytest.mark.parametrize("model", MODELS)


def api(sluice: Sluice) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{sluice.url}/v1", api_key=sdk.ANY_KEY, max_retries=0, timeout=PATIENCE
    )


def claude_api(sluice: Sluice) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        base_url=sluice.url, api_key=sdk.ANY_KEY, max_retries=0, timeout=PATIENCE
    )


@every_model
def test_chat(simulated: Sluice, model: str) -> None:
    request = {
        "model": model,
        "messages": [{"role": "system", "content": SYSTEM}, *TALK],
        "max_tokens": 300,
        "stop": ["never said"],
    }
    raw = api(simulated).chat.completions.with_raw_response.create(**request)
    assert raw.headers.get("x-sluice-edited") == ("system" if model in FOLDED else None)
    whole = raw.parse()
    (choice,) = whole.choices
    assert choice.message.content.lstrip("<reasoning>").startswith("[simulated]")
    assert choice.finish_reason == "stop"
    assert whole.usage.prompt_tokens > 10 and whole.usage.completion_tokens > 5

    *chunks, last = chunks_of(simulated, stream_options={"include_usage": True}, **request)
    deltas = [chunk.choices[0].delta.content or "" for chunk in chunks]
    assert "".join(deltas) == choice.message.content
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert last.usage == whole.usage


@every_model
def test_limit(simulated: Sluice, model: str) -> None:
    """Without one there is still an answer; with one it is heeded, and told."""
    ask = {"model": model, "messages": [{"role": "user", "content": "Say 60 words."}]}
    create = api(simulated).chat.completions.create
    assert create(**ask).choices[0].finish_reason == "stop"
    short = create(**ask, max_tokens=9)
    assert short.choices[0].finish_reason == "length"
    assert short.usage.completion_tokens == 9


@every_model
def test_response(simulated: Sluice, model: str) -> None:
    request = {"model": model, "instructions": SYSTEM, "input": TALK}
    whole = api(simulated).responses.create(**request)
    with api(simulated).responses.stream(**request) as stream:
        assert stream.get_final_response().output_text == whole.output_text
    assert "[simulated]" in whole.output_text and whole.status == "completed"


@every_model
def test_message(simulated: Sluice, model: str) -> None:
    request = {"model": model, "system": SYSTEM, "messages": TALK, "max_tokens": 300}
    whole = claude_api(simulated).messages.create(**request)
    assert "[simulated]" in text_of(whole) and whole.stop_reason == "end_turn"
    with claude_api(simulated).messages.stream(**request) as stream:
        assert steady(stream.get_final_message()) == steady(whole)


@every_model
def test_rest(simulated: Sluice, model: str) -> None:
    request = {"model": model, "prompt": "Why is the sky blue?", "max_tokens": 300}
    told = httpx.post(f"{simulated.url}/invoke", json=request, timeout=PATIENCE)
    assert told.status_code == 200 and "[simulated]" in told.text
    streamed = httpx.post(
        f"{simulated.url}/invoke", json={**request, "stream": True}, timeout=PATIENCE
    )
    events = [json.loads(data) for _, data in sdk.sse(streamed.iter_lines())]
    assert events[-1]["tokens_output"] == told.json()["tokens_output"] > 5


@pytest.mark.parametrize("model", PROMPTS)
def test_what_a_text_cannot_carry(simulated: Sluice, model: str) -> None:
    ask = {"model": model, "messages": TALK}
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match="takes text alone: tools"):
            api(simulated).chat.completions.create(tools=TOOLS, stream=stream, **ask)
    with pytest.raises(anthropic.BadRequestError, match="an image cannot be sent") as bad:
        claude_api(simulated).messages.create(model=model, max_tokens=9, messages=picture())
    assert bad.value.body["error"]["type"] == "invalid_request_error"


def test_converse_alone_does_not_reach_them(simulated: Sluice) -> None:
    """Bedrock's own operations pass as they are, and so do its refusals."""
    said = [{"role": m["role"], "content": [{"text": m["content"]}]} for m in TALK]
    runtime = simulated.boto()
    cases = [
        (COMMAND, {"messages": said}, "conversation history"),
        (JURASSIC, {"messages": said}, "conversation history"),
        (TITAN, {"messages": said, "system": [{"text": SYSTEM}]}, "system messages"),
        (MISTRAL, {"messages": said, "system": [{"text": SYSTEM}]}, "system messages"),
        (IMPORTED, {"messages": said}, "doesn't support the model"),
    ]
    for model, request, words in cases:
        with pytest.raises(ClientError, match=words):
            runtime.converse(modelId=model, **request)
    with pytest.raises(ClientError, match="unsupported for streaming"):
        runtime.converse_stream(modelId=JURASSIC, messages=said[:1])
