"""Files of this machine that an image adds when containers start, in sandboxes."""

from pathlib import Path

import pytest

import wherry
from tests.acceptance.service import OwnService
from wherry import Image, Sandbox
from wherry.exception import InvalidError


def test_they_are_there_and_the_sandboxs_own(
    service: OwnService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/one.txt").write_text("one")
    (folder / "ignored.log").write_text("x")
    (tmp_path / "single.txt").write_text("single")
    (tmp_path / "far_module.py").write_text("def far():\n    return 'far'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    image = (
        Image.debian_slim()
        .add_local_dir(folder, "/data/deep", ignore=["*.log"])
        .add_local_file(tmp_path / "single.txt", "/usr/local/single.txt")
        .add_local_python_source("far_module")
    )
    with Sandbox.create(image=image, block_network=True, timeout=120) as sandbox:
        files = sandbox.filesystem
        assert files.ls("/data/deep") == ["sub"]
        assert (files.read_text("/data/deep/sub/one.txt"), files.read_text("/usr/local/single.txt")) == (
            "one",
            "single",
        )
        assert sandbox.exec("python3", "-c", "import far_module; print(far_module.far())").stdout.read() == "far\n"
        # What the image has beside them is as it was.
        assert sandbox.exec("stat", "-c", "%a %u", "/root", "/usr/local").stdout.read() == "700 0\n755 0\n"
        files.write_text("changed", "/data/deep/sub/one.txt")
        files.remove("/usr/local/single.txt")
        snapshot = sandbox.snapshot_filesystem()
    assert (folder / "sub/one.txt").read_text() == "one"
    # Another has them as they are here; one of the snapshot as they were left.
    for of, expected in ((image, "one"), (snapshot, "changed")):
        with Sandbox.create("cat", "/data/deep/sub/one.txt", image=of, block_network=True) as sandbox:
            assert (sandbox.stdout.read(), sandbox.wait()) == (expected, 0)


def test_an_apps_image_adds_them_too(service: OwnService, tmp_path: Path) -> None:
    (tmp_path / "of-the-app").write_text("yes")
    app = wherry.App("adds-files", image=Image.debian_slim().add_local_dir(tmp_path, "/data"))
    with app.run(), Sandbox.create("ls", "/data", app=app, block_network=True) as sandbox:
        assert (sandbox.stdout.read(), sandbox.wait()) == ("of-the-app\n", 0)


def test_nothing_is_added_to_what_others_have_too(service: OwnService, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    volume = wherry.Volume.from_name("local-files", create_if_missing=True)
    image = Image.debian_slim().add_local_dir(tmp_path, "/data/below")
    with pytest.raises(InvalidError, match="'/data/below', which is in the volume or bucket at /data"):
        Sandbox.create("true", image=image, volumes={"/data": volume}, block_network=True)


def test_what_is_not_there_is_named(service: OwnService, tmp_path: Path) -> None:
    with pytest.raises((InvalidError, FileNotFoundError), match="nothing"):
        Sandbox.create("true", image=Image.debian_slim().add_local_dir(tmp_path / "nothing", "/data"))
