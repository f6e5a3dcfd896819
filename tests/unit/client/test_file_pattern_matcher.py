"""FilePatternMatcher, by itself and as `ignore=`."""

from pathlib import Path

import pytest

from wherry import FilePatternMatcher, Image
from wherry._publish.ignore import matcher
from wherry._publish.image_files import resolve
from wherry.exception import InvalidError
from wherry.file_pattern_matcher import NON_PYTHON_FILES


@pytest.mark.parametrize(
    ("patterns", "matching"),
    [
        (["*.py"], ["x.py"]),
        (["**/*.py", "!d/x.py"], ["x.py"]),
        (["foo"], ["foo", "foo/bar"]),
        (["/foo/"], ["foo", "foo/bar"]),
        (["a/**/b"], ["a/b", "a/c/b"]),
        ([], []),
    ],
)
def test_paths_match_as_in_a_dockerignore(patterns: list[str], matching: list[str]) -> None:
    paths = ["x.py", "d/x.py", "foo", "foo/bar", "d/foo/bar", "a/b", "a/c/b"]
    found = FilePatternMatcher(*patterns)
    assert [path for path in paths if found(Path(path))] == matching
    assert [path for path in paths if not (~found)(Path(path))] == matching
    assert ~~found is found
    assert found.patterns == patterns


def test_patterns_of_a_file_are_read_when_first_used(tmp_path: Path) -> None:
    found = FilePatternMatcher.from_file(tmp_path / "patterns")
    with pytest.raises(InvalidError, match=r"patterns can't be read: .*No such file"):
        found(Path("a.py"))
    (tmp_path / "patterns").write_text("# comment\n\n*.py\n")
    assert found(Path("a.py"))
    assert found.patterns == ["*.py"]
    assert repr(found) == f"FilePatternMatcher.from_file('{tmp_path}/patterns')"


def test_a_pattern_that_can_not_be_read_is_told_at_once() -> None:
    with pytest.raises(InvalidError, match=r"the pattern '\[' can't be read"):
        FilePatternMatcher("[")


def test_an_image_leaves_out_what_matches(tmp_path: Path) -> None:
    for name in ("a.py", "b.txt", "deep/c.py", "deep/d.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")

    def kept(ignore: object) -> list[str]:
        image = Image.debian_slim().add_local_dir(tmp_path, "/data", copy=True, ignore=ignore)  # type: ignore[arg-type]
        return [file.path for file in resolve(image, None).definition.steps[-1].files]

    assert kept(FilePatternMatcher("**/*.py")) == ["b.txt", "deep/d.txt"]
    assert kept(~FilePatternMatcher("**/*.py")) == ["a.py", "deep/c.py"]
    assert kept(NON_PYTHON_FILES) == ["a.py", "deep/c.py"]


def test_a_directory_that_matches_whole_is_not_looked_into() -> None:
    assert matcher(FilePatternMatcher("node_modules")).is_whole("node_modules")
    assert not matcher(FilePatternMatcher("node_modules", "!node_modules/a")).is_whole("node_modules")
    assert not matcher(~FilePatternMatcher("a")).is_whole("b")
    assert not matcher(lambda path: True).is_whole("b")
