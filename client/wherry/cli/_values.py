"""Values of dicts and queues as commands show them: read without running what is in them.

A pickle can name any function and have it called as it is read. Who looks at what a container has put somewhere does
not trust it for that: plain data is read as it is, of all else a stand-in says what it is.
"""

import io
import pickle
from collections.abc import Iterator
from typing import Any, BinaryIO

from wherry._connection.client import Client
from wherry._connection.pickling import reading

_PATHS = ("PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath")
# Calling these does nothing but make them.
_PLAIN = {
    "builtins": ("bytearray", "complex", "frozenset", "range", "set", "slice"),
    "collections": ("Counter", "OrderedDict", "deque"),
    "datetime": ("date", "datetime", "time", "timedelta", "timezone"),
    "decimal": ("Decimal",),
    "fractions": ("Fraction",),
    "pathlib": _PATHS,
    "pathlib._local": _PATHS,  # their home in Python 3.13
    "uuid": ("UUID",),
}
# What makes a class of its parts, or looks for it first: its objects are made of that.
_CLASSES_BY_VALUE = frozenset(
    (
        ("cloudpickle.cloudpickle", "_make_skeleton_class"),
        ("cloudpickle.cloudpickle", "_make_skeleton_enum"),
        ("wherry._connection.pickling", "own_or"),
    )
)
_LONGEST = 200


def only_shown(client: Client) -> None:
    """Have this process read keys and values as they are shown here, from now on."""
    client.blobs.loads = lambda data: _read(io.BytesIO(data))
    client.blobs.load_file = _read


class _Kind(type):
    kind: str

    def __repr__(cls) -> str:
        return f"<{cls.kind}>"


class StandIn(metaclass=_Kind):
    """Stands for an object of a type that is not loaded here: what it was made of, and what was put into it."""

    kind = ""  # its name

    def __new__(cls, *args: Any, **kwargs: Any) -> "StandIn":
        made = super().__new__(cls)
        made._made_of = [*args, *kwargs.values()]
        made._holds = []
        return made

    _made_of: list[Any]
    _holds: list[Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what the type itself would: it is kept above."""

    def __call__(self, *args: Any, **kwargs: Any) -> "StandIn":
        return _kind_of(f"{self.kind}(…)")(*args, **kwargs)

    def __setstate__(self, state: Any) -> None:
        self._holds.append(state)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._holds.append({key: value})

    def append(self, item: Any) -> None:
        """Take an item of a list of its type."""
        self._holds.append(item)

    def extend(self, items: list[Any]) -> None:
        """Take items, likewise."""
        self._holds += items

    def add(self, item: Any) -> None:
        """Take an item of a set of its type."""
        self._holds.append(item)

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        return f"<{self.kind}: {', '.join(_parts([*self._made_of, *self._holds]))}>"


def _parts(values: list[Any]) -> Iterator[str]:
    room = _LONGEST
    for value in values:
        text = value.kind if isinstance(value, type) and issubclass(value, StandIn) else repr(value)
        yield text if len(text) <= room else f"{text[:room]}…"
        room -= len(text)
        if room <= 0:
            return


def _kind_of(kind: str) -> type[StandIn]:
    return type("StandIn", (StandIn,), {"kind": kind})


def _class_by_value(*made_of: Any) -> type[StandIn]:
    """Return what stands for a class that has travelled with the value; its name is the last text of one word."""
    words = [item for item in made_of[:3] if isinstance(item, str) and item.replace(".", "").isidentifier()]
    return _kind_of(words[-1] if words else "a class")


def _attribute(owner: Any, name: Any) -> Any:
    """Return what stands for an attribute of a class that is not loaded: some Pythons send members of enums as such."""
    kind = owner.kind if isinstance(owner, type) and issubclass(owner, StandIn) else "getattr"
    return _kind_of(f"{kind}.{name!s:.100}" if kind != "getattr" else kind)


class _Shown(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("builtins", "getattr"):
            return _attribute
        if name in _PLAIN.get(module, ()):
            return super().find_class(module, name)
        if (module, name) in _CLASSES_BY_VALUE:
            return _class_by_value
        return _kind_of(name if module == "builtins" else f"{module}.{name}")


def _read(file: BinaryIO) -> Any:
    return reading(_Shown(file).load)
