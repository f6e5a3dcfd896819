"""Archives whose entries get other names, as they pass through."""

import io
import os
import tarfile
from collections.abc import Callable

import pytest

from wherry_service.engines.docker_files import renamed
from wherry_service.errors import InvalidRequest
from wherry_service.node.image_mounts import checked_mount_place


def archive(*members: tuple[str, bytes, str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, link, data in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size, member.mode = kind, link, len(data), 0o750
            member.pax_headers = {"SCHILY.xattr.user.x": "y"}
            tar.addfile(member, io.BytesIO(data))
    return packed.getvalue()


def again(data: bytes, rename: Callable[[str], str | None]) -> dict[str, tuple[tarfile.TarInfo, bytes]]:
    # However the pieces fall.
    pieces = (data[start : start + 700] for start in range(0, len(data), 700))
    packed = b"".join(renamed(pieces, rename))
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        found = {}
        for member in tar:
            content = tar.extractfile(member) if member.isreg() else None
            found[member.name] = member, content.read() if content is not None else b""
        return found


def test_entries_have_other_names_and_are_else_the_same() -> None:
    large = os.urandom((1 << 20) + 3)
    odd = "ümlaut/" + "x" * 200
    data = archive(
        (".", tarfile.DIRTYPE, "", b""),
        ("./sub/large", tarfile.REGTYPE, "", large),
        (f"./{odd}", tarfile.REGTYPE, "", b"odd"),
        ("./hard", tarfile.LNKTYPE, "./sub/large", b""),
        ("./soft", tarfile.SYMTYPE, "sub/large", b""),
    )
    found = again(data, lambda name: f"in/{name}" if name else "in")
    assert list(found) == ["in", "in/sub/large", f"in/{odd}", "in/hard", "in/soft"]
    assert found["in/sub/large"][1] == large
    assert found[f"in/{odd}"][1] == b"odd"
    assert (found["in/hard"][0].linkname, found["in/soft"][0].linkname) == ("in/sub/large", "sub/large")
    assert {(m.mode, m.pax_headers.get("SCHILY.xattr.user.x")) for m, _ in found.values()} == {(0o750, "y")}


def test_entries_are_left_out() -> None:
    data = archive(
        ("dev", tarfile.DIRTYPE, "", b""), ("a", tarfile.REGTYPE, "", b"1"), ("b", tarfile.LNKTYPE, "dev", b""),
    )  # fmt: skip
    assert list(again(data, lambda name: None if name == "dev" else name)) == ["a"]


@pytest.mark.parametrize(
    "path", ["relative", "", "/", "//", "/a/../b", "/proc/x", "/dev", "/run/x", "/data", "/data/x", "/vol", "/a\0b"]
)
def test_places_where_no_image_can_be(path: str) -> None:
    with pytest.raises(InvalidRequest, match="an image is mounted at"):
        checked_mount_place(path, ["/data/", "/vol/ume"])


def test_places_where_an_image_can_be() -> None:
    for path, place in (("/a/b/", "/a/b"), ("/./a", "/a"), ("/data2", "/data2"), ("/root", "/root")):
        assert checked_mount_place(path, ["/data"]) == place
