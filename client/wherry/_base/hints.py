"""What type checkers see of `typing`; at run time, stand-ins that cost nothing.

Importing `typing` (with `re`, `collections`, `contextlib`) takes as long as all of wherry's own modules that every
user's module imports. Those import it from here.
"""

# False. jedi, which completes names in editors, would leave out all that stands below a plain `False`.
TYPE_CHECKING = bool(0)

# True for jedi alone: it takes no notice of the second line.
IN_EDITOR = True
globals()["IN_EDITOR"] = False

if TYPE_CHECKING:
    from typing import Any, Generic, ParamSpec, dataclass_transform, overload

    from typing_extensions import TypeVar  # Python 3.11's has no defaults; type checkers bring it with them
else:
    Any = object

    def TypeVar(name, **how):
        """Return something to put between the brackets of `Generic`."""
        return name

    ParamSpec = TypeVar

    class Generic:
        """A base that takes parameters and forgets them."""

        __slots__ = ()

        def __class_getitem__(cls, parameters):
            return cls

    def overload(function):
        """Return the function: the definition that follows the overloads replaces them."""
        return function

    def dataclass_transform(**how):
        """Return a decorator that changes nothing: what it says is for type checkers."""
        return lambda decorated: decorated


__all__ = ["IN_EDITOR", "TYPE_CHECKING", "Any", "Generic", "ParamSpec", "TypeVar", "dataclass_transform", "overload"]
