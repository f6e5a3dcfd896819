"""Frames as a client has them: requests refused before all was sent, connections that break, what receiving costs."""

import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.client.test_interrupts import Echo, echo
from wherry._connection.transport.frames import FramesTransport
from wherry.exception import ConnectionError, NotFoundError
from wherry_proto.messages import BlobChunk, DictPutRequest, VolumeChunk

__all__ = ["echo"]

# More than a socket holds: what is sent waits until the other side reads, or closes.
LARGE = b"x" * (8 << 20)


@pytest.fixture
def refusing(tmp_path: Path) -> Iterator[Callable[[bytes], FramesTransport]]:
    """Start a service that answers each connection with these bytes at once, and reads nothing."""
    servers = []

    def start(answer: bytes) -> FramesTransport:
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(tmp_path / "s"))
        server.listen()
        servers.append(server)

        def serve() -> None:
            connection, _ = server.accept()
            connection.recv(100)
            connection.sendall(answer)
            connection.close()

        threading.Thread(target=serve, daemon=True).start()
        return FramesTransport(str(tmp_path / "s"))

    yield start
    for server in servers:
        server.close()


def frame(*header: object) -> bytes:
    head = json.dumps(header).encode()
    return struct.pack(">II", len(head), 0) + head


CALLS: dict[str, Callable[[FramesTransport], object]] = {
    "upload": lambda transport: transport.upload("Volumes.Write", iter([VolumeChunk(data=LARGE)] * 3)),
    "blob": lambda transport: transport.upload("Blobs.Put", iter([BlobChunk(data=LARGE)])),
    "call": lambda transport: transport.call("Dicts.Put", DictPutRequest(dict_id="d" * len(LARGE))),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_refusal_is_told_though_not_all_was_sent(refusing: Callable[[bytes], FramesTransport], call: str) -> None:
    transport = refusing(frame("error", "NOT_FOUND", "there is no such volume"))
    with pytest.raises(NotFoundError, match="there is no such volume"):
        CALLS[call](transport)


@pytest.mark.parametrize("answer", [b"", b"\0\0"])
def test_a_connection_that_breaks_is_told_as_such(refusing: Callable[[bytes], FramesTransport], answer: bytes) -> None:
    with pytest.raises(ConnectionError, match=r"to Volumes\.Write: "):
        CALLS["upload"](refusing(answer))


# glibc's limit as a process begins with it. It rises as larger pieces are given back, which imports may do.
THRESHOLD = {"MALLOC_MMAP_THRESHOLD_": str(128 << 10)}
ANSWERS = """
import resource, sys
from wherry._connection.transport.frames import FramesTransport
from wherry_proto.messages import SessionUp

fills_what_imports_left_free = [bytes(100_000) for _ in range(100)]
exchange = FramesTransport(sys.argv[1]).exchange("Calls.Session", SessionUp())
answers = iter(exchange)
next(answers)
for number in range(400):
    if number == 200:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    exchange.send(SessionUp())
    next(answers)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_a_small_answer_takes_no_new_page_of_memory(echo: Echo, tmp_path: Path) -> None:
    command = [sys.executable, "-c", ANSWERS, tmp_path / "s"]
    program = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, env=os.environ | THRESHOLD
    )
    assert program.stderr == ""
    assert int(program.stdout) < 50  # of two hundred answers
