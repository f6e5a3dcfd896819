"""An upload that is tried again when the service was killed: what is there is not sent again, nothing is left out."""

import io
from collections.abc import Iterable
from typing import Any

import pytest

from wherry import exception
from wherry._objects.volume_upload import UploadBatch
from wherry_proto.messages import VolumeCheckRequest, VolumeCheckResponse, VolumeChunk, VolumeWritten


class Service:
    """A volume whose service is killed `kills` times, after it had the last chunk: before it is written, or after."""

    def __init__(self, kills: int, *, written: bool, files: dict[str, bytes] | None = None) -> None:
        self._kills = kills
        self._written = written
        self.files = files or {}
        self.uploads = 0

    # What an upload needs of a volume and its client

    @property
    def transport(self) -> "Service":
        return self

    def reached(self) -> tuple["Service", str]:
        return self, "vo-1"

    def persist(self, work: Any) -> Any:
        while True:
            try:
                return work()
            except exception.ConnectionError:
                continue

    # The transport

    def call(self, method: str, request: VolumeCheckRequest) -> VolumeCheckResponse:
        exist = [upload.path in self.files for upload in request.uploads]
        return VolumeCheckResponse(exist=exist, offsets=[0] * len(exist))

    def upload(self, method: str, requests: Iterable[VolumeChunk]) -> VolumeWritten:
        self.uploads += 1
        chunks = list(requests)
        assert chunks, "an upload of nothing is a fault"
        killed, self._kills = self._kills > 0, self._kills - 1
        if not killed or self._written:
            self.files.update({chunk.path: chunk.data for chunk in chunks})
        if killed:
            raise exception.ConnectionError("no answer from the service")
        return VolumeWritten(num_files=1)


def put(service: Service, *, force: bool) -> None:
    volume: Any = service
    with UploadBatch(volume, force) as batch:
        batch.put_file(io.BytesIO(b"new"), "/f")


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("written", [False, True])
def test_a_file_is_there_whatever_was_lost(written: bool, force: bool) -> None:
    service = Service(1, written=written)
    put(service, force=force)
    assert service.files == {"f": b"new"}


def test_what_was_written_is_not_sent_again_when_only_the_answer_was_lost() -> None:
    service = Service(1, written=True)
    put(service, force=False)
    assert service.uploads == 1


def test_a_file_that_is_to_be_replaced_is_not_taken_for_the_new_one() -> None:
    service = Service(1, written=False, files={"f": b"old"})
    put(service, force=True)
    assert service.files == {"f": b"new"}
