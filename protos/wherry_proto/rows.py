"""Messages as rows: JSON's lists with the bytes beside them, for where there is no protobuf.

A row has a message's fields in the order of the contract, those that are not set as well. For bytes it has their
length; they follow each other in the body, a message's own before those of the messages within it. Both sides must know
the same fields. Messages that come in great numbers have functions of their own (`hot_rows`), which are faster; those
of all others are made of the kinds of their fields.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from wherry_proto import Message, hot_rows
from wherry_proto.kinds import Field, fields_of, getter
from wherry_proto.row_checks import (
    RANGES,
    Body,
    RowError,
    are,
    are_whole,
    bad_field,
    is_double,
    other_fields,
    text_map,
)

__all__ = ["Body", "RowError", "from_row", "to_row"]

T = TypeVar("T", bound=Message)
Write = Callable[[Any, list[bytes]], Any]
Read = Callable[[Any, Body], Any]
# As JSON has them; bytes are their length there.
_TYPES = {"string": str, "bool": bool, "bytes": int}
_WRITERS = dict(hot_rows.WRITERS)
_READERS = dict(hot_rows.READERS)
# Quicker than by arguments: every field is set.
_new = object.__new__


def to_row(message: Message, parts: list[bytes]) -> list[Any]:
    """Return the message as a row for JSON; its bytes are appended to `parts`."""
    try:
        write = _WRITERS[type(message)]
    except KeyError:
        write = _writer_of(type(message))
    return write(message, parts)


def from_row(kind: type[T], row: Any, body: bytes) -> T:
    """Return the message of that class; raise RowError if row and body are none, whatever they are."""
    try:
        read = _READERS[kind]
    except KeyError:
        read = _reader_of(kind)
    message: T = read(row, Body(body))
    return message


def _writer_of(kind: type[Message]) -> Write:
    """Return what makes rows of such messages: made of the kinds of their fields when it is first asked for."""
    if kind not in _WRITERS:
        _WRITERS[kind] = writer(kind)
    return _WRITERS[kind]


def _reader_of(kind: type[Message]) -> Read:
    if kind not in _READERS:
        _READERS[kind] = reader(kind)
    return _READERS[kind]


def writer(kind: type[Message]) -> Write:
    """Return a function that makes rows of messages of a class, from the kinds of their fields."""
    get = getter(kind.__slots__)
    own = [field.at for field in fields_of(kind) if field.kind == "bytes"]
    inner = [(field.at, _inner_writer(field)) for field in fields_of(kind) if not field.is_plain]

    def write(message: Message, parts: list[bytes]) -> list[Any]:
        row = list(get(message))
        for at in own:
            if row[at]:
                parts.append(row[at])
            row[at] = len(row[at])
        for at, convert in inner:
            row[at] = convert(row[at], parts)
        return row

    return write


def _inner_writer(field: Field) -> Write:
    if field.message is None:
        return lambda value, parts: list(value.items())
    write = _writer_of(field.message)
    if field.repeated:
        return lambda value, parts: [write(item, parts) for item in value]
    return lambda value, parts: None if value is None else write(value, parts)


def reader(kind: type[Message]) -> Read:
    """Return a function that makes messages of a class from rows, from the kinds of its fields."""
    names = kind.__slots__
    fields = fields_of(kind)
    checks = [(field.at, _check(field)) for field in fields if field.repeated or field.is_plain]
    own = [field.at for field in fields if field.kind == "bytes"]
    inner = [(field.at, _inner_reader(field)) for field in fields if not field.is_plain]

    def read(row: Any, body: Body) -> Message:
        if type(row) is not list or len(row) != len(names):
            raise other_fields(kind)
        for at, fits in checks:
            if not fits(row[at]):
                raise bad_field(kind)
        values = list(row)
        for at in own:
            values[at] = body.take(row[at])
        for at, convert in inner:
            values[at] = convert(row[at], body)
        message = _new(kind)
        for name, value in zip(names, values, strict=True):
            setattr(message, name, value)
        return message

    return read


def _check(field: Field) -> Callable[[Any], bool]:
    if field.message:
        return lambda value: type(value) is list
    if field.kind == "double":
        return is_double
    if field.kind in RANGES:
        least, most = RANGES[field.kind]
        if field.repeated:
            return lambda value: are_whole(value, least, most)
        return lambda value: type(value) is int and least <= value <= most
    wanted = _TYPES[field.kind]
    if field.repeated:
        return lambda value: are(value, wanted)
    return lambda value: type(value) is wanted


def _inner_reader(field: Field) -> Read:
    if field.message is None:
        return lambda value, body: text_map(value)
    read = _reader_of(field.message)
    if field.repeated:
        return lambda value, body: [read(item, body) for item in value]
    return lambda value, body: None if value is None else read(value, body)
