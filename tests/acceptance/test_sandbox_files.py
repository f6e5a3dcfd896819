"""Files of sandboxes whose names are not plain."""

from collections.abc import Iterator

import pytest

from tests.acceptance.service import OwnService
from wherry import Sandbox
from wherry.exception import InvalidError


@pytest.fixture(scope="module")
def box(service: OwnService) -> Iterator[Sandbox]:
    with Sandbox.create(block_network=True, timeout=300, workdir="/tmp") as sandbox:
        yield sandbox


def test_what_ls_says_of_files(box: Sandbox) -> None:
    files = box.filesystem
    files.write("/tmp/one", "")
    assert box.exec("ln", "-s", "one", "/tmp/link").wait() == 0
    assert [files.ls(path) for path in ("/etc/passwd", "one", "link")] == [["passwd"], ["one"], ["link"]]
    with pytest.raises(NotADirectoryError):
        files.ls("/etc/passwd/")
    with pytest.raises(FileNotFoundError):
        files.ls("nothing")
    for path in ("", 5, "a\0b"):
        with pytest.raises(InvalidError, match="is not the path of a file"):
            files.ls(path)  # type: ignore[arg-type]


def test_a_file_that_is_opened_to_be_written_has_its_directories_made(box: Sandbox) -> None:
    for mode in ("w", "ab", "x+"):
        with box.open(f"/tmp/made/by-{mode}/file", mode) as file:
            file.write(b"x" if "b" in mode else "x")
        assert box.filesystem.read(f"/tmp/made/by-{mode}/file") == b"x"
    with pytest.raises(FileNotFoundError):
        box.open("/tmp/not-made/file", "r")
    with pytest.raises(FileNotFoundError):
        box.filesystem.open("/tmp/not-made/file", "w")


@pytest.mark.parametrize("name", ["-d", "--", "-name", "(", "!", "a b", "$HOME", "-"])
def test_odd_names(box: Sandbox, name: str) -> None:
    files = box.filesystem
    files.mkdir(name)
    files.write(f"{name}/-f", "text")
    assert files.read_text(f"{name}/-f") == "text"
    assert files.ls(name) == ["-f"]
    assert files.ls(f"/tmp/{name}") == ["-f"]
    files.rm(name, recursive=True)
    assert name not in files.ls()
