"""The session over broken connections."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes.service import FakeService
from tests.waiting import wait_until
from wherry import FunctionCall
from wherry._base.ids import new_id
from wherry._calling.calls import SpawnedCall
from wherry._calling.spawned_map import SpawnedMap
from wherry._connection.client import Client, ScreenListener
from wherry._connection.reconnect import Reconnect
from wherry._connection.session import Session
from wherry.exception import ConnectionError, RemoteError, VersionError
from wherry_proto.messages import (
    CallKind,
    CallStart,
    Failure,
    FailureKind,
    Hello,
    Input,
    Output,
    SessionDown,
    SessionUp,
    Welcome,
)

Running = Callable[..., Any]


def square(x: int) -> int:
    return x * x


def test_map_survives_a_restart_of_the_service(service: FakeService, running: Running) -> None:
    function = running(square)
    service.hold.clear()
    results = function.map(range(500))

    def kill_and_restart() -> None:
        service.wait_for(lambda: len(service.offered) >= 500)
        service.forget()
        service.break_connection()
        service.wait_for(lambda: len(service.streams) == 2 and len(service.offered) >= 1000)
        service.release()

    thread = threading.Thread(target=kill_and_restart)
    thread.start()
    assert list(results) == [x * x for x in range(500)]
    thread.join()
    assert set(service.executed) == set(service.offered)


def test_unanswered_inputs_are_offered_again_under_the_same_ids(service: FakeService, running: Running) -> None:
    function = running(square)
    service.hold.clear()
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(function.remote(3)))
    thread.start()
    service.wait_for(lambda: len(service.offered) == 1)
    service.break_connection()
    service.wait_for(lambda: len(service.offered) == 2)
    service.release()
    thread.join(10)
    assert answers == [9]
    assert service.offered[0] == service.offered[1]


def test_watched_calls_are_watched_again(service: FakeService, client: Client, running: Running) -> None:
    call = running(square).spawn(3)
    output = service.kept.pop(call.object_id)
    values: list[int] = []
    thread = threading.Thread(target=lambda: values.append(FunctionCall.from_id(call.object_id, client).get()))
    thread.start()
    service.wait_for(lambda: any(message.watches for message in service.messages))
    service.kept[call.object_id] = output
    service.break_connection()
    thread.join(10)
    assert values == [9]


def test_watched_call_that_a_restarted_service_forgot_raises(
    service: FakeService, client: Client, running: Running
) -> None:
    call = running(square).spawn(3)
    service.kept.clear()
    errors: list[Exception] = []

    def get() -> None:
        try:
            FunctionCall.from_id(call.object_id, client).get()
        except RemoteError as error:
            errors.append(error)

    thread = threading.Thread(target=get)
    thread.start()
    service.wait_for(lambda: any(message.watches for message in service.messages))
    service.forget()
    service.break_connection()
    thread.join(10)
    assert "no longer knows" in str(errors[0])


def test_gives_up_with_a_reason(service: FakeService, running: Running, client: Client) -> None:
    function = running(square)
    client.session._reconnect._give_up_s = 0.1
    service.hold.clear()
    errors: list[Exception] = []

    def call() -> None:
        try:
            function.remote(1)
        except ConnectionError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    service.wait_for(lambda: len(service.offered) == 1)
    service.down = True
    service.break_connection()
    thread.join(10)
    service.down = False
    assert "did not come back" in str(errors[0])


def test_a_service_that_is_away_from_the_start_is_an_error(service: FakeService, client: Client) -> None:
    service.down = True
    with pytest.raises(ConnectionError):
        _ = client.session


def test_a_service_that_was_there_and_is_killed_before_the_first_session_is_waited_for(service: FakeService) -> None:
    class Ours:
        revived = 0

        def ensure(self, transport: object) -> bool:
            # It answers, and is killed.
            service.down = True
            return True

        def revive(self, transport: object) -> None:
            self.revived += 1
            service.down = self.revived < 3

    ours = Ours()
    client = Client(service, "main", ours, give_up_s=10)
    try:
        assert client.session is not None
        assert ours.revived == 3
    finally:
        client.close()


def test_another_protocol_is_refused(service: FakeService, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.fakes.service.Welcome", lambda **_: Welcome(protocol=2, version="9"))
    with pytest.raises(VersionError, match="same version"):
        _ = client.session


def test_what_waits_goes_out_in_one_message(service: FakeService, running: Running) -> None:
    function = running(square)
    service.messages.clear()
    assert len(list(function.map(range(1000)))) == 1000
    with_inputs = [message for message in service.messages if message.inputs]
    assert len(with_inputs) < 200
    assert isinstance(with_inputs[0], SessionUp)


def test_many_threads_share_one_session(service: FakeService, running: Running) -> None:
    function = running(square)
    results: dict[int, int] = {}

    def work(n: int) -> None:
        results[n] = function.remote(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert results == {n: n * n for n in range(20)}
    assert len(service.streams) == 1


class CountedCall(SpawnedCall):
    """Counts what it is told."""

    told = 0

    def accepted(self, input_id: str) -> None:
        type(self).told += 1
        super().accepted(input_id)


def silent_session() -> Session:
    """Return a session that is never started: tests give it messages."""
    hello = Hello(client_id=new_id("cl"))
    return Session(hello, lambda outgoing: pytest.fail("nobody connects"), Reconnect(0.1, None), ScreenListener())


def spawned() -> tuple[CallStart, Input]:
    start = CallStart(call_id=new_id("fc"), function_id="fu-1", kind=CallKind.SPAWN)
    return start, Input(input_id=new_id("in"), call_id=start.call_id)


def test_each_confirmation_is_told_to_its_call_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CountedCall, "told", 0)
    session = silent_session()
    calls: list[CountedCall] = []
    ids: list[str] = []
    for _ in range(1000):
        start, first = spawned()
        calls.append(CountedCall(start, first))
        ids.append(first.input_id)
        session.confirm(first.input_id, calls[-1])
        session.open(calls[-1])
    session._receive(SessionDown(accepted=[*ids, *ids, new_id("in")]))
    assert all(call.stored.done() for call in calls)
    assert CountedCall.told == len(calls)


def test_a_spawned_map_is_told_of_its_own_inputs_and_leaves_nothing_behind() -> None:
    session = silent_session()
    start = CallStart(call_id=new_id("fc"), function_id="fu-1", kind=CallKind.SPAWN_MAP)
    call = SpawnedMap(start, session.send, session.confirm)
    other, first = spawned()
    beside = SpawnedCall(other, first)
    session.confirm(first.input_id, beside)
    session.open(beside)
    session.open(call)
    inputs = [Input(input_id=new_id("in"), call_id=start.call_id, index=index) for index in range(4)]
    for item in inputs:
        call.add(item)
    call.end_inputs(4)
    session._receive(SessionDown(accepted=[inputs[0].input_id, inputs[1].input_id]))
    # One was answered instead, and one was refused and is confirmed when it is offered again.
    answered = Output(input_id=inputs[2].input_id, call_id=start.call_id, index=2)
    refusal = Failure(kind=FailureKind.EXHAUSTED, message="full")
    refused = Output(input_id=inputs[3].input_id, call_id=start.call_id, index=3, failure=refusal)
    session._receive(SessionDown(outputs=[answered, refused]))
    assert list(call.unconfirmed()) == [inputs[3].input_id]
    wait_until(lambda: inputs[3].input_id in session._unconfirmed, "the refused input is offered again")
    session._receive(SessionDown(accepted=[inputs[3].input_id]))
    assert call.stored.done()
    assert not beside.stored.done()
    session.cancel(beside)
    session.drop(call)
    assert not session._unconfirmed
