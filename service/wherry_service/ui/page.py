"""What a page is: where it answers, what it is made of, which of its parts change while one looks."""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from wherry_proto.messages import TokenInfo, TokenWhoRequest
from wherry_service.api.callers import Caller, ask
from wherry_service.api.logins import Session
from wherry_service.api.rules import DEPLOY
from wherry_service.api.tokens import allows
from wherry_service.ui.web import Request, Response

MAX_KEPT = 200
# What a template is given.
Data = dict[str, Any]


class Kept:
    """What is asked again only after a while, because asking costs something."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[float, Any]] = {}

    async def get(self, who: str, name: str, seconds: float, make: Callable[[], Awaitable[Any]]) -> Any:
        """Return what `make` gave whoever asks lately, or gives now."""
        at, value = self._known.get((who, name), (-seconds, None))
        if time.monotonic() - at > seconds:
            value = await make()
            if len(self._known) > MAX_KEPT:
                self._known.clear()
            self._known[who, name] = (time.monotonic(), value)
        return value


@dataclass(slots=True)
class Asked:
    """A request of somebody who is signed in."""

    request: Request
    session: Session
    caller: Caller
    known: Kept
    # The environment that pages are about.
    environment: str
    # What the path says: by the names in a page's `path`.
    parts: Mapping[str, str] = field(default_factory=dict)
    # What the query says of the page.
    query: Mapping[str, str] = field(default_factory=dict)

    async def ask(self, name: str, message: Any) -> Any:
        """Call an rpc as who asks; raise the `ServiceError` that it ends with."""
        return await ask(self.caller, name, message)

    async def may_read_logs(self, environment: str) -> bool:
        """Whether who asks may read an environment's logs: a page that asks in vain is noted in the audit log."""
        token: TokenInfo = await self.ask("Tokens.Who", TokenWhoRequest())
        return allows(token, DEPLOY, environment)

    @property
    def now_ms(self) -> int:
        """The time, in milliseconds since 1970."""
        return int(time.time() * 1000)

    async def kept(self, name: str, message: Any, seconds: float) -> Any:
        """Return what an rpc answered this asker at most so many seconds ago; `message` is always the same one."""
        return await self.known.get(self.session.token_id, name, seconds, lambda: self.ask(name, message))

    def number(self, name: str, default: int = 0, most: int = 2**53) -> int:
        """Return a whole number of the query; the default where it says none."""
        text = self.query.get(name, "")
        return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 17 else default


@dataclass(frozen=True, slots=True)
class Page:
    """A page."""

    # Such as "/apps/{app}".
    path: str
    # The template's name; its blocks in `live` are sent again whenever they change.
    template: str
    data: Callable[[Asked], Awaitable[Data]]
    live: tuple[str, ...] = ()
    # Which part of the menu it belongs to, as the menu has it.
    section: str = ""
    # Whether its scripts make style sheets of their own, as a terminal does.
    styles_inline: bool = False


@dataclass(frozen=True, slots=True)
class Feed:
    """Something that scripts of pages fetch."""

    path: str
    answer: Callable[[Asked], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Follow:
    """Something that comes in pieces: events, or a file."""

    path: str
    pieces: Callable[[Asked], AsyncIterator[bytes]]
    kind: str = "text/event-stream"
    # Of a file: under which name it is kept.
    file_name: str = ""


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a form does; `do` returns the path of the page to go on at, with what is said there."""

    path: str
    do: Callable[[Asked, Mapping[str, str]], Awaitable["Done"]]


@dataclass(frozen=True, slots=True)
class Done:
    """What an action did."""

    path: str
    said: str = ""


T = TypeVar("T", Page, Feed, Follow, Action)


class Routes(Generic[T]):
    """Finds what a path leads to."""

    def __init__(self, items: "tuple[T, ...]") -> None:
        self._items: list[tuple[re.Pattern[str], T]] = [(re.compile(_pattern(item.path)), item) for item in items]

    def find(self, path: str) -> "tuple[T, dict[str, str]] | None":
        """Return what answers at a path, and what the path says; None if nothing does."""
        for pattern, item in self._items:
            if (match := pattern.fullmatch(path)) is not None:
                return item, match.groupdict()
        return None


def _pattern(path: str) -> str:
    """Return an expression of "/apps/{app}"; "{path*}" takes slashes too."""
    parts = re.split(r"(\{\w+\*?\})", path)
    return "".join(
        f"(?P<{part.strip('{}*')}>{'.+' if '*' in part else '[^/]+'})" if part.startswith("{") else re.escape(part)
        for part in parts
    )
