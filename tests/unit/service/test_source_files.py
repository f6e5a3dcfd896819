"""Source files: those in use are there, and those that a client was told are; the others go after a time."""

import hashlib
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from wherry_proto.messages import (
    FunctionSpec,
    ImageDefinition,
    ImageState,
    ImageStep,
    LocalMount,
    SandboxSpec,
    SourceFile,
)
from wherry_service.apps.source_use import DAY_S, files_of_images, trees_of
from wherry_service.errors import NotFound
from wherry_service.settings import load
from wherry_service.settings_key import SettingsError
from wherry_service.store.blobs import BlobStore
from wherry_service.store.bucket import Bucket
from wherry_service.store.bucket_blobs import OWNER, BucketBlobStore
from wherry_service.store.images import ImageRecord
from wherry_service.store.sources import SourceStore

KEEP_S = 7 * DAY_S
TEXTS = [b"a", b"b", b"c", b"d"]
NUMBERS = st.integers(0, len(TEXTS) - 1)
FILES = st.sets(NUMBERS, min_size=1, max_size=3)
STEP: "st.SearchStrategy[tuple[Any, ...]]" = st.one_of(
    st.tuples(st.just("ask"), FILES),
    st.tuples(st.just("send"), FILES),
    # As a client does: ask, send what is missing, record; and publish that, or only later.
    st.tuples(st.just("record"), FILES, st.booleans()),
    st.tuples(st.just("record"), FILES, st.booleans()),
    st.tuples(st.just("publish"), st.integers(0, 5)),
    st.tuples(st.just("stop"), st.integers(0, 5)),
    st.tuples(st.just("build"), NUMBERS),
    st.tuples(st.just("prune"), NUMBERS),
    st.tuples(st.just("later"), st.sampled_from([0.5, 2.0, 4.0, 8.0])),
    st.tuples(st.just("sweep")),
    st.tuples(st.just("restart")),
)


def content(number: int) -> str:
    return "sha256:" + hashlib.sha256(TEXTS[number]).hexdigest()


class Host:
    """What a service has on its disk, life after life."""

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        self.folder = folder
        self.now = now
        self.begin()

    def begin(self) -> None:
        self.blobs = self.open_blobs()
        self.sources = SourceStore(self.folder / "sources", self.blobs, self.now)

    def open_blobs(self) -> BlobStore:
        return BlobStore(self.folder / "blobs", self.now)

    def read(self, tree: str) -> set[bytes]:
        with tempfile.TemporaryDirectory() as target:
            self.sources.write_to(tree, Path(target))
            return {path.read_bytes() for path in Path(target).iterdir()}

    def there(self) -> set[str]:
        return self.blobs._all_contents()


class BucketHost(Host):
    """Its contents are in a bucket, and nothing of them stays on its disk for long."""

    bucket: Bucket | None = None

    def open_blobs(self) -> BlobStore:
        self.bucket = self.bucket or Bucket(MemoryStore(), "memory://")
        root = self.folder / "blobs"
        root.mkdir(exist_ok=True)
        (root / OWNER).write_text("the service")
        return BucketBlobStore(root, self.bucket, 0, self.now)


@pytest.mark.parametrize("make", [Host, BucketHost])
@given(steps=st.lists(STEP, max_size=40))
@settings(max_examples=100, deadline=None)
def test_a_source_file_is_there_while_it_is_used_or_promised_and_not_for_ever(
    make: type[Host], steps: list[tuple[Any, ...]]
) -> None:
    clock = [1_700_000_000.0]
    with tempfile.TemporaryDirectory() as folder:
        host = make(Path(folder), lambda: clock[0])
        # When each content and each tree was last sent, recorded, or said to be there.
        promised: dict[str, float] = {}
        trees: dict[str, set[int]] = {}
        recorded: dict[str, float] = {}
        used: set[str] = set()
        built: set[int] = set()
        for verb, *rest in steps:
            if verb in ("ask", "send"):
                missing = host.blobs.missing([content(number) for number in rest[0]])
                assert not set(missing) & {content(number) for number in built}
                for number in rest[0]:
                    if content(number) in missing and verb == "send":
                        host.blobs.put(content(number), [TEXTS[number]])
                    if content(number) not in missing or verb == "send":
                        promised[content(number)] = clock[0]
            elif verb == "record":
                missing = host.blobs.missing([content(number) for number in rest[0]])
                for number in rest[0]:
                    if content(number) in missing:
                        host.blobs.put(content(number), [TEXTS[number]])
                tree = host.sources.put([SourceFile(path=str(one), blob_id=content(one)) for one in rest[0]])
                trees[tree], recorded[tree] = rest[0], clock[0]
                if rest[1]:
                    used.add(tree)
                promised |= {content(number): clock[0] for number in rest[0]}
            elif verb == "publish" and recorded:
                tree = sorted(recorded)[rest[0] % len(recorded)]
                # As a client does, within the time for which it was told that the tree is there.
                if recorded[tree] > clock[0] - KEEP_S or tree in used:
                    used.add(tree)
            elif verb == "stop" and used:
                used.discard(sorted(used)[rest[0] % len(used)])
            elif verb == "build" and promised.get(content(rest[0]), 0) > clock[0] - KEEP_S:
                built.add(rest[0])
            elif verb == "prune":
                built.discard(rest[0])
            elif verb == "later":
                clock[0] += rest[0] * DAY_S
            elif verb == "restart":
                host.blobs.close()
                host.begin()
            elif verb == "sweep":
                host.sources.sweep(used, {content(number) for number in built}, KEEP_S)
                kept = {tree for tree in trees if host.sources.exists(tree)}
                named = {content(number) for tree in kept for number in trees[tree]}
                young = {one for one, at in promised.items() if at >= clock[0] - KEEP_S}
                # No more than that is left.
                assert kept <= used | {tree for tree, at in recorded.items() if at >= clock[0] - KEEP_S}
                assert host.there() <= named | young | {content(number) for number in built}
            for tree in used:
                assert host.read(tree) == {TEXTS[number] for number in trees[tree]}
            for number in built:
                assert b"".join(host.blobs.read(content(number))) == TEXTS[number]
            there = host.there()
            assert {one for one, at in promised.items() if at > clock[0] - KEEP_S} <= there
        host.blobs.close()


@pytest.mark.parametrize("make", [Host, BucketHost])
def test_a_tree_in_use_stays_with_its_files_however_old_and_goes_when_it_is_not(
    make: type[Host], tmp_path: Path
) -> None:
    clock = [1e9]
    host = make(tmp_path, lambda: clock[0])
    for number in (0, 1, 2):
        host.blobs.put(content(number), [TEXTS[number]])
    trees = [[SourceFile(path=str(one), blob_id=content(one)) for one in files] for files in ((0, 1), (1, 2))]
    used, other = map(host.sources.put, trees)
    clock[0] += 30 * DAY_S
    # The other tree, and the file that it alone names.
    assert host.sources.sweep({used}, set(), KEEP_S) == 2
    assert host.read(used) == {TEXTS[0], TEXTS[1]}
    assert not host.sources.exists(other)
    assert host.sources.sweep(set(), {content(1)}, KEEP_S) == 2
    assert host.there() == {content(1)}
    host.blobs.close()


@pytest.mark.parametrize("make", [Host, BucketHost])
def test_who_asks_while_files_are_deleted_is_told_that_they_are_gone(
    make: type[Host], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1e9]
    host = make(tmp_path, lambda: clock[0])
    host.blobs.put(content(0), [TEXTS[0]])
    clock[0] += 8 * DAY_S
    deleting, go_on = threading.Event(), threading.Event()
    delete = host.blobs._delete_contents

    def slowly(blob_ids: list[str]) -> None:
        deleting.set()
        assert go_on.wait(10)
        delete(blob_ids)

    monkeypatch.setattr(host.blobs, "_delete_contents", slowly)
    sweep = threading.Thread(target=host.sources.sweep, args=(set(), set(), KEEP_S))
    sweep.start()
    assert deleting.wait(10)
    answers: list[list[str]] = []
    ask = threading.Thread(target=lambda: answers.append(host.blobs.missing([content(0)])))
    ask.start()
    go_on.set()
    sweep.join(10)
    ask.join(10)
    assert answers == [[content(0)]]
    host.blobs.put(content(0), [TEXTS[0]])
    assert host.sources.sweep(set(), set(), KEEP_S) == 0
    assert host.there() == {content(0)}
    host.blobs.close()


def test_files_that_were_there_before_there_were_marks_get_the_whole_time(tmp_path: Path) -> None:
    clock = [1e9]
    host = Host(tmp_path, lambda: clock[0])
    host.blobs.put(content(0), [TEXTS[0]])
    for path in (tmp_path / "blobs" / "asked").rglob("*"):
        if path.is_file():
            path.unlink()
    clock[0] += 30 * DAY_S
    host.begin()
    assert host.sources.sweep(set(), set(), KEEP_S) == 0
    clock[0] += 8 * DAY_S
    assert host.sources.sweep(set(), set(), KEEP_S) == 1


def test_a_file_in_a_container_keeps_its_time_when_a_client_asks_for_it(tmp_path: Path) -> None:
    clock = [1e9]
    host = Host(tmp_path, lambda: clock[0])
    host.blobs.put(content(0), [TEXTS[0]])
    tree = host.sources.put([SourceFile(path="f", blob_id=content(0))])
    place = host.sources.laid_out(tree)
    before = (place / "f").stat().st_mtime_ns
    clock[0] += DAY_S
    assert host.blobs.missing([content(0)]) == []
    assert (place / "f").stat().st_mtime_ns == before
    # And its content, for as long as a container has it.
    clock[0] += 8 * DAY_S
    assert host.sources.sweep({tree}, set(), KEEP_S) == 0
    assert (place / "f").read_bytes() == TEXTS[0]
    assert host.sources.sweep(set(), set(), KEEP_S) == 2
    assert not place.exists()
    with pytest.raises(NotFound, match="does not exist"):
        host.read(tree)


def test_functions_sandboxes_and_images_say_what_they_use() -> None:
    mounts = [LocalMount(remote_path="/data", source_id="so-mounted")]
    specs = [FunctionSpec(source_id="so-one", local_mounts=mounts), SandboxSpec(source_id="so-two"), FunctionSpec()]
    assert trees_of(specs) - {""} == {"so-one", "so-two", "so-mounted"}

    def record(image_id: str, state: int, *steps: ImageStep) -> ImageRecord:
        return ImageRecord(image_id, ImageDefinition(steps=list(steps)), state)

    def copy(number: int) -> ImageStep:
        return ImageStep(kind="copy", files=[SourceFile(path="f", blob_id=content(number))])

    run = ImageStep(kind="run_function", function=FunctionSpec(source_id="so-run", local_mounts=mounts))
    records = [
        record("im-built", ImageState.BUILT, copy(0)),
        record("im-building", ImageState.BUILDING, run),
        record("im-failed", ImageState.FAILED, copy(1)),
        record("im-base", ImageState.PRUNED, copy(2)),
        # Of a version that can be rolled back to.
        record("im-old", ImageState.PRUNED, ImageStep(kind="from_id", args=["im-base"])),
        record("im-pruned", ImageState.PRUNED, copy(3)),
    ]
    assert files_of_images(records, {"im-old", "im-unknown"}) == (
        {"so-run", "so-mounted"},
        {content(0), content(2)},
    )


def test_a_time_too_short_for_a_publish_is_refused() -> None:
    assert load(None, {}).sources_keep_days == 7
    assert load(None, {"WHERRY_SOURCES_KEEP_DAYS": "0"}).sources_keep_days == 0
    for wrong in ("0.1", "-1", "nan"):
        with pytest.raises(SettingsError, match=r"sources\.keep_days is .*: it is 0, which keeps all, or at least"):
            load(None, {"WHERRY_SOURCES_KEEP_DAYS": wrong})
