"""Volumes. Checked, never executed."""

from typing import assert_type

import wherry
from wherry.volume import FileEntry

volume = wherry.Volume.from_name("a", create_if_missing=True)
assert_type(volume, wherry.Volume)
assert_type(volume.read_only(), wherry.Volume)
assert_type(volume.listdir("/"), list[FileEntry])
assert_type(list(volume.read_file("/a")), list[bytes])
assert_type(volume.commit(), None)
wherry.Volume.from_name(1)  # type: ignore[arg-type]
with wherry.Volume.ephemeral() as other:
    assert_type(other, wherry.Volume)


async def awaiting() -> None:
    assert_type(await volume.listdir.aio("/"), list[FileEntry])
    async for piece in volume.read_file.aio("/a"):
        assert_type(piece, bytes)
    assert_type(await wherry.Volume.lookup.aio("a"), wherry.Volume)
