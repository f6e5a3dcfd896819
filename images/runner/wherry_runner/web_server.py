"""Requests to a server that user code has started: passed on over HTTP/1.1 within the container."""

import asyncio
import base64
import contextlib
import os
import signal
import sys
from typing import Any

from wherry_runner.inputs import Input
from wherry_runner.loader import LoadError
from wherry_runner.web_socket import ClientSocket
from wherry_runner.web_stream import WebStream, whole

HOST = "127.0.0.1"
EVERY_S = 0.05
LINE_BYTES = 64 << 10
PIECE_BYTES = 64 << 10
MAX_HEADERS = 256
# Seconds between looks whether a server still listens, and how often it may not.
LOOK_EVERY_S = 5.0
MISSES = 3


class Broken(ConnectionError):
    """What listens on the port is not there, speaks no HTTP, or has broken off."""


class ServerApp:
    """Whatever listens on a port."""

    def __init__(self, port: int, timeout_s: float, name: str, *, is_watched: bool = False) -> None:
        # Whether the container ends when nothing listens any more.
        self._is_watched = is_watched
        self._watching: asyncio.Task[None] | None = None
        self._port = port
        self._timeout_s = timeout_s
        self._name = name

    async def start(self) -> None:
        """Wait until it listens; raise `LoadError` if it does not in time."""
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        while True:
            try:
                _, writer = await asyncio.open_connection(HOST, self._port)
            except OSError:
                if asyncio.get_running_loop().time() > deadline:
                    raise LoadError(
                        f"{self._name}: nothing listens on port {self._port} {self._timeout_s:g} s after "
                        f"{'its enter hooks' if self._is_watched else 'the function'} returned: is the server started "
                        "in the background, and does it start? Its log says; startup_timeout= gives it longer"
                    ) from None
                await asyncio.sleep(EVERY_S)
            else:
                writer.close()
                break
        if self._is_watched:
            self._watching = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        """Look whether it listens; end the container, and its requests, when it has not for several looks."""
        missed = 0
        while missed < MISSES:
            await asyncio.sleep(LOOK_EVERY_S)
            missed += 1
            # The second is not the first before Python 3.11.
            with contextlib.suppress(OSError, TimeoutError, asyncio.TimeoutError):
                _, writer = await asyncio.wait_for(asyncio.open_connection(HOST, self._port), LOOK_EVERY_S)
                writer.close()
                missed = 0
        seconds = MISSES * LOOK_EVERY_S
        print(
            f"{self._name}: nothing has listened on port {self._port} for {seconds:g} s: the container ends",
            file=sys.stderr,
        )
        os.kill(os.getpid(), signal.SIGTERM)

    async def stop(self) -> None:
        """Stop looking; the server ends with the container."""
        if self._watching is not None:
            self._watching.cancel()

    async def serve(self, stream: WebStream, item: Input) -> bytes:
        """Pass a request on, and the response back in pieces."""
        try:
            reader, writer = await self._connected()
            try:
                if stream.head["type"] == "websocket":
                    await self._socket(stream, reader, writer)
                else:
                    await self._request(stream, reader, writer)
            finally:
                writer.close()
        except Broken as error:
            if stream.has_begun:
                raise
            # Whoever runs the app must see it; for the client it is the gateway's answer.
            print(f"{self._name}: {error}", file=sys.stderr)
            return whole(502, [["content-type", "text/plain; charset=utf-8"]], f"{error}\n".encode())
        return b""

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_connection(HOST, self._port, limit=LINE_BYTES)
        except OSError as error:
            raise Broken(f"nothing listens on port {self._port} any more: {error.strerror or error}") from None

    async def _request(self, stream: WebStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = stream.head
        has_length = any(name == "content-length" for name, _ in head["headers"])
        chunked = head["more"] and not has_length
        extra = ["connection: close"]
        if chunked:
            extra.append("transfer-encoding: chunked")
        writer.write(_head(head, extra))
        sending = asyncio.ensure_future(_send_body(stream, writer, chunked))
        try:
            status, headers = await _response_head(reader)
            while 100 <= status < 200:
                status, headers = await _response_head(reader)
            await stream.send({"k": "start", "status": status, "headers": headers})
            if head["method"] != "HEAD" and status not in (204, 304):
                async for piece in _body(reader, dict(headers)):
                    await stream.send({"k": "body", "more": True}, piece)
            await stream.send({"k": "body", "more": False})
        finally:
            sending.cancel()

    async def _socket(self, stream: WebStream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        # Extensions are between the client and the ingress.
        dropped = ("connection", "upgrade")
        head = dict(stream.head, method="GET")
        head["headers"] = [
            [name, value]
            for name, value in head["headers"]
            if name not in dropped and not name.startswith("sec-websocket-")
        ]
        extra = ["connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 13", f"sec-websocket-key: {key}"]
        if head["subprotocols"]:
            extra.append(f"sec-websocket-protocol: {', '.join(head['subprotocols'])}")
        writer.write(_head(head, extra))
        status, headers = await _response_head(reader)
        if status != 101:
            await stream.send({"k": "start", "status": status, "headers": headers})
            async for piece in _body(reader, dict(headers)):
                await stream.send({"k": "body", "more": True}, piece)
            await stream.send({"k": "body", "more": False})
            return
        chosen = dict(headers).get("sec-websocket-protocol")
        kept = [[name, value] for name, value in headers if name == "set-cookie"]
        await stream.send({"k": "accept", "subprotocol": chosen, "headers": kept})
        await ClientSocket(reader, writer).relay(stream)


async def _send_body(stream: WebStream, writer: asyncio.StreamWriter, chunked: bool) -> None:
    """Pass the request's body on; when the client goes, close the connection: the server hears it so."""
    part, more = stream.first, bool(stream.head["more"])
    while True:
        if part:
            writer.write(b"%x\r\n%s\r\n" % (len(part), part) if chunked else part)
            await writer.drain()
        if not more:
            break
        header, part = await stream.next()
        if header["k"] != "body":
            writer.close()
            return
        more = bool(header.get("more"))
    if chunked:
        writer.write(b"0\r\n\r\n")
    while (await stream.next())[0]["k"] != "gone":
        pass
    writer.close()


def _head(head: dict[str, Any], extra: list[str]) -> bytes:
    prefix = head["root_path"]
    path = head["raw_path"][len(prefix) :] or "/"
    target = f"{path}?{head['query']}" if head["query"] else path
    lines = [f"{head['method']} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in head["headers"]]
    if prefix:
        lines.append(f"x-forwarded-prefix: {prefix}")
    return "\r\n".join([*lines, *extra, "", ""]).encode("latin-1")


async def _line(reader: asyncio.StreamReader) -> str:
    try:
        line = await reader.readuntil(b"\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise Broken(f"the server on the port broke off, or sent no HTTP: {error}") from None
    except OSError as error:
        raise Broken(f"the server on the port broke off: {error.strerror or error}") from None
    return line.rstrip(b"\r\n").decode("latin-1")


async def _response_head(reader: asyncio.StreamReader) -> tuple[int, list[list[str]]]:
    status = (await _line(reader)).split(" ", 2)
    if len(status) < 2 or not status[0].startswith("HTTP/1.") or not status[1].isdigit():
        raise Broken("what listens on the port does not speak HTTP/1.1")
    headers: list[list[str]] = []
    while line := await _line(reader):
        name, colon, value = line.partition(":")
        if not colon or len(headers) >= MAX_HEADERS:
            raise Broken("the server on the port sent malformed headers")
        headers.append([name.strip().lower(), value.strip()])
    return int(status[1]), headers


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> Any:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        while size := _size(await _line(reader), 16):
            async for piece in _exactly(reader, size):
                yield piece
            await _line(reader)
        while await _line(reader):
            pass
    elif "content-length" in headers:
        async for piece in _exactly(reader, _size(headers["content-length"], 10)):
            yield piece
    else:
        while piece := await reader.read(PIECE_BYTES):
            yield piece


def _size(line: str, base: int) -> int:
    text = line.partition(";")[0].strip()
    try:
        # Python knows more forms than HTTP.
        if not text.isalnum():
            raise ValueError
        return int(text, base)
    except ValueError:
        raise Broken(f"the server on the port sent {text[:20]!r} as a length") from None


async def _exactly(reader: asyncio.StreamReader, size: int) -> Any:
    while size:
        piece = await reader.read(min(size, PIECE_BYTES))
        if not piece:
            raise Broken("the server on the port broke off in the midst of its response")
        size -= len(piece)
        yield piece
