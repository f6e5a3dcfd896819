"""A program that has called forks: its children call for themselves, and leave what is their parent's alone."""

import os
import pickle
import signal
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.client.test_interrupts import Echo, _answers, caller, echo
from wherry._calling.caller import Caller
from wherry._calling.opening import Opening
from wherry._connection.transport.grpc import GrpcTransport
from wherry._publish.running import Running
from wherry.exception import ConnectionError, ExecutionError
from wherry_proto.messages import ServerInfoRequest

__all__ = ["caller", "echo"]


def in_child(work: Callable[[], Any], seconds: int = 20) -> Any:
    """Return what a forked child returns; fail with what it raises, or when it hangs."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        signal.alarm(seconds)
        try:
            answer: tuple[Any, str] = work(), ""
        except BaseException:  # noqa: BLE001 - the parent tells it
            answer = None, traceback.format_exc()
        os.write(writing, pickle.dumps(answer))
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as file:
        data = file.read()
    _, status = os.waitpid(pid, 0)
    assert status == 0, "the child hung"
    value, error = pickle.loads(data)
    assert not error, error
    return value


def test_a_child_calls_and_its_parent_goes_on(caller: Caller, echo: Echo) -> None:
    _answers(caller)
    parent = caller.client.client_id
    for _ in range(3):
        length, client_id = in_child(lambda: (caller.remote((b"child",), {}), caller.client.client_id))
        assert length == 5
        assert client_id != parent
        _answers(caller)
    assert caller.client.client_id == parent
    assert echo.connections == 4
    assert echo.faults == []


def test_a_child_of_a_child_calls(caller: Caller, echo: Echo) -> None:
    _answers(caller)
    assert in_child(lambda: in_child(lambda: caller.remote((b"grandchild",), {}))) == 10
    _answers(caller)


def test_a_lock_that_another_thread_held_is_free_in_the_child(caller: Caller, echo: Echo) -> None:
    _answers(caller)
    client = caller.client
    with client._lock, client.session._lock, client.listener._lock, client.watches._lock:
        assert in_child(lambda: caller.remote((b"child",), {})) == 5


def test_what_is_the_parents_stays(caller: Caller, echo: Echo) -> None:
    _answers(caller)
    running = Running(caller.client, "ap-1", False, None)
    assert in_child(running.stop) is None
    assert in_child(caller.client.close) is None
    _answers(caller)
    assert echo.connections == 1


def test_a_map_is_iterated_where_it_began(caller: Caller, echo: Echo) -> None:
    from wherry._calling.caller import map_results

    results = map_results(
        "f.map",
        lambda: caller,
        ([b"a", b"bb"],),
        {},
        spread=False,
        generator=False,
        ordered=True,
        return_exceptions=False,
        wrap_exceptions=True,
    )
    assert next(results) == 1

    def go_on() -> str:
        with pytest.raises(ExecutionError, match="not to a fork of it"):
            next(results)
        results.close()
        return "refused"

    assert in_child(go_on) == "refused"
    assert list(results) == [2]


def test_over_grpc_a_child_is_told_why_not() -> None:
    transport = GrpcTransport("unix:/nowhere/wherry.sock")

    def use() -> str:
        transport.become_child()
        with pytest.raises(ExecutionError, match="spawn"):
            transport.call("Server.Info", ServerInfoRequest())
        transport.close()
        return "told"

    assert use() == "told"
    transport._channel._kept.close()


def test_a_call_on_a_closed_client_is_an_error(caller: Caller, echo: Echo) -> None:
    _answers(caller)
    caller.client.close()
    with pytest.raises(ConnectionError, match="this program ends"):
        caller.remote((b"late",), {})
    with pytest.raises(ConnectionError, match="this program ends"):
        caller.spawn((b"late",), {}, Opening())
