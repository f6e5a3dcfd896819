"""The generated messages, their codec, and the check that they are fresh."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.every_message import KINDS
from wherry_proto import messages, services

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_fields_are_those_of_the_proto(kind: type[messages.Message]) -> None:
    modules = [
        importlib.import_module(f"wherry_proto.v1.{path.stem}_pb2")
        for path in (ROOT / "protos/wherry/v1").glob("*.proto")
    ]
    (pb,) = [
        getattr(module, kind.__name__)
        for module in modules
        # A list: protobuf 4's mapping says yes to each message of the package.
        if kind.__name__ in list(module.DESCRIPTOR.message_types_by_name)
    ]
    assert tuple(field.name for field in pb.DESCRIPTOR.fields) == kind.__slots__


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


def test_what_is_made_no_more_is_stale_and_what_is_written_by_hand_is_not(tmp_path: Path) -> None:
    protos = tmp_path / "protos"
    shutil.copytree(ROOT / "protos", protos, ignore=shutil.ignore_patterns("__pycache__"))
    package = protos / "wherry_proto"
    (package / "own.py").write_text("")
    (package / "hot_old.py").write_text((package / "services.py").read_text())
    (package / "v1" / "old_pb2.py").write_text("")
    check = [sys.executable, str(protos / "generate.py"), "--check"]
    stale = subprocess.run(check, capture_output=True, text=True, check=False)

    assert stale.stderr == "stale, run ./dev proto: wherry_proto/hot_old.py, wherry_proto/v1/old_pb2.py\n"


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("message Either { oneof which { string left = 1; bytes right = 2; } }", "Either.left"),
        ("message Many { repeated bytes parts = 1; }", "Many.parts"),
        ("message Counts { map<string, uint32> of = 1; }", "Counts.of"),
        ("message Old { fixed64 number = 1; }", "Old.number"),
    ],
)
def test_what_the_generator_can_not_do_it_refuses_by_name(tmp_path: Path, message: str, field: str) -> None:
    protos = tmp_path / "protos"
    shutil.copytree(ROOT / "protos", protos, ignore=shutil.ignore_patterns("__pycache__"))
    call = protos / "wherry/v1/call.proto"
    call.write_text(call.read_text() + f"\n{message}\n")
    refused = subprocess.run(
        [sys.executable, str(protos / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 1
    assert f"{field}: this kind of field is not supported" in refused.stderr
