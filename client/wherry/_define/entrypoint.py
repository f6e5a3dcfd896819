"""Functions that `wherry run` calls here."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


class LocalEntrypoint(Generic[P, R]):
    """A function that `wherry run` calls here, with the app running. (reference: Stub.local_entrypoint)"""

    def __init__(self, function: Callable[P, R], name: str, app: Any) -> None:
        self.function = function
        self.name = name
        self.app = app
        self.__doc__ = function.__doc__
        self.__name__ = name
        self.__module__ = function.__module__
        self.__wrapped__ = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"LocalEntrypoint({self.name!r})"
