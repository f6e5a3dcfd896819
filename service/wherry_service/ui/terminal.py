"""A shell in a page: a websocket whose messages are what is typed, and what a terminal in a container shows.

A browser sends bytes as they are typed, and text for the rest: {"rows": 24, "columns": 80}. It is sent bytes to show,
and text at the end: {"exit": 0}, or {"error": "why"}.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from wherry_proto.messages import ExecReply, ExecRequest, ExecStart, TerminalSize, TokenWhoRequest
from wherry_service.api.callers import ask, follow
from wherry_service.api.logins import Logins
from wherry_service.errors import ServiceError
from wherry_service.ui.page import Asked
from wherry_service.ui.web import WebError

MAX_TERMINALS = 50
# Bytes of one message of a browser: its script sends less.
MAX_TYPED = 64 << 10
MAX_SIDE = 1000
# Seconds between two looks whether whoever typed is still signed in.
CHECK_S = 5.0
_COMMAND = ("/bin/sh", "-c", "cd /root 2>/dev/null; command -v bash >/dev/null && exec bash -i || exec sh -i")
_WENT_AWAY, _REFUSED, _TOO_LARGE = 1001, 1008, 1009


class Terminals:
    """All terminals that are open in browsers. `stopping` is set when the service ends."""

    def __init__(self, logins: Logins, stopping: asyncio.Event) -> None:
        self._logins = logins
        self._stopping = stopping
        self._open = 0

    async def serve(self, asked: Asked, container_id: str, send: Any) -> None:
        """Run a shell in a container until it ends, its page is closed or left, or the service ends."""
        size = TerminalSize(rows=_side(asked, "rows", 24), columns=_side(asked, "columns", 80))
        await send({"type": "websocket.accept"})
        if self._open >= MAX_TERMINALS:
            await _end(send, _REFUSED, "Too many terminals are open: close some.")
            return
        self._open += 1
        env = {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
        start = ExecStart(container_id=container_id, args=list(_COMMAND), pty=True, size=size, env=env)
        typing = _Typing(asked, start)
        showing = asyncio.ensure_future(_show(asked, typing, send))
        watching = asyncio.ensure_future(self._until_over(asked))
        left = asyncio.ensure_future(typing.left.wait())
        try:
            await asyncio.wait((showing, watching, left), return_when=asyncio.FIRST_COMPLETED)
            if typing.left.is_set():
                if typing.problem:
                    await _end(send, _TOO_LARGE, typing.problem)
            elif watching.done():
                await _end(send, _WENT_AWAY, watching.result())
        finally:
            self._open -= 1
            for task in (showing, watching, left):
                task.cancel()
            # A browser that has gone is told nothing.
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await showing

    async def _until_over(self, asked: Asked) -> str:
        """Wait until nobody may type any more; return why."""
        while self._logins.is_open(asked.session):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK_S):
                    await self._stopping.wait()
            if self._stopping.is_set():
                return "The service stops."
            if asked.session.token_id:
                try:
                    await ask(asked.caller, "Tokens.Who", TokenWhoRequest())
                except ServiceError as error:
                    return str(error)
        return "You are signed out."


class _Typing:
    """What a browser sends, as the requests of an exec."""

    def __init__(self, asked: Asked, start: ExecStart) -> None:
        self._asked = asked
        self._start = start
        # Set when the page has gone, or sent what is refused: then `problem` says so.
        self.left = asyncio.Event()
        self.problem = ""

    async def requests(self) -> AsyncIterator[ExecRequest]:
        """Yield the start, then all that is typed, until the page is left."""
        yield ExecRequest(start=self._start)
        while (message := await self._asked.request.received())["type"] == "websocket.receive":
            if data := message.get("bytes"):
                if len(data) > MAX_TYPED:
                    self.problem = f"A message has at most {MAX_TYPED >> 10} KiB."
                    break
                yield ExecRequest(stdin=data)
            elif (size := _size_in(message.get("text") or "")) is not None:
                yield ExecRequest(resize=size)
        self.left.set()


async def _show(asked: Asked, typing: _Typing, send: Any) -> None:
    """Send what a shell shows, and how it ended."""
    told = {"error": "The shell was lost."}
    try:
        async with contextlib.aclosing(follow(asked.caller, "Execs.Run", typing.requests())) as replies:
            async for reply in replies:
                if data := reply.stdout or reply.stderr:
                    await send({"type": "websocket.send", "bytes": data})
                elif reply.exit is not None or reply.error:
                    told = _ending(reply)
                    break
    except ServiceError as error:
        told = {"error": str(error)}
    await send({"type": "websocket.send", "text": json.dumps(told)})
    await send({"type": "websocket.close", "code": 1000})


def _ending(reply: ExecReply) -> dict[str, Any]:
    return {"exit": reply.exit.code} if reply.exit is not None else {"error": reply.error}


async def _end(send: Any, code: int, why: str) -> None:
    with contextlib.suppress(ConnectionError):
        await send({"type": "websocket.send", "text": json.dumps({"error": why})})
        await send({"type": "websocket.close", "code": code})


def _side(asked: Asked, name: str, default: int) -> int:
    return max(1, asked.number(name, default, MAX_SIDE))


def _size_in(text: str) -> TerminalSize | None:
    """Return the size of a terminal that a message tells; None for any other, which is ignored."""
    try:
        said = json.loads(text[:200])
        rows, columns = said["rows"], said["columns"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if not (type(rows) is type(columns) is int and 0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE):
        return None
    return TerminalSize(rows=rows, columns=columns)


async def refuse(send: Any, error: WebError) -> None:
    """Refuse a websocket before it has begun."""
    await send({"type": "websocket.close", "code": _REFUSED, "reason": error.text[:120]})
