"""A program closes the client's socket without knowing: it closes all descriptors, as daemons do."""

import os
import socket
import tempfile
import threading

import pytest

from tests.unit.client.test_interrupts import Echo, _answers, caller, echo
from tests.waiting import wait_until
from wherry._calling.caller import Caller
from wherry.exception import ConnectionError
from wherry_proto.messages import SessionUp

__all__ = ["caller", "echo"]


def _session_socket(caller: Caller) -> int:
    return int(caller.client.session._stream._connection.socket.fileno())  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["nothing", "a file", "a socket"])
def test_calls_go_on_and_the_new_owner_of_the_number_is_let_be(caller: Caller, echo: Echo, kind: str) -> None:
    _answers(caller)
    with tempfile.TemporaryFile() as file, socket.socket(socket.AF_UNIX) as other:
        fd = _session_socket(caller)
        source = {"nothing": None, "a file": file.fileno(), "a socket": other.fileno()}[kind]
        if source is None:
            os.close(fd)
        else:
            # At once: a number that is free for a moment may become that of what another thread opens.
            os.dup2(source, fd)
        _answers(caller)
        assert echo.connections == 2
        assert echo.faults == []
        if source is not None:
            assert os.fstat(fd).st_ino == os.fstat(source).st_ino
            assert os.fstat(file.fileno()).st_size == 0
            os.close(fd)
    _answers(caller)


def test_a_call_that_is_open_gets_its_answer(caller: Caller, echo: Echo) -> None:
    _answers(caller)
    echo.pause.clear()
    lengths: list[int] = []
    thread = threading.Thread(target=lambda: lengths.append(caller.remote((b"open",), {})))
    thread.start()
    wait_until(lambda: echo.is_paused, "the call has arrived")
    os.close(_session_socket(caller))
    echo.pause.set()
    thread.join(20)
    assert lengths == [4]
    _answers(caller)


def test_a_lone_request_says_what_happened(echo: Echo, caller: Caller) -> None:
    _answers(caller)
    exchange = caller.client.transport.exchange("Calls.Session", SessionUp())
    os.close(exchange.fileno())
    with pytest.raises(ConnectionError, match="this program has closed the connection's file descriptor"):
        exchange.send(SessionUp())
    _answers(caller)
