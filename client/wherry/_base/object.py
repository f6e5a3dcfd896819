"""What the service's objects have in common: an id, looked for when it is first needed, or at once by `hydrate`."""

from __future__ import annotations

from wherry._base.blocking import blocking
from wherry._base.hints import Any, TypeVar
from wherry.exception import InvalidError

T = TypeVar("T", bound="Object")


class Object:
    """A handle on something that the service has. (reference: Object)"""

    __slots__ = ()

    @property
    def object_id(self) -> Any:
        """The id that the service has given it. (reference: Object.object_id)"""
        raise NotImplementedError

    @blocking
    def hydrate(self: T, client: Any = None) -> T:
        """Look for it now, with this client if one is given, and return it; raise NotFoundError if there is none.

        Handles look up their object when they are first used: few programs need this. (reference: hydrate)
        """
        self.__wherry_find__(client)
        return self

    @property
    def is_hydrated(self) -> bool:
        """Whether its id is known already. (reference: Object)"""
        return self.__wherry_known__()

    @blocking
    def get_dashboard_url(self) -> str:
        """Raise InvalidError: `wherry dashboard` opens the dashboard. (reference: get_dashboard_url)"""
        from wherry._base.elsewhere import refusal  # noqa: PLC0415 - start-up cost: only for this

        raise refusal("get_dashboard_url", "modal.object.Object.get_dashboard_url")

    def _repr_html_(self) -> str:
        from wherry._base.card import card  # noqa: PLC0415 - start-up cost: only notebooks show this

        known: dict[str, Any] = {"id": getattr(self, "object_id", "")} if self.__wherry_known__() else {}
        return card(repr(self), {**known, **self.__wherry_facts__()})

    # So named since a class's handle has its users' names beside them.

    def __wherry_facts__(self) -> dict[str, Any]:
        """What a notebook shows of it, beside its id: nothing that somebody must be asked for."""
        return {}

    def __wherry_find__(self, client: Any) -> None:
        raise NotImplementedError

    def __wherry_known__(self) -> bool:
        raise NotImplementedError


def given(what: str, **named: Any) -> str:
    """Return what one of a parameter's names was given; raise InvalidError unless it is one of them, and a string.

    `what` is the method, for example "Volume.from_id"; the newest name comes first.
    """
    found = {name: value for name, value in named.items() if value is not None}
    if not found:
        raise InvalidError(f"{what} needs {next(iter(named))}=")
    if len(found) > 1:
        raise InvalidError(f"{what} got {' and '.join(found)}: they are names of one parameter, give only one")
    ((name, value),) = found.items()
    if not isinstance(value, str):
        raise InvalidError(f"{what} got {name}={value!r}: it takes a string")
    return value
