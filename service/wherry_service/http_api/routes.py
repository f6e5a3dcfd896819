"""The table of all that the API answers: it routes requests, and the OpenAPI document and the page are made of it."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from wherry_service.api.callers import Caller
from wherry_service.http_api.problems import Problem, invalid

_PLACE = re.compile(r"\{(\w+)\}")
_TRUE, _FALSE = ("1", "true", "yes"), ("0", "false", "no", "")


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a request may say in its query. `kind`: "text", "whole", "seconds" or "flag"."""

    name: str
    doc: str
    kind: str = "text"
    # Of a number.
    most: int = (1 << 53) - 1


ENVIRONMENT = Parameter("environment", "The environment; `main` if it is not given.")


@dataclass(frozen=True, slots=True)
class Event:
    """One piece of a stream: a value, as JSON, and its name; `id` is what a client resumes after."""

    value: Any
    name: str = "value"
    id: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    value: Any
    status: int = 200
    # Of a list that goes on: what `after` must be for the next part.
    next: str = ""


class Body(Protocol):
    """What has come of a request's body."""

    def __bytes__(self) -> bytes: ...

    def drop(self) -> None:
        """Forget it."""


class Request:
    """One request, checked."""

    def __init__(
        self,
        caller: Caller,
        places: Mapping[str, str],
        query: Mapping[str, Any],
        body: Body | None = None,
        last_id: str = "",
    ) -> None:
        self.caller = caller
        # By their names in the path.
        self.places = places
        self._query = query
        self._body = body
        # What a route's `check` found out before the body was read.
        self.found: Any = None
        # Of a stream that is resumed: the last event that the client has.
        self.last_id = last_id

    def body(self) -> bytes:
        """Return the body."""
        return bytes(self._body) if self._body is not None else b""

    def drop_body(self) -> None:
        """Forget the body, once it is on its way."""
        if self._body is not None:
            self._body.drop()

    def text(self, name: str, default: str = "") -> str:
        return str(self._query.get(name, default))

    def number(self, name: str, default: float = 0) -> float:
        """Return a number of the query, a whole one where the parameter is such."""
        found: float = self._query.get(name, default)
        return found

    def whole(self, name: str, default: int = 0) -> int:
        return int(self._query.get(name, default))

    def flag(self, name: str) -> bool:
        return bool(self._query.get(name, False))

    @property
    def environment(self) -> str:
        return self.text("environment")


Serve = Callable[[Request], Awaitable[Reply]]
Stream = Callable[[Request], AsyncIterator[Event]]
Check = Callable[[Request], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """What is answered at a path. Either `serve` or `stream` is set."""

    method: str
    # Below /v1, with names in braces.
    path: str
    # One line, and what else there is to say; Markdown's `code` alone.
    summary: str
    doc: str = ""
    query: tuple[Parameter, ...] = ()
    # Whether it takes a body, and an example of it.
    body: Any = None
    # An example of the answer; of a stream, of its first event.
    example: Any = None
    # Statuses beside 200 and those that every request may get.
    statuses: Mapping[int, str] = field(default_factory=dict)
    # Who may: as tokens' scopes.
    needs: str = ""
    serve: Serve | None = None
    stream: Stream | None = None
    # Refuses a request before its body is read; what it returns is `Request.found`.
    check: Check | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names in its path."""
        return tuple(_PLACE.findall(self.path))

    def match(self, parts: tuple[str, ...]) -> dict[str, str] | None:
        """Return what the names in the path stand for, None where it is another path."""
        own = self.path.strip("/").split("/")
        if len(own) != len(parts):
            return None
        found: dict[str, str] = {}
        for wanted, part in zip(own, parts, strict=True):
            if wanted.startswith("{"):
                if not part:
                    return None
                found[wanted[1:-1]] = part
            elif wanted != part:
                return None
        return found

    def read(self, rows: list[tuple[str, str]]) -> dict[str, Any]:
        """Return what a query says; raise `Problem` for what is wrong in it."""
        known = {one.name: one for one in self.query}
        found: dict[str, Any] = {}
        for name, text in rows:
            if name not in known:
                there = f"there are {', '.join(sorted(known))}" if known else "it takes none"
                raise invalid(f"{name[:64]!r} is no parameter of {self.method} {self.path}: {there}")
            if name in found:
                raise invalid(f"{name} is in the query twice")
            found[name] = _value(known[name], text)
        return found


def _value(parameter: Parameter, text: str) -> Any:
    name = parameter.name
    if parameter.kind == "text":
        return text
    if parameter.kind == "flag":
        if text.lower() in _TRUE:
            return True
        if text.lower() in _FALSE:
            return False
        raise invalid(f"{name} is {text[:64]!r}: it must be true or false")
    try:
        value: float = int(text) if parameter.kind == "whole" else float(text)
    except ValueError:
        value = -1
    if not 0 <= value <= parameter.most:
        what = "a whole number" if parameter.kind == "whole" else "a number of seconds"
        raise invalid(f"{name} is {text[:64]!r}: it must be {what} from 0 to {parameter.most}")
    return value


def find(routes: tuple[Route, ...], method: str, parts: tuple[str, ...]) -> tuple[Route, dict[str, str]]:
    """Return who answers a path, and what its names stand for; raise `Problem` where nobody does."""
    allowed: list[str] = []
    for route in routes:
        if (places := route.match(parts)) is not None:
            if route.method == method:
                return route, places
            allowed.append(route.method)
    if allowed:
        told = ", ".join(sorted(set(allowed)))
        raise Problem(405, "method_not_allowed", f"this path answers {told}, and not {method[:16]}", allow=told)
    raise Problem(404, "not_found", "nothing answers at this path: /v1/docs says what does")
