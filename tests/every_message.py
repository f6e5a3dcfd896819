"""All messages of the contract, and one of each with a value in every field."""

import inspect
from typing import Any, get_args, get_origin, get_type_hints

from wherry_proto import messages

KINDS = sorted(
    (kind for kind in vars(messages).values() if inspect.isclass(kind) and issubclass(kind, messages.Message)),
    key=lambda kind: kind.__name__,
)
KINDS.remove(messages.Message)


def filled(kind: type[messages.Message]) -> messages.Message:
    """Return a message with a value other than the default in every field, all the way down."""
    hints = get_type_hints(kind.__init__)
    hints.pop("return", None)
    return kind(**{name: _value(hint, position) for position, (name, hint) in enumerate(hints.items())})


def _value(hint: Any, position: int) -> Any:
    origin, arguments = get_origin(hint), [item for item in get_args(hint) if item is not type(None)]
    if origin is list:
        return [_value(arguments[0], position), _value(arguments[0], position + 1)]
    if origin is dict:
        return {_value(arguments[0], position): _value(arguments[1], position), "": ""}
    if arguments:
        return _value(arguments[0], position)
    plain = {
        str: f"é{position}",
        bytes: b"\0\xff" * (position + 1),
        bool: True,
        int: position + 1,
        float: 0.5 + position,
    }
    return plain[hint] if hint in plain else filled(hint)
