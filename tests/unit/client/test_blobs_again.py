"""Large values where the connection breaks while they are on their way: they go, or come, from the beginning again."""

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import pytest

from tests.fakes.service import FakeService
from wherry._connection.blobs import CHUNK, Blobs
from wherry._connection.client import Client
from wherry.exception import ConnectionError
from wherry_proto.messages import BlobChunk, BlobGetRequest, BlobInfo, Format, Payload

T = TypeVar("T")
VALUE = bytes(range(256)) * (3 * CHUNK // 256)


class Breaking:
    """A transport whose first so many transfers break in the middle."""

    def __init__(self, breaks: int) -> None:
        self.breaks = breaks
        self.tries: list[str] = []
        self.kept: dict[str, bytes] = {}

    def upload(self, method: str, requests: Iterable[BlobChunk]) -> BlobInfo:
        chunks = iter(requests)
        first = next(chunks)
        self.tries.append(first.blob_id)
        if len(self.tries) <= self.breaks:
            next(chunks, None)
            raise ConnectionError("Stream removed")
        self.kept[first.blob_id] = first.data + b"".join(chunk.data for chunk in chunks)
        return BlobInfo(blob_id=first.blob_id, size=len(self.kept[first.blob_id]))

    def stream(self, method: str, request: BlobGetRequest) -> Iterator[BlobChunk]:
        self.tries.append(request.blob_id)
        yield BlobChunk(data=VALUE[:CHUNK])
        if len(self.tries) <= self.breaks:
            raise ConnectionError("Stream removed")
        yield BlobChunk(data=VALUE[CHUNK:])


def persisting(work: Callable[[], T]) -> T:
    while True:
        try:
            return work()
        except ConnectionError:
            pass


def blobs(transport: Breaking) -> Blobs:
    made: Any = transport
    return Blobs(made, None, persist=persisting)


@pytest.mark.parametrize("breaks", [0, 1, 3])
def test_a_value_is_sent_whole_under_the_id_of_its_last_try(breaks: int) -> None:
    transport = Breaking(breaks)
    payload = blobs(transport).put_bytes(VALUE)
    assert transport.kept == {payload.blob_id: VALUE}
    assert payload.size == len(VALUE)
    # What was left behind of an earlier try is nobody's: it is cleared away, and never added to.
    assert len(set(transport.tries)) == breaks + 1


@pytest.mark.parametrize("breaks", [0, 2])
def test_content_is_sent_again_from_where_it_began(breaks: int) -> None:
    transport = Breaking(breaks)
    file = io.BytesIO(b"before" + VALUE + b"after")
    file.seek(6)
    blobs(transport).put_content("sha", file, len(VALUE))
    assert transport.kept == {"sha": VALUE}


@pytest.mark.parametrize("breaks", [0, 2])
def test_a_value_is_fetched_whole(breaks: int) -> None:
    payload = Payload(format=Format.PICKLE, blob_id="bl-1", size=len(VALUE))
    assert blobs(Breaking(breaks)).raw(payload) == VALUE


def test_a_clients_values_wait_for_its_service(client: Client, service: FakeService) -> None:
    assert client.blobs._persist == client.persist
