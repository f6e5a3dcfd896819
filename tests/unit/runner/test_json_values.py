"""Arguments and values as JSON: what comes in, what goes out, and what can't."""

import collections
import datetime
import decimal
import enum
import json
import math
import uuid
from typing import Any

import pytest

from wherry._connection.json_values import load
from wherry.exception import DeserializationError
from wherry_runner.json_values import MAX_DEPTH, NotJson, dump, read_arguments


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    YES = "yes"


Point = collections.namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("body", "args", "kwargs"),
    [
        (b"{}", [], {}),
        (b'{"args": [1, 2.5, "\xc3\xa9", null, true, [{}]]}', [1, 2.5, "é", None, True, [{}]], {}),
        (b'{"kwargs": {"x": 1}, "other": 2}', [], {"x": 1}),
        (b'{"args": [{"$bytes": "aGk="}, {"$bytes": "", "x": 1}]}', [b"hi", {"$bytes": "", "x": 1}], {}),
        (b'{"args": [{"$bytes": 1}]}', [{"$bytes": 1}], {}),
    ],
)
def test_arguments_are_read(body: bytes, args: list[Any], kwargs: dict[str, Any]) -> None:
    assert read_arguments(body) == (args, kwargs)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[1]", "no JSON object"),
        (b'{"args": {}}', '"args" must be an array'),
        (b'{"kwargs": []}', '"kwargs" an object'),
        (b'{"args": [NaN]}', "NaN is no number"),
        (b'{"args": [-Infinity]}', "-Infinity is no number"),
        (b'{"args": [1], "args": [2]}', "the same key twice"),
        (b'{"args": [{"a": 1, "a": 2}]}', "the same key twice"),
        (b'{"args": ["\xff"]}', "invalid start byte"),
        (b'{"args": [{"$bytes": "*"}]}', "base64"),
        (b'{"args": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deep"),
        (b"", "Expecting value"),
        (b"{} x", "Extra data"),
    ],
)
def test_arguments_that_are_none_are_told(body: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("[", r"\[")):
        read_arguments(body)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "null"),
        (True, "true"),
        (2**80, str(2**80)),
        (0.1, "0.1"),
        ("é\n", '"é\\n"'),
        ((1, [2]), "[1,[2]]"),
        ({"a": {"b": ()}}, '{"a":{"b":[]}}'),
        (collections.OrderedDict(a=1), '{"a":1}'),
        (collections.Counter("aa"), '{"a":2}'),
        (Point(1, 2), "[1,2]"),
        (Level.LOW, "1"),
        (Word.YES, '"yes"'),
        (b"hi", '{"$bytes":"aGk="}'),
        ([bytearray(b"hi"), memoryview(b"")], '[{"$bytes":"aGk="},{"$bytes":""}]'),
    ],
)
def test_values_are_written(value: Any, written: str) -> None:
    assert dump(value, "result").decode() == written


def test_what_is_written_is_read_alike_by_python() -> None:
    value = {"a": [1, 2.5, "é", None, True], "b": b"\x00\xff", "c": {"d": {"$bytes": 1}}}
    assert load(dump(value, "result")) == value
    with pytest.raises(DeserializationError, match="not the JSON"):
        load(b"\xff")
    with pytest.raises(DeserializationError, match="not the JSON"):
        load(b'{"$bytes": "*"}')


_LOOP: list[Any] = []
_LOOP.append(_LOOP)
_DEEP: list[Any] = []
for _ in range(MAX_DEPTH + 1):
    _DEEP = [_DEEP]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"rows": [1, {"at": datetime.datetime(2026, 1, 1)}]}, "result['rows'][1]['at'] is of type datetime.datetime"),
        ([{1, 2}], "result[0] is of type set, which JSON can't hold: return sorted(value)"),
        (decimal.Decimal(1), "result is of type decimal.Decimal"),
        (uuid.UUID(int=1), "return str(value)"),
        (Color.RED, "Color, which JSON can't hold"),
        ([math.nan], "result[0] is nan"),
        ({"x": math.inf}, "result['x'] is inf"),
        ({"a": {1: 2}}, "result['a'] has the key 1, of type int"),
        ({None: 1}, "result has the key None, of type NoneType"),
        (["\ud800"], "result[0] is text with half of a surrogate pair"),
        ({"\ud800": 1}, "a key of result is text with half"),
        ((i for i in ()), "decorate it with is_generator=True"),
        (object(), "result is of type object"),
        (_LOOP, "contains itself"),
        (_DEEP, f"nested more than {MAX_DEPTH} deep"),
        ([10**5000], "can't be written as JSON"),
    ],
)
def test_what_json_can_not_hold_is_named_with_its_place(value: Any, said: str) -> None:
    with pytest.raises(NotJson) as caught:
        dump(value, "result")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_the_deepest_that_is_allowed_is_written_and_read() -> None:
    value: list[Any] = []
    for _ in range(MAX_DEPTH - 1):
        value = [value]
    assert load(dump(value, "result")) == json.loads(dump(value, "result")) == value
