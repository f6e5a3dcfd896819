"""What changes on a page while one looks: one stream of server-sent events a page, which brings its changed parts."""

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from wherry_proto.messages import LogLine, Stream
from wherry_service.api.logins import Logins
from wherry_service.errors import ServiceError
from wherry_service.ui.page import Asked, Page
from wherry_service.ui.web import WebError
from wherry_service.ui.words import plain

# Seconds between two looks, at least: a part is sent at most so often. A look that takes long is taken more rarely.
EVERY_S = 0.4
SHARE = 10
HEARTBEAT_S = 15.0
# Seconds within which a stream ends whose reader has signed out.
SIGNED_OUT_S = 2.0
# Streams at once, of all browsers.
MAX_STREAMS = 200

Render = Callable[[str, dict[str, object]], str]


def tag_of(text: str) -> str:
    """Return what tells one state of a part from another."""
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=6).hexdigest()


def event(name: str, text: str) -> bytes:
    """Return an event as it goes over the wire."""
    lines = "".join(f"data: {line}\n" for line in text.replace("\r", "").split("\n"))
    return f"event: {name}\n{lines}\n".encode("utf-8", "replace")


def lines_event(lines: Sequence[LogLine]) -> bytes:
    """Return lines of a log as an event, with the position of the last: a browser goes on from there."""
    names = {Stream.STDERR: "stderr", Stream.SYSTEM: "system"}
    rows = [
        [line.position, line.at_ms, names.get(line.stream, "stdout"), line.container_id, plain(line.text)]
        for line in lines
    ]
    text = json.dumps(rows, separators=(",", ":"))
    return f"id: {lines[-1].position}\nevent: lines\ndata: {text}\n\n".encode()


class Streams:
    """All streams that are open. `stopping` is set when the service ends."""

    def __init__(self, logins: Logins, stopping: asyncio.Event) -> None:
        self._logins = logins
        self._stopping = stopping
        self._open = 0

    async def of_page(self, asked: Asked, page: Page, render: Render, seen: Mapping[str, str]) -> AsyncIterator[bytes]:
        """Yield the parts of a page as they change from what the browser has, until nothing more can come.

        `render` makes a part of its name and the page's data; `seen`: the tags of what the browser has.
        """
        if self._open >= MAX_STREAMS:
            raise WebError(429, "Too many pages are open: close some.")
        self._open += 1
        try:
            async for piece in self._parts(asked, page, render, dict(seen)):
                yield piece
        finally:
            self._open -= 1

    async def others(self, asked: Asked, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """Yield pieces until they end, the service does, or who reads them signs out."""
        if self._open >= MAX_STREAMS:
            raise WebError(429, "Too many pages are open: close some.")
        self._open += 1
        stopping = asyncio.ensure_future(self._stopping.wait())
        coming: asyncio.Future[bytes] | None = None
        try:
            while self._logins.is_open(asked.session):
                coming = coming or asyncio.ensure_future(anext(pieces))
                await asyncio.wait((coming, stopping), timeout=SIGNED_OUT_S, return_when=asyncio.FIRST_COMPLETED)
                if coming.done():
                    piece, coming = coming.result(), None
                    yield piece
                elif stopping.done():
                    return
        except StopAsyncIteration:
            return
        finally:
            self._open -= 1
            stopping.cancel()
            if coming is not None:
                coming.cancel()
                with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration):
                    await coming
            await pieces.aclose()  # type: ignore[attr-defined]

    async def _parts(self, asked: Asked, page: Page, render: Render, seen: dict[str, str]) -> AsyncIterator[bytes]:
        yield b"retry: 1000\n\n"
        sent_at = time.monotonic()
        while not self._stopping.is_set():
            if not self._logins.is_open(asked.session):
                yield event("notice", "You are signed out: load the page again.") + event("gone", "signed out")
                return
            began = time.monotonic()
            try:
                data = await page.data(asked)
            except (ServiceError, WebError) as error:
                yield event("notice", _plain(str(error))) + event("gone", "ended")
                return
            pieces = []
            for name in page.live:
                text = render(name, data)
                if (tag := tag_of(text)) != seen.get(name):
                    seen[name] = tag
                    pieces.append(event(name, text))
            now = time.monotonic()
            if pieces:
                yield b"".join(pieces)
                sent_at = now
            elif now - sent_at >= HEARTBEAT_S:
                yield b": still here\n\n"
                sent_at = now
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(EVERY_S, SHARE * (now - began))):
                    await self._stopping.wait()


def _plain(text: str) -> str:
    """Return a text as the text of a page."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
