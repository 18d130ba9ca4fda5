"""HTTP/2 frame by frame, with fields that no library would send. One request a connection."""

import struct
from dataclasses import dataclass

import wire

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1

Fields = list[tuple[bytes, bytes]]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def number(n: int, bits: int) -> bytes:
    """RFC 7541 5.1, with the bits above left zero."""
    top = (1 << bits) - 1
    if n < top:
        return bytes([n])
    out, n = bytearray([top]), n - top
    while n >= 128:
        out.append(n % 128 + 128)
        n //= 128
    return bytes([*out, n])


def block(fields: Fields) -> bytes:
    """Literals without indexing, without Huffman's code: the bytes as they are (6.2.2)."""
    return b"".join(
        b"\0" + number(len(name), 7) + name + number(len(value), 7) + value
        for name, value in fields
    )


def digits(code: bytes) -> str:
    """Huffman's code of digits (RFC 7541, appendix B)."""
    bits, out = "".join(f"{byte:08b}" for byte in code), ""
    while len(bits) >= 5 and bits.strip("1"):
        wide = int(bits[:5], 2) > 2
        out += str(int(bits[:6], 2) - 22) if wide else str(int(bits[:5], 2))
        bits = bits[6:] if wide else bits[5:]
    return out


def status_of(headers: bytes) -> int:
    """:status, which stands first; the block is the connection's first."""
    table = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}
    if headers[0] in table:
        return table[headers[0]]
    assert headers[0] & 0x3F in range(8, 15), headers[:4]
    size, text = headers[1] & 0x7F, headers[2:]
    return int(digits(text[:size]) if headers[1] & 0x80 else text[:size])


@dataclass
class Outcome:
    """What became of stream 1: a status, or the code of its reset; and whether the connection
    answers a PING afterwards."""

    status: int | None = None
    reset: int | None = None
    alive: bool = False


class Client(wire.Client):
    def _read_frame(self) -> tuple[int, int, int, bytes] | None:
        while len(self._data) < 9 or len(self._data) < 9 + int.from_bytes(self._data[:3], "big"):
            if not self._more():
                return None
        head = self._take(9)
        payload = self._take(int.from_bytes(head[:3], "big"))
        return head[3], head[4], int.from_bytes(head[5:], "big"), payload

    def exchange(self, frames: bytes) -> Outcome:
        """Sends them behind the preface, waits for what becomes of stream 1, then for a PING."""
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0) + frames)
        outcome, over = Outcome(), False
        while (got := self._read_frame()) is not None:
            kind, flags, stream, payload = got
            if kind == HEADERS and outcome.status is None:
                outcome.status = status_of(payload)
            elif kind == RST_STREAM and stream == 1:
                outcome.reset = int.from_bytes(payload, "big")
            elif kind == PING and flags & ACK:
                outcome.alive = True
                break
            ended = kind in (DATA, HEADERS) and flags & END_STREAM
            if not over and stream == 1 and (ended or kind == RST_STREAM):
                over = True
                self.send(frame(PING, 0, 0, b"12345678"))
        return outcome

    def await_reset(self) -> int | None:
        """The code of the next RST_STREAM; None when the connection ends without one."""
        while (got := self._read_frame()) is not None:
            if got[0] == RST_STREAM:
                return int.from_bytes(got[3], "big")
        return None
