"""A scripted Bedrock whose answers are known to the byte, for tests with other people's clients.

It answers Converse and InvokeModel of Claude, whole and streamed, and shares nothing with our
simulator. What it does stands in the question:

    tools are offered, none was used yet    the first one is called with INPUT
    "throttle"                              429 to every request
    "throttle once"                         429 to the first request with this question
    "refuse"                                ValidationException
    "break"                                 a stream ends with an exception after its first words
    anything else                           ANSWER
"""

import base64
import json
from collections.abc import Iterator

import wire
from upstream import Received, Script, Upstream, error, open_stream, reply

ANSWER = "Blue light is scattered most: \u201cRayleigh\u201d \U0001f30a said so."
# Neither survives a double, nor a C string.
BIG = 9007199254740993123
NUL = "a\u0000b"
INPUT = '{"city":"K\\u00f6ln","id":9007199254740993123,"note":"a\\u0000b"}'
TOOL_ID = "tooluse_1a2b3c"
THROTTLE = "Too many requests, please wait before trying again."
REFUSAL = "The model does not like this question."
BROKEN = "The model broke down."


def pieces(text: str, size: int = 7) -> list[str]:
    """Cuts within the number, and within the escape."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class Converse:
    """Answers in Converse's shape."""

    usage = {"inputTokens": 21, "outputTokens": 13, "totalTokens": 34}

    def whole(self, tool: str | None) -> bytes:
        block = b'{"text":%s}' % dump(ANSWER)
        if tool:
            block = b'{"toolUse":{"input":%s,"name":"%s","toolUseId":"%s"}}' % (
                INPUT.encode(), tool.encode(), TOOL_ID.encode(),
            )  # fmt: skip
        return (
            b'{"metrics":{"latencyMs":7},"output":{"message":{"content":[%s],"role":"assistant"}},'
            b'"stopReason":"%s","usage":%s}'
        ) % (block, b"tool_use" if tool else b"end_turn", dump(self.usage))

    def frames(self, tool: str | None) -> Iterator[bytes]:
        yield wire.event("messageStart", b'{"p":"ab","role":"assistant"}')
        if tool:
            start = {"toolUse": {"name": tool, "toolUseId": TOOL_ID}}
            yield wire.event(
                "contentBlockStart", dump({"contentBlockIndex": 0, "p": "a", "start": start})
            )
        for piece in pieces(INPUT if tool else ANSWER):
            delta = {"toolUse": {"input": piece}} if tool else {"text": piece}
            yield wire.event(
                "contentBlockDelta", dump({"contentBlockIndex": 0, "delta": delta, "p": "abc"})
            )
        yield wire.event("contentBlockStop", b'{"contentBlockIndex":0,"p":"abc"}')
        stop = "tool_use" if tool else "end_turn"
        yield wire.event("messageStop", dump({"p": "a", "stopReason": stop}))
        yield wire.event(
            "metadata", dump({"metrics": {"latencyMs": 7}, "p": "a", "usage": self.usage})
        )


class Claude:
    """Answers in Claude's own shape."""

    usage = {"input_tokens": 21, "output_tokens": 13}

    def _message(self, **more: object) -> dict:
        return {
            "model": "claude-sonnet-4-5-20250929",
            "id": "msg_bdrk_01",
            "type": "message",
            "role": "assistant",
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": self.usage,
            **more,
        }

    def whole(self, tool: str | None) -> bytes:
        text = self._message(stop_reason="tool_use" if tool else "end_turn", content=["HERE"])
        block = b'{"type":"text","text":%s}' % dump(ANSWER)
        if tool:
            block = b'{"type":"tool_use","id":"%s","name":"%s","input":%s}' % (
                TOOL_ID.encode(), tool.encode(), INPUT.encode(),
            )  # fmt: skip
        return dump(text).replace(b'"HERE"', block)

    def _events(self, tool: str | None) -> Iterator[dict]:
        yield {"type": "message_start", "message": self._message()}
        block: dict = {"type": "text", "text": ""}
        if tool:
            block = {"type": "tool_use", "id": TOOL_ID, "name": tool, "input": {}}
        yield {"type": "content_block_start", "index": 0, "content_block": block}
        for piece in pieces(INPUT if tool else ANSWER):
            delta = {"type": "text_delta", "text": piece}
            if tool:
                delta = {"type": "input_json_delta", "partial_json": piece}
            yield {"type": "content_block_delta", "index": 0, "delta": delta}
        yield {"type": "content_block_stop", "index": 0}
        stop = {"stop_reason": "tool_use" if tool else "end_turn", "stop_sequence": None}
        yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 13}}
        metrics = {
            "inputTokenCount": 21,
            "outputTokenCount": 13,
            "invocationLatency": 7,
            "firstByteLatency": 3,
        }
        yield {"type": "message_stop", "amazon-bedrock-invocationMetrics": metrics}

    def frames(self, tool: str | None) -> Iterator[bytes]:
        for event in self._events(tool):
            data = base64.b64encode(dump(event)).decode()
            yield wire.event("chunk", dump({"bytes": data, "p": "abcd"}))


def question(body: dict) -> str:
    """All text of the last turn."""
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    return " ".join(block.get("text", "") for block in content)


def tool_to_call(body: dict) -> str | None:
    """The first tool's name while no result is there yet."""
    tools = body.get("toolConfig", {}).get("tools") or body.get("tools") or []
    content = body["messages"][-1]["content"]
    answered = not isinstance(content, str) and any(
        "toolResult" in block or block.get("type") == "tool_result" for block in content
    )
    if not tools or answered:
        return None
    return tools[0].get("toolSpec", tools[0])["name"]


class Talker(Upstream):
    def __init__(self, **credentials: str) -> None:
        super().__init__(**credentials)
        self.answer = self._answer
        self._throttled: set[str] = set()

    def _answer(self, request: Received) -> Script:
        body = json.loads(request.body)
        asked = question(body)
        if self._throttles(asked):
            return error(429, "ThrottlingException", THROTTLE)
        if "refuse" in asked:
            return error(400, "ValidationException", REFUSAL)
        path = request.target.decode()
        speaker = Claude() if "/invoke" in path else Converse()
        tool = tool_to_call(body)
        if not path.endswith("stream"):
            return reply(200, speaker.whole(tool))
        frames = list(speaker.frames(tool))
        if "break" in asked:
            fault = wire.exception("modelStreamErrorException", dump({"message": BROKEN}))
            frames[4:] = [fault]
        return [open_stream(), *map(wire.chunk, frames), wire.LAST_CHUNK]

    def _throttles(self, asked: str) -> bool:
        if "throttle once" not in asked:
            return "throttle" in asked
        first = asked not in self._throttled
        self._throttled.add(asked)
        return first
