"""Options that several commands have, written once."""

import inspect
from collections.abc import Callable
from typing import Any


def with_options(options: Callable[..., Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command: its last parameter gets what `options` returns, whose own parameters become the command's."""
    more = inspect.signature(options).parameters

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        *own, last = inspect.signature(command).parameters.values()

        def run(**given: Any) -> None:
            made = options(**{name: given.pop(name) for name in more})
            command(**given, **{last.name: made})

        run.__name__, run.__doc__ = command.__name__, command.__doc__
        shown = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in (*own, *more.values())]
        run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in shown}
        return run

    return decorate
