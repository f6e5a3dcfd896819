"""A web request in the container: pieces that come, and pieces that go, each side kept from running far ahead."""

import asyncio
import json
import sys
from _collections import deque  # type: ignore[import-not-found]  # the C type alone
from typing import Any

from wherry_runner.executor import Desk
from wherry_runner.inputs import Input

# As in docs/internals/runner-protocol.md, "Web requests".
WEB = 10
WINDOW_BYTES = 1 << 20
WINDOW_PIECES = 64
TOOK_BYTES = 128 << 10
TOOK_PIECES = 16
PIECE_BYTES = 256 << 10
# A response that is there whole, and not larger, goes with the input's answer.
WHOLE_BYTES = 512 << 10
# A response's headers, counted as the ingress does; its other texts in characters. More may not fit a frame.
HEAD_BYTES = 64 << 10
_TEXT = 1024

_dumps = json.JSONEncoder(separators=(",", ":")).encode


class Gone(OSError):
    """The client has gone: nothing can be sent any more."""

    def __init__(self) -> None:
        super().__init__("the client has disconnected")


# large: both directions of one request, whose windows bound each other
class WebStream:
    """One request's stream. All methods are for the loop's thread."""

    def __init__(self, desk: Desk, item: Input, flush_soon: Any) -> None:
        self._desk = desk
        self._item = item
        self._flush_soon = flush_soon
        self._loop = asyncio.get_running_loop()
        size = int.from_bytes(item.payload[:4], "big")
        self.head: dict[str, Any] = json.loads(item.payload[4 : 4 + size])
        self.first = item.payload[4 + size :]
        item.payload = b""
        # Set when the client has gone: the frame that said so.
        self.gone: dict[str, Any] | None = None
        # Whether something of the response, or of a websocket, has been sent.
        self.has_begun = False
        # The client sends its body when somebody asks for it.
        self._waits = bool(self.head.get("waits"))
        self._heard: deque[tuple[dict[str, Any], bytes]] = deque()
        self._hearer: asyncio.Future[None] | None = None
        self._taken_pieces = 0
        self._taken_bytes = 0
        self._ahead: deque[int] = deque()
        self._ahead_bytes = 0
        self._sender: asyncio.Future[None] | None = None

    # In

    def hear(self, header: dict[str, Any], part: bytes) -> None:
        """Take a frame in."""
        kind = header["k"]
        if kind == "took":
            for _ in range(header["n"]):
                self._ahead_bytes -= self._ahead.popleft()
            self._wake("_sender")
            return
        if kind == "gone":
            self.gone = header
            self._wake("_sender")
        self._heard.append((header, part))
        self._wake("_hearer")

    def _wake(self, name: str) -> None:
        waiter = getattr(self, name)
        if waiter is not None:
            setattr(self, name, None)
            if not waiter.done():
                waiter.set_result(None)

    async def next(self) -> tuple[dict[str, Any], bytes]:
        """Wait for the next piece; the client's going is the last, and told again and again."""
        while not self._heard:
            if self.gone is not None:
                return self.gone, b""
            if self._waits:
                self._waits = False
                self._put({"k": "want"}, b"")
            if self._hearer is None:
                self._hearer = self._loop.create_future()
            # Several tasks may wait at once, and one of them be cancelled.
            await asyncio.shield(self._hearer)
        header, part = self._heard.popleft()
        self._taken_pieces += 1
        self._taken_bytes += len(part)
        if self._taken_pieces >= TOOK_PIECES or self._taken_bytes >= TOOK_BYTES:
            self._put({"k": "took", "n": self._taken_pieces}, b"")
            self._taken_pieces = self._taken_bytes = 0
        return header, part

    # Out

    def _put(self, header: dict[str, Any], part: bytes) -> None:
        if self._item.answered:
            return
        if header["k"] in ("start", "accept", "close"):
            self.has_begun = True
            header = sendable(header)
        frame = {"t": "web", "input": self._item.input_id, **header}
        self._desk.link.put_frame(frame, (part,) if part else ())
        self._flush_soon()

    def is_open(self) -> bool:
        """Whether a piece can be sent without waiting."""
        return self._ahead_bytes < WINDOW_BYTES and len(self._ahead) < WINDOW_PIECES

    def put(self, header: dict[str, Any], part: bytes = b"") -> None:
        """Send a piece now."""
        self._ahead.append(len(part))
        self._ahead_bytes += len(part)
        self._put(header, part)

    async def send(self, header: dict[str, Any], part: bytes = b"") -> None:
        """Send a piece when there is room for it, a large one in several; raise `Gone` once the client is."""
        while len(part) > PIECE_BYTES:
            await self._room()
            self.put({**header, "more": True}, part[:PIECE_BYTES])
            part = part[PIECE_BYTES:]
        await self._room()
        self.put(header, part)

    async def _room(self) -> None:
        if self.gone is not None:
            raise Gone
        while not self.is_open():
            if self._sender is None:
                self._sender = self._loop.create_future()
            await asyncio.shield(self._sender)
            if self.gone is not None:
                raise Gone


def whole(status: int, headers: list[list[str]], body: bytes) -> bytes:
    """Return a response in one piece."""
    data = _dumps(sendable({"status": status, "headers": headers})).encode()
    return b"".join((len(data).to_bytes(4, "big"), data, body))


def sendable(head: dict[str, Any]) -> dict[str, Any]:
    """Return a head as it can be sent: what an app says there may be anything, and must not break the protocol.

    Headers that are too large are left out; `fault` says so to the ingress, which then answers 502.
    """
    found = dict(head)
    for key, most, other in (("status", 999, 0), ("code", 0xFFFF, 1011)):
        if key in found and not (isinstance(found[key], int) and 0 <= found[key] <= most):
            found[key] = other
    for key in ("reason", "subprotocol"):
        if found.get(key) is not None:
            found[key] = str(found[key])[:_TEXT]
    size = sum(len(name) + len(value) + 4 for name, value in found.get("headers") or ())
    if size > HEAD_BYTES:
        found["headers"] = []
        found["fault"] = f"headers of {size} bytes, at most {HEAD_BYTES} can be sent"
        print(f"a response of the app has {found['fault']}", file=sys.stderr)
    return found


def pairs(headers: Any) -> list[list[str]]:
    """Return an app's headers as text."""
    return [[bytes(name).decode("latin-1"), bytes(value).decode("latin-1")] for name, value in headers or ()]
