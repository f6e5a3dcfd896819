"""How an rpc is declared: once, at its handler, with who may call it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

from wherry_service.api.rules import Inside, Rule, Where

Unary = Callable[[Any], Awaitable[Any]]
Streaming = Callable[[Any], AsyncIterator[Any]]
Handler = Unary | Streaming
"""Takes a message, or a stream of them where the client streams; returns one, or is an async generator of them."""

F = TypeVar("F", bound=Callable[..., Any])
_MARK = "_rpc"
_INSTEAD = "_instead_of_rpc"
_CHECKS = "_checks_rpc"


class Declared(NamedTuple):
    """An rpc as its handler declares it; in its name "*" stands for the group of the object that serves it."""

    name: str
    rule: Rule


def rpc(
    name: str,
    scopes: tuple[str, ...],
    where: tuple[str, ...] | Where,
    *,
    audited: bool = False,
    inside: Inside = Inside.NOTHING,
) -> Callable[[F], F]:
    """Declare that a method of a class serves an rpc, for example "Apps.Open", by this rule (see rules.py)."""

    def mark(function: F) -> F:
        vars(function)[_MARK] = Declared(name, Rule(scopes, where, audited, inside))
        return function

    return mark


def instead(name: str) -> Callable[[F], F]:
    """Declare that a method stands in the place of an rpc's handler, which it is given with the request."""
    return _marked(_INSTEAD, name)


def checks(name: str) -> Callable[[F], F]:
    """Declare that a method looks at an rpc's requests before its handler is given them."""
    return _marked(_CHECKS, name)


def _marked(mark: str, name: str) -> Callable[[F], F]:
    def note(function: F) -> F:
        vars(function)[mark] = name
        return function

    return note


def insteads_of(asker: type) -> dict[str, str]:
    """Return which of a class's methods stand in the place of handlers, by the rpc's name."""
    return {getattr(value, _INSTEAD): key for key, value in vars(asker).items() if hasattr(value, _INSTEAD)}


def checks_of(asker: type) -> dict[str, str]:
    """Return which of a class's methods look at requests first, by the rpc's name."""
    return {getattr(value, _CHECKS): key for key, value in vars(asker).items() if hasattr(value, _CHECKS)}


def rules_of(api: type, group: str = "") -> dict[str, Rule]:
    """Return the rules of the rpcs that a class serves, by name."""
    return {one.name.replace("*", group): one.rule for one in _declared(api).values()}


def handlers_of(api: object, group: str = "") -> dict[str, Handler]:
    """Return the handlers of the rpcs that an object serves, by name."""
    return {one.name.replace("*", group): getattr(api, attribute) for attribute, one in _declared(type(api)).items()}


def _declared(api: type) -> dict[str, Declared]:
    """Return what a class declares, by the name of the method; one that is overridden stays what it was declared."""
    found: dict[str, Declared] = {}
    for base in reversed(api.__mro__):
        for attribute, value in vars(base).items():
            if isinstance(declared := getattr(value, _MARK, None), Declared):
                found[attribute] = declared
    return found
