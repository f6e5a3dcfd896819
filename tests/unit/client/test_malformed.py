"""A service, or a container through it, that sends what makes no sense: one call fails, the others are answered.

By default some hundred messages of each kind; `WHERRY_FUZZ=20000 ./dev test tests/unit/client/test_malformed.py`
sends so many, and `WHERRY_FUZZ_SEED` others.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.garbler import GARBLED, GOOD, FramesGarbler, GrpcGarbler
from tests.fakes.service import FakeService, payload
from wherry import FunctionCall
from wherry._base.ids import new_id
from wherry._calling.caller import Caller
from wherry._calling.opening import Opening
from wherry._calling.results import GeneratorResults, Results
from wherry._connection.client import Client
from wherry._connection.transport.frames import FramesTransport
from wherry._connection.transport.grpc import GrpcTransport
from wherry.exception import Error, RemoteError
from wherry_proto.messages import CallState, Failure, FailureKind, FunctionInfo, Input, Output, SessionDown, Yield

NUMBER = int(os.environ.get("WHERRY_FUZZ", "300"))
SEED = int(os.environ.get("WHERRY_FUZZ_SEED", "1"))
# Of 20,000, each message may cost a new connection.
pytestmark = pytest.mark.timeout(120 + NUMBER // 10)


@pytest.fixture(params=["frames", "grpc"])
def garbled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Client, Any]]:
    """A client of a service that garbles, and what counts its messages."""
    made: FramesGarbler | GrpcGarbler
    path = tmp_path / "s"
    made = FramesGarbler(path, SEED) if request.param == "frames" else GrpcGarbler(path, SEED)
    client = Client(FramesTransport(str(path)) if request.param == "frames" else GrpcTransport(f"unix:{path}"), "main")
    yield client, made.garbler
    client.close()
    made.close()


def test_malformed_answers_harm_no_other_call(garbled: tuple[Client, Any]) -> None:
    client, garbler = garbled
    good = Caller(client, FunctionInfo(function_id=GOOD, name="good"))
    plain = Caller(client, FunctionInfo(function_id=GARBLED, name="plain"))
    values = Caller(client, FunctionInfo(function_id=GARBLED, name="values", is_generator=True))

    def mapped(caller: Caller, kind: type[Results[Any]], rows: range) -> list[Any]:
        return list(
            kind("map", lambda o, loop: caller.open_map((rows,), {}, o, spread=False, on_loop=loop), ordered=True)
        )

    calls: list[Callable[[], object]] = [
        lambda: plain.remote((1,), {}),
        lambda: mapped(plain, Results, range(2)),
        lambda: list(GeneratorResults("gen", lambda opening, _: values.open_generator(((), {}), opening))),
        lambda: plain.spawn((1,), {}, Opening()),
        lambda: FunctionCall.from_id(new_id("fc"), client).get(timeout=20),
    ]
    failed = 0
    # As long as nothing that was garbled ends it, one map goes on beside all of them.
    session = client.session
    while garbler.num_garbled < NUMBER:
        for call in calls:
            try:
                call()
            except (Error, ValueError, IndexError):
                # The service's own word, or the exception that it sent.
                failed += 1
        assert good.remote((), {}) == 0
        assert mapped(good, Results, range(3)) == [0, 1, 2]
    assert client.session is session
    assert failed > NUMBER // 10


def square(x: int) -> int:
    return x * x


class _Awaited:
    """A call of the fake service's that runs in a thread, and the input that waits for its answer."""

    def __init__(self, service: FakeService, call: Callable[[], Any]) -> None:
        self.error: BaseException | None = None
        service.hold.clear()
        self._call = call
        self._thread = threading.Thread(target=self._run)
        known = len(service.offered)
        self._thread.start()
        service.wait_for(lambda: len(service.offered) > known)
        self.item: Input = service._held[-1]

    def _run(self) -> None:
        try:
            self._call()
        except BaseException as error:  # noqa: BLE001 - it is looked at below
            self.error = error

    def failed_with(self) -> str:
        self._thread.join(10)
        assert isinstance(self.error, RemoteError), self.error
        return str(self.error)


def _output(item: Input, **fields: Any) -> Output:
    return Output(input_id=item.input_id, call_id=item.call_id, index=item.index, **fields)


@pytest.mark.parametrize(
    ("message", "says"),
    [
        (
            lambda i: SessionDown(yields=[Yield(input_id=i.input_id, call_id=i.call_id, payload=payload(1))]),
            "generator",
        ),
        (lambda i: SessionDown(outputs=[_output(i, payload=payload(1), num_yields=3)]), "generator"),
        (lambda i: SessionDown(outputs=[_output(i)]), "neither a value nor a failure"),
        (lambda i: SessionDown(outputs=[Output(input_id="in-other", call_id=i.call_id)]), "in-other"),
        (
            lambda i: SessionDown(
                outputs=[Output(input_id=i.input_id, call_id=i.call_id, index=7, payload=payload(1))]
            ),
            "number 7",
        ),
    ],
)
def test_an_answer_that_does_not_fit_fails_its_call_and_names_the_function(
    service: FakeService, running: Any, message: Callable[[Input], SessionDown], says: str
) -> None:
    function = running(square)
    awaited = _Awaited(service, lambda: function.remote(3))
    service.send(message(awaited.item))
    told = awaited.failed_with()
    assert says in told
    assert f"square ({awaited.item.call_id})" in told
    # Nobody waits for it any more: the service is told to end it.
    service.wait_for(lambda: awaited.item.call_id in service.cancelled)
    service.release()
    assert function.remote(4) == 16
    assert len(service.streams) == 1


def test_values_of_a_generator_do_not_pass_for_results_of_a_map(service: FakeService, running: Any) -> None:
    function = running(square)
    awaited = _Awaited(service, lambda: list(function.map([5])))
    service.send(SessionDown(outputs=[_output(awaited.item, num_yields=1)]))
    assert "generator" in awaited.failed_with()
    service.release()
    assert list(function.map([6])) == [36]


def test_a_call_whose_event_loop_is_gone_harms_no_other(service: FakeService, running: Any, client: Client) -> None:
    class Gone:
        call_id, name, takes_outputs = "fc-gone", "gone", True

        def offer(self) -> Any:
            return ()

        unconfirmed = offer

        def arrived(self, yields: Any, outputs: Any) -> None:
            raise RuntimeError("Event loop is closed")

        state = accepted = fail = arrived

    function = running(square)
    client.session.open(Gone())  # type: ignore[arg-type]
    service.send(SessionDown(outputs=[Output(call_id="fc-gone")], states=[CallState(call_id="fc-gone")]))
    assert function.remote(4) == 16
    assert "fc-gone" in service.cancelled


def test_a_screen_that_can_show_nothing_ends_no_call(service: FakeService, running: Any, client: Client) -> None:
    from wherry_proto.messages import LogLine, Notice

    class Broken:
        def log(self, lines: Any) -> None:
            raise UnicodeEncodeError("ascii", "é", 0, 1, "no such letter")

        notice = log

    function = running(square)
    before, client.listener.screen = client.listener.screen, Broken()  # type: ignore[assignment]
    service.send(SessionDown(logs=[LogLine(text="é")], notices=[Notice(text="é")]))
    assert function.remote(4) == 16
    client.listener.screen = before


def test_answers_that_can_never_be_read_fail_the_open_calls_and_not_those_after(
    service: FakeService, running: Any, client: Client
) -> None:
    from wherry._connection.session import MAX_FAULTS
    from wherry._connection.transport.transport import Unreadable

    function = running(square)
    awaited = _Awaited(service, lambda: function.remote(3))
    for number in range(MAX_FAULTS + 1):
        service.wait_for(lambda number=number: len(service.streams) == number + 1)  # type: ignore[misc]
        offered = len([one for one in service.offered if one == awaited.item.input_id])
        assert offered <= number + 1
        service.streams[-1].put(Unreadable("there", "it is no JSON"))
    assert "6 times in a row; at last: the service at there" in awaited.failed_with()
    service.wait_for(lambda: awaited.item.input_id in service.taken and awaited.item.call_id in service.cancelled)
    service.forget()
    service.release()
    assert function.remote(4) == 16


def test_a_described_traceback_without_end_is_left_out(client: Client) -> None:
    from tests.fakes.garbler import _looped

    for described in (_looped(), {"tb_frame": 3}, 7):
        failure = Failure(kind=FailureKind.EXCEPTION, exception=payload((ValueError("v"), described)))
        error = client.failures.exception(failure)
        assert isinstance(error, ValueError)
        with contextlib.suppress(ValueError):
            raise error
