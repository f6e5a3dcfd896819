"""Archives of source trees: what comes out is what went in, also where it is large or odd."""

import io
import os
import stat
import tarfile
from pathlib import Path

from tests.archives import unpack
from wherry_service.node.tree_archive import archive_of


def test_what_comes_out_is_what_went_in(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("empty", "sub/deep"):
        (source / name).mkdir(parents=True)
    large = os.urandom((2 << 20) + 7)
    (source / "sub/large").write_bytes(large)
    (source / "sub/deep/nothing").touch()
    odd = "ümlaut " + "x" * 150
    (source / odd).write_bytes(b"1" * 512)
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o555)
    (source / "link").symlink_to("sub/large")
    (tmp_path / "file").write_text("alone")
    pieces = list(archive_of([("/data/", source, False), ("/etc/x/alone", tmp_path / "file", True)]))
    assert max(map(len, pieces)) <= 1 << 20
    root = tmp_path / "root"
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
        names = tar.getnames()
        unpack(tar, root)
    # Directories that the container may have keep their mode and owner.
    assert "data" not in names
    assert "data/sub" not in names
    data = root / "data"
    assert (data / "sub/large").read_bytes() == large
    assert (data / odd).read_bytes() == b"1" * 512
    assert ((data / "sub/deep/nothing").read_bytes(), os.listdir(data / "empty")) == (b"", [])
    assert (os.readlink(data / "link"), (root / "etc/x/alone").read_text()) == ("sub/large", "alone")
    assert [stat.S_IMODE((data / name).stat().st_mode) for name in ("run", "sub/large")] == [0o755, 0o644]
