"""The kinds of fields that messages have: what `rows` and `codec` make their functions of."""

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from wherry_proto import Message, messages


class Field:
    """One field of a message: its place in a row, its kind, and the class of the messages in it, if it has such."""

    __slots__ = ("at", "kind", "message", "name", "repeated")

    def __init__(self, at: int, name: str, kind: str) -> None:
        self.at = at
        self.name = name
        self.kind = kind.removesuffix("[]")
        self.repeated = kind.endswith("[]")
        self.message: type[Message] | None = getattr(messages, self.kind, None)

    @property
    def is_plain(self) -> bool:
        """Whether it has texts, bytes or numbers, one or a list of them."""
        return self.message is None and self.kind != "map"


def fields_of(message: type[Message]) -> list[Field]:
    """Return the fields of a message in the order in which a row has them."""
    kinds = message.__kinds__.split()
    return [Field(at, name, kind) for at, (name, kind) in enumerate(zip(message.__slots__, kinds, strict=True))]


def getter(names: tuple[str, ...]) -> Callable[[Any], Iterable[Any]]:
    """Return what gets the values of these attributes, however many they are."""
    return attrgetter(*names) if len(names) > 1 else lambda owner: [getattr(owner, name) for name in names]
