"""gRPC takes any option, and ignores one that it does not know: a slip in a name is found here."""

import re
from pathlib import Path

import pytest
from grpc._cython import cygrpc

import wherry
import wherry_service

_OPTION = re.compile(r"""\(\s*["'](grpc\.[a-z0-9_.]+)["'],""")


def options() -> list[str]:
    """All options that are set anywhere."""
    roots = [Path(package.__file__ or "").parent for package in (wherry, wherry_service)]
    files = [file for root in roots for file in root.rglob("*.py")]
    return sorted({name for file in files for name in _OPTION.findall(file.read_text())})


@pytest.fixture(scope="module")
def library() -> bytes:
    return Path(cygrpc.__file__).read_bytes()


def test_every_option_of_grpc_has_a_name_that_the_library_knows(library: bytes) -> None:
    found = options()
    assert "grpc.keepalive_time_ms" in found
    assert [name for name in found if name.encode() + b"\0" not in library] == []


def test_a_slip_in_a_name_would_be_found(library: bytes) -> None:
    assert b"grpc.http2.min_recv_ping_interval_without_data_ms\0" not in library
