"""What real programs send: one request of each kind, for the tests with boto3 and with curl."""

import base64
import struct
import zlib

LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
NOVA = "amazon.nova-lite-v1:0"
RETIRED = "meta.llama2-70b-chat-v1"

PROMPT = "Explain in one sentence why the sky is blue."
LLAMA_PROMPT = (
    "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n"
    + PROMPT
    + "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
)
LLAMA_BODY = {"prompt": LLAMA_PROMPT, "max_gen_len": 64, "temperature": 0.5, "top_p": 0.9}
CLAUDE_BODY = {
    "anthropic_version": "bedrock-2023-05-31",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": PROMPT}],
}
MESSAGES = [{"role": "user", "content": [{"text": PROMPT}]}]

TOOL = {
    "toolSpec": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "inputSchema": {
            "json": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city"],
            }
        },
    }
}


def png(size: int = 8) -> bytes:
    """A picture of one colour."""

    def part(kind: bytes, data: bytes) -> bytes:
        check = struct.pack("!I", zlib.crc32(kind + data))
        return struct.pack("!I", len(data)) + kind + data + check

    header = struct.pack("!IIBBBBB", size, size, 8, 2, 0, 0, 0)
    rows = (b"\0" + b"\x30\x60\x90" * size) * size
    body = part(b"IHDR", header) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def words(size: int) -> str:
    """A long prompt of that many bytes, as documents have."""
    text = "The quick brown fox jumps over the lazy dog near the river bank. "
    return (text * (size // len(text) + 1))[:size]


def image_body(size: int) -> dict:
    """A Claude body with a base64 image of about that size in it."""
    data = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\x5a" * (size * 3 // 4)).decode()
    image = {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": data},
    }
    text = {"type": "text", "text": PROMPT}
    return {**CLAUDE_BODY, "messages": [{"role": "user", "content": [image, text]}]}
