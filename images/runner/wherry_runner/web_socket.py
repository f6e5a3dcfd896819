"""The client's half of RFC 6455, without extensions: to a server in the same container."""

import asyncio
import os
from typing import Any

from wherry_runner.web_stream import Gone, WebStream

CONTINUED, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MAX_MESSAGE = 16 << 20


class ClientSocket:
    """An open websocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._closing = False

    async def relay(self, stream: WebStream) -> None:
        """Pass messages both ways until one side closes."""
        sending = asyncio.ensure_future(self._send_all(stream))
        try:
            await self._receive_all(stream)
        except asyncio.IncompleteReadError:
            if stream.gone is None:
                await stream.send({"k": "close", "code": 1011 if not self._closing else 1000, "reason": ""})
        except Gone:
            pass
        finally:
            sending.cancel()

    async def _send_all(self, stream: WebStream) -> None:
        kind = 0
        while True:
            header, part = await stream.next()
            if header["k"] == "gone":
                code = header.get("code", 1001)
                # What stands for "no code" or "no close" is never sent.
                body = (
                    b"" if code in (1005, 1006) else code.to_bytes(2, "big") + header.get("reason", "").encode()[:123]
                )
                self._closing = True
                self._frame(CLOSE, body, True)
                return
            more = bool(header.get("more"))
            own = CONTINUED if kind else (TEXT if header.get("text") else BINARY)
            kind = 1 if more else 0
            self._frame(own, part, not more)
            await self._writer.drain()

    def _frame(self, kind: int, data: bytes, final: bool) -> None:
        first = kind | (0x80 if final else 0)
        size = len(data)
        if size < 126:
            head = bytes((first, 0x80 | size))
        elif size < 1 << 16:
            head = bytes((first, 0x80 | 126)) + size.to_bytes(2, "big")
        else:
            head = bytes((first, 0x80 | 127)) + size.to_bytes(8, "big")
        mask = os.urandom(4)
        self._writer.write(head + mask + _masked(data, mask))

    async def _receive_all(self, stream: WebStream) -> None:
        pieces: list[bytes] = []
        kind = 0
        while True:
            first, second = await self._reader.readexactly(2)
            own, size = first & 0x0F, second & 0x7F
            if size == 126:
                size = int.from_bytes(await self._reader.readexactly(2), "big")
            elif size == 127:
                size = int.from_bytes(await self._reader.readexactly(8), "big")
            if second & 0x80 or first & 0x70 or size + sum(map(len, pieces)) > MAX_MESSAGE:
                raise ConnectionError("the server on the port sent a malformed or too large websocket frame")
            data = await self._reader.readexactly(size)
            if own == PING:
                self._frame(PONG, data, True)
            elif own == CLOSE:
                code = int.from_bytes(data[:2], "big") if len(data) >= 2 else 1000
                await stream.send({"k": "close", "code": code, "reason": data[2:].decode("utf-8", "replace")})
                if not self._closing:
                    self._frame(CLOSE, data[:2], True)
                return
            elif own in (TEXT, BINARY, CONTINUED):
                kind = own or kind
                pieces.append(data)
                if first & 0x80:
                    await stream.send({"k": "message", "text": kind == TEXT}, b"".join(pieces))
                    pieces = []


def _masked(data: Any, mask: bytes) -> bytes:
    if not data:
        return b""
    size = len(data)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
