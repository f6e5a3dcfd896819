"""Values as commands show them: nothing in them is run, plain data is what it is, of the rest it is said what it is."""

import collections
import dataclasses
import datetime
import decimal
import enum
import io
import os
import pathlib
import pickle
import uuid
from typing import Any

import cloudpickle
import numpy as np
import pytest

from wherry._connection import pickling
from wherry.cli._values import StandIn, _read
from wherry.exception import DeserializationError


def shown(value: Any, protocol: int = 5) -> Any:
    return _read(io.BytesIO(pickle.dumps(value, protocol)))


@dataclasses.dataclass
class Point:
    x: int
    y: str


class Colour(enum.Enum):
    RED = 1


class Mine(list[int]):
    pass


class Odd:
    def __init__(self, call: Any, *args: Any) -> None:
        self._reduced = call, args

    def __reduce__(self) -> Any:
        return self._reduced


@pytest.mark.parametrize(
    "value",
    [
        None,
        [1, 2.5, "a", b"b", {"k": (True, {1, 2}, frozenset((3,)))}],
        bytearray(b"x"),
        1 + 2j,
        range(3),
        slice(1, 2),
        datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
        datetime.timedelta(1),
        decimal.Decimal("1.5"),
        uuid.UUID(int=5),
        pathlib.PurePosixPath("/a/b"),
        collections.OrderedDict(a=1),
        collections.deque([1], 3),
        collections.Counter("aab"),
    ],
)
@pytest.mark.parametrize("protocol", [4, 5])
def test_plain_data_is_read(value: Any, protocol: int) -> None:
    assert shown(value, protocol) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Point(1, "a"), "Point: {'x': 1, 'y': 'a'}"),
        (Odd(Colour, 1), "Colour: 1"),
        (Odd(getattr, Colour, "RED"), "Colour.RED"),
        (Odd(getattr, "text", "upper"), "getattr"),
        (Mine([1, 2]), "Mine: 1, 2"),
        (len, "len"),
        (np.arange(3), "numpy.dtype: 'i8'"),
        (ValueError("why"), "ValueError: 'why'"),
        (collections.defaultdict(int, a=1), "defaultdict: int, {'a': 1}"),
    ],
)
def test_of_the_rest_it_is_said_what_it_is(value: Any, text: str) -> None:
    found = shown(value)
    assert text in (repr(found) if isinstance(found, StandIn) else found.kind)


def test_classes_that_travel_with_a_value_are_named() -> None:
    class Local:
        def __init__(self) -> None:
            self.x = 1

    class Tint(enum.Enum):
        RED = 1

    # By its value or by its name: Pythons differ in how they send a member.
    local, member = _read(io.BytesIO(cloudpickle.dumps([Local(), Tint.RED])))
    assert repr(local) == "<Local: {'x': 1}>"
    assert repr(member) in ("<Tint: 1>", "<Tint.RED>")
    # As programs have it for what their `__main__` defines.
    data = pickle.dumps(Odd(pickling.own_or, "mymain", "Outer.Thing", b"not read here"))
    assert _read(io.BytesIO(data)).kind == "Outer.Thing"


@pytest.mark.parametrize(
    "call",
    [
        lambda place: Odd(os.system, f"touch {place}"),
        lambda place: Odd(exec, f"open({str(place)!r}, 'w')"),
        lambda place: Odd(getattr, os, "system"),
        lambda place: [Odd(open, str(place), "w")],
        lambda place: {"k": Odd(os.mkdir, str(place))},
    ],
)
def test_nothing_in_it_is_run(tmp_path: pathlib.Path, call: Any) -> None:
    place = tmp_path / "run"
    try:
        data = pickle.dumps(call(place))
    except TypeError:  # a module can't be pickled: by hand
        data = b"cbuiltins\ngetattr\n(cos\n__dict__\nVsystem\ntR(Vtouch " + str(place).encode() + b"\ntR."
    repr(_read(io.BytesIO(data)))
    assert not place.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"\x80\x05.",
        b"\x80\x05K\x01",
        b"\x80\x05\x8c\x01aQ.",
        b"(" * 100,
        b"\x82\x01.",
        b"I" + b"9" * 9999 + b"\n.",
    ],
)
def test_what_is_no_pickle_is_told(data: bytes) -> None:
    with pytest.raises(DeserializationError):
        _read(io.BytesIO(data))


def test_what_is_shown_of_one_value_is_bounded() -> None:
    value: Any = Odd(print, "x" * 10_000)
    assert len(repr(shown(value))) < 300
