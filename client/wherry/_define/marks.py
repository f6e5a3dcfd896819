"""What decorators below `@app.function()` and `@app.cls()` leave on a function or class, for those two to read.

Plain numbers, so that a marked function pickles as before and runs where wherry is not installed.
"""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING, Any
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

NEEDS_MAX_INPUTS = "@wherry.concurrent() needs max_inputs: write @wherry.concurrent(max_inputs=10)"
_CONCURRENT = "__wherry_concurrent__"
_BATCHED = "__wherry_batched__"
_SESSIONED = "__wherry_sessioned__"


def mark_concurrent(target: T, max_inputs: int, target_inputs: int) -> T:
    """Note how many inputs at once a container runs, and how many the autoscaler aims at (0: the same)."""
    return _mark(target, _CONCURRENT, "concurrent", (max_inputs, target_inputs))


def mark_batched(target: T, max_batch_size: int, wait_ms: int) -> T:
    """Note that inputs are taken together: at most so many, the first of them waiting so many milliseconds."""
    return _mark(target, _BATCHED, "batched", (max_batch_size, wait_ms))


def concurrent_mark(target: Any) -> tuple[int, int] | None:
    """Return (max_inputs, target_inputs), or None; 0: not said. A class's are its base classes' too."""
    found: tuple[int, int] | None = getattr(target, _CONCURRENT, None)
    return found


def unmark_concurrent(target: Any) -> None:
    """Take the mark off a class itself."""
    if _CONCURRENT in vars(target):
        delattr(target, _CONCURRENT)


def batched_mark(target: Any) -> tuple[int, int] | None:
    """Return (max_batch_size, wait_ms), or None."""
    found: tuple[int, int] | None = getattr(target, _BATCHED, None)
    return found


def mark_sessioned(target: type) -> None:
    """Note that a class is a server with sessions."""
    setattr(target, _SESSIONED, True)


def is_sessioned(target: type) -> bool:
    """Whether a class, or one that it is made of, is a server with sessions."""
    return getattr(target, _SESSIONED, False)


def _mark(target: T, attribute: str, decorator: str, value: tuple[int, int]) -> T:
    # The function itself carries it: what a web decorator has put around it is taken off by @app.function().
    function = getattr(target, "raw_f", target)
    if attribute in getattr(function, "__dict__", {}):
        raise InvalidError(f"{_name(function)} has @wherry.{decorator}() twice: leave one")
    try:
        setattr(function, attribute, value)
    except (AttributeError, TypeError):
        raise InvalidError(
            f"@wherry.{decorator}() got {target!r}: it goes on a function or class of yours, written with def or class"
        ) from None
    return target


def _name(target: Any) -> str:
    return str(getattr(target, "__qualname__", target))
