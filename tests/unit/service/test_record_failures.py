"""Secrets, records of images and the audit log where the disk or the database takes no writes."""

import asyncio
import errno
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa

from tests.databases import Disk
from tests.fakes.images import builder_of
from tests.unit.service.test_image_builder import TAG, WANTED, Docker, chain, docker, hearing, ignore
from wherry_proto.messages import AuditEntry, ImageEnsureRequest, ImageEvent, ImageState
from wherry_service.api import audit as audit_module
from wherry_service.api.audit import AuditLog
from wherry_service.api.images import ImageApi
from wherry_service.calls import writing
from wherry_service.errors import Exhausted
from wherry_service.images.builder import ImageBuilder
from wherry_service.objects.keys import Keys
from wherry_service.objects.secrets import Secrets
from wherry_service.store.away import DatabaseAway
from wherry_service.store.blobs import BlobStore
from wherry_service.store.database import Database
from wherry_service.store.images import ImageStore
from wherry_service.store.objects import ObjectStore
from wherry_service.store.secrets import SecretStore
from wherry_service.store.sources import SourceStore
from wherry_service.store.tokens import AuditStore
from wherry_service.store.trouble import StorageFailed, StorageFull

__all__ = ["docker"]

T = TypeVar("T")

TROUBLES = [
    StorageFull("the disk is full"),
    StorageFailed("the disk can only be read"),
    StorageFailed("the disk does not work (input/output error)"),
    DatabaseAway("the database does not answer"),
]
DISK_TROUBLES = [OSError(number, "x", "/somewhere") for number in (errno.ENOSPC, errno.EROFS, errno.EIO)]


class Failing(Database):
    """Fails its writes while it is told to."""

    trouble: Exception | None = None
    # How many writes succeed before.
    spare = 0

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        if self.trouble is not None:
            if not self.spare:
                raise type(self.trouble)(str(self.trouble))
            self.spare -= 1
        return await super().write(work)


@pytest.fixture
def database(disk: Disk) -> Iterator[Failing]:
    database = Failing(disk.url)
    database.begin()
    yield database
    database.close()


def stacks(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged with a stack."""
    return [record.message for record in caplog.records if record.exc_info]


# Secrets


def secrets_of(disk: Disk, database: Database) -> Secrets:
    return Secrets(SecretStore(database), ObjectStore(database), Keys(disk.folder / "secret.key"))


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_a_secret_that_can_not_be_written_is_refused_and_is_there_when_it_is_asked_for_again(
    disk: Disk, database: Failing, trouble: Exception
) -> None:
    async def scenario() -> None:
        secrets = secrets_of(disk, database)
        database.trouble = trouble
        with pytest.raises(type(trouble), match=trouble.args[0][:12]):
            await secrets.create("api", "main", {"A": "1"})
        assert await secrets.list("main") == []
        database.trouble = None
        made = await secrets.create("api", "main", {"A": "1"})
        database.trouble = trouble
        with pytest.raises(type(trouble)):
            await secrets.create("api", "main", {"A": "2"}, replace=True)
        with pytest.raises(type(trouble)):
            await secrets.delete("api", "main")
        # That it was used can't be noted, and a container starts all the same.
        assert await secrets.values([made.secret_id]) == {"A": "1"}
        database.trouble = None
        # The next life of the service reads what was written.
        assert await secrets_of(disk, database).values([made.secret_id]) == {"A": "1"}

    asyncio.run(scenario())


@pytest.mark.parametrize("trouble", DISK_TROUBLES, ids=lambda error: errno.errorcode[error.errno])
def test_no_secret_is_encrypted_with_a_key_that_could_not_be_written(
    disk: Disk, database: Failing, monkeypatch: pytest.MonkeyPatch, trouble: OSError
) -> None:
    def refuse(*args: Any, **options: Any) -> Any:
        raise trouble

    async def scenario() -> None:
        secrets = secrets_of(disk, database)
        for _ in range(2):
            with monkeypatch.context() as patch:
                patch.setattr("os.replace", refuse)
                with pytest.raises(OSError, match="x"):
                    await secrets.create("api", "main", {"A": "1"})
        made = await secrets.create("api", "main", {"A": "1"})
        assert await secrets_of(disk, database).values([made.secret_id]) == {"A": "1"}
        for _ in range(2):
            with monkeypatch.context() as patch:
                patch.setattr("os.replace", refuse)
                with pytest.raises(OSError, match="x"):
                    await secrets.rotate()
        more = await secrets.create("more", "main", {"B": "2"})
        assert await secrets_of(disk, database).values([made.secret_id, more.secret_id]) == {"A": "1", "B": "2"}

    asyncio.run(scenario())


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_keys_that_could_not_be_changed_in_all_secrets_are_kept_both(
    disk: Disk, database: Failing, trouble: Exception
) -> None:
    async def scenario() -> None:
        secrets = secrets_of(disk, database)
        made = await secrets.create("api", "main", {"A": "1"})
        nameless = await secrets.create("", "main", {"N": "1"})
        database.trouble = trouble
        with pytest.raises(type(trouble)):
            await secrets.rotate()
        database.trouble = None
        for life in (secrets, secrets_of(disk, database)):
            assert await life.values([made.secret_id]) == {"A": "1"}
            # The same ones are still known as such.
            assert (await life.create("api", "main", {"A": "1"})).secret_id == made.secret_id
            assert (await life.create("", "main", {"N": "1"})).secret_id == nameless.secret_id
        assert await secrets.rotate() == (2, True)
        assert len((disk.folder / "secret.key").read_text().split()) == 1

    asyncio.run(scenario())


def test_an_earlier_key_that_can_not_be_dropped_stays(
    disk: Disk, database: Failing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        secrets = secrets_of(disk, database)
        made = await secrets.create("api", "main", {"A": "1"})
        write, writes = Keys._write, iter(range(9))

        def second_fails(keys: Keys, all_keys: list[bytes]) -> None:
            if next(writes):
                raise OSError(errno.ENOSPC, "No space left on device", "/somewhere")
            write(keys, all_keys)

        monkeypatch.setattr(Keys, "_write", second_fails)
        assert await secrets.rotate() == (1, True)
        assert await secrets_of(disk, database).values([made.secret_id]) == {"A": "1"}

    asyncio.run(scenario())
    (told,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "stays beside the new one" in told.message
    assert "/somewhere" not in told.message


# Records of images


@pytest.fixture
def builder(docker: Docker, disk: Disk, database: Failing) -> ImageBuilder:
    blobs = BlobStore(disk.folder / "blobs")
    return builder_of(
        docker, disk.folder / "work", ImageStore(database), blobs, SourceStore(disk.folder / "sources", blobs)
    )


async def ensured(builder: ImageBuilder, docker: Docker) -> list[ImageEvent]:
    """Ask as a client does; return what it hears."""
    api = ImageApi(builder, docker, None, 0, dict)  # type: ignore[arg-type]  # nothing is pruned here
    return [event async for event in api.ensure(ImageEnsureRequest(images=[chain()]))]


def test_an_engine_that_is_away_is_told_apart_from_a_build_that_fails(builder: ImageBuilder, docker: Docker) -> None:
    docker.reachable = False
    *_, last = asyncio.run(ensured(builder, docker))
    assert (last.error, last.engine_away) == ("the fake engine was told not to answer", True)
    docker.reachable = True
    docker.does(image="echo 'ERROR: no such package'; exit 1")
    *_, last = asyncio.run(ensured(builder, docker))
    assert "no such package" in last.error
    assert not last.engine_away


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_an_image_whose_record_can_not_be_written_is_told_and_known_when_asked_for_again(
    builder: ImageBuilder, docker: Docker, database: Failing, caplog: pytest.LogCaptureFixture, trouble: Exception
) -> None:
    async def scenario() -> None:
        database.trouble = trouble
        *_, last = await ensured(builder, docker)
        assert trouble.args[0] in last.error
        assert "Traceback" not in last.error
        assert TAG in docker.built
        database.trouble = None
        *_, last = await ensured(builder, docker)
        assert (last.error, last.image_id, last.built) == ("", WANTED, False)
        record = await builder.records.get(WANTED)
        assert record is not None
        assert record.state == ImageState.BUILT
        assert [known.image_id for known in await builder.records.list("main")] == [WANTED]

    asyncio.run(scenario())
    assert stacks(caplog) == []


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_an_end_that_could_not_be_recorded_is_not_a_build_without_end(
    builder: ImageBuilder, docker: Docker, database: Failing, trouble: Exception
) -> None:
    async def scenario() -> None:
        database.trouble, database.spare = trouble, 1
        *_, last = await ensured(builder, docker)
        assert trouble.args[0] in last.error
        database.trouble = None
        known = await builder.records.get(WANTED)
        assert known is not None
        assert known.state == ImageState.BUILDING
        await ensured(builder, docker)
        known = await builder.records.get(WANTED)
        assert known is not None
        assert known.state == ImageState.BUILT

    asyncio.run(scenario())


@pytest.mark.parametrize("trouble", TROUBLES, ids=str)
def test_why_a_build_failed_is_told_also_where_that_can_not_be_recorded(
    builder: ImageBuilder, docker: Docker, database: Failing, caplog: pytest.LogCaptureFixture, trouble: Exception
) -> None:
    docker.does(image="echo '#5 [2/3] RUN one'; echo '#5 ERROR: exit code: 7'; exit 1")

    async def scenario() -> None:
        database.trouble = trouble
        *_, last = await ensured(builder, docker)
        assert "exit code: 7" in last.error

    asyncio.run(scenario())
    assert stacks(caplog) == []


@pytest.mark.parametrize("trouble", DISK_TROUBLES, ids=lambda error: errno.errorcode[error.errno])
def test_a_build_goes_on_without_its_log(
    builder: ImageBuilder, monkeypatch: pytest.MonkeyPatch, trouble: OSError
) -> None:
    opened = Path.open

    class Full:
        """A file on a disk without room."""

        def write(self, text: str) -> None:
            raise trouble

        flush = close = lambda self: self.write("")

    def refuse(path: Path, *args: Any, **options: Any) -> Any:
        if path.suffix != ".log":
            return opened(path, *args, **options)
        if trouble.errno == errno.EROFS:
            raise trouble
        return Full()

    monkeypatch.setattr(Path, "open", refuse)
    lines: list[str] = []
    assert asyncio.run(builder.ensure(chain(), hearing(lines))).built
    (told,) = [line for line in lines if "log is not kept" in line]
    assert "/somewhere" not in told
    assert "  hello" in lines


def test_a_build_on_a_full_disk_is_told_in_a_sentence(
    builder: ImageBuilder, docker: Docker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*args: Any, **options: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device", "/somewhere")

    monkeypatch.setattr("tempfile.mkdtemp", full)
    *_, last = asyncio.run(ensured(builder, docker))
    assert "is full: free space on it" in last.error
    assert "/somewhere" not in last.error
    assert stacks(caplog) == []


def test_a_builder_that_lays_no_runner_for_its_engine_is_the_engines(builder: ImageBuilder, docker: Docker) -> None:
    from wherry_service.node.passing import is_passing

    docker.does(image="true", ready="echo 'ERROR: Cannot connect to the Docker daemon at unix:///x.'; exit 1")
    with pytest.raises(Exception, match="Cannot connect") as caught:
        asyncio.run(builder.ensure(chain(), ignore))
    assert is_passing(caught.value)


# The audit log


def entry(number: int, action: str = "Apps.Stop") -> AuditEntry:
    return AuditEntry(at_ms=number, token_id="tk-1", action=action, target=f"app {number}", outcome="ok")


@pytest.mark.parametrize("trouble", TROUBLES[:3], ids=str)
def test_entries_are_written_when_that_can_be_and_too_many_allow_no_more(
    database: Failing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, trouble: Exception
) -> None:
    monkeypatch.setattr(writing, "FIRST_PAUSE_S", 0.001)

    async def scenario() -> None:
        store = AuditStore(database)
        audit = AuditLog(store, max_unwritten=5)
        database.trouble = trouble
        for number in range(5):
            audit.check()
            audit.note(entry(number))
        with pytest.raises(Exhausted, match="5 entries of the audit log could not be written yet"):
            audit.check()
        audit.note(entry(6))
        for number in range(20):
            audit.note(entry(number, "login"))
        database.trouble = None
        await audit.close()
        audit.check()
        assert await store.latest(9) == [entry(number) for number in range(4, -1, -1)]

    asyncio.run(scenario())
    assert [record.message.partition(": ")[2] for record in caplog.records if "audit" in record.message] == [
        "Apps.Stop of 'app 6' by tk-1 in '': ok",
        "login of 'app 0' by tk-1 in '': ok",
    ]
    assert stacks(caplog) == []


def test_what_is_not_written_when_the_service_ends_is_in_its_log(
    database: Failing, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audit_module, "CLOSE_WITHIN_S", 0.05)

    async def scenario(trouble: Exception) -> None:
        database.trouble = trouble
        audit = AuditLog(AuditStore(database))
        audit.note(entry(1))
        await audit.close()

    for trouble in TROUBLES:
        caplog.clear()
        asyncio.run(scenario(trouble))
        (told,) = [record for record in caplog.records if "audit" in record.message]
        assert told.message.endswith(": Apps.Stop of 'app 1' by tk-1 in '': ok")
    assert stacks(caplog) == []
