"""Sparse files on their way to a volume."""

import hashlib
from pathlib import Path

from wherry._objects.volume_upload import CHUNK, UploadItem


def _written(item: UploadItem, begin: int = 0) -> tuple[bytes, int]:
    """Return what the chunks make of what was there, and how many bytes of data they carry."""
    made, carried = b"", 0
    chunks = list(item.chunks(begin))
    for offset, data, zeros, _ in chunks:
        assert offset == begin + len(made)
        made += data + bytes(zeros)
        carried += len(data)
    assert [is_last for *_, is_last in chunks] == [False] * (len(chunks) - 1) + [True]
    return made, carried


def test_holes_are_not_sent(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    with path.open("wb") as file:
        for place in (8 * CHUNK + 5, 20 * CHUNK):
            file.seek(place)
            file.write(b"data")
        file.truncate(32 * CHUNK + 3)
    item = UploadItem("disk", path)
    made, carried = _written(item)
    assert made == path.read_bytes()
    assert carried <= 4 * CHUNK
    # From where an earlier upload broke off, also within a hole.
    for begin in (1, 4 * CHUNK + 7, 8 * CHUNK + 6, 31 * CHUNK, 32 * CHUNK + 3):
        assert _written(item, begin)[0] == made[begin:]


def test_what_has_no_holes_is_sent_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for size in (0, 1, CHUNK, CHUNK + 1, 3 * CHUNK):
        path.write_bytes(hashlib.shake_128(b"seed").digest(size))
        made, carried = _written(UploadItem("file", path))
        assert (made == path.read_bytes(), carried) == (True, size)


def test_a_file_that_is_one_hole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    assert list(UploadItem("file", path).chunks(0)) == [(0, b"", 1 << 40, True)]
