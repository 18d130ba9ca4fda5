"""LangChain's three ways here: ChatOpenAI, ChatBedrockConverse and ChatAnthropic.

They have one interface, so that each test is the same for all of them. What differs is named in
WAYS; where the gateway is, each learns as its SDK does.
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass

import anthropic
import botocore.exceptions
import openai
import pytest
from botocore.config import Config
from langchain_anthropic import ChatAnthropic
from langchain_aws import ChatBedrockConverse
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI

import sdk
from gateway import PATIENCE, Sluice
from samples import CLAUDE, NOVA, PROMPT, png
from talker import ANSWER, BIG, BROKEN, INPUT, NUL, REFUSAL, TOOL_ID, Talker

TOOL = {
    "title": "get_weather",
    "description": "The weather of a city.",
    **sdk.WEATHER_SCHEMA,
}


def chat_openai(sluice: Sluice, model: str) -> BaseChatModel:
    settings = {"api_key": sdk.ANY_KEY, "max_retries": 0, "timeout": PATIENCE}
    with sdk.environ({"OPENAI_BASE_URL": f"{sluice.url}/v1"}):
        return ChatOpenAI(model=model, max_tokens=300, stream_usage=True, **settings)


def chat_converse(sluice: Sluice, model: str) -> BaseChatModel:
    once = Config(retries={"total_max_attempts": 1}, read_timeout=PATIENCE)
    with sdk.environ({**sluice.sdk_env(), "AWS_EC2_METADATA_DISABLED": "true"}):
        return ChatBedrockConverse(model=model, max_tokens=300, config=once)


def chat_anthropic(sluice: Sluice, model: str) -> BaseChatModel:
    settings = {"api_key": sdk.ANY_KEY, "max_retries": 0, "timeout": PATIENCE}
    with sdk.environ({"ANTHROPIC_BASE_URL": sluice.url}):
        return ChatAnthropic(model=model, max_tokens=300, **settings)


@dataclass
class Way:
    chat: Callable[[Sluice, str], BaseChatModel]
    model: str
    refused: type[Exception]  # the SDK's own, or LangChain's where it has one
    broken: type[Exception]
    quota: str  # a model whose quota no other test uses up


WAYS = [
    Way(chat_openai, NOVA, openai.BadRequestError, openai.APIError, "us.amazon.nova-lite-v1:0"),
    Way(
        chat_converse,
        NOVA,
        botocore.exceptions.ClientError,
        botocore.exceptions.EventStreamError,
        "us.amazon.nova-pro-v1:0",
    ),
    Way(
        chat_anthropic,
        CLAUDE,
        anthropic.BadRequestError,
        anthropic.APIError,
        "us.anthropic.claude-sonnet-4-6",
    ),
]
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.chat.__name__)


@ways
def test_chat(simulated: Sluice, way: Way) -> None:
    chat = way.chat(simulated, way.model)
    whole = chat.invoke(PROMPT)
    assert whole.text.startswith("[simulated]")
    assert whole.usage_metadata and whole.usage_metadata["output_tokens"] > 5
    parts = list(chat.stream(PROMPT))
    together = parts[0]
    for part in parts[1:]:
        together += part
    assert together.text == whole.text
    assert together.usage_metadata
    for kind in ("input_tokens", "output_tokens", "total_tokens"):
        assert together.usage_metadata[kind] == whole.usage_metadata[kind]


@ways
def test_tool_round_trip(talker: Talker, talking: Sluice, way: Way) -> None:
    chat = way.chat(talking, way.model).bind_tools([TOOL])
    asked = HumanMessage(sdk.WEATHER)
    first = chat.invoke([asked])
    expected = {"city": "Köln", "id": BIG, "note": NUL}
    (call,) = first.tool_calls
    assert (call["name"], call["args"], call["id"]) == ("get_weather", expected, TOOL_ID)

    parts = list(chat.stream([asked]))
    together = parts[0]
    for part in parts[1:]:
        together += part
    assert together.tool_calls == first.tool_calls
    pieces = [chunk["args"] for part in parts for chunk in part.tool_call_chunks if chunk["args"]]
    assert "".join(pieces) == INPUT and len(pieces) > 3

    for said in (first, AIMessage(together.content, tool_calls=together.tool_calls)):
        result = ToolMessage(json.dumps({"id": BIG}), tool_call_id=call["id"])
        assert chat.invoke([asked, said, result]).text == ANSWER
        sent = talker.last.body.decode()
        assert f'"id":{BIG}' in sent.replace(" ", "") and r"a\u0000b" in sent
        assert sent.count(str(BIG)) == 2, "the call and the result"


@ways
def test_image(simulated: Sluice, way: Way) -> None:
    picture = {"type": "image", "base64": base64.b64encode(png()).decode()}
    content = [{"type": "text", "text": PROMPT}, {**picture, "mime_type": "image/png"}]
    said = way.chat(simulated, way.model).invoke([HumanMessage(content)])
    assert "1 attachments" in said.text


@ways
def test_errors(talking: Sluice, way: Way) -> None:
    chat = way.chat(talking, way.model)
    with pytest.raises(way.refused, match=REFUSAL):
        chat.invoke("refuse")
    with pytest.raises(way.refused, match=REFUSAL):
        list(chat.stream("refuse"))
    text = ""
    with pytest.raises(way.broken, match=BROKEN):
        for part in chat.stream("break"):
            text += part.text
    assert text and ANSWER.startswith(text)


@ways
def test_throttles_are_absorbed(throttled: Sluice, way: Way) -> None:
    chat = way.chat(throttled, way.quota)

    def ask(question: str) -> str:
        return chat.invoke(question).text

    sdk.absorb(throttled, ask)


def test_structured_output(simulated: Sluice) -> None:
    for chat in (chat_openai(simulated, NOVA), chat_converse(simulated, NOVA)):
        structured = chat.with_structured_output(TOOL)
        assert structured.invoke(PROMPT) == {"city": "simulated", "id": 1, "note": "simulated"}
