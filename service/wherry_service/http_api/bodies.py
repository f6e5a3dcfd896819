"""A request's body, read whole: of a bounded size, and in bounded time."""

import asyncio
import contextlib
from typing import Any

from wherry_service.http_api.payloads import MAX_BODY
from wherry_service.http_api.problems import Problem
from wherry_service.ingress.heads import header

# Bytes of all bodies that have come and are not yet on their way to a call.
MAX_BODIES = 128 << 20
# How long a client that is refused may go on sending before the connection is closed.
LINGER_S = 2.0


class Refused(Exception):
    """The client was told already, or is gone."""


class Room:
    """Bounds what all requests' bodies take together."""

    def __init__(self, most: int = MAX_BODIES) -> None:
        self._most = most
        self._taken = 0

    def body(self) -> "Body":
        """Return a body that takes room from here."""
        return Body(self)

    def take(self, count: int) -> None:
        """Take so many bytes; raise `Problem` where too few are left. Fewer than 0: give them back."""
        if count > 0 and self._taken + count > self._most:
            raise Problem(
                503, "busy", f"the bodies of all requests have more than {self._most >> 20} MiB now: ask again"
            )
        self._taken += count

    @property
    def taken(self) -> int:
        """Bytes that are taken."""
        return self._taken


class Body:
    """What has come of one body."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._found = bytearray()

    def add(self, data: bytes) -> None:
        """Add a piece; raise `Problem` where there is too much of it, or of all bodies."""
        if len(self._found) + len(data) > MAX_BODY:
            raise too_large()
        self._room.take(len(data))
        self._found += data

    def drop(self) -> None:
        """Forget it."""
        self._room.take(-len(self._found))
        self._found = bytearray()

    def __bytes__(self) -> bytes:
        return bytes(self._found)


def has_body(scope: dict[str, Any]) -> bool:
    """Whether a request has a body."""
    return header(scope, b"content-length") not in (b"", b"0") or bool(header(scope, b"transfer-encoding"))


async def read_body(scope: dict[str, Any], receive: Any, timeout_s: float, found: Body) -> None:
    """Read the body; raise `Problem` where it is too large or stops coming, `Refused` where its client is gone.

    `timeout_s`: between two pieces of it; 0: any.
    """
    length = header(scope, b"content-length")
    if length and int(length) > MAX_BODY:
        raise too_large()
    while True:
        try:
            async with asyncio.timeout(timeout_s or None):
                message = await receive()
        except TimeoutError:
            raise Problem(408, "slow", "the request's body stopped coming") from None
        if message["type"] != "http.request":
            raise Refused
        found.add(message.get("body", b""))
        if not message.get("more_body"):
            return


def too_large() -> Problem:
    """Return the error of a body that is larger than any may be."""
    text = f"a request's body has at most {MAX_BODY >> 20} MiB here: put large data into a volume, or use the SDK"
    return Problem(413, "too_large", text)


async def linger(receive: Any) -> None:
    """Let a client that was refused read so: closed with bytes unread, the connection would be reset."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while (message := await receive())["type"] == "http.request" and message.get("more_body"):
                pass
