"""Images of directories of sandboxes, and images that appear in running ones."""

from collections.abc import Iterator

import docker
import pytest

import wherry
from tests.acceptance.service import OwnService
from wherry import Image, Sandbox
from wherry.exception import InvalidError, NotFoundError

FILL = "mkdir -p /project/sub && cd /project && echo one >sub/file && ln -s sub/file link && chmod 700 sub/file"


@pytest.fixture(scope="module")
def box(service: OwnService) -> Iterator[Sandbox]:
    with Sandbox.create(block_network=True, timeout=300) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def snapshot(box: Sandbox) -> Image:
    assert box.exec("sh", "-c", FILL).wait() == 0
    return box.snapshot_directory("/project/")


def test_a_directory_appears_in_another_sandbox(service: OwnService, snapshot: Image) -> None:
    with Sandbox.create(block_network=True, timeout=120) as sandbox:
        files = sandbox.filesystem
        sandbox.mount_image("/new/place", snapshot)
        assert (
            sandbox.exec("sh", "-c", "cat /new/place/link; stat -c %a /new/place/sub/file").stdout.read()
            == "one\n700\n"
        )
        files.write_text("hidden", "/old/place/mine")
        sandbox.mount_image("/old/place", Image.from_id(snapshot.object_id))
        assert files.ls("/old/place") == ["link", "sub"]
        files.write_text("changed", "/old/place/sub/file")
        # Once more is anew.
        sandbox.mount_image("/old/place", snapshot)
        assert files.read_text("/old/place/sub/file") == "one\n"
        sandbox.unmount_image("/old/place")
        assert files.ls("/old/place") == ["mine"]
        sandbox.unmount_image("/new/place")
        assert files.ls("/new") == []
        with pytest.raises(InvalidError, match="no image is mounted at /new/place"):
            sandbox.unmount_image("/new/place")


def test_any_image_can_be_mounted(box: Sandbox) -> None:
    image = Image.debian_slim().run_commands("mkdir /only-here && echo built >/only-here/file")
    box.mount_image("/mnt/image", image)
    assert box.filesystem.read_text("/mnt/image/only-here/file") == "built\n"
    assert {"etc", "usr", "bin"} <= set(box.ls("/mnt/image"))
    assert not {"proc", "sys", ".dockerenv"} & set(box.ls("/mnt/image"))
    box.unmount_image("/mnt/image")


def test_what_a_volume_has_there_is_in_it(service: OwnService) -> None:
    volume = wherry.Volume.from_name("to-be-snapshot", create_if_missing=True)
    with Sandbox.create(volumes={"/vol": volume}, block_network=True, timeout=120) as sandbox:
        sandbox.filesystem.write_text("of the volume", "/vol/x/y")
        image = sandbox.snapshot_directory("/vol/x")
        for place in ("/vol", "/vol/z", "/"):
            with pytest.raises(InvalidError, match="an image is mounted at"):
                sandbox.mount_image(place, image)
        sandbox.mount_image("/copy", image)
        assert sandbox.filesystem.read_text("/copy/y") == "of the volume"


def test_what_is_not_there(box: Sandbox) -> None:
    for path in ("/nowhere", "/etc/passwd"):
        with pytest.raises(NotFoundError, match=f"has no directory '{path}'"):
            box.snapshot_directory(path)
    with pytest.raises(InvalidError, match="must be an absolute path"):
        box.snapshot_directory("work")
    with pytest.raises(InvalidError, match="takes a directory below /"):
        box.snapshot_directory("/")
    with pytest.raises(InvalidError, match="ttl is 0"):
        box.snapshot_filesystem(ttl=0)


def test_how_long_they_are_kept(box: Sandbox) -> None:
    engine = docker.from_env()
    try:
        for image, ends in (
            (box.snapshot_filesystem(ttl=None), "never"),
            (box.snapshot_directory("/project", ttl=60), ""),
        ):
            tag = f"wherry/image:{image.object_id.removeprefix('im-')}"
            assert engine.images.get(tag).labels["wherry.expires"].startswith(f"{image.object_id} {ends}")
    finally:
        engine.close()


def test_nothing_is_left_of_copying(service: OwnService, box: Sandbox) -> None:
    kinds = {row["Labels"]["wherry.kind"] for row in service.containers()}
    assert "copy" not in kinds
