"""Anthropic's own SDK for Python, by its own API and by its Bedrock client.

To Claude the same question of Anthropic's API or of InvokeModel is one call; to other models
Anthropic's API is one with Converse. Events and documents are held against the SDK's types,
strictly.

AnthropicBedrock says another anthropic_version since its release 2.0 than the one AWS documents: as
that is another version of the API, its answers are not shared with those of the documented one.
"""

import base64
import json

import anthropic
import pydantic
import pytest
from anthropic.types import Message, RawMessageStreamEvent

import sdk
from gateway import CLIENT_KEY, CLIENT_SECRET, PATIENCE, REGION, Sluice
from samples import CLAUDE, LLAMA, NOVA, PROMPT, png
from talker import ANSWER, BIG, BROKEN, INPUT, NUL, REFUSAL, TOOL_ID, Talker

MODELS = [CLAUDE, NOVA, LLAMA]
# Has a quota that no other test draws on.
SPARE = "us.anthropic.claude-opus-5"
TOOLS = [
    {
        "name": "get_weather",
        "description": "The weather of a city.",
        "input_schema": sdk.WEATHER_SCHEMA,
    }
]
EVENT = pydantic.TypeAdapter(RawMessageStreamEvent)
FRESH = {"Cache-Control": "no-store"}
ONCE = {"max_retries": 0, "timeout": PATIENCE}
Either = anthropic.Anthropic | anthropic.AnthropicBedrock


def direct(sluice: Sluice) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=sluice.url, api_key=sdk.ANY_KEY, **ONCE)


def bedrock(sluice: Sluice) -> anthropic.AnthropicBedrock:
    keys = {"aws_access_key": CLIENT_KEY, "aws_secret_key": CLIENT_SECRET, "aws_region": REGION}
    with sdk.environ({"ANTHROPIC_BEDROCK_BASE_URL": sluice.url}):
        return anthropic.AnthropicBedrock(**keys, **ONCE)


def user(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


def text_of(message: Message) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def steady(message: Message) -> dict:
    """Without what is of the moment, or differs between a stream and a document."""
    dumped = message.model_dump(exclude={"id", "usage"}, exclude_none=True)
    return dumped | {"output_tokens": message.usage.output_tokens}


def events_of(sluice: Sluice, **request: object) -> list[RawMessageStreamEvent]:
    create = direct(sluice).messages.with_streaming_response.create
    with create(stream=True, **request) as response:
        parts = [(name, data) for name, data in sdk.sse(response.iter_lines()) if name != "ping"]
    events = [EVENT.validate_json(data, strict=True) for _, data in parts]
    assert [name for name, _ in parts] == [event.type for event in events]
    for event in events:
        sdk.no_extras(event)
    return events


@pytest.mark.parametrize("extra", [{}, FRESH], ids=["cached", "fresh"])
@pytest.mark.parametrize("model", MODELS)
def test_message(simulated: Sluice, model: str, extra: dict[str, str]) -> None:
    request = {"model": model, "max_tokens": 300, "messages": user(PROMPT), "extra_headers": extra}
    raw = direct(simulated).messages.with_raw_response.create(**request)
    whole = Message.model_validate_json(raw.text(), strict=True)
    sdk.no_extras(whole)
    assert whole.stop_reason == "end_turn" and text_of(whole).startswith("[simulated]")
    assert whole.usage.input_tokens > 0 and whole.usage.output_tokens > 0

    events = events_of(simulated, **request)
    assert events[0].type == "message_start" and events[-1].type == "message_stop"
    deltas = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert "".join(deltas) == text_of(whole)
    assert len(deltas) > 3 or not extra  # an answer that is there is not cut up
    (last,) = [event for event in events if event.type == "message_delta"]
    assert last.usage.output_tokens == whole.usage.output_tokens
    assert last.delta.stop_reason == "end_turn"
    with direct(simulated).messages.stream(**request) as stream:
        final = stream.get_final_message()
    assert steady(final) == steady(whole) | {"model": final.model}


def picture() -> list[dict]:
    data = base64.b64encode(png()).decode()
    source = {"type": "base64", "media_type": "image/png", "data": data}
    content = [{"type": "image", "source": source}, {"type": "text", "text": PROMPT}]
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize("model", [CLAUDE, NOVA])
def test_image(simulated: Sluice, model: str) -> None:
    message = direct(simulated).messages.create(model=model, max_tokens=300, messages=picture())
    assert "1 attachments" in text_of(message)
    assert message.usage.input_tokens > 1600, "the picture counts"


def test_bedrock_client_simulated(simulated: Sluice) -> None:
    """With a model behind it: text, picture, tools, a stream that says the same."""
    api = bedrock(simulated).messages
    tools = {"tools": TOOLS, "messages": user(sdk.WEATHER)}
    for extra in ({"messages": user(PROMPT)}, {"messages": picture()}, tools):
        request = {"model": CLAUDE, "max_tokens": 300, **extra}
        raw = api.with_raw_response.create(**request)
        whole = Message.model_validate_json(raw.text(), strict=True)
        sdk.no_extras(whole)
        with api.stream(**request) as stream:
            deltas = list(stream.text_stream)
            final = stream.get_final_message()
        assert steady(final) == steady(whole) and "".join(deltas) == text_of(whole)
        if extra is tools:
            assert whole.stop_reason == "tool_use" and whole.content[-1].input["id"] == 1
        else:
            assert text_of(whole).startswith("[simulated]")
            assert ("1 attachments" in text_of(whole)) == (extra["messages"] != user(PROMPT))
    use = whole.content[-1]
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "rain"}
    said = [{"role": "assistant", "content": [use.model_dump(exclude_none=True)]}]
    messages = user(sdk.WEATHER) + said + [{"role": "user", "content": [result]}]
    last = api.create(model=CLAUDE, max_tokens=300, tools=TOOLS, messages=messages)
    assert last.stop_reason == "end_turn" and text_of(last).startswith("[simulated]")
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        api.create(model=CLAUDE, max_tokens="many", messages=user(PROMPT))


def test_bedrock_client(talker: Talker, talking: Sluice) -> None:
    """What it sends goes as it is, a picture included; what it hears is the same in both shapes."""
    request = {"model": CLAUDE, "max_tokens": 300, "messages": picture()}
    raw = bedrock(talking).messages.with_raw_response.create(**request)
    whole = Message.model_validate_json(raw.text(), strict=True)
    sdk.no_extras(whole)
    assert text_of(whole) == ANSWER and whole.stop_reason == "end_turn"
    sent = json.loads(talker.last.body)
    assert sent.pop("anthropic_version")
    assert sent == {"max_tokens": 300, "messages": picture()}
    with bedrock(talking).messages.stream(**request) as stream:
        deltas = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(deltas) > 3 and steady(final) == steady(whole)


def streamed_input(client: Either, **request: object) -> str:
    with client.messages.stream(**request) as stream:
        pieces = [event.partial_json for event in stream if event.type == "input_json"]
        (use,) = stream.get_final_message().content
    assert use.type == "tool_use" and use.id == TOOL_ID
    assert use.input == {"city": "Köln", "id": BIG, "note": NUL}
    return "".join(pieces)


@pytest.mark.parametrize(("make", "model"), [(direct, CLAUDE), (direct, NOVA), (bedrock, CLAUDE)])
def test_tool_round_trip(talker: Talker, talking: Sluice, make, model: str) -> None:
    client: Either = make(talking)
    messages = user(sdk.WEATHER)
    request = {"model": model, "max_tokens": 300, "tools": TOOLS, "messages": messages}
    first = client.messages.create(**request)
    assert first.stop_reason == "tool_use"
    (use,) = first.content
    assert use.type == "tool_use" and (use.id, use.name) == (TOOL_ID, "get_weather")
    assert use.input == {"city": "Köln", "id": BIG, "note": NUL}
    assert streamed_input(client, **request) == INPUT

    result = {"type": "tool_result", "tool_use_id": use.id, "content": json.dumps({"id": BIG})}
    messages += [
        {"role": "assistant", "content": [use.model_dump(exclude_none=True)]},
        {"role": "user", "content": [result]},
    ]
    assert text_of(client.messages.create(**request)) == ANSWER
    sent = talker.last.body.decode()
    assert f'"id":{BIG}' in sent and r"a\u0000b" in sent and rf'{{\"id\": {BIG}}}' in sent


def test_simulated_tools_and_thinking(simulated: Sluice) -> None:
    api = direct(simulated).messages
    for model in MODELS:
        request = {"model": model, "max_tokens": 300, "messages": user(sdk.WEATHER)}
        whole = api.create(tools=TOOLS, **request)
        assert whole.content[-1].type == "tool_use" and whole.content[-1].input["id"] == 1
        with api.stream(tools=TOOLS, **request) as stream:
            assert steady(stream.get_final_message()) | {"model": whole.model} == steady(whole)
    thinking = {"type": "enabled", "budget_tokens": 1024}
    request = {"model": CLAUDE, "max_tokens": 2000, "messages": user(PROMPT)}
    thought, said = api.create(thinking=thinking, **request).content
    assert thought.type == "thinking" and thought.signature and said.type == "text"
    with api.stream(thinking=thinking, **request) as stream:
        assert stream.get_final_message().content[0] == thought


def test_documents_caching_and_betas(talker: Talker, talking: Sluice) -> None:
    """Claude gets the client's own words; another model what it has for them."""
    source = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0xLjQ="}
    document = {"type": "document", "source": source, "title": "The sky"}
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    content = [document, {"type": "text", "text": PROMPT}]
    messages = [{"role": "user", "content": content}]
    request = {"max_tokens": 99, "system": system, "messages": messages}
    create = direct(talking).beta.messages.create
    said = create(model=CLAUDE, betas=["context-1m-2025-08-07"], **request)
    assert said.content[0].text == ANSWER
    sent = json.loads(talker.last.body)
    assert sent.pop("anthropic_version") == "bedrock-2023-05-31"
    assert sent == {**request, "anthropic_beta": ["context-1m-2025-08-07"]}
    assert create(model=NOVA, **request).content[0].text == ANSWER
    sent = json.loads(talker.last.body)
    assert sent["system"] == [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}]
    assert sent["messages"][0]["content"] == [
        {
            "document": {
                "format": "pdf",
                "name": "The sky",
                "source": {"bytes": "JVBERi0xLjQ="},
            }
        },
        {"text": PROMPT},
    ]


@pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")
def test_count_tokens(simulated: Sluice) -> None:
    api = direct(simulated).messages
    for model in ("claude-3-5-haiku-20241022", NOVA):  # served by their bare ids
        counted = api.count_tokens(model=model, messages=user(PROMPT))
        message = api.create(model=model, max_tokens=300, messages=user(PROMPT))
        assert counted.input_tokens == message.usage.input_tokens


@pytest.mark.filterwarnings("ignore:The model:DeprecationWarning")
def test_names_of_models(simulated: Sluice) -> None:
    """As Anthropic calls them; the region's profile is found."""
    named = direct(simulated).messages.create(
        model="claude-sonnet-4-5", max_tokens=300, messages=user(PROMPT)
    )
    same = direct(simulated).messages.create(model=CLAUDE, max_tokens=300, messages=user(PROMPT))
    assert text_of(named) == text_of(same)


@pytest.mark.parametrize(("make", "model"), [(direct, CLAUDE), (direct, NOVA), (bedrock, CLAUDE)])
def test_errors(talking: Sluice, make, model: str) -> None:
    api = make(talking).messages
    request = {"model": model, "max_tokens": 99, "messages": user("refuse")}
    for stream in (False, True):
        with pytest.raises(anthropic.BadRequestError, match=REFUSAL) as bad:
            api.create(stream=stream, **request)
        if make is direct:
            assert bad.value.body["error"]["type"] == "invalid_request_error"
            headers = bad.value.response.headers
            assert bad.value.body["request_id"] == headers["x-sluice-request-id"]
            assert bad.value.request_id == headers["x-sluice-request-id"]
    busy = "us.anthropic.claude-opus-4-5-20251101-v1:0" if model == CLAUDE else sdk.BUSY
    with pytest.raises(anthropic.RateLimitError, match=sdk.TOO_BUSY) as limited:
        api.create(
            model=busy,
            max_tokens=99,
            messages=user("throttle"),
            extra_headers={"x-sluice-timeout": "500ms"},
        )
    assert int(limited.value.response.headers["retry-after"]) >= 1


def test_mistakes(simulated: Sluice) -> None:
    api = direct(simulated).messages
    with pytest.raises(anthropic.BadRequestError, match="model identifier") as unknown:
        api.create(model="claude-nobody-9-9", max_tokens=9, messages=user(PROMPT))
    assert unknown.value.body["error"]["type"] == "invalid_request_error"
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        api.create(model=CLAUDE, max_tokens="many", messages=user(PROMPT))
    with pytest.raises(anthropic.NotFoundError):
        direct(simulated).get("/v1/no-such-path", cast_to=object)


@pytest.mark.parametrize(("make", "model"), [(direct, CLAUDE), (direct, NOVA), (bedrock, CLAUDE)])
def test_error_midway(talking: Sluice, make, model: str) -> None:
    text = ""
    stream = make(talking).messages.create(
        model=model, max_tokens=99, messages=user("break"), stream=True
    )
    with pytest.raises((anthropic.APIError, ValueError), match=BROKEN):
        for event in stream:
            text += event.delta.text if event.type == "content_block_delta" else ""
    assert text and ANSWER.startswith(text)


@pytest.mark.parametrize(("make", "model"), [(direct, CLAUDE), (bedrock, SPARE)])
def test_throttles_are_absorbed(throttled: Sluice, make, model: str) -> None:
    with make(throttled) as client:

        def ask(question: str) -> str:
            request = {"model": model, "max_tokens": 300, "messages": user(question)}
            return text_of(client.messages.create(**request))

        sdk.absorb(throttled, ask)


@pytest.mark.parametrize("make", [direct, bedrock])
def test_throttle_of_a_stream_is_absorbed(talking: Sluice, make) -> None:
    geography = {direct: "us", bedrock: "global"}[make]
    raw = make(talking).messages.with_raw_response.create(
        model=f"{geography}.anthropic.claude-haiku-4-5-20251001-v1:0",
        max_tokens=99,
        messages=user(f"throttle once {make.__name__}"),
        stream=True,
    )
    assert raw.headers["x-sluice-attempts"] == "2"
    deltas = [e.delta.text for e in raw.parse() if e.type == "content_block_delta"]
    assert "".join(deltas) == ANSWER


# --- the same question is the same call


def test_claude_shares_with_invoke_model(simulated: Sluice) -> None:
    attempts = simulated.metrics()["sluice_attempts_total"]
    question = {"max_tokens": 300, "messages": user("What do Claude's two ways share?")}
    said = direct(simulated).messages.create(model=CLAUDE, **question)
    body = json.dumps({"anthropic_version": "bedrock-2023-05-31", **question})
    invoked = simulated.boto().invoke_model(modelId=CLAUDE, body=body)
    assert invoked["ResponseMetadata"]["HTTPHeaders"]["x-sluice-cache"] == "hit"
    assert json.loads(invoked["body"].read())["content"][0]["text"] == text_of(said)
    with direct(simulated).messages.stream(model=CLAUDE, **question) as stream:
        assert stream.get_final_text() == text_of(said)
    assert simulated.metrics()["sluice_attempts_total"] == attempts + 1


@pytest.mark.parametrize("model", [NOVA, LLAMA])
def test_others_share_with_converse(simulated: Sluice, model: str) -> None:
    attempts = simulated.metrics()["sluice_attempts_total"]
    question = f"What do Anthropic's API and Converse share of {model}?"
    said = direct(simulated).messages.create(model=model, max_tokens=300, messages=user(question))
    answer = simulated.boto().converse(
        modelId=model,
        messages=[{"role": "user", "content": [{"text": question}]}],
        inferenceConfig={"maxTokens": 300},
    )
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-sluice-cache"] == "hit"
    assert answer["output"]["message"]["content"][0]["text"] == text_of(said)
    assert simulated.metrics()["sluice_attempts_total"] == attempts + 1
