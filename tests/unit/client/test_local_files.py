"""Directories of this machine, as images and mounts have them."""

import ctypes
import os
from pathlib import Path

import pytest

from tests.unit.client.test_fork import in_child
from wherry._base.walk import walk
from wherry._publish.ignore import matcher
from wherry._publish.local_files import files_below
from wherry.exception import InvalidError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "real").mkdir(parents=True)
    (root / "real" / "f").write_text("x")
    (root / "empty").mkdir()
    (root / "key").write_text("secret")
    (root / "key").chmod(0o600)
    (root / "run").write_text("")
    (root / "run").chmod(0o775)
    (tmp_path / "outside").write_text("o")
    (tmp_path / "folder").mkdir()
    for name, target in {
        "to_dir": "real",
        "to_file": "real/f",
        "real/up": "../key",
        "absolute": str(root / "real"),
        "dangling": "nowhere",
        "out_file": "../outside",
        "out_dir": "../folder",
        "loop": "loop",
    }.items():
        os.symlink(target, root / name)
    return root


def test_a_tree_is_kept_as_it_is(tree: Path) -> None:
    found = {file.path: file for file in files_below("what", str(tree), matcher(()), with_modes=True)}
    assert list(found) == sorted(found)
    assert {path: file.link for path, file in found.items() if file.link} == {
        "to_dir": "real",
        "to_file": "real/f",
        "real/up": "../key",
        "absolute": "real",
        "dangling": "nowhere",
        "out_dir": "../folder",
        "loop": "loop",
    }
    assert [path for path, file in found.items() if file.directory] == ["empty"]
    assert {path for path, file in found.items() if file.blob_id} == {"key", "run", "real/f", "out_file"}
    assert {path: file.mode for path, file in found.items() if file.mode} == {"key": 0o600}
    assert found["run"].executable


def test_what_is_ignored_is_ignored_whatever_it_is(tree: Path) -> None:
    found = files_below("what", str(tree), matcher(["to_*", "empty", "real", "*_dir", "loop", "absolute"]))
    assert [file.path for file in found] == ["dangling", "key", "out_file", "run"]
    # Nobody asked for permissions.
    assert not any(file.mode for file in found)


def test_files_alone_follow_links(tree: Path) -> None:
    assert set(walk(tree)) == {"key", "run", "real/f", "real/up", "to_file", "out_file"}


def test_a_directory_that_can_not_be_read_is_told(tree: Path) -> None:
    (tree / "empty").chmod(0)

    def told() -> str:
        # Root reads everything, by capabilities that it may lay down: header, then effective, permitted, inheritable.
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()) == 0
        with pytest.raises(InvalidError) as caught:
            files_below("what", str(tree), matcher(()))
        return str(caught.value)

    assert "empty can't be read: Permission denied" in in_child(told)
