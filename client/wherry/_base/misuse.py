"""What is decorated in a way that can't work, and the line that would."""

from __future__ import annotations

from wherry._base.hints import Any
from wherry.exception import InvalidError

_CODE_VARARGS = 0x04
_NAMED = 5  # names that a message lists


def check_method(decorator: str, function: Any) -> None:
    """Raise InvalidError where a function with `@method()`, or a hook, is in no class or takes no self."""
    if not is_in_class(function):
        raise InvalidError(
            f"@wherry.{decorator}() is on {function.__qualname__}, which is in no class: it goes on a method of a "
            "class with @app.cls(); a function has @app.function()"
        )
    code = function.__code__
    if not code.co_argcount and not code.co_flags & _CODE_VARARGS:
        raise InvalidError(f"@wherry.{decorator}() is on {function.__qualname__}, which must take self first")


def is_in_class(function: Any) -> bool:
    """Whether the function was written in the body of a class."""
    return "." in function.__qualname__.rpartition("<locals>.")[2]


def near(name: str, names: Any) -> str:
    """Return the end of a message that `name` is not there: which of these may have been meant, or which there are."""
    import difflib  # noqa: PLC0415 - start-up cost: only for a message

    close = difflib.get_close_matches(name, list(names), n=3)
    if close:
        return f"; did you mean {', '.join(map(repr, close))}?"
    known = sorted(set(names))
    if not known:
        return ""
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    return f"; there {'is' if len(known) == 1 else 'are'} {', '.join(map(repr, known[:_NAMED]))}{more}"
