"""A Bedrock of its own that keeps quotas, for what must not be judged by Sluice's own simulator.

Nothing here is shared with Sluice, neither code nor arithmetic: tokens are counted by words, answers
have lengths and times drawn at random, and the quota is kept from the rules that AWS documents:

- a call reserves its input and `maxTokens` when it starts, the model's 8,192 where that is not set;
- at its end the reservation becomes what was used; what was used in a window that is over stays there;
- what does not fit is refused at once with 429 ThrottlingException and the sentence for its kind.

A minute is a fixed window whose phase is random, or a bucket that refills steadily. It answers
Converse for any model and `GET /stats`. Signatures are not looked at.
"""

import argparse
import asyncio
import json
import random
import sys
import time

MODEL_MAXIMUM = 8192
WORDS = "the gateway waits until the quota has room and then sends what fits".split()


class FixedWindow:
    def __init__(self, limit: int, length: float, phase: float) -> None:
        self.limit, self.length, self.phase = limit, length, phase
        self.number, self.used = 0, 0

    def current(self) -> int:
        number = int((time.monotonic() + self.phase) // self.length)
        if number != self.number:
            self.number, self.used = number, 0
        return number

    def take(self, amount: int) -> int | None:
        """The window it was taken from, or None where it does not fit."""
        number = self.current()
        if self.used + amount > self.limit:
            return None
        self.used += amount
        return number

    def correct(self, taken: int, amount: int, actual: int) -> None:
        if self.current() == taken or actual > amount:
            self.used += actual - amount


class Bucket:
    def __init__(self, limit: int, length: float) -> None:
        self.limit, self.rate = limit, limit / length
        self.level, self.at = float(limit), time.monotonic()

    def refill(self) -> None:
        now = time.monotonic()
        self.level = min(self.limit, self.level + (now - self.at) * self.rate)
        self.at = now

    def take(self, amount: int) -> int | None:
        self.refill()
        if amount > self.level:
            return None
        self.level -= amount
        return 0

    def correct(self, taken: int, amount: int, actual: int) -> None:
        self.refill()
        self.level = min(self.limit, self.level + amount - actual)


class Bedrock:
    def __init__(self, args: argparse.Namespace) -> None:
        phase = random.random() * args.window_length

        def meter(limit: int) -> FixedWindow | Bucket | None:
            if not limit:
                return None
            if args.window == "fixed":
                return FixedWindow(limit, args.window_length, phase)
            return Bucket(limit, args.window_length)

        self.requests, self.tokens = meter(args.rpm), meter(args.tpm)
        self.latency = args.latency / 1000
        self.phase = phase
        self.admitted = self.used = self.refused = 0

    def stats(self) -> dict:
        return {"admitted": self.admitted, "tokens": self.used, "refused": self.refused,
                "phase": self.phase}

    async def converse(self, call: dict) -> tuple[int, dict]:
        words = sum(len(part.get("text", "").split())
                    for message in call["messages"] for part in message["content"])
        most = call.get("inferenceConfig", {}).get("maxTokens", MODEL_MAXIMUM)
        given = min(most, 20 + int(random.expovariate(1 / 80)))
        inputs = words + words // 3 + 3
        reserved = inputs + most
        window = self.tokens.take(reserved) if self.tokens else 0
        if window is None:
            self.refused += 1
            return 429, {"message": "Too many tokens, please wait before trying again."}
        if self.requests and self.requests.take(1) is None:
            if self.tokens:
                self.tokens.correct(window, reserved, 0)
            self.refused += 1
            return 429, {"message": "Too many requests, please wait before trying again."}
        self.admitted += 1
        await asyncio.sleep(self.latency * random.uniform(0.5, 2.0))
        if self.tokens:
            self.tokens.correct(window, reserved, inputs + given)
        self.used += inputs + given
        text = " ".join(random.choices(WORDS, k=given * 3 // 4 + 1))
        return 200, {
            "output": {"message": {"role": "assistant", "content": [{"text": text}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": inputs, "outputTokens": given, "totalTokens": inputs + given},
            "metrics": {"latencyMs": int(self.latency * 1000)},
        }


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(":", 1) for line in head[1:] if ":" in line)
    if "100-continue" in headers.get("expect", ""):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    return head[0], await reader.readexactly(int(headers.get("content-length", 0)))


async def serve(bedrock: Bedrock, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            line, body = await read_request(reader, writer)
            if line.startswith("GET /stats"):
                status, answer = 200, bedrock.stats()
            elif line.split(" ")[1].endswith("/converse"):
                status, answer = await bedrock.converse(json.loads(body))
            else:
                status, answer = 404, {"message": "Only Converse is served here."}
            text = json.dumps(answer).encode()
            kind = "x-amzn-errortype: ThrottlingException\r\n" if status == 429 else ""
            writer.write(f"HTTP/1.1 {status} {'OK' if status == 200 else 'Error'}\r\n{kind}"
                         f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
                         .encode() + text)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--rpm", type=int, default=0)
    parser.add_argument("--tpm", type=int, default=0)
    parser.add_argument("--window", choices=["fixed", "bucket"], default="fixed")
    parser.add_argument("--window-length", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--latency", type=float, default=0.0, metavar="MS")
    bedrock = Bedrock(parser.parse_args())
    server = await asyncio.start_server(lambda r, w: serve(bedrock, r, w), "127.0.0.1",
                                        parser.parse_args().port, limit=1 << 20)
    print(f"ready quota_server=127.0.0.1:{server.sockets[0].getsockname()[1]}", file=sys.stderr, flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
