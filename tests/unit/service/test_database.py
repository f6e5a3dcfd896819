"""The database: grouped writes, one bad job, migrations that agree with the schema."""

import asyncio
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from wherry_proto.messages import Failure, FailureKind, Output, Payload
from wherry_service.store import database as database_module
from wherry_service.store.calls import KEEP_RESULTS_S, CallStore
from wherry_service.store.database import Database, DatabaseTooNew
from wherry_service.store.schema import HEAD, metadata


@pytest.fixture
def database(tmp_path: Path):
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    database.begin()
    yield database
    database.close()


def test_migrations_make_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    database = Database(f"sqlite:///{path}")
    database.begin()
    database.close()
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_head_is_the_latest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(database_module.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'test.db'}"
    database = Database(url)
    database.begin()
    database.close()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = '9999'"))
    engine.dispose()
    newer = Database(url)
    with pytest.raises(DatabaseTooNew, match="revision 9999"):
        newer.begin()
    newer.close()


def test_one_bad_job_does_not_take_the_others_with_it(database: Database) -> None:
    def bad(connection: sa.Connection) -> None:
        connection.execute(sa.text("insert into nowhere values (1)"))

    async def scenario() -> list[object]:
        store = CallStore(database)
        good = [store.add_inputs([(f"in-{n}", "fc-1", "fu-1", n, Payload(data=b"x"), "")], "cl-1") for n in range(50)]
        return await asyncio.gather(*good[:25], database.write(bad), *good[25:], return_exceptions=True)

    results = asyncio.run(scenario())
    assert [type(result) for result in results if not isinstance(result, set)] == [sa.exc.OperationalError]
    assert {next(iter(result)) for result in results if isinstance(result, set)} == {f"in-{n}" for n in range(50)}


def test_durable_inputs_are_added_once_ended_once_and_expire(database: Database) -> None:
    now = [1_000_000.0]

    async def scenario() -> None:
        store = CallStore(database, lambda: now[0])
        row = ("in-1", "fc-1", "fu-1", 0, Payload(data=b"args"), "")
        assert await store.add_inputs([row], "cl-1") == {"in-1"}
        assert await store.add_inputs([row], "cl-1") == set()
        assert [item.input_id for item in await store.open_inputs()] == ["in-1"]
        value = Output(input_id="in-1", call_id="fc-1", payload=Payload(data=b"value", blob_id="bl-1"))
        await store.finish_input(value)
        late = Output(input_id="in-1", call_id="fc-1", failure=Failure(kind=FailureKind.CANCELLED))
        await store.finish_input(late)
        stored = await store.outputs("fc-1")
        assert stored is not None
        assert (stored.outputs, stored.num_inputs, stored.expired) == ([value], 1, False)
        assert await store.blob_ids() == {"bl-1"}
        assert await store.open_inputs() == []
        assert await store.expire() == (0, [])
        now[0] += KEEP_RESULTS_S + 1
        assert await store.expire() == (1, ["bl-1"])
        stored = await store.outputs("fc-1")
        assert stored is not None
        assert stored.expired
        assert await store.outputs("fc-2") is None

    asyncio.run(scenario())
