"""Messages as protobuf's bytes, and back.

Messages that come in great numbers have functions of their own (`hot_codec`), which are faster; those of all others are
made of the kinds of their fields.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from wherry_proto import Message, hot_codec, v1
from wherry_proto.kinds import Field, fields_of

T = TypeVar("T", bound=Message)
# What puts a message into one of protobuf's that is empty, and what makes one of such.
Fill = Callable[[Any, Any], None]
Read = Callable[[Any], Any]


class _Coder(NamedTuple):
    """What is between a class of messages and protobuf's class for the same."""

    pb: Any
    fill: Fill
    read: Read


_CODERS: dict[type[Message], _Coder] = {}
# Quicker than by arguments: every field is set.
_new = object.__new__


def serialize(message: Message) -> bytes:
    """Return the message in protobuf's wire format."""
    try:
        make, fill, _ = _CODERS[type(message)]
    except KeyError:
        make, fill, _ = _coder_of(type(message))
    pb = make()
    fill(message, pb)
    data: bytes = pb.SerializeToString()
    return data


def deserialize(kind: type[T], data: bytes) -> T:
    """Return the message of that class from its wire format; raise protobuf's DecodeError if it is none."""
    try:
        made, _, read = _CODERS[kind]
    except KeyError:
        made, _, read = _coder_of(kind)
    message: T = read(made.FromString(data))
    return message


def _coder_of(kind: type[Message]) -> _Coder:
    """Return its coder; what the class has no function for is made when it is first asked for."""
    if kind not in _CODERS:
        fill, read = hot_codec.FILLERS.get(kind), hot_codec.READERS.get(kind)
        _CODERS[kind] = _Coder(pb_class(kind), fill or filler(kind), read or reader(kind))
    return _CODERS[kind]


def pb_class(kind: type[Message]) -> Any:
    """Return protobuf's class for a class of messages."""
    return next(getattr(module, kind.__name__) for module in v1.MODULES if hasattr(module, kind.__name__))


def filler(kind: type[Message]) -> Fill:
    """Return a function that fills protobuf's messages of a class, from the kinds of their fields."""
    puts = [(field.name, _put(field)) for field in fields_of(kind)]

    def fill(message: Message, pb: Any) -> None:
        for name, put in puts:
            if value := getattr(message, name):
                if put is None:
                    setattr(pb, name, value)
                else:
                    put(value, getattr(pb, name))

    return fill


def _put(field: Field) -> Fill | None:
    """Return what puts a field's value into protobuf's; None for what is just set."""
    if field.kind == "map":
        return lambda value, pb: pb.update(value)
    if field.message is None:
        return (lambda value, pb: pb.extend(value)) if field.repeated else None
    fill = _coder_of(field.message).fill

    def put(value: Any, pb: Any) -> None:
        pb.SetInParent()  # an empty message is told from none
        fill(value, pb)

    def put_all(value: Any, pb: Any) -> None:
        for item in value:
            fill(item, pb.add())

    return put_all if field.repeated else put


def reader(kind: type[Message]) -> Read:
    """Return a function that makes messages of a class of protobuf's, from the kinds of their fields."""
    gets = [(field.name, _get(field)) for field in fields_of(kind)]

    def read(pb: Any) -> Message:
        message = _new(kind)
        for name, get in gets:
            setattr(message, name, get(pb))
        return message

    return read


def _get(field: Field) -> Read:
    """Return what gets a field's value of protobuf's message."""
    get = attrgetter(field.name)
    if field.kind == "map":
        return lambda pb: dict(get(pb))
    if field.message is None:
        return (lambda pb: list(get(pb))) if field.repeated else get
    read = _coder_of(field.message).read
    if field.repeated:
        return lambda pb: [read(item) for item in get(pb)]
    return lambda pb: read(get(pb)) if pb.HasField(field.name) else None
