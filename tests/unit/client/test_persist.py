"""Calls that a service breaks off, and comes back from."""

import pytest

from tests.fakes.service import FakeService
from wherry._connection import client as module
from wherry._connection.client import Client
from wherry.exception import ConnectionError


class Breaking:
    """Work that the service breaks off a number of times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> str:
        if self.left:
            self.left -= 1
            raise ConnectionError(f"broken, {self.left} left")
        return "done"


def test_each_time_that_the_service_comes_back_the_wait_begins_anew(service: FakeService) -> None:
    # No patience at all: it is back at once, three times.
    client = Client(service, "main", give_up_s=0)
    assert client.persist(Breaking(3)) == "done"
    client.close()


def test_a_call_that_is_always_broken_off_ends(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_BREAKS", 2)
    client = Client(service, "main", give_up_s=5)
    with pytest.raises(ConnectionError, match=r"broke this off 2 times, and came back each time: broken, 98 left"):
        client.persist(Breaking(100))
    client.close()


def test_a_service_that_stays_away_is_told_so(service: FakeService) -> None:
    client = Client(service, "main", give_up_s=0)
    service.down = True
    with pytest.raises(ConnectionError, match="did not come back within 0 s"):
        client.persist(Breaking(1))
    client.close()
