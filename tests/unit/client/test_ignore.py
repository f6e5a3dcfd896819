"""What patterns leave out: the rules of a .dockerignore. tests/integration/test_dockerignore.py asks Docker itself."""

from pathlib import Path

import pytest

from wherry._base.walk import walk
from wherry._publish.ignore import lines_of, matcher
from wherry._publish.local_files import docker_ignored
from wherry.exception import InvalidError

TREE = (
    "a.py", "foo.txt", "oo.txt", "!oo.txt", "[slug].js", "src/a.py", "src/deep/b.py",
    "data/x", "data/deep/big.bin", ".git/config", "a/b/c/d.txt", "a/b.txt",
    "x.y", "xzy", "cost$.txt", "build/out.o", "node_modules/x/i.js", "docs/build/out.o",
)  # fmt: skip


def kept(*patterns: str) -> set[str]:
    ignored = matcher(patterns)
    return {path for path in TREE if not ignored(path)}


@pytest.mark.parametrize(
    ("patterns", "left_out"),
    [
        (["data/*"], {"data/x", "data/deep/big.bin"}),
        (["data"], {"data/x", "data/deep/big.bin"}),
        (["data/"], {"data/x", "data/deep/big.bin"}),
        (["/data"], {"data/x", "data/deep/big.bin"}),
        (["./data//deep"], {"data/deep/big.bin"}),
        (["src/../foo.txt"], {"foo.txt"}),
        (["foo.txt/"], {"foo.txt"}),
        (["a//b.txt"], {"a/b.txt"}),
        (["*/*.py"], {"src/a.py"}),
        (["**/*.py"], {"a.py", "src/a.py", "src/deep/b.py"}),
        (["a/**"], {"a/b/c/d.txt", "a/b.txt"}),
        (["a/**/d.txt"], {"a/b/c/d.txt"}),
        (["?oo.txt"], {"foo.txt", "!oo.txt"}),
        (["[f]oo.txt"], {"foo.txt"}),
        (["[^f]oo.txt"], {"!oo.txt"}),
        # As Docker reads it: one of the two characters.
        (["[!f]oo.txt"], {"foo.txt", "!oo.txt"}),
        (["\\[slug\\].js"], {"[slug].js"}),
        (["x.y"], {"x.y"}),
        (["x.*"], {"x.y"}),
        (["cost$.*"], {"cost$.txt"}),
        (["build"], {"build/out.o"}),
        (["**/build"], {"build/out.o", "docs/build/out.o"}),
        ([".*"], {".git/config"}),
        (["  a.py  "], {"a.py"}),
        ([""], set()),
    ],
)
def test_a_pattern_leaves_out_what_docker_leaves_out(patterns: list[str], left_out: set[str]) -> None:
    assert set(TREE) - kept(*patterns) == left_out


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (["*"], set()),
        (["**"], set()),
        (["*", "!src"], {"src/a.py", "src/deep/b.py"}),
        (["*", "!src", "src/deep"], {"src/a.py"}),
        (["*", "!**/*.py"], {"a.py", "src/a.py", "src/deep/b.py"}),
        (["*", "! /src/deep"], {"src/deep/b.py"}),
        (["!src", "*"], set()),
    ],
)
def test_the_last_pattern_that_matches_counts(patterns: list[str], wanted: set[str]) -> None:
    assert kept(*patterns) == wanted


def test_a_function_is_asked_with_each_path() -> None:
    ignored = matcher(lambda path: path.suffix == ".py" and isinstance(path, Path))
    assert [ignored("src/a.py"), ignored("data/x")] == [True, False]


@pytest.mark.parametrize("pattern", ["[", "a/[b", "[z-a]", "!", " ! "])
def test_a_pattern_that_can_t_be_read_is_named(pattern: str) -> None:
    with pytest.raises(InvalidError, match=r"ignore: the pattern '.*' (can't be read|names nothing)"):
        matcher([pattern])


def test_a_lone_text_is_no_list_of_patterns() -> None:
    with pytest.raises(InvalidError, match="a list of patterns or a function, not 'data'"):
        matcher("data")


def test_what_is_left_out_is_not_looked_into(tmp_path: Path) -> None:
    for name in ("src/a.py", "data/deep/x", "keep/in/y", "keep/z"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    asked: list[str] = []
    ignored = matcher(["data", "keep", "!keep/in"])
    whole = ignored.is_whole

    def noted(folder: str) -> bool:
        asked.append(folder)
        return whole(folder)

    ignored.is_whole = noted  # type: ignore[method-assign]
    assert sorted(walk(tmp_path, ignored)) == ["keep/in/y", "src/a.py"]
    assert "data/deep" not in asked


def test_what_is_left_out_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "ok").touch()
    (tmp_path / "gone").symlink_to("/proc/self/mem")  # reading it fails, whoever does
    assert list(walk(tmp_path, matcher(["gone"]))) == ["ok"]


def test_comments_and_a_byte_order_mark_are_no_patterns() -> None:
    assert lines_of("\ufeffa\n# b\n\n  !c  \n") == ["a", "!c"]


def test_a_dockerfile_s_own_ignore_file_is_read_instead(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("general\n")
    own = tmp_path / "prod.Dockerfile"
    assert docker_ignored(str(tmp_path), (), str(own))("general")
    (tmp_path / "prod.Dockerfile.dockerignore").write_text("special\n")
    ignored = docker_ignored(str(tmp_path), ["more"], str(own))
    assert [ignored(name) for name in ("general", "special", "more")] == [False, True, True]
    asked = docker_ignored(str(tmp_path), lambda path: path.name == "more", str(own))
    assert [asked(name) for name in ("general", "special", "more")] == [False, True, True]


def test_an_ignore_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidError, match="dockerignore can't be read"):
        docker_ignored(str(tmp_path), ())
