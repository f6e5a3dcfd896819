"""Code in a container that wants the service to hold ever more for it: that is bounded, and others are answered."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.apps import breaker
from tests.acceptance.service import OwnService
from tests.acceptance.test_hostile_protocol import attack

# MiB that the service may have more at its peak than before the attack.
ALLOWED_MIB = 160


@pytest.fixture(scope="module", autouse=True)
def running(service: OwnService) -> Iterator[None]:
    with breaker.app.run(), breaker.beside.run():
        assert breaker.echo.remote(1) == 1
        yield


def bounded(service: OwnService, program: Callable[..., object], *args: object) -> object:
    """Run an attack; fail if the service grows by more than is allowed, or another app is not answered meanwhile."""
    before = service.reset_peak_kib()
    with ThreadPoolExecutor(1) as threads:
        got = threads.submit(attack, program, *args)
        answers = 0
        while not got.done() or not answers:
            assert breaker.echo.remote(answers) == answers
            answers += 1
    grown = (service.peak_kib() - before) >> 10
    assert grown < ALLOWED_MIB, f"the service grew by {grown} MiB: {got.result()}"
    return got.result()


def flood(name: str, count: int, head: int, body: int, sent: int) -> list[int]:
    """Begin a frame on each of many connections; return how many stayed open, and how many were closed."""
    import socket
    import struct

    held, closed = [], 0
    for _ in range(count):
        own = socket.socket(socket.AF_UNIX)
        own.settimeout(2)
        try:
            own.connect("/run/wherry/" + name)
            own.sendall(struct.pack(">II", head, body) + b" " * head + b"x" * sent)
            held.append(own)
        except OSError:
            closed += 1
            own.close()
    return [len(held), closed]


@pytest.mark.parametrize(
    ("name", "count", "head", "body", "sent"),
    [
        ("runner.sock", 50, 0, 0, 0),
        ("api.sock", 80, 100, 16 << 20, 15 << 20),
        ("api.sock", 40, 10 << 20, 1 << 20, 0),
        ("api.sock", 600, 0, 0, 0),
    ],
)
def test_connections_and_requests_that_never_end(
    service: OwnService, name: str, count: int, head: int, body: int, sent: int
) -> None:
    held, closed = bounded(service, flood, name, count, head, body, sent)  # type: ignore[misc]
    assert held + closed == count
    if sent:
        assert closed > count // 2


def hellos(count: int) -> int:
    """Say that it holds inputs which nobody gave it."""
    import json
    import socket
    import struct

    said = 0
    for turn in range(count):
        own = socket.socket(socket.AF_UNIX)
        own.settimeout(2)
        try:
            own.connect("/run/wherry/runner.sock")
            ids = [f"in-{turn:08d}{number:06d}ABCDEFGHIJKL" for number in range(25_000)]
            hello = {"t": "hello", "protocol": 1, "python": "3", "pid": 1, "running": ids, "loaded": True}
            head = json.dumps(hello, separators=(",", ":")).encode()
            own.sendall(struct.pack(">II", len(head), 0) + head)
            while own.recv(65536):
                pass
        except OSError:
            pass
        own.close()
        said += 1
    return said


def test_ids_that_nobody_gave_it(service: OwnService) -> None:
    assert bounded(service, hellos, 30) == 30


SESSION = """
import json, socket, struct

def frame(kind, row):
    head = json.dumps([*kind, row]).encode()
    return struct.pack(">II", len(head), 0) + head

def opened():
    own = socket.socket(socket.AF_UNIX)
    own.settimeout(2)
    own.connect("/run/wherry/api.sock")
    hello = [["cl-01ARZ3NDEKTSV4RRFFQ69G5FAV", 1, "0", "3.11"], [], [], [], [], [], [], []]
    own.sendall(frame(["call", "Calls.Session"], hello))
    own.recv(65536)
    return own
"""


def calls(library: str, turns: int) -> str:
    """Start calls without inputs, a thousand a message."""
    names: dict = {}
    exec(library, names)
    own = names["opened"]()
    try:
        for turn in range(turns):
            starts = [[f"fc-{turn * 1000 + number:026d}", "fu-nope", 1, ""] for number in range(1000)]
            own.sendall(names["frame"](["item"], [None, starts, [], [], [], [], [], []]))
    except OSError as error:
        return type(error).__name__
    return "done"


def watches(library: str, turns: int) -> str:
    """Ask for the results of calls that are unknown, and read nothing."""
    names: dict = {}
    exec(library, names)
    own = names["opened"]()
    try:
        for turn in range(turns):
            asked = [[f"fc-{turn * 1000 + number:026d}"] for number in range(1000)]
            own.sendall(names["frame"](["item"], [None, [], [], [], [], [], asked, []]))
    except OSError as error:
        return type(error).__name__
    return "done"


@pytest.mark.parametrize("program", [calls, watches])
def test_sessions_that_ask_without_end(service: OwnService, program: Callable[[str, int], str]) -> None:
    assert bounded(service, program, SESSION, 100)
