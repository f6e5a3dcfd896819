"""Every message of the contract as protobuf's bytes and as a row: there, back, and what is neither."""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.every_message import KINDS, filled
from wherry_proto import codec, hot_codec, hot_rows, messages, rows
from wherry_proto.kinds import Field, fields_of
from wherry_proto.messages import Message
from wherry_proto.row_checks import RANGES

HOT = sorted(hot_rows.WRITERS, key=lambda kind: kind.__name__)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
every_hot_kind = pytest.mark.parametrize("kind", HOT, ids=lambda kind: kind.__name__)
# No value of a field of that kind. Bytes are their length, and a map is pairs.
WRONG: dict[str, list[Any]] = {
    "string": [None, 1, True, [], b"x"],
    "bytes": [None, "x", b"x", True, 1.0, -1, 1 << 40],
    "bool": [None, 0, 1, "true"],
    "double": [None, "1", True, math.inf, -math.inf, math.nan, 10**400],
    "map": [None, 7, [7], [["a"]], [["a", "b", "c"]], [["a", 1]], [[1, "a"]], [[[], "a"]]],
    **{kind: [None, "1", 1.0, True, [], least - 1, most + 1] for kind, (least, most) in RANGES.items()},
}


def as_row(message: Message) -> tuple[Any, bytes]:
    """Return a message's row as it arrives, and the bytes beside it."""
    parts: list[bytes] = []
    row = json.loads(json.dumps(rows.to_row(message, parts)))
    return row, b"".join(parts)


def outcome(read: Callable[[], Message]) -> Message | str:
    """Return what is read, or why it is refused."""
    try:
        return read()
    except rows.RowError as error:
        return str(error)


def wrong_values(field: Field) -> Iterator[Any]:
    if field.repeated:
        one = WRONG.get(field.kind, [7, None, "x"])
        yield from [None, 7, "x", {}, {"x": 1}, *([value] for value in one)]
    elif field.message is not None:
        # None is no message, rightly.
        yield from [7, "x", {}, [*[""] * len(field.message.__slots__), ""]]
    else:
        yield from WRONG[field.kind]


# Protobuf's bytes


@every_kind
def test_every_field_survives_the_wire(kind: type[Message]) -> None:
    message = filled(kind)

    again = codec.deserialize(kind, codec.serialize(message))

    assert again == message
    assert again != kind() or not kind.__slots__


@every_kind
def test_what_is_not_set_takes_no_room_and_comes_back_as_default(kind: type[Message]) -> None:
    assert codec.serialize(kind()) == b""
    again = codec.deserialize(kind, b"")
    assert again == kind()
    assert not any(getattr(again, name) for name in kind.__slots__)


@every_kind
def test_fields_that_are_not_known_are_passed_over(kind: type[Message]) -> None:
    # Field 1000, a number, and field 1001, bytes: as a newer version may send them.
    unknown = b"\xc0\x3e\x07" + b"\xca\x3e\x03abc"
    assert codec.deserialize(kind, unknown + codec.serialize(filled(kind)) + unknown) == filled(kind)
    assert codec.deserialize(kind, unknown) == kind()


@every_kind
def test_a_value_of_another_type_or_out_of_range_is_no_field(kind: type[Message]) -> None:
    for field in fields_of(kind):
        if field.kind in RANGES and not field.repeated:
            wrong = ["x", 1 << 64, -(1 << 64)]
        else:
            wrong = [b"\xff" if field.kind == "string" else 7.5] if field.kind not in ("double", "bool") else ["x"]
        for value in wrong:
            message = kind()
            setattr(message, field.name, value)
            with pytest.raises((TypeError, ValueError, AttributeError)):
                codec.serialize(message)


def test_an_empty_message_within_a_message_is_told_from_none() -> None:
    message = messages.Output(payload=messages.Payload())
    assert codec.deserialize(messages.Output, codec.serialize(message)).payload == messages.Payload()
    assert codec.deserialize(messages.Output, b"").payload is None


def test_so_it_is_where_a_table_serves() -> None:
    message = messages.DictValue(value=messages.Payload())
    assert codec.deserialize(messages.DictValue, codec.serialize(message)).value == messages.Payload()
    assert codec.deserialize(messages.DictValue, b"").value is None


@pytest.mark.parametrize("kind", [messages.SessionUp, messages.AppOpenRequest])
def test_bytes_that_are_no_message_are_refused(kind: type[Message]) -> None:
    with pytest.raises(DecodeError):
        codec.deserialize(kind, b"\xff\xff\xff")


# Rows


@every_kind
def test_every_field_survives_as_a_row(kind: type[Message]) -> None:
    for message in (filled(kind), kind()):
        row, body = as_row(message)
        assert rows.from_row(kind, row, body) == message


@every_kind
def test_the_largest_and_the_least_numbers_survive(kind: type[Message]) -> None:
    for bound in (0, 1):
        message = kind()
        for field in fields_of(kind):
            if field.kind in RANGES:
                number = RANGES[field.kind][bound]
                setattr(message, field.name, [number] if field.repeated else number)
        row, body = as_row(message)
        assert rows.from_row(kind, row, body) == message
        assert codec.deserialize(kind, codec.serialize(message)) == message


@every_kind
def test_a_field_of_another_type_or_out_of_range_is_refused(kind: type[Message]) -> None:
    row, body = as_row(filled(kind))
    for field in fields_of(kind):
        for value in wrong_values(field):
            changed = [*row[: field.at], value, *row[field.at + 1 :]]
            found = outcome(lambda: rows.from_row(kind, changed, body))  # noqa: B023 - it is called at once
            assert isinstance(found, str), f"{field.name} may be {value!r}"


@every_kind
def test_a_row_of_other_fields_is_another_versions(kind: type[Message]) -> None:
    row, body = as_row(filled(kind))
    named = dict(zip(kind.__slots__, row, strict=True))
    for other in (None, 7, "x" * len(row), [*row, 1], row[:-1] if row else [1], named, {"x": 1}):
        with pytest.raises(rows.RowError, match=f"{kind.__name__} has other fields here"):
            rows.from_row(kind, other, body)


@every_kind
def test_bytes_that_are_cut_are_refused(kind: type[Message]) -> None:
    row, body = as_row(filled(kind))
    if body:
        with pytest.raises(rows.RowError, match="longer than what came"):
            rows.from_row(kind, row, body[:-1])


@pytest.mark.parametrize(
    "row", [None, 7, "x", {}, [], [1], ["", "", 0], ["", "", 0, [1, 99, "", 0]], ["", "", 0, [1, -1, "", 0], ""]]
)
def test_rows_that_are_no_message_are_refused(row: object) -> None:
    with pytest.raises(rows.RowError):
        rows.from_row(messages.Input, row, b"short")


# Generated functions and the table


def test_generated_functions_are_for_what_a_session_carries() -> None:
    carried: set[type[Message]] = set()

    def add(kind: type[Message]) -> None:
        carried.add(kind)
        for field in fields_of(kind):
            if field.message:
                add(field.message)

    add(messages.SessionUp)
    add(messages.SessionDown)
    tables: list[dict[type[Message], Any]] = [
        hot_rows.WRITERS,
        hot_rows.READERS,
        hot_codec.FILLERS,
        hot_codec.READERS,
    ]
    assert all(set(table) == carried for table in tables)
    assert len(carried) < 20


@every_hot_kind
def test_they_do_what_the_table_says(kind: type[Message]) -> None:
    for message in (filled(kind), kind()):
        generated: list[bytes] = []
        made: list[bytes] = []
        row = hot_rows.WRITERS[kind](message, generated)
        assert rows.writer(kind)(message, made) == row
        assert made == generated
        assert rows.reader(kind)(row, rows.Body(b"".join(made))) == message
        pb = codec.deserialize(kind, codec.serialize(message))
        assert pb == message
        of_table, of_generated = (codec.pb_class(kind)() for _ in range(2))
        codec.filler(kind)(message, of_table)
        hot_codec.FILLERS[kind](message, of_generated)
        assert of_table == of_generated
        assert codec.reader(kind)(of_table) == hot_codec.READERS[kind](of_table) == message


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=10) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)


@every_hot_kind
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_they_refuse_what_the_table_refuses(kind: type[Message], data: st.DataObject) -> None:
    row, body = as_row(filled(kind))
    at = data.draw(st.integers(0, len(row) - 1))
    row[at] = data.draw(anything | st.integers(0, 40))

    generated = outcome(lambda: hot_rows.READERS[kind](row, rows.Body(body)))
    assert repr(generated) == repr(outcome(lambda: rows.reader(kind)(row, rows.Body(body))))
