"""Whether who asks reaches what a request names: the same for holders of tokens and for code in containers.

What is asked is looked up in one table (rules.py); `Asker` says who asks.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, NamedTuple, Protocol

from wherry_service.api.places import Places
from wherry_service.api.rules import Rule
from wherry_service.errors import Denied, NotFound

# What a rule calls fields that name an environment, or an app in one.
_NAMES = frozenset(("environment", "app_name"))


class Asker(Protocol):
    """Who asks."""

    def allows(self, scopes: Iterable[str], environment: str) -> bool:
        """Whether it may do what takes one of these scopes in that environment."""

    def reaches(self, environment: str) -> bool:
        """Whether it may know what there is in that environment."""

    def home(self, environment: str) -> str:
        """Return the environment that a request means which names this one, "" for none.

        Raises `ServiceError` for one that may not be named at all.
        """

    def denied(self, name: str, environment: str) -> Denied:
        """Return the error of a method that it may not call in that environment."""

    def missing(self, kind: str, object_id: str) -> NotFound:
        """Return the error of an object that is not there, or is out of reach: the two are told alike."""


class Named(NamedTuple):
    """What a request is about."""

    # "" as long as it is not known.
    environment: str
    # The id that tells the environment; "" where the environment is named.
    object_id: str


# Hears what a request is about, before it is refused.
Tell = Callable[[Named], None]


class Reach:
    """Checks requests of one asker."""

    def __init__(self, asker: Asker, places: Places) -> None:
        self.asker = asker
        self.places = places

    async def check(self, name: str, rule: Rule, request: Any, tell: Tell = lambda named: None) -> Named:
        """Return, and tell, what a request is about, by the first of the rule's fields that is set.

        Raises `Denied` where the asker may not do that there, and `NotFound` for an object out of its reach.
        """
        assert isinstance(rule.where, tuple)
        found = await self._named(rule.where, request, tell)
        if found.object_id and getattr(request, "environment", ""):
            # With an id a name beside it is not looked at: nobody is told here which environments there are.
            request.environment = found.environment
        tell(found)
        if not self.asker.allows(rule.scopes, found.environment):
            raise self.asker.denied(name, found.environment)
        return found

    async def checked(
        self, name: str, rule: Rule, messages: AsyncIterator[Any], tell: Tell = lambda named: None
    ) -> AsyncIterator[Any]:
        """Pass on the messages of a stream; check those that say what it is about, and tell what that is."""
        assert isinstance(rule.where, tuple)
        known: set[str] = set()
        async for message in messages:
            value = value_of(message, rule.where[0])
            if value is not None and value not in known:
                await self.check(name, rule, message, tell)
                known.add(value)
            yield message

    async def environment_of(self, kind: str, object_id: str) -> str:
        """Return an environment of an object that the asker reaches; raise `NotFound` where there is none."""
        found = await self.places.of(kind, object_id)
        mine = sorted(environment for environment in found if self.asker.reaches(environment))
        if not mine:
            raise self.asker.missing(kind, object_id)
        return mine[0]

    async def _named(self, where: tuple[str, ...], request: Any, tell: Tell) -> Named:
        for path in where:
            value = value_of(request, path)
            if value and path in _NAMES:
                return Named(self.asker.home(request.environment), "")
            if value:
                tell(Named("", value))
                return Named(await self.environment_of(kind_of(path), value), value)
        if _NAMES & set(where):
            return Named(self.asker.home(getattr(request, "environment", "")), "")
        raise self.asker.missing(kind_of(where[0]), "")


def kind_of(path: str) -> str:
    """Return what a field such as "start.container_id" names: "container"."""
    return path.rpartition(".")[2].removesuffix("_id")


def value_of(request: Any, path: str) -> str | None:
    """Return the field of that path, None where a message on the way is not there."""
    for name in path.split("."):
        request = getattr(request, name, None)
        if request is None:
            return None
    return str(request)
