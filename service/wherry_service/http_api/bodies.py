"""A request's body, read whole: of a bounded size, and in bounded time."""

import asyncio
import contextlib
from typing import Any

from wherry_service.http_api.payloads import MAX_BODY
from wherry_service.http_api.problems import Problem
from wherry_service.ingress.heads import header

# How long a client that is refused may go on sending before the connection is closed.
LINGER_S = 2.0


class Refused(Exception):
    """The client was told already, or is gone."""


def has_body(scope: dict[str, Any]) -> bool:
    """Whether a request has a body."""
    return header(scope, b"content-length") not in (b"", b"0") or bool(header(scope, b"transfer-encoding"))


async def read_body(scope: dict[str, Any], receive: Any, timeout_s: float) -> bytes:
    """Return the body; raise `Problem` where it is too large or stops coming, `Refused` where its client is gone.

    `timeout_s`: between two pieces of it; 0: any.
    """
    length = header(scope, b"content-length")
    if length and int(length) > MAX_BODY:
        raise too_large()
    found = bytearray()
    while True:
        try:
            async with asyncio.timeout(timeout_s or None):
                message = await receive()
        except TimeoutError:
            raise Problem(408, "slow", "the request's body stopped coming") from None
        if message["type"] != "http.request":
            raise Refused
        found += message.get("body", b"")
        if len(found) > MAX_BODY:
            raise too_large()
        if not message.get("more_body"):
            return bytes(found)


def too_large() -> Problem:
    """Return the error of a body that is larger than any may be."""
    return Problem(
        413, "too_large", f"a request's body has at most {MAX_BODY >> 20} MiB here: put large data into a volume"
    )


async def linger(receive: Any) -> None:
    """Let a client that was refused read so: closed with bytes unread, the connection would be reset."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while (message := await receive())["type"] == "http.request" and message.get("more_body"):
                pass
