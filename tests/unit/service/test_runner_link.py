"""A hostile runner: whatever it sends, the agent refuses it with a reason and goes on."""

import struct
from collections.abc import Sequence
from typing import Any

import pytest

from wherry_proto.messages import Failure
from wherry_service.ids import new_id, time_of
from wherry_service.logs.batch import LogRow
from wherry_service.node import frames
from wherry_service.node.events import OutputRow, YieldRow
from wherry_service.node.frames import ProtocolError
from wherry_service.node.runner_link import LinkEvents, RunnerLink
from wherry_service.node.runs import Runs

HELLO = {"t": "hello", "protocol": 1, "python": "3.11.2", "pid": 7, "running": [], "loaded": False}


class Heard(LinkEvents):
    """Notes everything."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []
        self.error = ""

    def on_connected(self, link: RunnerLink, running: Sequence[str], loaded: bool) -> None:
        self.events.append(("hello", running, loaded))

    def on_ready(self, link: RunnerLink, seconds: float) -> None:
        self.events.append(("ready", seconds))

    def on_load_failed(self, link: RunnerLink, failure: Failure) -> None:
        self.events.append(("load_failed", failure))

    def on_log(self, link: RunnerLink, rows: Sequence[LogRow]) -> None:
        self.events.append(("log", rows))

    def on_outputs(self, link: RunnerLink, rows: Sequence[OutputRow]) -> None:
        self.events.append(("outputs", rows))

    def on_yields(self, link: RunnerLink, rows: Sequence[YieldRow]) -> None:
        self.events.append(("yields", rows))

    def on_failure(self, link: RunnerLink, input_id: str, failure: Failure, num_yields: int) -> None:
        self.events.append(("failure", input_id, failure, num_yields))

    def on_returned(self, link: RunnerLink, input_ids: Sequence[str]) -> None:
        self.events.append(("returned", input_ids))

    def on_link_lost(self, link: RunnerLink) -> None:
        self.events.append(("lost",))

    def on_protocol_error(self, link: RunnerLink, error: ProtocolError) -> None:
        self.error = str(error)


def linked(heard: Heard, runs: Runs) -> RunnerLink:
    return RunnerLink("co-1", {"in-1", "in-2"}, heard, runs, lambda name, size: "bl-taken")


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def link(heard: Heard) -> RunnerLink:
    return linked(heard, Runs())


def test_a_good_runner_is_heard(link: RunnerLink, heard: Heard) -> None:
    link.data_received(frames.encode(dict(HELLO)))
    link.data_received(frames.encode({"t": "ready", "seconds": 0.5}))
    link.data_received(frames.encode({"t": "log", "rows": [[1, "in-1", 5], [2, "in-9", 6, 1]]}, [b"hi", b"\xff"]))
    link.data_received(frames.encode({"t": "outputs", "rows": [["in-1", 1, None, 3, 0]]}, [b"abc"]))
    failure = {"t": "failure", "input": "in-2", "kind": "exception", "type": "ValueError", "message": "m" * 100_000}
    link.data_received(frames.encode(failure, [b"pickle"]))
    assert heard.error == ""
    kinds = [event[0] for event in heard.events]
    assert kinds == ["hello", "ready", "log", "outputs", "failure"]
    # A line for an input that is not held belongs to the container; text that is no UTF-8 is shown as far as it goes.
    assert heard.events[2][1] == [(1, "in-1", 5, "hi", False), (2, "", 6, "�", True)]
    assert heard.events[3][1][0][1].data == b"abc"
    assert len(heard.events[4][2].message) == 64 << 10


@pytest.mark.parametrize(
    ("header", "parts", "says"),
    [
        ({"t": "nonsense"}, [], "unknown frame 'nonsense'"),
        ({"t": "ready"}, [], "ready without seconds"),
        ({"t": "log", "rows": [[3, None, 1]]}, [b"x"], "malformed log row"),
        ({"t": "log", "rows": [[1, None]]}, [b"x"], "does not have 3 fields"),
        ({"t": "log", "rows": [[1, None, 1, 0, 7]]}, [b"x"], "does not have 3 fields"),
        ({"t": "log", "rows": [[1, None, -1]]}, [b"x"], "malformed log row"),
        ({"t": "log", "rows": [[1, None, 1 << 48]]}, [b"x"], "malformed log row"),
        ({"t": "log", "rows": [[1, None, 1]]}, [b"two\nlines"], "malformed log row"),
        ({"t": "log", "rows": []}, [], "rows and parts do not match"),
        ({"t": "outputs", "rows": [["in-1", 1, None, 1, 0]]}, [b"x", b"y"], "rows and parts do not match"),
        ({"t": "outputs", "rows": [["in-9", 1, None, 1, 0]]}, [b"x"], "does not hold"),
        ({"t": "outputs", "rows": [[["in-1"], 1, None, 1, 0]]}, [b"x"], "does not hold"),
        ({"t": "outputs", "rows": [["in-1", 1, None, 1, 0], ["in-1", 1, None, 1, 0]]}, [b"x", b"x"], "does not hold"),
        ({"t": "outputs", "rows": [["in-1", 7, None, 1, 0]]}, [b"x"], "unknown payload format"),
        ({"t": "outputs", "rows": [["in-1", 1, "../../etc/passwd", 1, 0]]}, [b""], "malformed blob name"),
        ({"t": "outputs", "rows": [["in-1", 1, None, 1, -1]]}, [b"x"], "malformed output row"),
        ({"t": "outputs", "rows": [["in-1", 1, None, 1, 0]]}, [b"x" * ((1 << 20) + 1)], "inline payload of 1048577"),
        ({"t": "yields", "rows": [["in-9", 0, 1, None, 1]]}, [b"x"], "does not hold"),
        ({"t": "yields", "rows": [["in-1", "0", 1, None, 1]]}, [b"x"], "malformed yield row"),
        ({"t": "yields", "rows": [["in-1", 0, 1, None, 1, 99]]}, [b"x"], "a run that it was not given"),
        ({"t": "yields", "rows": [["in-1", 0, 1, None, 1, [5]]]}, [b"x"], "a run that it was not given"),
        ({"t": "yields", "rows": [["in-1", 0, 1, None, 1, 5, 5]]}, [b"x"], "does not have 5 fields"),
        ({"t": "yields", "rows": [["in-1", 1, 1, None, 1, 5]]}, [b"x"], "value 1 of a generator where value 0 was"),
        ({"t": "outputs", "rows": [["in-1", 1, None, 1, 1, 5]]}, [b"x"], "after 1 values, of which 0 came"),
        ({"t": "failure", "input": "in-1", "kind": "exception", "run": 4}, [], "a run that it was not given"),
        ({"t": "failure", "input": "in-9", "kind": "exception"}, [], "does not hold"),
        ({"t": "failure", "input": "in-1", "kind": "magic"}, [], "malformed failure"),
        ({"t": "failure", "input": "in-1", "kind": ["exception"]}, [], "kind is not text"),
        ({"t": "failure", "input": "in-1", "kind": "exception", "type": 7}, [], "type is not text"),
        ({"t": "returned", "inputs": ["in-9"]}, [], "does not hold"),
        ({"t": "returned", "inputs": ["i" * 65]}, [], "no id"),
        ({"t": "ready", "seconds": 10**300}, [], "ready without seconds"),
        ({"t": "ready", "seconds": -1}, [], "ready without seconds"),
        ({"t": "log", "rows": [[True, None, 5]]}, [b"x"], "malformed log row"),
        ({"t": "log", "rows": [[1.0, None, 5]]}, [b"x"], "malformed log row"),
        ({"t": "log", "rows": [[1, None, 5]]}, [b"x" * 300_000], "malformed log row"),
        ({"t": "outputs", "rows": [["in-1", 1, None, 3, 1 << 31]]}, [b"abc"], "malformed output row"),
        ({"t": "outputs", "rows": [["in-1", 1, "blob", 1 << 63, 0]]}, [b""], "malformed blob name or size"),
        ({"t": "outputs", "rows": [["in-1", True, None, 3, 0]]}, [b"abc"], "unknown payload format"),
        ({"t": "yields", "rows": [["in-1", 10**299, 1, None, 3]]}, [b"abc"], "malformed yield row"),
        ({"t": "failure", "input": "in-1", "kind": "exception", "num_yields": 1 << 31}, [], "malformed failure"),
        ({"t": "web", "input": "in-1", "k": "body", "more": [[]] * 1000}, [], "malformed web frame 'body'"),
        ({"t": "web", "input": "in-1", "k": "took", "n": "x" * 1000}, [], "malformed web frame 'took'"),
        ({"t": "web", "input": "in-1", "k": "start", **{f"x{n}": n for n in range(99)}}, [], "malformed web frame"),
        ({"t": "returned", "inputs": "in-1"}, [], "not a list of strings"),
    ],
)
def test_a_runner_that_breaks_the_protocol_is_named(
    heard: Heard, monkeypatch: pytest.MonkeyPatch, header: dict[str, Any], parts: list[bytes], says: str
) -> None:
    monkeypatch.setattr("secrets.randbits", lambda _bits: 4)
    runs = Runs()
    assert runs.begin("in-1") == 5
    link = linked(heard, runs)
    link.data_received(frames.encode(dict(HELLO)))
    link.data_received(frames.encode(header, parts))
    assert says in heard.error
    assert [event[0] for event in heard.events] == ["hello"]


def test_what_makes_no_sense_to_who_hears_it_ends_the_link_and_nothing_else(
    link: RunnerLink, heard: Heard, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(link: RunnerLink, seconds: float) -> None:
        raise RuntimeError("it can't go from stopped to idle")

    monkeypatch.setattr(heard, "on_ready", broken)
    link.data_received(frames.encode(dict(HELLO)))
    link.data_received(frames.encode({"t": "ready", "seconds": 1}))
    assert heard.error == "what it sent could not be taken: RuntimeError: it can't go from stopped to idle"
    assert "what container co-1 sent could not be taken" in caplog.text


def test_who_has_not_said_hello_sends_no_body(link: RunnerLink, heard: Heard) -> None:
    link.data_received(struct.pack(">II", 100, 1) + b" " * 50)
    assert heard.error == "body of 1 bytes, at most 0 are allowed"


@pytest.mark.parametrize("text", ['"\\ud800"', "NaN", "Infinity", "1" * 5000])
def test_what_json_can_say_and_nobody_can_write_on_is_refused(link: RunnerLink, heard: Heard, text: str) -> None:
    link.data_received(frames.encode(dict(HELLO)))
    head = b'{"t":"ready","seconds":%s}' % text.encode()
    link.data_received(struct.pack(">II", len(head), 0) + head)
    assert "not JSON" in heard.error


def test_nothing_comes_before_hello(link: RunnerLink, heard: Heard) -> None:
    link.data_received(frames.encode({"t": "ready", "seconds": 0.1}))
    assert heard.error == "'ready' before hello"


@pytest.mark.parametrize("protocol", [2, None, "1", [1] * 1000])
def test_another_version_is_refused(link: RunnerLink, heard: Heard, protocol: object) -> None:
    link.data_received(frames.encode({**HELLO, "protocol": protocol}))
    assert "this agent speaks 1" in heard.error
    assert len(heard.error) < 100


def test_an_oversized_frame_is_refused_before_it_is_read(link: RunnerLink, heard: Heard) -> None:
    link.data_received(struct.pack(">II", 0xFFFFFFFF, 0xFFFFFFFF))
    assert "header of 4294967295 bytes" in heard.error


def test_a_line_lies_in_the_life_of_its_container(heard: Heard) -> None:
    container_id = new_id("co")
    link = RunnerLink(container_id, set(), heard, Runs(), lambda name, size: "bl-taken")
    link.data_received(frames.encode(dict(HELLO)))
    now_ms = time_of(container_id)
    rows = [[1, None, at_ms] for at_ms in (0, now_ms + 5, (1 << 47) - 1)]
    link.data_received(frames.encode({"t": "log", "rows": rows}, [b"x"] * 3))
    ((_, lines),) = [event for event in heard.events if event[0] == "log"]
    first, second, third = [line[2] for line in lines]
    assert (first, second) == (now_ms, now_ms + 5)
    assert now_ms + 60_000 <= third < now_ms + 120_000
