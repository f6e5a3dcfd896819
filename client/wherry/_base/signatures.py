"""What a method takes, as `help` and notebooks show it."""

import inspect
from collections.abc import Callable
from typing import Any

_ANYTHING = [inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD]


def bound_signature(method: Callable[..., Any], first: tuple[Any, ...]) -> inspect.Signature:
    """Return the signature of a method whose first parameters are given.

    One that takes whatever the function takes that its object stands for has that function's.
    """
    signature = inspect.signature(method)
    rest = list(signature.parameters.values())[len(first) :]
    plain = getattr(first[0], "__wrapped__", None) if first else None
    if plain is None or [one.kind for one in rest] != _ANYTHING:
        return signature.replace(parameters=rest)
    own = inspect.signature(plain)
    taken = list(own.parameters.values())[getattr(first[0], "__wherry_given__", 0) :]
    gives = own.return_annotation if signature.return_annotation == "R" else signature.return_annotation
    return own.replace(parameters=taken, return_annotation=gives)
