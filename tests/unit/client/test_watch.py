"""The values of a spawned generator, read while the service goes and comes back."""

import pickle
from collections.abc import Iterator
from typing import Any

import pytest

from wherry import exception
from wherry._calling.watch import Watch
from wherry_proto.messages import CallValuesRequest, Format, Payload, Yield

COUNT = 6


class Client:
    """One whose service is gone after so many values, once for each number of `lasts`."""

    def __init__(self, *lasts: int, comes_back: bool = True) -> None:
        self._lasts = list(lasts)
        self._comes_back = comes_back
        self.asked: list[int] = []
        self.blobs = self

    def stream(self, method: str, request: CallValuesRequest) -> Iterator[Yield]:
        assert method == "Calls.Values"
        self.asked.append(request.index)
        last = self._lasts.pop(0) if self._lasts else COUNT
        for index in range(request.index, COUNT):
            if last == 0:
                raise exception.ConnectionError("no answer from the service")
            last -= 1
            yield Yield(input_id="in-1", index=index, payload=Payload(format=Format.PICKLE, data=pickle.dumps(index)))

    def load(self, payload: Payload) -> Any:
        return pickle.loads(payload.data)

    def await_service(self) -> bool:
        return self._comes_back


class Ended(Watch):
    """Of a generator that has ended well."""

    def get(self, timeout: float | None, index: int) -> Any:
        return None


def read(client: Any, start: int = 0, end: int | None = None) -> list[Any]:
    return list(Ended(client, "fc-1").values(start, end))


def test_values_go_on_where_they_broke_off() -> None:
    client = Client(2, 0, 3)
    assert read(client) == list(range(COUNT))
    assert client.asked == [0, 2, 2, 5]


def test_a_part_of_them_too() -> None:
    client = Client(1)
    assert read(client, 2, 4) == [2, 3]
    assert client.asked == [2, 3]


def test_who_closes_the_client_meanwhile_hears_of_it() -> None:
    with pytest.raises(exception.ConnectionError, match="no answer"):
        read(Client(1, comes_back=False))
