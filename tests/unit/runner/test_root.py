"""The source of a function in /root: copied, linked where it is large, never over what is not the container's own."""

import os
import sys
from pathlib import Path

import pytest

from wherry_runner import root
from wherry_runner.root import settle


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A source of a script and a package, and an empty root. The process is in a directory of its own."""
    source, place = tmp_path / "source", tmp_path / "root"
    (source / "pkg/data").mkdir(parents=True)
    place.mkdir()
    (source / "job.py").write_text("job")
    (source / "pkg/__init__.py").write_text("")
    (source / "pkg/data/table.csv").write_text("1,2")
    monkeypatch.setattr(sys, "path", [str(source), "/else"])
    monkeypatch.chdir(tmp_path)
    return source, place


def listing(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_source_is_copied_and_comes_first(places: tuple[Path, Path]) -> None:
    source, place = places
    (place / "own.txt").write_text("the image's")
    assert settle(str(source), str(place)) == str(place)
    assert listing(place) == {**listing(source), "own.txt": "the image's"}
    assert sys.path == [str(place), str(source), "/else"]
    assert not (place / "pkg").is_symlink()


def test_what_an_image_has_of_that_name_gives_way(places: tuple[Path, Path]) -> None:
    source, place = places
    (place / "job.py").write_text("an older and longer one")
    (place / "pkg").mkdir()
    (place / "pkg/extra.py").write_text("kept")
    assert settle(str(source), str(place)) == str(place)
    assert listing(place) == {**listing(source), "pkg/extra.py": "kept"}


@pytest.mark.parametrize("kind", ["many", "large", "links"])
def test_a_large_source_is_linked(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    source, place = places
    if kind == "many":
        monkeypatch.setattr(root, "MAX_FILES", 2)
    elif kind == "large":
        monkeypatch.setattr(root, "MAX_BYTES", 3)
    else:
        (source / "pkg/link").symlink_to("data")
    assert settle(str(source), str(place)) == str(place)
    assert (place / "job.py").is_symlink()
    assert (place / "pkg").readlink() == source / "pkg"
    assert (place / "pkg/data/table.csv").read_text() == "1,2"
    # Once more, as a process that begins again does.
    assert settle(str(source), str(place)) == str(place)


def test_a_link_is_not_put_over_what_is_there(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source, place = places
    monkeypatch.setattr(root, "MAX_FILES", 2)
    (place / "pkg").mkdir()
    (place / "pkg/stale.py").write_text("")
    assert settle(str(source), str(place)) == str(source)
    # What is imported is the program's own; the rest is found, too.
    assert sys.path == [str(source), str(place), "/else"]


def test_nothing_is_put_into_a_volume(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source, place = places
    monkeypatch.setattr(os.path, "ismount", lambda path: path == str(place))
    assert settle(str(source), str(place)) == str(source)
    assert listing(place) == {}


@pytest.mark.parametrize("kind", ["link", "volume", "file"])
def test_nothing_is_put_behind_a_link_or_into_a_volume_within(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str
) -> None:
    source, place = places
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    if kind == "link":
        (place / "pkg").symlink_to(theirs)
    elif kind == "file":
        (theirs / "job.py").write_text("precious")
        (place / "job.py").symlink_to(theirs / "job.py")
    else:
        (place / "pkg").mkdir()
        real = os.lstat

        def other_device(path: str) -> os.stat_result:
            values = list(real(path))
            return os.stat_result([*values[:2], 99, *values[3:]]) if path == str(place / "pkg") else real(path)

        monkeypatch.setattr(os, "lstat", other_device)
    assert settle(str(source), str(place)) == str(source)
    assert listing(theirs) == ({"job.py": "precious"} if kind == "file" else {})


def test_a_file_that_can_not_be_written_is_left_if_it_is_the_same(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, place = places
    (place / "job.py").write_text("job")
    opened = os.open

    def read_only(path: str, flags: int, *rest: int) -> int:
        if path == str(place / "job.py") and flags & os.O_WRONLY:
            raise OSError(30, "Read-only file system")
        return opened(path, flags, *rest)

    monkeypatch.setattr(os, "open", read_only)
    assert settle(str(source), str(place)) == str(place)
    (place / "job.py").write_text("jo")
    assert settle(str(source), str(place)) == str(source)


def test_who_may_not_enter_stays_where_he_is(places: tuple[Path, Path], tmp_path: Path) -> None:
    source, _ = places
    assert settle(str(source), str(tmp_path / "none")) == str(source)
    assert sys.path == [str(source), "/else"]


@pytest.mark.parametrize("workdir", ["/", "/tmp"])
def test_an_image_with_a_directory_of_its_own_keeps_it(
    places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, workdir: str
) -> None:
    source, place = places
    monkeypatch.chdir(workdir)
    settle(str(source), str(place))
    assert os.getcwd() == (str(place) if workdir == "/" else workdir)
