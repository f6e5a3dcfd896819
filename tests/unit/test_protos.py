"""The generated messages, their codec, and the check that they are fresh."""

import importlib
import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from google.protobuf.message import DecodeError

from wherry_proto import codec, messages, rows, services

ROOT = Path(__file__).parents[2]
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


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_field_survives_the_wire(kind: type[messages.Message]) -> None:
    message = filled(kind)

    again = codec.deserialize(kind, codec.serialize(message))

    assert again == message
    assert again != kind() or not kind.__slots__


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_is_not_set_takes_no_room_and_comes_back_as_default(kind: type[messages.Message]) -> None:
    assert codec.serialize(kind()) == b""
    again = codec.deserialize(kind, b"")
    assert again == kind()
    assert not any(getattr(again, name) for name in kind.__slots__)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_fields_are_those_of_the_proto(kind: type[messages.Message]) -> None:
    modules = [
        importlib.import_module(f"wherry_proto.v1.{path.stem}_pb2")
        for path in (ROOT / "protos/wherry/v1").glob("*.proto")
    ]
    (pb,) = [
        getattr(module, kind.__name__) for module in modules if kind.__name__ in module.DESCRIPTOR.message_types_by_name
    ]
    assert tuple(field.name for field in pb.DESCRIPTOR.fields) == kind.__slots__


def test_an_empty_message_within_a_message_is_told_from_none() -> None:
    message = messages.Output(payload=messages.Payload())
    assert codec.deserialize(messages.Output, codec.serialize(message)).payload == messages.Payload()
    assert codec.deserialize(messages.Output, b"").payload is None


def test_messages_share_no_lists() -> None:
    first, second = messages.SessionUp(), messages.SessionUp()
    first.taken.append("in-1")
    assert second.taken == []


def test_messages_compare_and_show_by_fields() -> None:
    message = messages.InputsEnd(call_id="fc-1", num_inputs=2)
    assert message == messages.InputsEnd(call_id="fc-1", num_inputs=2)
    assert message != messages.InputsEnd(call_id="fc-1", num_inputs=3)
    assert message != messages.CallWatch(call_id="fc-1")
    assert repr(message) == "InputsEnd(call_id='fc-1', num_inputs=2)"
    assert len(repr(messages.Payload(data=b"x" * (1 << 20)))) < 300
    with pytest.raises(TypeError):
        hash(message)
    with pytest.raises(AttributeError):
        message.other = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_survives_as_a_row(kind: type[messages.Message]) -> None:
    message = filled(kind)
    parts: list[bytes] = []
    row = json.loads(json.dumps(rows.to_row(message, parts)))
    assert rows.from_row(kind, row, b"".join(parts)) == message
    empty = kind()
    assert rows.from_row(kind, json.loads(json.dumps(rows.to_row(empty, []))), b"") == empty


@pytest.mark.parametrize(
    "row",
    [
        None,
        7,
        "x",
        {},
        [],
        [1],
        ["", "", 0],
        ["", "", 0, [1, 99, "", 0]],
        ["", "", 0, [1, -1, "", 0]],
        [[], "", 0, None],
    ],
)
def test_rows_that_are_no_message_are_refused(row: object) -> None:
    with pytest.raises(rows.RowError):
        rows.from_row(messages.Input, row, b"short")


def test_bytes_that_are_no_message_are_refused() -> None:
    with pytest.raises(DecodeError):
        codec.deserialize(messages.SessionUp, b"\xff\xff\xff")


def test_enums_are_plain_numbers_without_the_prefix() -> None:
    assert messages.FailureKind.EXCEPTION == 1
    assert messages.CallKind.UNSPECIFIED == 0


def test_methods_name_their_messages() -> None:
    method = services.METHODS["Calls.Session"]
    assert method == services.Method("/wherry.v1.Calls/Session", "SessionUp", "SessionDown", True, True)
    for method in services.METHODS.values():
        assert hasattr(messages, method.request)
        assert hasattr(messages, method.response)


def test_messages_load_nothing_heavy() -> None:
    code = (
        "import sys; before = set(sys.modules); import wherry_proto.messages; print(*sorted(set(sys.modules) - before))"
    )
    loaded = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT / 'protos')!r}); {code}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    heavy = {"google", "google.protobuf", "grpc", "dataclasses", "enum", "inspect", "asyncio"}
    assert heavy.isdisjoint(loaded)
    assert all(name.startswith("wherry_proto") for name in loaded)


def test_stale_output_is_found_and_named(tmp_path: Path) -> None:
    protos = tmp_path / "protos"
    shutil.copytree(ROOT / "protos", protos, ignore=shutil.ignore_patterns("__pycache__"))
    check = [sys.executable, str(protos / "generate.py"), "--check"]
    fresh = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (fresh.returncode, fresh.stderr) == (0, "")

    call = protos / "wherry/v1/call.proto"
    call.write_text(call.read_text().replace("string parent_input_id = 4;", "string parent_input_id = 5;"))
    stale = subprocess.run(check, capture_output=True, text=True, check=False)

    assert stale.returncode == 1
    assert "wherry_proto/v1/call_pb2.py" in stale.stderr
    assert "server_pb2" not in stale.stderr


def test_what_the_generator_can_not_do_it_refuses_by_name(tmp_path: Path) -> None:
    protos = tmp_path / "protos"
    shutil.copytree(ROOT / "protos", protos, ignore=shutil.ignore_patterns("__pycache__"))
    call = protos / "wherry/v1/call.proto"
    call.write_text(call.read_text() + "\nmessage Either { oneof which { string left = 1; bytes right = 2; } }\n")
    refused = subprocess.run(
        [sys.executable, str(protos / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert "Either.left" in refused.stderr
