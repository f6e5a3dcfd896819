"""Requests to pages, and what they are answered: the little of HTTP that the dashboard needs."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from wherry_service.ingress.heads import header

MAX_BODY = 64 << 10
MAX_FIELDS = 100

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request reached the pages."""

    # The host as it was asked for, without the port.
    host: str
    # The part of the path that led there.
    prefix: str
    # Whether endpoints answer at the same origin: to a browser their scripts are one with our pages.
    is_shared: bool


class WebError(Exception):
    """A request that is answered with a page which says why."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(slots=True)
class Response:
    """A whole response."""

    body: bytes
    status: int = 200
    kind: str = "text/html; charset=utf-8"
    headers: Headers = field(default_factory=list)
    # Whether its page may make style sheets of its own, as a terminal does.
    styles_inline: bool = False


@dataclass(frozen=True, slots=True)
class Pieces:
    """A response that comes in pieces: events, or a file under a name."""

    pieces: AsyncIterator[bytes]
    kind: str = "text/event-stream"
    file_name: str = ""


class Request:
    """A request to a page."""

    def __init__(self, scope: dict[str, Any], receive: Any, place: Place, scheme: str, peer: str) -> None:
        self.scope = scope
        self.place = place
        # As the browser sees it: "http" or "https".
        self.scheme = scheme
        # Who asks, "10.0.0.1:4711".
        self.peer = peer
        self.method: str = scope.get("method", "GET")
        self._receive = receive
        path: str = scope["path"]
        self.path = path.removeprefix(place.prefix) or "/"

    def header(self, name: bytes) -> str:
        """Return the first header of a name, which is in lower case; "" if there is none."""
        return header(self.scope, name).decode("latin-1")

    @property
    def origin(self) -> str:
        """The origin of the pages, as the browser has it."""
        return f"{self.scheme}://{self.header(b'host').lower()}"

    @cached_property
    def query(self) -> dict[str, str]:
        """What the query says; of several of a name the last."""
        return fields_of(self.scope["query_string"])

    def cookies(self, name: str) -> list[str]:
        """Return the values of all cookies of a name."""
        found = []
        for key, value in self.scope["headers"]:
            if key == b"cookie":
                for part in value.decode("latin-1").split(";"):
                    one, _, text = part.strip().partition("=")
                    if one == name:
                        found.append(text.strip().strip('"'))
        return found

    async def received(self) -> dict[str, Any]:
        """Return the next message of a websocket."""
        message: dict[str, Any] = await self._receive()
        return message

    async def gone(self) -> None:
        """Wait until the browser has gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def form(self) -> dict[str, str]:
        """Return the fields of the form that was sent; raise `WebError`."""
        kind = self.header(b"content-type").partition(";")[0].strip().lower()
        if kind not in ("application/x-www-form-urlencoded", ""):
            raise WebError(415, "a form is expected here")
        body = bytearray()
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise WebError(400, "the request ended early")
            body += message.get("body", b"")
            if len(body) > MAX_BODY:
                raise WebError(413, f"a form has at most {MAX_BODY >> 10} KiB here")
            if not message.get("more_body"):
                return fields_of(bytes(body))


def fields_of(text: bytes) -> dict[str, str]:
    """Return the fields of a query or a form; raise `WebError` where there are too many."""
    try:
        rows = parse_qsl(text.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        raise WebError(400, "the request has too many fields") from None
    return dict(rows)


def address(prefix: str, path: str, query: dict[str, str] | None = None) -> str:
    """Return the address of a page below a prefix: one of this host's, whatever the path is."""
    kept = {key: value for key, value in (query or {}).items() if value}
    there = prefix + quote(path, safe="/-._~")
    if there.startswith("//"):
        # To a browser what follows two slashes is another host.
        there = "/" + there.lstrip("/")
    return there + (f"?{urlencode(kept)}" if kept else "")


def as_json(value: Any, status: int = 200) -> Response:
    """Return a value as JSON."""
    return Response(json.dumps(value, separators=(",", ":")).encode(), status, "application/json")


def led_to(prefix: str, path: str, query: dict[str, str] | None = None) -> Response:
    """Lead to another page below the prefix."""
    return Response(b"", 303, headers=[(b"location", address(prefix, path, query).encode())])


def phrase(status: int) -> str:
    """Return what a status says, "Not Found"."""
    return HTTPStatus(status).phrase
