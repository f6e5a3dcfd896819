"""What is decorated in a way that can't work, and the line that would."""

from __future__ import annotations

from wherry._base.hints import Any
from wherry.exception import InvalidError

_CODE_VARARGS = 0x04


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
    """Return "; did you mean …?" with the names like this one, or with some."""
    import difflib  # noqa: PLC0415 - start-up cost: only for a message

    close = difflib.get_close_matches(name, list(names), n=3) or sorted(names)[:5]
    return f"; did you mean {', '.join(repr(item) for item in close)}?" if close else ""
