"""OpenAI's own SDK for Python: nothing but its base URL and key is changed.

Every chunk and document is held against the SDK's types, strictly and without unknown members: the
SDK itself does not check what it receives.
"""

import base64
import json


import openai
import pydantic
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

import sdk
from gateway import PATIENCE, Sluice
from samples import CLAUDE, LLAMA, NOVA, PROMPT, png
from talker import ANSWER, BIG, BROKEN, INPUT, NUL, REFUSAL, TOOL_ID, Talker

MODELS = [NOVA, LLAMA, CLAUDE]
ASK = [{"role": "user", "content": PROMPT}]
FUNCTION = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": sdk.WEATHER_SCHEMA,
}
TOOLS = [{"type": "function", "function": FUNCTION}]
FLAT_TOOLS = [{"type": "function", "strict": False, **FUNCTION}]
EVENT = pydantic.TypeAdapter(ResponseStreamEvent)
FRESH = {"Cache-Control": "no-store"}


def client(sluice: Sluice, **options: object) -> openai.OpenAI:
    settings = {"api_key": sdk.ANY_KEY, "max_retries": 0, "timeout": PATIENCE, **options}
    return openai.OpenAI(base_url=f"{sluice.url}/v1", **settings)


def user(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


# --- chat completions


def chunks_of(sluice: Sluice, **request: object) -> list[ChatCompletionChunk]:
    """The chunks of a stream, each held against the SDK's type."""
    create = client(sluice).chat.completions.with_streaming_response.create
    with create(stream=True, **request) as response:
        data = [data for _, data in sdk.sse(response.iter_lines())]
    assert data.pop() == "[DONE]"
    chunks = [ChatCompletionChunk.model_validate_json(text, strict=True) for text in data]
    for chunk in chunks:
        sdk.no_extras(chunk)
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    return chunks


@pytest.mark.parametrize("extra", [{}, FRESH], ids=["cached", "fresh"])
@pytest.mark.parametrize("model", MODELS)
def test_chat(simulated: Sluice, model: str, extra: dict[str, str]) -> None:
    create = client(simulated).chat.completions.with_raw_response.create
    raw = create(model=model, messages=ASK, extra_headers=extra)
    whole = ChatCompletion.model_validate_json(raw.text, strict=True)
    sdk.no_extras(whole)
    assert whole.model == model and whole.choices[0].finish_reason == "stop"
    assert whole.usage and whole.usage.total_tokens > whole.usage.prompt_tokens > 0

    usage = {"include_usage": True}
    chunks = chunks_of(
        simulated, model=model, messages=ASK, stream_options=usage, extra_headers=extra
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content and text.startswith("[simulated]")
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert all(c.usage is None for c in chunks[:-1])
    assert len(chunks) > 5 or not extra  # an answer that is there is not cut up


def test_no_usage_unless_asked(simulated: Sluice) -> None:
    chunks = chunks_of(simulated, model=NOVA, messages=ASK)
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_settings(simulated: Sluice) -> None:
    """What Bedrock knows is passed on, what it does not is named."""
    raw = client(simulated).chat.completions.with_raw_response.create(
        model=NOVA, messages=user("300 words please"), max_completion_tokens=9, seed=7, user="u"
    )
    choice = raw.parse().choices[0]
    assert choice.finish_reason == "length"
    assert "seed" in raw.headers["x-sluice-ignored"]
    stopped = client(simulated).chat.completions.create(
        model=NOVA, messages=user("300 words please"), stop=["Nova"]
    )
    assert stopped.choices[0].message.content == "[simulated] This answer stands in for "


def test_many_choices_are_refused(simulated: Sluice) -> None:
    with pytest.raises(openai.BadRequestError, match="n"):
        client(simulated).chat.completions.create(model=NOVA, messages=ASK, n=2)


def test_json_schema(simulated: Sluice) -> None:
    """The SDK's own parsing into a type of the application."""

    class Weather(pydantic.BaseModel):
        city: str
        days: int

    done = client(simulated).chat.completions.parse(
        model=NOVA, messages=ASK, response_format=Weather
    )
    assert done.choices[0].message.parsed == Weather(city="simulated", days=1)
    assert done.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("model", [NOVA, CLAUDE])
def test_image(simulated: Sluice, model: str) -> None:
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    content = [{"type": "text", "text": PROMPT}, {"type": "image_url", "image_url": {"url": url}}]
    done = client(simulated).chat.completions.create(
        model=model, messages=[{"role": "user", "content": content}]
    )
    assert "1 attachments" in (done.choices[0].message.content or "")
    assert done.usage and done.usage.prompt_tokens > 1600, "the picture counts"


def test_tool_round_trip(talker: Talker, talking: Sluice) -> None:
    """The call comes as the model wrote it, and goes back as such."""
    api = client(talking).chat.completions
    messages = user(sdk.WEATHER)
    first = api.create(model=NOVA, messages=messages, tools=TOOLS)
    assert first.choices[0].finish_reason == "tool_calls"
    (call,) = first.choices[0].message.tool_calls or []
    assert (call.id, call.function.name, call.function.arguments) == (TOOL_ID, "get_weather", INPUT)
    assert json.loads(call.function.arguments) == {"city": "Köln", "id": BIG, "note": NUL}

    streamed = chunks_of(talking, model=NOVA, messages=messages, tools=TOOLS)
    deltas = [d for c in streamed for d in c.choices[0].delta.tool_calls or []]
    assert {d.index for d in deltas} == {0} and deltas[0].id == TOOL_ID
    assert deltas[0].function and deltas[0].function.name == "get_weather"
    assert "".join(d.function.arguments or "" for d in deltas if d.function) == INPUT
    assert streamed[-1].choices[0].finish_reason == "tool_calls"

    result = {"role": "tool", "tool_call_id": call.id, "content": json.dumps({"id": BIG})}
    messages += [first.choices[0].message.model_dump(exclude_none=True), result]
    second = api.create(model=NOVA, messages=messages, tools=TOOLS)
    assert second.choices[0].message.content == ANSWER
    sent = talker.last.body.decode()
    assert f'"input":{INPUT}' in sent and rf'"{{\"id\": {BIG}}}"' in sent


def test_parallel_tool_calls(talker: Talker, talking: Sluice) -> None:
    """Results of calls that were made together go back together, as Bedrock wants them."""
    calls = [
        {
            "id": f"call_{n}",
            "type": "function",
            "function": {"name": "get_weather", "arguments": f'{{"id":{BIG + n}}}'},
        }
        for n in range(2)
    ]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": f"rain {call['id']}"}
        for call in calls
    ]
    messages = user(sdk.WEATHER) + [{"role": "assistant", "tool_calls": calls}, *results]
    done = client(talking).chat.completions.create(model=NOVA, messages=messages, tools=TOOLS)
    assert done.choices[0].message.content == ANSWER
    asked, called, answered = json.loads(talker.last.body)["messages"]
    assert [block["toolUse"]["input"] for block in called["content"]] == [
        {"id": BIG}, {"id": BIG + 1}
    ]  # fmt: skip
    assert [block["toolResult"]["toolUseId"] for block in answered["content"]] == [
        "call_0", "call_1"
    ]  # fmt: skip
    assert (asked["role"], called["role"], answered["role"]) == ("user", "assistant", "user")


def test_reasoning(simulated: Sluice) -> None:
    """Its text and signature stand beside the content, in both shapes, and go back to the model."""
    api = client(simulated).chat.completions
    request = {"model": CLAUDE, "messages": ASK, "reasoning_effort": "low", "max_tokens": 9000}
    said = api.create(**request).choices[0].message
    thought = said.model_extra
    assert said.content.startswith("[simulated]")
    assert thought["reasoning_content"] and thought["reasoning_signature"]
    with api.stream(**request) as stream:
        streamed = stream.get_final_completion().choices[0].message
    assert streamed.content == said.content and streamed.model_extra.items() >= thought.items()
    plain = api.create(model=CLAUDE, messages=ASK, max_tokens=9000).choices[0].message
    assert "reasoning_content" not in plain.model_extra
    again = [*ASK, said.model_dump(exclude_none=True), *user("And at night?")]
    assert api.create(**{**request, "messages": again}).choices[0].message.content

    answer = client(simulated).responses.create(
        model=CLAUDE, input=PROMPT, reasoning={"effort": "low"}, max_output_tokens=9000
    )
    reasoning, message = answer.output
    assert reasoning.type == "reasoning" and reasoning.encrypted_content
    assert reasoning.content[0].text == thought["reasoning_content"]
    turns = [*user(PROMPT), *(item.model_dump() for item in answer.output), *user("At night?")]
    assert client(simulated).responses.create(model=CLAUDE, input=turns).output_text
    assert message.type == "message"


def test_json_mode(talker: Talker, talking: Sluice) -> None:
    done = client(talking).chat.completions.create(
        model=NOVA, messages=ASK, response_format={"type": "json_object"}
    )
    assert done.choices[0].message.content == ANSWER
    assert "JSON object" in json.loads(talker.last.body)["system"][0]["text"]


def test_simulated_tools(simulated: Sluice) -> None:
    """A second upstream, and the SDK's own helper that puts a stream together."""
    api = client(simulated).chat.completions
    request = {"model": CLAUDE, "messages": user(sdk.WEATHER), "tools": TOOLS}
    whole = api.create(**request).choices[0].message.tool_calls
    assert whole and json.loads(whole[0].function.arguments)["city"] == "simulated"
    with api.stream(**request) as stream:
        final = stream.get_final_completion().choices[0].message.tool_calls
    assert final and final[0].function.arguments == whole[0].function.arguments


def test_errors(simulated: Sluice, talking: Sluice) -> None:
    api = client(simulated).chat.completions
    with pytest.raises(openai.BadRequestError) as bad:
        api.create(model=NOVA, messages=[{"role": "user", "content": [{"type": "odd"}]}])
    assert bad.value.type == "invalid_request_error" and "odd" not in str(bad.value.code)
    with pytest.raises((openai.NotFoundError, openai.BadRequestError), match="model"):
        api.create(model="gpt-4o", messages=ASK)
    with pytest.raises(openai.NotFoundError):
        client(simulated).get("/no-such-path", cast_to=object)
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError, match=REFUSAL):
            client(talking).chat.completions.create(
                model=NOVA, messages=user("refuse"), stream=stream
            )
        with pytest.raises(openai.RateLimitError, match=sdk.TOO_BUSY) as busy:
            client(talking).chat.completions.create(
                model=sdk.BUSY,
                messages=user("throttle"),
                stream=stream,
                extra_headers={"x-sluice-timeout": "500ms"},
            )
        assert busy.value.code == "rate_limit_exceeded"
        assert int(busy.value.response.headers["retry-after"]) >= 1


def test_error_midway(talking: Sluice) -> None:
    """The text so far, then the SDK's exception."""
    text = ""
    stream = client(talking).chat.completions.create(
        model=NOVA, messages=user("break"), stream=True
    )
    with pytest.raises(openai.APIError, match=BROKEN):
        for chunk in stream:
            text += chunk.choices[0].delta.content or ""
    assert text and ANSWER.startswith(text)


def test_throttles_are_absorbed(throttled: Sluice, talking: Sluice) -> None:
    def chat(question: str) -> str:
        done = api.chat.completions.create(model=NOVA, messages=user(question))
        return done.choices[0].message.content or ""

    with client(throttled) as api:
        sdk.absorb(throttled, chat)
    with client(talking).chat.completions.with_streaming_response.create(
        model=CLAUDE, messages=user("throttle once openai"), stream=True
    ) as response:
        assert response.status_code == 200 and response.headers["x-sluice-attempts"] == "2"


# --- responses


def events_of(sluice: Sluice, **request: object) -> list[ResponseStreamEvent]:
    create = client(sluice).responses.with_streaming_response.create
    with create(stream=True, **request) as response:
        parts = list(sdk.sse(response.iter_lines()))
    events = [EVENT.validate_json(data, strict=True) for _, data in parts]
    assert [name for name, _ in parts] == [event.type for event in events]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    for event in events:
        sdk.no_extras(event)
    return events


def steady(response: Response) -> dict:
    """Without what is of the moment: ids and times."""
    dumped = response.model_dump(exclude={"id", "created_at", "completed_at"})
    for item in dumped["output"]:
        item.pop("id")
    return dumped


@pytest.mark.parametrize("model", MODELS)
def test_response(simulated: Sluice, model: str) -> None:
    raw = client(simulated).responses.with_raw_response.create(model=model, input=PROMPT)
    whole = Response.model_validate_json(raw.text, strict=True)
    sdk.no_extras(whole)
    assert whole.status == "completed" and whole.output_text.startswith("[simulated]")
    events = events_of(simulated, model=model, input=PROMPT)
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == (
        whole.output_text
    )
    assert events[-1].type == "response.completed"
    assert steady(events[-1].response) == steady(whole)


def test_response_tool_round_trip(talker: Talker, talking: Sluice) -> None:
    api = client(talking).responses
    turns = user(sdk.WEATHER)
    first = api.create(model=NOVA, input=turns, tools=FLAT_TOOLS)
    (call,) = first.output
    assert call.type == "function_call" and call.arguments == INPUT and call.call_id == TOOL_ID
    events = events_of(talking, model=NOVA, input=turns, tools=FLAT_TOOLS)
    done = [e for e in events if e.type == "response.function_call_arguments.done"]
    assert [e.arguments for e in done] == [INPUT]
    deltas = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
    assert len(deltas) > 3 and "".join(deltas) == INPUT

    output = {"type": "function_call_output", "call_id": TOOL_ID, "output": "rain"}
    turns += [call.model_dump(exclude_none=True), output]
    second = api.create(model=NOVA, input=turns, tools=FLAT_TOOLS)
    assert second.output_text == ANSWER
    assert f'"input":{INPUT}' in talker.last.body.decode()


def test_response_errors(talking: Sluice) -> None:
    api = client(talking).responses
    with pytest.raises(openai.BadRequestError, match=REFUSAL):
        api.create(model=NOVA, input="refuse")
    with pytest.raises(openai.RateLimitError, match=sdk.TOO_BUSY):
        api.create(model=sdk.BUSY, input="throttle", extra_headers={"x-sluice-timeout": "500ms"})
    with pytest.raises(openai.BadRequestError, match="previous_response_id"):
        api.create(model=NOVA, input="go on", previous_response_id="resp_1")
    failed = list(api.create(model=NOVA, input="break", stream=True))[-1]
    assert failed.type == "error" and failed.message == BROKEN and failed.code


def test_response_image(simulated: Sluice) -> None:
    url = "data:image/png;base64," + base64.b64encode(png()).decode()
    content = [
        {"type": "input_text", "text": PROMPT},
        {"type": "input_image", "image_url": url, "detail": "auto"},
    ]
    done = client(simulated).responses.create(
        model=NOVA, input=[{"role": "user", "content": content}]
    )
    assert "1 attachments" in done.output_text


# --- embeddings and models


@pytest.mark.parametrize("model", ["amazon.titan-embed-text-v2:0", "cohere.embed-english-v3"])
def test_embeddings(simulated: Sluice, model: str) -> None:
    """The SDK asks for base64 by itself; a batch is that of its texts one by one."""
    api = client(simulated).embeddings
    texts = ["one", "two", "three"]
    batch = api.create(model=model, input=texts)
    assert [item.index for item in batch.data] == [0, 1, 2]
    assert batch.usage.prompt_tokens > 0
    for text, item in zip(texts, batch.data):
        floats = api.create(model=model, input=text, encoding_format="float").data[0].embedding
        assert len(floats) > 100 and item.embedding == pytest.approx(floats, abs=1e-6)


def test_a_batch_of_many_calls(simulated: Sluice) -> None:
    """More texts than Cohere takes at once, put together in order."""
    api = client(simulated).embeddings
    model = "cohere.embed-multilingual-v3"
    texts = [f"text {n}" for n in range(200)]
    batch = api.create(model=model, input=texts, encoding_format="float")
    assert [item.index for item in batch.data] == list(range(200))
    for n in (0, 95, 96, 199):
        alone = api.create(model=model, input=texts[n], encoding_format="float")
        assert batch.data[n].embedding == alone.data[0].embedding
    assert len({tuple(item.embedding) for item in batch.data}) == 200


def test_models(simulated: Sluice) -> None:
    listed = {model.id: model for model in client(simulated).models.list()}
    asked = simulated.metrics()["sluice_attempts_total"]
    assert {model.id for model in client(simulated).models.list()} == set(listed)
    assert simulated.metrics()["sluice_attempts_total"] == asked, "the listings are kept"
    assert {NOVA, LLAMA, CLAUDE} <= set(listed)
    assert client(simulated).models.retrieve(NOVA) == listed[NOVA]
    with pytest.raises(openai.NotFoundError):
        client(simulated).models.retrieve("no-such-model")


# --- the same question is the same call




@pytest.mark.parametrize("model", MODELS)
def test_shares_with_converse(simulated: Sluice, model: str) -> None:
    question = f"What do OpenAI's API and Converse share of {model}?"
    attempts = simulated.metrics()["sluice_attempts_total"]
    raw = client(simulated).chat.completions.with_raw_response.create(
        model=model, messages=user(question), temperature=0, max_tokens=100
    )
    runtime = simulated.boto()
    request = {
        "modelId": model,
        "messages": [{"role": "user", "content": [{"text": question}]}],
        "inferenceConfig": {"maxTokens": 100, "temperature": 0},
    }
    answer = runtime.converse(**request)
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-sluice-cache"] == "hit"
    text = answer["output"]["message"]["content"][0]["text"]
    assert text == raw.parse().choices[0].message.content
    streamed = runtime.converse_stream(**request)["stream"]
    deltas = [event["contentBlockDelta"]["delta"]["text"] for event in streamed
              if "contentBlockDelta" in event]  # fmt: skip
    assert "".join(deltas) == text
    assert simulated.metrics()["sluice_attempts_total"] == attempts + 1
