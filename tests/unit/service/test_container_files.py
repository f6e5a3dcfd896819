"""The directory of a container: nothing that is in it leads the service elsewhere."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.engine import FakeEngine
from tests.fakes.node import no_buckets, no_guests, no_web
from wherry_service.engines.containment import Containment
from wherry_service.engines.engine import ContainerSpec
from wherry_service.errors import InvalidRequest, NotFound
from wherry_service.ids import new_id
from wherry_service.logs.masks import Masks
from wherry_service.node.container_files import LABEL, LAYOUT, ContainerFiles
from wherry_service.node.local import LocalNode
from wherry_service.node.value_receiver import ValueReceiver
from wherry_service.store.blobs import BlobStore
from wherry_service.store.sources import SourceStore
from wherry_service.store.volumes import VolumeStore


class Place:
    """Where the files of containers are, beside a file of the host's."""

    def __init__(self, root: Path) -> None:
        self.run = root / "run"
        self.run.mkdir()
        self.blobs = BlobStore(root / "blobs")
        self.receiver = ValueReceiver()
        self.host = root / "host"
        self.host.mkdir(mode=0o700)
        (self.host / "secret").write_text("of the host")

    def files(self, name: str = "co-1") -> ContainerFiles:
        sources = SourceStore(self.run.parent / "sources", self.blobs)
        return ContainerFiles(self.run / name, self.blobs, sources, self.receiver)

    def host_is_untouched(self) -> bool:
        return (
            sorted(os.listdir(self.host)) == ["secret"]
            and (self.host / "secret").read_text() == "of the host"
            and self.host.stat().st_mode & 0o7777 == 0o700
        )


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.receiver.close()


def listen(files: ContainerFiles) -> list[str]:
    """Listen for a moment; return which sockets there were: from Python 3.13 on asyncio removes its own again."""

    async def scenario() -> list[str]:
        await files.listen("co-1", asyncio.Protocol, asyncio.Protocol, asyncio.Protocol)
        lent = Path(files.mount.source)
        found = sorted(path.name for path in lent.iterdir() if path.is_socket() and not path.is_symlink())
        files.stop_listening()
        return found

    return asyncio.run(scenario())


def test_the_container_has_it_read_only(place: Place) -> None:
    files = place.files()
    files.make()
    assert listen(files) == ["api.sock", "runner.sock", "values.sock", "web.sock"]
    assert (files.mount.source, files.mount.target) == (str(place.run / "co-1" / "lent"), "/run/wherry")
    assert files.mount.read_only
    assert {"in", "source"} <= {*os.listdir(place.run / "co-1" / "lent")}
    files.remove()
    assert os.listdir(place.run) == []


@pytest.mark.parametrize("name", ["", "lent", "lent/in", "values"])
def test_a_link_in_place_of_a_directory_is_refused(place: Place, name: str) -> None:
    files = place.files()
    files.make()
    path = place.run / "co-1" / name
    path.rename(place.run / "away")
    path.symlink_to(place.host)
    with pytest.raises(OSError, match="Not a directory"):
        listen(files)
    files.remove()
    assert place.host_is_untouched()


def test_links_in_place_of_files_are_replaced_or_refused(place: Place) -> None:
    files = place.files()
    files.make()
    lent = place.run / "co-1" / "lent"
    (lent / "runner.sock").symlink_to(place.host / "secret")
    (lent / "api.sock").symlink_to(place.host / "new")
    assert {"api.sock", "runner.sock"} <= {*listen(files)}
    blob_id = new_id("bl")
    place.blobs.put(blob_id, [b"a value"])
    (lent / "in" / blob_id).symlink_to(place.host / "new")
    files.lend(blob_id)
    files.take_back(blob_id)
    assert os.listdir(lent / "in") == []
    files.remove()
    assert place.host_is_untouched()


def test_a_blob_is_lent_for_as_long_as_an_input_has_it(place: Place) -> None:
    files = place.files()
    files.make()
    listen(files)
    blob_id = new_id("bl")
    place.blobs.put(blob_id, [b"a value"])
    files.lend(blob_id)
    files.lend(blob_id)
    files.take_back(blob_id)
    assert (place.run / "co-1" / "lent" / "in" / blob_id).read_bytes() == b"a value"
    files.take_back(blob_id)
    assert os.listdir(place.run / "co-1" / "lent" / "in") == []
    files.take_back(blob_id)
    with pytest.raises(NotFound):
        files.lend(new_id("bl"))
    files.remove()
    # Too late, and no reason to fall over.
    files.take_back(blob_id)
    with pytest.raises(InvalidRequest, match="after the container's end"):
        files.take("0" * 24, 5)


def test_what_an_earlier_version_lent_is_removed_and_no_link_in_it_is_followed(place: Place) -> None:
    """Its directory was in the container's hands: neither it nor the container is used again."""

    async def scenario() -> None:
        engine = FakeEngine({"image": {}})
        node = LocalNode(
            engine, place.run, place.blobs, SourceStore(place.run.parent / "sources", place.blobs),
            VolumeStore(place.run.parent / "volumes"), no_buckets(engine, place.run.parent),
            Masks(), Containment(), starts_at_once=4, connect_guest=no_guests, connect_web=no_web,
        )  # fmt: skip
        old = place.run / "co-old"
        old.mkdir()
        (old / "out").symlink_to(place.host)
        (old / "lent").mkdir()
        (old / "lent" / "in").symlink_to(place.host)
        for name, labels in (("co-old", {}), ("co-new", {LABEL: LAYOUT})):
            (place.run / name).mkdir(exist_ok=True)
            spec = ContainerSpec(
                name, "image", ("sleep", "60"), labels={**node.labels, "wherry.container": name, **labels}
            )
            await engine.start(await engine.create(spec))
        assert [found.container_id for found in await node.find()] == ["co-new"]
        assert os.listdir(place.run) == ["co-new"]
        assert [c.spec.name for c in engine.containers.values()] == ["co-new"]
        await node.close()
        await engine.close()

    asyncio.run(scenario())
    assert place.host_is_untouched()
