"""A disk that is really full: a small one, mounted for the test."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from wherry_proto.messages import Format, Payload
from wherry_service.api.statuses import status_of
from wherry_service.ids import new_id
from wherry_service.store.blobs import BlobStore
from wherry_service.store.calls import CallStore
from wherry_service.store.database import Database
from wherry_service.store.trouble import StorageFull


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave not a byte free."""
    file = folder / "filler"
    with file.open("wb", buffering=0) as out:
        try:
            while True:
                out.write(b"x" * 4096)
        except OSError:
            return file


def test_what_is_asked_on_a_full_disk_is_refused_in_a_sentence_and_done_when_there_is_room(small_disk: Path) -> None:
    database = Database(f"sqlite:///{small_disk / 'test.db'}")
    database.begin()
    blobs = BlobStore(small_disk / "blobs")
    calls = CallStore(database)
    large = Payload(format=Format.PICKLE, data=b"v" * 600_000, size=600_000)

    async def put() -> int:
        return len(await calls.add_inputs([(new_id("in"), "fc-1", "fu-1", 0, large, "")], "cl-1"))

    async def main() -> None:
        assert await put() == 1
        filler = fill(small_disk)
        for _ in range(3):
            with pytest.raises(StorageFull, match="is full: free space on it; nothing was lost"):
                await put()
        with pytest.raises(OSError, match="No space left") as caught:
            blobs.put(new_id("bl"), [b"x" * 100_000])
        assert status_of("Blobs.Put", caught.value)[0] == "RESOURCE_EXHAUSTED"
        filler.unlink()
        assert await put() == 1
        assert len(await calls.open_inputs()) == 2

    try:
        asyncio.run(main())
    finally:
        database.close()
