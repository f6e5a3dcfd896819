"""Code that speaks the runner's protocol and the local API itself, and breaks both: others are answered."""

import inspect
import json
import re
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.acceptance.apps import breaker
from tests.acceptance.service import OwnService
from wherry.exception import Error, RemoteError


@pytest.fixture(scope="module")
def running(service: OwnService) -> Iterator[None]:
    with breaker.app.run(), breaker.web.run(), breaker.beside.run():
        assert breaker.echo.remote(1) == 1
        yield


def attack(program: Callable[..., object], *args: object) -> Any:
    """Run a function of its arguments, which imports what it needs, in a process beside the runner."""
    source = textwrap.dedent(inspect.getsource(program))
    said = breaker.carry_out.remote(f"{source}\nimport json\nprint(json.dumps({program.__name__}(*{args!r})))\n")
    return json.loads(said)


def head(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


ENDED = {
    "values of no generator": (b'{"t":"yields","rows":[["INPUT",0,1,null,1]],"parts":[1]}', b"x", "no generator"),
    "a count of no generator": (b'{"t":"outputs","rows":[["INPUT",1,null,1,7]],"parts":[1]}', b"x", "no generator"),
    "an index of 300 digits": (
        b'{"t":"yields","rows":[["INPUT",' + b"9" * 300 + b',1,null,1]],"parts":[1]}',
        b"x",
        "malformed yield row",
    ),
    "a count of 300 digits": (
        b'{"t":"outputs","rows":[["INPUT",1,null,1,' + b"9" * 300 + b']],"parts":[1]}',
        b"x",
        "malformed output row",
    ),
    "seconds of 400 digits": (b'{"t":"ready","seconds":1' + b"0" * 400 + b"}", b"", "not JSON"),
    "a number of 5000 digits": (b'{"t":"ready","seconds":' + b"9" * 5000 + b"}", b"", "not JSON"),
    "seconds that are no number": (b'{"t":"ready","seconds":NaN}', b"", "not JSON"),
    "seconds without end": (b'{"t":"ready","seconds":1e999}', b"", "not JSON"),
    "half of a surrogate pair": (
        b'{"t":"failure","input":"INPUT","kind":"exception","type":"\\ud800","message":"\\udfff"}',
        b"",
        "not JSON",
    ),
    "a header that is deep": (b"[" * 20_000, b"", "not JSON"),
    "a header that is a list": (b"[1,2]", b"", "not an object"),
    "a frame of no kind": (head(t="frobnicate"), b"", "unknown frame"),
    "another's answer": (
        head(t="outputs", rows=[["in-" + "0" * 26, 1, None, 1, 0]], parts=[1]),
        b"x",
        "does not hold",
    ),
    "parts that lie": (head(t="log", rows=[[1, None, 1]], parts=[100]), b"x", "add up to"),
    "a line of the year 6429": (head(t="log", rows=[[1, None, 1 << 47]], parts=[2]), b"hi", "malformed log row"),
    "a stream that is true": (b'{"t":"log","rows":[[true,null,1]],"parts":[2]}', b"hi", "malformed log row"),
    "a path for a blob": (
        b'{"t":"outputs","rows":[["INPUT",1,"../../etc/hostname",3,0]],"parts":[0]}',
        b"",
        "malformed blob name",
    ),
    "a web frame of no request": (
        b'{"t":"web","input":"INPUT","k":"body","more":[[[]]]}',
        b"",
        "malformed web frame",
    ),
}


class Web:
    """A function that answers requests."""

    def __init__(self, function: Any) -> None:
        url = function.get_web_url()
        self.host = re.sub(r"https?://|:\d+$", "", url)
        self.base = f"http://127.0.0.1:{url.rpartition(':')[2]}"

    def ask(self, path: str, **options: Any) -> httpx.Response:
        with httpx.Client(base_url=self.base, headers={"host": self.host}, trust_env=False, timeout=60) as client:
            return client.request("POST", path, **options)


@pytest.fixture(scope="module")
def ended(running: None) -> dict[str, httpx.Response]:
    """What each attack got: all of them at once, each in a container of its own."""
    web = Web(breaker.speaker)
    with ThreadPoolExecutor(6) as threads:
        frames = [{"head": raw.hex(), "body": body.hex()} for raw, body, _ in ENDED.values()]
        return dict(zip(ENDED, threads.map(lambda frame: web.ask("/", json=frame), frames), strict=True))


@pytest.mark.parametrize("attack", ENDED)
def test_who_breaks_the_protocol_is_ended_and_named(ended: dict[str, httpx.Response], attack: str) -> None:
    assert ended[attack].status_code == 502
    assert "broke the runner protocol" in ended[attack].text
    assert ENDED[attack][2] in ended[attack].text


def test_a_call_whose_container_breaks_the_protocol_fails_alone(running: None) -> None:
    with pytest.raises(RemoteError, match="broke the runner protocol: answered with a response, and runs no web"):
        breaker.speak.remote(b'{"t":"outputs","rows":[["INPUT",10,null,1,0]],"parts":[1]}', b"x")
    assert breaker.echo.remote(9) == 9


def test_its_callers_other_calls_are_answered_and_no_stack_is_logged(
    ended: dict[str, httpx.Response], service: OwnService
) -> None:
    assert breaker.echo.remote(7) == 7
    assert breaker.size.remote(b"abc") == 3
    assert list(breaker.values.remote_gen(3)) == [0, 1, 2]
    log = service.log()
    assert "Fatal error on transport" not in log
    assert "Traceback" not in log


# From a process beside the runner, in the function's container


def greet_again() -> list[str]:
    """Say hello on connections of one's own, as the runner would."""
    import json
    import socket
    import struct

    said = []
    for _ in range(5):
        own = socket.socket(socket.AF_UNIX)
        own.settimeout(10)
        own.connect("/run/wherry/runner.sock")
        hello = {"t": "hello", "protocol": 1, "python": "3", "pid": 1, "running": ["in-" + "0" * 26], "loaded": True}
        head = json.dumps(hello).encode()
        own.sendall(struct.pack(">II", len(head), 0) + head)
        heard = b""
        try:
            while data := own.recv(65536):
                heard += data
        except ConnectionError:
            pass
        said.append(repr(heard))
    return said


def test_a_second_hello_takes_nothing_over(running: None, service: OwnService) -> None:
    before = service.log().count("a second time")
    said = attack(greet_again)
    assert not any("inputs" in heard or "load" in heard for heard in said)
    # The runner still has its own connection: this answer came on it.
    assert service.log().count("a second time") == before + 1


def garble(count: int) -> int:
    """Send to the service's API what is none of its messages."""
    import json
    import os
    import random
    import socket
    import struct

    choose = random.Random(1)

    def frame(head: bytes, body: bytes = b"") -> bytes:
        return struct.pack(">II", len(head), len(body)) + head + body

    closed = 0
    for _ in range(count):
        own = socket.socket(socket.AF_UNIX)
        own.settimeout(10)
        own.connect("/run/wherry/api.sock")
        row = [choose.choice([None, 1, -1, 1 << 70, 1.5, "x", [], [[]] * 9, "\ud800", True]) for _ in range(8)]
        what = [
            os.urandom(500),
            b"\xff" * 8,
            frame(json.dumps(["call", "Calls.Session", row]).encode()),
            frame(json.dumps(["call", choose.choice(["Apps.Open", "Server.Stop", "x" * 9999]), row]).encode()),
            frame(json.dumps(["call", choose.choice(["Functions.Bind", "Dicts.Put", "Queues.Get"]), row]).encode()),
            frame(b"[" * 50_000),
            frame(b'["call","Server.Info",[NaN]]'),
            frame(b'["item",[]]') * 50,
        ]
        try:
            own.sendall(choose.choice(what))
            own.shutdown(socket.SHUT_WR)
            while own.recv(65536):
                pass
        except ConnectionError:
            pass
        closed += 1
        own.close()
    return closed


def test_what_is_no_message_is_answered_and_costs_nobody_else(running: None, service: OwnService) -> None:
    assert attack(garble, 300) == 300
    assert breaker.echo.remote(8) == 8
    assert "Fatal error on transport" not in service.log()


# Responses


@pytest.mark.parametrize(("path", "says"), [("/large", "headers of"), ("/many", "headers of"), ("/status", "status")])
def test_a_response_that_no_frame_holds_is_a_502_and_its_container_lives(
    running: None, service: OwnService, path: str, says: str
) -> None:
    web = Web(breaker.site)
    before = web.ask("/pid")
    assert before.status_code == 200
    broken = web.ask(path)
    assert broken.status_code == 502, broken.text
    assert says in broken.text
    assert web.ask("/pid").text == before.text
    assert "malformed" in service.log()


def test_other_calls_are_answered_while_containers_break_one_after_the_other(running: None) -> None:
    answers: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            answers.append(breaker.echo.remote(len(answers)))

    thread = threading.Thread(target=ask)
    thread.start()
    with pytest.raises(Error):
        breaker.speak.remote(b"nonsense", b"")
    stop.set()
    thread.join(30)
    assert answers == list(range(len(answers)))
    assert len(answers) > 10
