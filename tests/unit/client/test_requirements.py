"""Requirements files, as pip reads them."""

from pathlib import Path

import pytest

from wherry._publish.requirements import read_requirements
from wherry.exception import InvalidError


def _read(folder: Path, text: str | bytes) -> tuple[list[str], list[str]]:
    path = folder / "requirements.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    lines: list[str] = []
    constraints: list[str] = []
    read_requirements("Image.f", path, lines, constraints)
    return lines, constraints


@pytest.mark.parametrize("how", ["-r {}", "-r{}", "-r  {}", "-r={}", "--requirement {}", "--requirement={}"])
def test_a_file_is_included(tmp_path: Path, how: str) -> None:
    (tmp_path / "base.txt").write_text("six==1.16.0\n# nothing\n")
    assert _read(tmp_path, f"idna\n{how.format('base.txt')}\n") == (["idna", "six==1.16.0"], [])


@pytest.mark.parametrize("how", ["-c {}", "-c{}", "--constraint {}", "--constraint={}"])
def test_constraints_are_apart(tmp_path: Path, how: str) -> None:
    (tmp_path / "base.txt").write_text("six==1.16.0\n")
    assert _read(tmp_path, f"{how.format('base.txt')}\nsix\n") == (["six"], ["six==1.16.0"])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_marks_tell_the_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "inner.txt").write_bytes("idna  # é\n".encode(encoding))
    assert _read(tmp_path, "six\n-r inner.txt\n".encode(encoding)) == (["six", "idna"], [])


def test_a_comment_tells_the_encoding(tmp_path: Path) -> None:
    assert _read(tmp_path, "# -*- coding: latin-1 -*-\nsix  # é\n".encode("latin-1")) == (["six"], [])
    with pytest.raises(InvalidError, match=r"Image\.f: .*requirements\.txt can't be read: .*byte 0xe9"):
        _read(tmp_path, "six  # é\n".encode("latin-1"))
    with pytest.raises(InvalidError, match=r"can't be read: unknown encoding: klingon"):
        _read(tmp_path, "# coding: klingon\nsix\n")


@pytest.mark.parametrize(
    "line",
    [
        "-e git+https://host/owner/repo@v1#egg=x",
        "--editable=git+ssh://git@host/owner/repo",
        "git+https://host/owner/repo",
        "name @ https://host/x-1.0-py3-none-any.whl",
        "https://host/x-1.0.tar.gz",
        "name[extra]>=1,<2; python_version < '4'",
        "-f https://host/wheels/",
        "--find-links=https://host/",
        "-r https://host/requirements.txt",
        "--index-url https://host/simple",
        "--no-binary :all:",
        "six==1.16.0 --hash=sha256:abc/def",
    ],
)
def test_what_pip_gets_as_it_is(tmp_path: Path, line: str) -> None:
    assert _read(tmp_path, f"{line}\n") == ([line], [])


@pytest.mark.parametrize(
    "line",
    [
        ".", ".[dev]", "..", "./x", "../x[a,b]", "/srv/x", "~/x", "x/y", "dist/x-1.0-py3-none-any.whl", "x-1.0.tar.gz",
        "-e .", "-e.", "-e ./x", "-e src", "--editable=src", "file:///srv/x", "name @ file:///srv/x", "-e file:///x",
        "-f wheels", "--find-links ./wheels", "--find-links=file:///wheels", ". ; python_version > '3'",
    ],
)  # fmt: skip
def test_what_is_of_this_machine_is_told(tmp_path: Path, line: str) -> None:
    with pytest.raises(InvalidError, match=r"names a path of this machine .* add it with Image\.add_local_dir"):
        _read(tmp_path, f"{line}\n")


def test_a_file_that_includes_itself_is_read_once(tmp_path: Path) -> None:
    assert _read(tmp_path, "six\n-r requirements.txt\n-c requirements.txt\n") == (["six"], [])
    with pytest.raises(InvalidError, match=r"Image\.f: .*/gone\.txt does not exist"):
        _read(tmp_path, "-rgone.txt\n")
