"""Secrets in the service: encrypted, found by name, rotated."""

import asyncio
import base64
import os
import stat
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import sqlalchemy as sa

from tests.databases import Disk
from wherry_service.errors import AlreadyExists, InvalidRequest, NotFound, Unready
from wherry_service.objects.keys import Keys
from wherry_service.objects.secrets import KEEP_UNUSED_S, MAX_KEYS, Secrets
from wherry_service.store.database import Database
from wherry_service.store.objects import ObjectStore
from wherry_service.store.schema import metadata, secrets
from wherry_service.store.secrets import SecretStore

VALUE = "correct horse battery staple"


class World:
    """Secrets of one state directory; made anew they are those of the service's next life."""

    def __init__(self, disk: Disk, given: str = "", database: Database | None = None) -> None:
        self.disk = disk
        self.now = 1000.0
        self.database = database or disk.database()
        self.key_file = disk.folder / "secret.key"
        self.secrets = Secrets(
            SecretStore(self.database), ObjectStore(self.database), Keys(self.key_file, given), lambda: self.now
        )


def run(disk: Disk, scenario: Callable[[World], Coroutine[Any, Any, None]], given: str = "") -> None:
    world = World(disk, given)
    try:
        asyncio.run(scenario(world))
    finally:
        world.database.close()


def on_disk(disk: Disk) -> bytes:
    """Return the database's files, where it has some, and all that its tables hold."""
    found = [path.read_bytes() for path in disk.folder.iterdir() if path.name.startswith("test.db")]
    engine = sa.create_engine(disk.url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        for table in metadata.sorted_tables:
            cells = [cell for row in connection.execute(sa.select(table)) for cell in row]
            found += [cell if isinstance(cell, bytes) else str(cell).encode() for cell in cells]
    return b"\n".join(found)


def test_b65_a_value_is_nowhere_on_disk_in_clear(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        await world.secrets.create("api", "", {"TOKEN": VALUE})
        record = await world.secrets.lookup("api", "main")
        assert await world.secrets.values([record.secret_id]) == {"TOKEN": VALUE}

    run(disk, scenario)

    found = on_disk(disk)
    assert b"TOKEN" in found
    assert VALUE.encode() not in found
    assert base64.b64encode(VALUE.encode())[:20] not in found
    assert stat.S_IMODE((disk.folder / "secret.key").stat().st_mode) == 0o600


def test_names_are_found_in_their_environment_and_near_ones_told(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        made = await world.secrets.create("database", "main", {"URL": "x"})
        await world.secrets.create("database", "other", {"URL": "y"})
        assert (await world.secrets.lookup("database", "")).secret_id == made.secret_id
        with pytest.raises(NotFound, match="environment 'main' has no secret 'databse'; did you mean 'database'"):
            await world.secrets.lookup("databse", "main")
        with pytest.raises(NotFound, match="create it with `wherry secret create zzz`"):
            await world.secrets.lookup("zzz", "main")
        with pytest.raises(NotFound, match="secret 'database' lacks USER, PASSWORD; it has URL"):
            await world.secrets.lookup("database", "main", "", ["URL", "USER", "PASSWORD"])
        with pytest.raises(NotFound, match="environment 'other' has no secret st-"):
            await world.secrets.check([made.secret_id], "other")
        assert [record.object.environment for record in await world.secrets.list("other")] == ["other"]

    run(disk, scenario)


def test_a_name_that_is_taken_is_replaced_only_when_asked_and_keeps_its_id(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        made = await world.secrets.create("api", "main", {"TOKEN": "1"})
        # Who lost the answer asks again.
        assert (await world.secrets.create("api", "main", {"TOKEN": "1"})).secret_id == made.secret_id
        with pytest.raises(AlreadyExists, match="has a secret 'api' already"):
            await world.secrets.create("api", "main", {"TOKEN": "2"})
        assert await world.secrets.values([made.secret_id]) == {"TOKEN": "1"}
        again = await world.secrets.create("api", "main", {"TOKEN": "2", "USER": "u"}, replace=True)
        assert (again.secret_id, again.keys) == (made.secret_id, ("TOKEN", "USER"))
        assert await world.secrets.values([made.secret_id]) == {"TOKEN": "2", "USER": "u"}

    run(disk, scenario)


def test_of_several_the_later_wins(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        first = await world.secrets.create("first", "main", {"A": "1", "B": "1"})
        second = await world.secrets.create("second", "main", {"B": "2", "C": "2"})
        both = [first.secret_id, second.secret_id]
        assert await world.secrets.values(both) == {"A": "1", "B": "2", "C": "2"}
        assert await world.secrets.values(both[::-1]) == {"A": "1", "B": "1", "C": "2"}
        await world.secrets.delete("second", "main")
        with pytest.raises(NotFound, match=f"secret {second.secret_id} was deleted: create it again"):
            await world.secrets.values(both)

    run(disk, scenario)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"A-B": "x"}, "'A-B' can't be the name of an environment variable"),
        ({"1A": "x"}, "begins with no digit"),
        ({"A": "x\0y"}, "the value of A contains a NUL"),
        ({"A": "x" * (121 << 10)}, "over 120 KiB"),
        ({f"A{n}": "x" for n in range(1001)}, "at most 1000 values"),
        ({f"A{n}": "x" * (119 << 10) for n in range(10)}, "at most 1 MiB"),
    ],
)
def test_values_that_no_environment_can_hold_are_refused(disk: Disk, values: dict[str, str], said: str) -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(InvalidRequest) as caught:
            await world.secrets.create("x", "main", values)
        assert said in str(caught.value)

    run(disk, scenario)


@pytest.mark.parametrize("name", ["-x", "a b", "a/b", "x" * 65, "ü"])
def test_names_that_no_object_can_have_are_refused(disk: Disk, name: str) -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(InvalidRequest, match="a secret can't be called"):
            await world.secrets.create(name, "main", {"A": "1"})

    run(disk, scenario)


def test_equal_ones_without_a_name_are_one_and_go_when_nothing_uses_them(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        one = await world.secrets.create("", "main", {"A": "1", "B": "2"})
        assert (await world.secrets.create("", "main", {"B": "2", "A": "1"})).secret_id == one.secret_id
        other = await world.secrets.create("", "main", {"A": "2"})
        assert (await world.secrets.create("", "other", {"A": "1", "B": "2"})).secret_id != one.secret_id
        assert len({one.secret_id, other.secret_id}) == 2
        await world.secrets.create("named", "main", {"A": "1"})
        assert [record.object.name for record in await world.secrets.list("main")] == ["named"]

        world.now += KEEP_UNUSED_S - 1
        assert await world.secrets.sweep(set()) == 0
        world.now += 2
        assert await world.secrets.sweep({one.secret_id}) == 2
        assert await world.secrets.values([one.secret_id]) == {"A": "1", "B": "2"}
        # It was used just now.
        assert await world.secrets.sweep(set()) == 0
        assert [record.object.name for record in await world.secrets.list("main")] == ["named"]

    run(disk, scenario)


def test_a_new_key_opens_everything_and_the_old_one_is_gone(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        ids = [(await world.secrets.create(f"s{n}", "main", {"A": str(n)})).secret_id for n in range(5)]
        nameless = await world.secrets.create("", "main", {"A": "x"})
        before = world.key_file.read_text()
        assert await world.secrets.rotate() == (6, True)
        after = world.key_file.read_text().split()
        assert len(after) == 1
        assert after[0] not in before
        assert stat.S_IMODE(world.key_file.stat().st_mode) == 0o600
        fresh = World(world.disk, database=world.database)
        assert [(await fresh.secrets.values([one]))["A"] for one in ids] == list("01234")
        assert (await fresh.secrets.create("", "main", {"A": "x"})).secret_id == nameless.secret_id
        stale = Secrets(SecretStore(world.database), ObjectStore(world.database), Keys(world.key_file, before.strip()))
        with pytest.raises(Unready, match="encrypted with another key"):
            await stale.values(ids[:1])

    run(disk, scenario)


def test_a_service_killed_between_the_new_key_and_the_new_values_reads_all(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        made = await world.secrets.create("api", "main", {"A": "1"})
        keys = Keys(world.key_file)
        keys.add()
        fresh = World(world.disk, database=world.database)
        assert await fresh.secrets.values([made.secret_id]) == {"A": "1"}

    run(disk, scenario)


def test_without_its_key_a_secret_is_told_to_be_lost_and_no_other_key_made(disk: Disk) -> None:
    async def first(world: World) -> None:
        await world.secrets.create("api", "main", {"A": "1"})

    run(disk, first)
    (disk.folder / "secret.key").unlink()

    async def second(world: World) -> None:
        record = await world.secrets.lookup("api", "main")
        with pytest.raises(Unready, match=r"the key of the secrets is gone: .*secret\.key does not exist"):
            await world.secrets.values([record.secret_id])
        with pytest.raises(Unready, match="gone"):
            await world.secrets.create("more", "main", {"A": "1"})
        assert not world.key_file.exists()
        await world.secrets.delete("api", "main")
        await world.secrets.create("more", "main", {"A": "1"})
        assert world.key_file.exists()

    run(disk, second)


def test_the_operators_keys_rotate_to_the_first(disk: Disk) -> None:
    old, new = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))

    async def first(world: World) -> None:
        await world.secrets.create("api", "main", {"A": "1"})
        assert not world.key_file.exists()

    async def second(world: World) -> None:
        assert await world.secrets.rotate() == (1, False)

    async def third(world: World) -> None:
        record = await world.secrets.lookup("api", "main")
        assert await world.secrets.values([record.secret_id]) == {"A": "1"}

    run(disk, first, old)
    run(disk, second, f"{new},{old}")
    run(disk, third, new)

    async def nonsense(world: World) -> None:
        with pytest.raises(Unready, match="WHERRY_SECRET_KEY holds something that is no key"):
            await world.secrets.create("more", "main", {"A": "1"})

    run(disk, nonsense, "not a key")


def test_the_operators_key_is_taken_out_of_the_environment(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERRY_SECRET_KEY", base64.b64encode(os.urandom(32)).decode())
    keys = Keys.take_from(disk.folder / "secret.key", os.environ)
    assert keys.are_given
    assert "WHERRY_SECRET_KEY" not in os.environ


def test_data_moved_to_another_secret_is_not_given_out(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        theirs = await world.secrets.create("theirs", "main", {"A": "1"})
        mine = await world.secrets.create("mine", "main", {"A": "2"})
        data = sa.select(secrets.c.data).where(secrets.c.secret_id == theirs.secret_id).scalar_subquery()
        change = sa.update(secrets).where(secrets.c.secret_id == mine.secret_id).values(data=data)
        await world.database.write(lambda connection: connection.execute(change).rowcount)
        with pytest.raises(NotFound, match="tampered"):
            await world.secrets.values([mine.secret_id])

    run(disk, scenario)


def test_an_update_adds_and_replaces_values_and_keeps_the_others(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        made = await world.secrets.create("api", "", {"A": "1", "B": "2"})
        world.now += 5
        updated = await world.secrets.update("api", "", {"B": "3", "C": "4"})
        assert updated.secret_id == made.secret_id
        assert updated.updated_at_ms > made.updated_at_ms
        assert await world.secrets.values([made.secret_id]) == {"A": "1", "B": "3", "C": "4"}
        # What was lost on the way is asked again.
        await world.secrets.update("api", "", {"B": "3", "C": "4"})
        assert (await world.secrets.lookup("api", "")).keys == ("A", "B", "C")
        with pytest.raises(NotFound):
            await world.secrets.update("other", "", {"A": "1"})
        with pytest.raises(InvalidRequest, match="name of an environment variable"):
            await world.secrets.update("api", "", {"1": "1"})

    run(disk, scenario)


def test_an_update_may_not_make_a_secret_too_large(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        await world.secrets.create("api", "", {f"A{n}": "1" for n in range(MAX_KEYS)})
        with pytest.raises(InvalidRequest, match="at most"):
            await world.secrets.update("api", "", {"B": "1"})

    run(disk, scenario)
