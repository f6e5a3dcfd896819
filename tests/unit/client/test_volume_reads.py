"""Reading from a volume while the service goes and comes back: again from the start, never a mixture."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wherry import exception
from wherry._connection.client import Client
from wherry._objects.volume_download import Download
from wherry._objects.volume_files import VolumeFiles
from wherry_proto.messages import Message, VolumeData, VolumeEntries, VolumeEntry, VolumeEntryKind, VolumeReadRequest

PIECES = [b"one ", b"two ", b"three"]
FILES = ["a", "b", "c"]


class Service:
    """A client whose service breaks off after so many messages, once for each number; None: it does not come back."""

    stream_once_begun = Client.stream_once_begun

    def __init__(self, *breaks: int, comes_back: bool = True) -> None:
        self._breaks = list(breaks)
        self._comes_back = comes_back
        self.asked: list[list[str]] = []

    def stream(self, method: str, request: Any) -> Iterator[Message]:
        left = self._breaks.pop(0) if self._breaks else 1000
        self.asked.append(list(getattr(request, "paths", [])))
        rows = self._data(request) if isinstance(request, VolumeReadRequest) else iter([self._entries()])
        for row in rows:
            if left == 0:
                raise exception.ConnectionError("no answer from the service")
            left -= 1
            yield row
        if left == 0:
            raise exception.ConnectionError("no answer from the service")

    def _data(self, request: VolumeReadRequest) -> Iterator[Message]:
        for index, _ in enumerate(request.paths):
            for data in PIECES:
                yield VolumeData(index=index, data=data, is_last=data == PIECES[-1])

    def _entries(self) -> Message:
        return VolumeEntries(entries=[VolumeEntry(path=path, kind=VolumeEntryKind.FILE, size=13) for path in FILES])

    def await_service(self) -> bool:
        return self._comes_back


class Volume(VolumeFiles):
    """One of that service."""

    def __init__(self, service: Service) -> None:
        self.service = service

    @property
    def _client(self) -> Any:
        return self.service

    def _resolve(self) -> str:
        return "vo-1"


def content(service: Service) -> bytes:
    return b"".join(Volume(service)._read("/a"))


def test_a_file_is_asked_for_again_when_nothing_of_it_had_come() -> None:
    service = Service(0, 0)
    assert content(service) == b"one two three"
    assert len(service.asked) == 3


def test_a_file_that_has_come_whole_is_read_whatever_becomes_of_the_connection() -> None:
    service = Service(len(PIECES))
    assert content(service) == b"one two three"
    assert len(service.asked) == 1


def test_what_breaks_off_in_its_midst_is_told() -> None:
    with pytest.raises(exception.ConnectionError):
        content(Service(1))
    with pytest.raises(exception.ConnectionError):
        content(Service(0, comes_back=False))


def test_a_list_of_files_is_asked_for_again() -> None:
    service = Service(0)
    assert [entry.path for entry in Volume(service).messages("/", True)] == FILES


def test_a_download_goes_on_with_the_file_that_broke_off(tmp_path: Path) -> None:
    service = Service(1000, 4, 1)
    sizes: list[int] = []
    Download(Volume(service), "/", f"{tmp_path}/", False).run(sizes.append)
    assert service.asked[1:] == [FILES, FILES[1:], FILES[1:]]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == dict.fromkeys(FILES, b"one two three")
    assert sum(sizes) == 3 * len(b"one two three")


def test_what_is_all_zeros_becomes_a_hole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [b"one", bytes(8 << 20), bytes(10), b"\0two", bytes(7 << 20)]
    monkeypatch.setattr(f"{__name__}.PIECES", pieces)
    Download(Volume(Service(1000)), "/", f"{tmp_path}/", False).run(lambda size: None)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == b"".join(pieces)
        assert path.stat().st_blocks * 512 < 1 << 20
