"""A signal's handler raises (Ctrl-C, a notebook's stop button, a time-out decorator) while a call is sent."""

import json
import linecache
import pickle
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import wherry
from tests.waiting import wait_until
from wherry._calling.caller import Caller
from wherry._connection.client import Client
from wherry._connection.transport.frames import FramesTransport, _Connection
from wherry.exception import ConnectionError
from wherry_proto import messages, rows
from wherry_proto.messages import Format, FunctionInfo, Output, Payload, ServerInfo, SessionDown, SessionUp, Welcome
from wherry_proto.services import METHODS

LENGTHS = struct.Struct(">II")
PACKAGE = str(Path(wherry.__file__).parent)


class Echo:
    """The service's end of `local.sock`, as strict as it: what is no whole frame ends the connection, and is noted."""

    def __init__(self, path: Path) -> None:
        self.calls: list[str] = []
        self.cancelled: list[str] = []
        self.connections = 0
        # Cleared, answers wait.
        self.pause = threading.Event()
        self.pause.set()
        self.is_paused = False
        self.faults: list[str] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._accepted: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._accepted:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._accepted.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as file:
            try:
                while lengths := file.read(LENGTHS.size):
                    head_length, body_length = LENGTHS.unpack(lengths)
                    if head_length > 1 << 20:
                        self.faults.append(f"a header of {head_length} bytes")
                        return
                    head, body = file.read(head_length), file.read(body_length)
                    if len(head) < head_length or len(body) < body_length:
                        return  # half a frame, and then the end: that is allowed
                    self._answer(connection, json.loads(head), body)
            except (OSError, ValueError, struct.error):
                return  # a frame that was cut off

    def _answer(self, connection: socket.socket, header: list[Any], body: bytes) -> None:
        if header[0] == "end":
            self._send(connection, ["end"])
            return
        name = header[1] if header[0] == "call" else "Calls.Session"
        request: Any = rows.from_row(getattr(messages, METHODS[name].request), header[-1], body)
        if not isinstance(request, SessionUp):
            self._send(connection, ["item", rows.to_row(ServerInfo(pid=1), [])])
            self._send(connection, ["end"])
            return
        down = SessionDown()
        if request.hello is not None:
            self.connections += 1
            down.welcome = Welcome(protocol=1, version="0", instance_id="x", inline_limit=1 << 20)
        self.calls += [call.call_id for call in request.calls]
        self.cancelled += [cancel.call_id for cancel in request.cancels]
        if request.inputs:
            self.is_paused = not self.pause.is_set()
            self.pause.wait()
        for item in request.inputs:
            assert item.payload is not None
            (args, _) = pickle.loads(item.payload.data)
            data = pickle.dumps(len(args[0]))
            payload = Payload(format=Format.PICKLE, data=data, size=len(data))
            down.outputs.append(Output(input_id=item.input_id, call_id=item.call_id, index=item.index, payload=payload))
        parts: list[bytes] = []
        self._send(connection, ["item", rows.to_row(down, parts)], parts)

    @staticmethod
    def _send(connection: socket.socket, header: list[Any], parts: Sequence[bytes] = ()) -> None:
        head = json.dumps(header).encode()
        connection.sendall(LENGTHS.pack(len(head), sum(map(len, parts))) + head + b"".join(parts))


@pytest.fixture
def echo(tmp_path: Path) -> Iterator[Echo]:
    echo = Echo(tmp_path / "s")
    yield echo
    echo.close()


@pytest.fixture
def caller(tmp_path: Path, echo: Echo) -> Iterator[Caller]:
    client = Client(FramesTransport(str(tmp_path / "s")), "main", give_up_s=5)
    yield Caller(client, FunctionInfo(name="f", function_id="fu-1"))
    client.close()


class Interrupt(BaseException):
    pass


class Expired(TimeoutError, Interrupt):
    """What time-out decorators raise is an OSError, as what a socket raises."""


KINDS = pytest.mark.parametrize("kind", [Interrupt, Expired])


def _answers(caller: Caller) -> None:
    """Whatever happened before, the next call is answered, by the service that is asked."""
    answers: list[int] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            answers.append(caller.remote((b"four",), {}))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test tells it
            errors.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(10)
    assert errors == []
    assert answers == [4], "the call after the interrupt was not answered"


def _interrupted_at_each_line(call: Callable[[], Any], kind: type[Interrupt]) -> int:
    """Call again and again, raising an Interrupt at the first line of the SDK, then the second, and so on."""
    count = 0
    where: list[str] = []
    while True:
        left = count

        def trace(frame: Any, event: str, _: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.startswith(PACKAGE):
                return None
            # As a block is left, its `with` has a line event; a signal's handler never runs there.
            if event == "line" and not linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip().startswith(
                "with "
            ):
                left -= 1
                if left < 0:
                    sys.settrace(None)
                    where.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
                    raise kind
            return trace

        sys.settrace(trace)
        try:
            call()
            assert left >= 0, f"the interrupt at {where[-1]} was swallowed"
            return count
        except Interrupt:
            count += 1
        finally:
            sys.settrace(None)


@KINDS
def test_an_interrupt_at_any_line_of_a_call_harms_no_other_call(
    caller: Caller, echo: Echo, kind: type[Interrupt]
) -> None:
    _answers(caller)
    session = caller.client.session

    def call() -> None:
        caller.remote((b"three",), {})

    def then_another() -> None:
        try:
            call()
        except Interrupt:
            sys.settrace(None)
            _answers(caller)
            raise

    assert _interrupted_at_each_line(then_another, kind) > 40
    wait_until(lambda: not session._calls, "no call is left on the session")
    assert echo.faults == []


@KINDS
@pytest.mark.parametrize("size", [10, 900_000])
def test_an_interrupt_in_the_middle_of_a_frame_ends_its_connection(
    caller: Caller, echo: Echo, size: int, kind: type[Interrupt], monkeypatch: pytest.MonkeyPatch
) -> None:
    _answers(caller)
    whole = _Connection._write

    def half(self: _Connection, header: list[Any], parts: list[bytes]) -> None:
        monkeypatch.setattr(_Connection, "_write", whole)
        real = self.socket

        class Half:
            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

            def sendall(self, data: bytes) -> None:
                real.sendall(data[: len(data) // 2])
                raise kind

        self.socket = Half()  # type: ignore[assignment]
        try:
            whole(self, header, parts)
        finally:
            self.socket = real

    for _ in range(3):
        monkeypatch.setattr(_Connection, "_write", half)
        with pytest.raises(Interrupt):
            caller.remote((b"x" * size,), {})
        _answers(caller)
    assert echo.connections == 4
    assert echo.faults == []


def test_what_others_put_meanwhile_arrives(caller: Caller, echo: Echo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interrupted thread would have sent it for them."""
    _answers(caller)
    session = caller.client.session
    sending, go_on = threading.Event(), threading.Event()
    whole = _Connection._write

    def interrupted(self: _Connection, header: list[Any], parts: list[bytes]) -> None:
        monkeypatch.setattr(_Connection, "_write", whole)
        sending.set()
        assert go_on.wait(10)
        raise Interrupt

    monkeypatch.setattr(_Connection, "_write", interrupted)
    caught: list[BaseException] = []

    def first() -> None:
        try:
            caller.remote((b"first",), {})
        except Interrupt as error:
            caught.append(error)

    threads = [threading.Thread(target=first, daemon=True)]
    threads[0].start()
    assert sending.wait(10)
    answers: list[int] = []
    for _ in range(5):
        threads.append(
            threading.Thread(target=lambda: answers.append(caller.remote((b"other",), {})), daemon=True),
        )
        threads[-1].start()
    session.cancel_id("fc-put-meanwhile")
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert answers == [5] * 5
    assert len(caught) == 1
    wait_until(lambda: "fc-put-meanwhile" in echo.cancelled, "what was put meanwhile has arrived")


def test_a_cancel_that_was_lost_with_its_connection_is_sent_again(caller: Caller, echo: Echo) -> None:
    _answers(caller)
    session = caller.client.session
    session._outbox._break_off()
    session.cancel_id("fc-lost")
    wait_until(lambda: "fc-lost" in echo.cancelled, "the cancel has arrived")


@KINDS
def test_signals_at_random_moments_of_large_calls(caller: Caller, echo: Echo, kind: type[Interrupt]) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise kind

    before = signal.signal(signal.SIGALRM, interrupt)
    interrupts = 0
    try:
        for number in range(60):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0002 + number % 20 * 0.0001)
                caller.remote((b"x" * 900_000,), {})
                signal.setitimer(signal.ITIMER_REAL, 0)
            except (Interrupt, RuntimeError) as error:
                # In the midst of a wait, Python's own Condition says that its lock is not held.
                if not isinstance(error, Interrupt) and not isinstance(error.__context__, Interrupt):
                    raise
                interrupts += 1
            _answers(caller)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupts
    assert echo.faults == []
    wait_until(lambda: not caller.client.session._calls, "no call is left on the session")


@pytest.mark.parametrize("carries_sockets", [False, True])
def test_a_connection_that_is_reset_is_no_signals_doing(tmp_path: Path, carries_sockets: bool) -> None:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(tmp_path / "r"))
    listening.listen()
    connection = _Connection(str(tmp_path / "r"), "Execs.Run", carries_sockets=carries_sockets)
    with connection, listening:
        connection.item(messages.ExecRequest())
        # Closed with something unread: that is a reset.
        listening.accept()[0].close()
        with pytest.raises(ConnectionError, match=r"no answer from the service at .* to Execs.Run"):
            list(connection.items())
