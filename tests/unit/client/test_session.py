"""The session over broken connections."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.fakes.service import FakeService
from wherry import FunctionCall
from wherry._client import Client
from wherry.exception import ConnectionError, RemoteError, VersionError
from wherry_proto.messages import SessionUp, Welcome

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
