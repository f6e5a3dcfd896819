"""Trees that clients send: what they may hold, and that nothing is written through a link."""

import os
from pathlib import Path

import pytest

from tests.unit.service.test_contents import CONTENT, TEXT, local
from wherry_proto.messages import ImageDefinition, ImageStep, SourceFile
from wherry_service.errors import InvalidRequest
from wherry_service.images.definition import canonical, check
from wherry_service.store.sources import SourceStore


def _file(path: str, **more: object) -> SourceFile:
    return SourceFile(path=path, blob_id=CONTENT, **more)  # type: ignore[arg-type]


def _link(path: str, to: str) -> SourceFile:
    return SourceFile(path=path, link=to)


BAD = {
    "below a link": ([_link("a", "/etc"), _file("a/passwd")], "is below 'a', which is no directory"),
    "below a link, otherwise written": ([_link("a", "/etc"), _file("./a//b/c")], "is below 'a'"),
    "a link below a link": ([_link("a", "/etc"), _link("a/cron.d", "x")], "is below 'a'"),
    "a file that is a link too": ([_link("a", "/etc/passwd"), _file("a")], "is there twice"),
    "the same, in another order": ([_file("a"), _link("./a", "/etc/passwd")], "is there twice"),
    "two links of one name": ([_link("a", "/etc"), _link("a", "b")], "is there twice"),
    "below a file": ([_file("a"), _file("a/b")], "is below 'a'"),
    "out of the tree": ([_link("../a", "b")], "is not relative"),
    "absolute": ([SourceFile(path="/a", directory=True)], "is not relative"),
    "nothing": ([SourceFile(path="a")], "must have a content"),
    "all at once": ([_file("a", link="b")], "must have a content, or be a link"),
    "odd link": ([_link("a", "b\0c")], "leads to"),
    "long link": ([_link("a", "b" * 5000)], "leads to"),
    "odd mode": ([_file("a", mode=1 << 20)], "leads to, or allows"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_tree_that_leads_out_of_itself_is_refused(tmp_path: Path, name: str) -> None:
    files, told = BAD[name]
    blobs = local(tmp_path)
    blobs.put(CONTENT, [TEXT])
    with pytest.raises(InvalidRequest, match=told):
        SourceStore(tmp_path / "sources", blobs).put(files)
    steps = [ImageStep(kind="debian_slim"), ImageStep(kind="copy", args=["/c"], files=files)]
    with pytest.raises(InvalidRequest, match=told):
        check(ImageDefinition(steps=steps))


def test_links_directories_and_permissions_are_laid_down(tmp_path: Path) -> None:
    blobs = local(tmp_path)
    blobs.put(CONTENT, [TEXT])
    sources = SourceStore(tmp_path / "sources", blobs)
    files = [
        _link("a", "z/f"),
        _file("z/f", mode=0o600),
        SourceFile(path="empty/deep", directory=True),
        _link("gone", "/nowhere"),
    ]
    source_id = sources.put(files)
    place = sources.laid_out(source_id)
    copied = tmp_path / "copied"
    copied.mkdir()
    sources.write_to(source_id, copied)
    for root in (place, copied):
        assert (root / "a").read_bytes() == TEXT
        assert (os.readlink(root / "a"), os.readlink(root / "gone")) == ("z/f", "/nowhere")
        assert (root / "empty" / "deep").is_dir()
        assert (root / "z" / "f").stat().st_mode & 0o7777 == 0o600
    inode = (place / "a").lstat().st_ino
    assert (sources.laid_out(source_id) / "a").lstat().st_ino == inode
    # Whoever changes it: it is laid out again.
    (place / "gone").unlink()
    (place / "gone").symlink_to("/etc")
    sources.laid_out(source_id)
    assert os.readlink(place / "gone") == "/nowhere"


def test_a_link_is_never_mounted_as_a_file(tmp_path: Path) -> None:
    sources = SourceStore(tmp_path / "sources", local(tmp_path))
    for entry in (_link("a", "/etc/shadow"), SourceFile(path="a", directory=True)):
        source_id = sources.put([entry])
        with pytest.raises(InvalidRequest, match="is not a single file"):
            sources.laid_out(source_id, is_file=True)


def test_plain_files_make_the_image_that_they_always_made() -> None:
    def row(*files: SourceFile) -> list[object]:
        return canonical(ImageStep(kind="copy", args=["/c"], files=list(files)))

    assert row(_file("a"), _file("b", executable=True))[-1] == [("a", CONTENT, False), ("b", CONTENT, True)]
    different = [
        row(_file("a")), row(_file("a", mode=0o600)), row(_link("a", "b")), row(_link("a", "c")),
        row(SourceFile(path="a", directory=True)),
    ]  # fmt: skip
    assert len({repr(one) for one in different}) == len(different)
