"""What a container sends over the service's sockets: floods, halves, replays. Others are answered meanwhile."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import wherry
from tests.acceptance.service import OwnService
from tests.hostile.places import FunctionPlace
from tests.waiting import wait_until

SOCKETS = ("runner.sock", "api.sock", "values.sock")


@pytest.fixture
def neighbour(service: OwnService) -> Iterator["Neighbour"]:
    """An app beside, which asks and is asked all the time."""
    from tests.hostile import greedy

    with greedy.app.run():
        found = Neighbour(greedy.roomy)
        yield found
        found.end()


class Neighbour:
    """Calls a function of its own for as long as a test runs."""

    def __init__(self, function: wherry.Function[..., int]) -> None:
        self._function = function
        assert function.remote(1) == 1
        self.answers = 0
        self.slowest_s = 0.0
        self._over = threading.Event()
        self._errors: list[Exception] = []
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        try:
            while not self._over.wait(0.02):
                began = time.monotonic()
                assert self._function.remote(1) == 1
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self.answers += 1
        except Exception as error:  # noqa: BLE001 - it is raised at the end
            self._errors.append(error)

    def end(self) -> None:
        wait_until(lambda: self.answers > 3 or self._errors, "it is answered", 30)
        self._over.set()
        self._thread.join(60)
        assert not self._errors, self._errors
        assert self.slowest_s < 10, self.slowest_s


def flood(name: str, count: int, first: str) -> list[int]:
    """Hold so many connections open, each with the beginning of something; return how many were made, and closed."""
    import socket

    held, closed = [], 0
    for _ in range(count):
        own = socket.socket(socket.AF_UNIX)
        own.settimeout(1)
        try:
            own.connect(f"/run/wherry/{name}")
            own.sendall(bytes.fromhex(first))
        except OSError:
            closed += 1
            own.close()
            continue
        held.append(own)
    for own in held:
        own.setblocking(False)
        try:
            closed += not own.recv(65536)
        except BlockingIOError:
            pass
        except OSError:
            closed += 1
    return [len(held), closed]


BEGINNINGS = {
    "nothing": "",
    "half a length": "0000",
    "a length without end": "ffffffffffffffff",
    "a header that does not come": "0000010000000000",
    "a body that does not come": "000000020010000000" + b"{}".hex(),
    "an empty frame": "0000000000000000",
}


@pytest.mark.parametrize("name", SOCKETS)
@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_connections_without_end_hold_nobody_up(
    function: FunctionPlace, neighbour: Neighbour, service: OwnService, runtime: str, name: str, beginning: str
) -> None:
    if runtime == "runsc" and name == "values.sock":
        pytest.skip("where a socket's queue is full, gVisor's connect waits without end: the attacker holds itself up")
    before = service.reset_peak_kib()
    got = _flooded(function, name, beginning)
    if got is not None and name == "runner.sock":
        # The hundredth that says nothing ends the container, and the oldest are closed before.
        assert got[1] >= 90, got
    assert service.peak_kib() - before < 100 << 10
    assert "Traceback" not in service.log()


def _flooded(function: FunctionPlace, name: str, beginning: str) -> list[int] | None:
    """Flood; None where the container was ended for it, which is right: the next call has another."""
    try:
        got = function.attack(flood, name, 300, BEGINNINGS[beginning], timeout_s=40)
    except wherry.exception.RemoteError:
        return None
    return list(got.value) if got.value else None


def value_of(size: int, ends: bool) -> str:
    """Send a value over its socket; return the answer."""
    import socket

    own = socket.socket(socket.AF_UNIX)
    own.settimeout(10)
    own.connect("/run/wherry/values.sock")
    own.sendall(b"x" * size)
    if not ends:
        return "left"
    own.shutdown(socket.SHUT_WR)
    return own.recv(1000).decode()


def host_name() -> str:
    import socket

    return socket.gethostname()


def test_values_that_nobody_names_are_given_back(function: FunctionPlace, service: OwnService, runtime: str) -> None:
    for _ in range(20):
        assert function.attack(value_of, 1 << 20, False).value == "left"
    # gVisor ends the sending side of one who has gone, and waits for the answer in his place: what he sent is whole to
    # the service, and counts as values do that nobody names.
    most = 20 << 20 if runtime == "runsc" else 0
    wait_until(lambda: _values_of(service) <= most and not _begun(service), "what was begun is gone")
    name = function.attack(value_of, 1 << 20, True).value.strip()
    assert len(name) == 24, name
    assert 1 << 20 <= _values_of(service) <= most + (1 << 20)
    service.kill_container(function.attack(host_name).value)
    wait_until(lambda: _values_of(service) == 0, "the rest is gone with its container")


def _begun(service: OwnService) -> list[Path]:
    return list(service.state_dir.glob("run/*/values/*.part"))


def _values_of(service: OwnService) -> int:
    return sum(path.stat().st_size for path in service.state_dir.glob("run/*/values/*"))


def answer_with(name: str) -> str:
    """Say on a connection of its own that a value of that name is the answer to an input."""
    import json
    import socket
    import struct

    own = socket.socket(socket.AF_UNIX)
    own.settimeout(5)
    own.connect("/run/wherry/runner.sock")
    for frame in (
        {"t": "hello", "protocol": 1, "python": "3", "pid": 1, "running": [], "loaded": True},
        {"t": "outputs", "rows": [["in-" + "0" * 26, 1, name, 3, 0]], "parts": [0]},
    ):
        head = json.dumps(frame).encode()
        own.sendall(struct.pack(">II", len(head), 0) + head)
    return repr(own.recv(65536))


@pytest.mark.parametrize("name", ["../../wherry.db", "local.sock", "/etc/hostname", "." * 24, "a" * 24])
def test_a_value_of_that_name_is_nobodys(function: FunctionPlace, service: OwnService, name: str) -> None:
    got = function.attack(answer_with, name)
    # A second runner is given nothing.
    assert "inputs" not in str(got.value), got
    assert '"load"' not in str(got.value), got
    for kept in ("wherry.db", "local.sock"):
        assert (service.state_dir / kept).exists()


def replace_blob(first: str, second: str) -> list[str]:
    """Send a value for callers under an id, and then another under the same one."""
    import sys

    sys.path.append("/wherry/sdk")
    from wherry._connection.transport.frames import FramesTransport
    from wherry.exception import Error
    from wherry_proto.messages import BlobChunk, BlobGetRequest

    transport = FramesTransport("/run/wherry/api.sock")
    blob_id = "bl-01ARZ3NDEKTSV4RRFFQ69G5FAV"
    said = []
    for text in (first, second):
        try:
            transport.upload("Blobs.Put", iter([BlobChunk(blob_id=blob_id, data=text.encode())]))
            said.append("taken")
        except Error as error:
            said.append(type(error).__name__)
    data = b"".join(chunk.data for chunk in transport.stream("Blobs.Get", BlobGetRequest(blob_id=blob_id)))
    return [*said, data.decode()]


def test_a_value_that_is_there_is_not_replaced(function: FunctionPlace) -> None:
    got = function.attack(replace_blob, "the first", "another")
    assert got.value is not None, got
    assert got.value[0] == "taken"
    assert got.value[2] == "the first", got


def put_twice() -> list[int]:
    """Replay a request to put: the same operation, sent again on another connection."""
    import sys

    sys.path.append("/wherry/sdk")
    from wherry._connection.transport.frames import FramesTransport
    from wherry_proto.messages import ObjectOpenRequest, Payload, QueueCountRequest, QueuePutRequest

    transport = FramesTransport("/run/wherry/api.sock")
    opened = transport.call("Queues.Open", ObjectOpenRequest(name="replayed", create=True))
    queue_id = opened.object_id  # type: ignore[attr-defined]
    operation = "op-01ARZ3NDEKTSV4RRFFQ69G5FAV"
    for _ in range(3):
        request = QueuePutRequest(queue_id=queue_id, operation_id=operation, values=[Payload(data=b"x")])
        transport.call("Queues.Put", request)
    count = transport.call("Queues.Count", QueueCountRequest(queue_id=queue_id, total=True))
    return [int(count.count)]  # type: ignore[attr-defined]


def test_a_request_that_is_sent_again_counts_once(function: FunctionPlace) -> None:
    got = function.attack(put_twice)
    assert got.value == [1], got
