"""Checks of what is given: numbers within a range, names and values that are strings."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING, Any
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping

# The most seconds that a function, a sandbox or a response may take.
DAY_S = 86_400.0


def number(
    name: str, value: float | None, low: float, high: float, unit: str, default: float, *, whole: bool = False
) -> float:
    """Return the value, or the default for None; raise InvalidError when it is not a number of that range."""
    if value is None:
        return default
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        what = "a whole number" if whole else "a number"
        bounds = f"from {low:g} to {high:g}" if high < 1e7 else f"of at least {low:g}"
        raise InvalidError(f"{name} is {value!r}: it must be {what} {bounds}{' ' + unit if unit else ''}")
    return value


def pair(name: str, value: Any, low: float, high: float, unit: str, whole: bool = False) -> tuple[float, float]:
    """Return (request, limit), 0 where unset; raise InvalidError as `number` does."""
    if not isinstance(value, tuple | list):
        return number(name, value, low, high, unit, 0, whole=whole), 0
    if len(value) != 2:
        raise InvalidError(f"{name} is {value!r}: it must be a number, or (request, limit)")
    request, limit = (number(name, item, low, high, unit, 0, whole=whole) for item in value)
    if limit and request > limit:
        raise InvalidError(f"{name} is {value!r}: the request is above the limit")
    return request, limit


def environment(env: Mapping[str, str] | None, what: str = "env has") -> dict[str, str]:
    """Return the variables; raise InvalidError, which begins with `what`, unless names and values are strings."""
    for name, value in (env or {}).items():
        if not isinstance(name, str) or not isinstance(value, str) or not name or "=" in name:
            raise InvalidError(f"{what} {name!r}: {value!r}: names and values must be strings")
    return dict(env or {})
