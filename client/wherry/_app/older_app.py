"""What apps of 2023 have: objects of their own, by name, and the question where the code runs."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING, Any
from wherry.context import is_local
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from wherry._calling.owner import Owner


class OlderApp:
    """Part of an App. (reference: Stub)"""

    # So named since programs give their apps attributes of their own.
    __wherry_owner__: Owner

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        # An object made by `new()` becomes the app's own under this name.
        become_own = getattr(value, "become_own", None)
        if become_own is not None and become_own(self.__wherry_owner__, name):
            self.__wherry_owner__.objects.append(value)

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str) or not name.isidentifier() or hasattr(type(self), name):
            raise InvalidError(
                f"app[{name!r}] can't be set: give the object another name, one that could be a variable's"
            )
        setattr(self, name, value)

    def __getitem__(self, name: str) -> Any:
        try:
            return self.__dict__[name]
        except KeyError:
            raise KeyError(f"{self!r} has nothing named {name!r}") from None

    def is_inside(self, image: Any = None) -> bool:
        """Whether this code runs in a container; of which image is not told apart. Newer: `not wherry.is_local()`.

        (reference: Stub.is_inside)
        """
        return not is_local()

    def own(self, objects: dict[str, Any]) -> None:
        """Inside wherry: have what was given to the app by name, as its own; raise InvalidError for anything else."""
        for name, value in objects.items():
            if not hasattr(value, "become_own") and not hasattr(value, "hydrate"):
                raise InvalidError(f"App has no parameter {name!r}")
            self[name] = value
