"""The database: grouped writes, one bad job, migrations that agree with the schema, up and down."""

import asyncio
import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from tests.databases import Disk
from wherry_proto.messages import Failure, FailureKind, Output, Payload
from wherry_service.store import calls
from wherry_service.store import database as database_module
from wherry_service.store.calls import KEEP_RESULTS_S, CallStore
from wherry_service.store.database import DatabaseTooNew
from wherry_service.store.schema import HEAD, metadata


def alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(database_module.__file__).parent / "migrations"))
    return config


def test_migrations_make_the_schema(bare_disk: Disk) -> None:
    bare_disk.database().close()
    engine = sa.create_engine(bare_disk.url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata) == []
    engine.dispose()


def test_every_migration_goes_back_to_where_it_came_from(bare_disk: Disk) -> None:
    config = alembic()
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    engine = sa.create_engine(bare_disk.url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection

        def tables() -> dict[str, list[str]]:
            inspector = sa.inspect(connection)
            return {
                name: sorted(f"{column['name']} {column['type']}" for column in inspector.get_columns(name))
                + sorted(str(index["name"]) for index in inspector.get_indexes(name))
                for name in inspector.get_table_names()
            }

        was = {"base": tables()}
        for revision in reversed(revisions):
            command.upgrade(config, revision)
            was[revision] = tables()
        for revision in [*revisions[1:], "base"]:
            command.downgrade(config, revision)
            now = tables()
            now.pop("alembic_version", None)
            before = {name: columns for name, columns in was[revision].items() if name != "alembic_version"}
            assert now == before, revision
        command.upgrade(config, "head")
        assert tables() == was[HEAD]
    engine.dispose()


def test_what_any_earlier_version_wrote_outlives_the_upgrade(bare_disk: Disk) -> None:
    config = alembic()
    revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    engine = sa.create_engine(bare_disk.url)
    written: list[tuple[str, dict[str, object]]] = []
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        for number, revision in enumerate(reversed(revisions), start=1):
            command.upgrade(config, revision)
            now = sa.MetaData()
            now.reflect(connection)
            for name, values in written:
                table = now.tables[name]
                same = [table.c[column] == value for column, value in values.items()]
                found = connection.execute(sa.select(sa.func.count()).select_from(table).where(*same)).scalar()
                assert found == 1, f"revision {revision} changed a row of {name}: {values}"
            for table in now.sorted_tables:
                # `tenure` has one row, and the migration wrote that.
                if table.name not in ("alembic_version", "tenure"):
                    values = {column.name: made_up(column, number) for column in table.columns}
                    connection.execute(sa.insert(table), values)
                    written.append((table.name, values))
    engine.dispose()
    # And it is a database that the service takes.
    bare_disk.database().close()


def made_up(column: "sa.Column[object]", number: int) -> object:
    """Return a value for a column; equal ones where a table refers to another."""
    if isinstance(column.type, sa.LargeBinary):
        return b"%d" % number
    if isinstance(column.type, sa.Boolean):
        return True
    if isinstance(column.type, sa.Integer | sa.Float):
        return number
    assert isinstance(column.type, sa.String), column
    return f"row-{number}"


def test_head_is_the_latest_migration() -> None:
    assert ScriptDirectory.from_config(alembic()).get_current_head() == HEAD


def test_a_newer_database_is_refused(disk: Disk) -> None:
    engine = sa.create_engine(disk.url)
    with engine.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = '9999'"))
    with pytest.raises(DatabaseTooNew, match="revision 9999"):
        disk.database()
    with engine.begin() as connection:
        connection.execute(sa.text("update alembic_version set version_num = :head"), {"head": HEAD})
    engine.dispose()


def test_one_bad_job_does_not_take_the_others_with_it(disk: Disk) -> None:
    database = disk.database()

    def bad(connection: sa.Connection) -> None:
        connection.execute(sa.text("insert into nowhere values (1)"))

    async def scenario() -> list[object]:
        store = CallStore(database)
        good = [store.add_inputs([(f"in-{n}", "fc-1", "fu-1", n, Payload(data=b"x"), "")], "cl-1") for n in range(50)]
        return await asyncio.gather(*good[:25], database.write(bad), *good[25:], return_exceptions=True)

    results = asyncio.run(scenario())
    database.close()
    (error,) = [result for result in results if not isinstance(result, set)]
    assert isinstance(error, sa.exc.DBAPIError)
    assert re.search("nowhere", str(error))
    assert {next(iter(result)) for result in results if isinstance(result, set)} == {f"in-{n}" for n in range(50)}


def test_durable_inputs_are_added_once_ended_once_and_expire(disk: Disk) -> None:
    now = [1_000_000.0]
    database = disk.database()

    async def scenario() -> None:
        store = CallStore(database, lambda: now[0])
        row = ("in-1", "fc-1", "fu-1", 0, Payload(data=b"args"), "")
        assert await store.add_inputs([row], "cl-1") == {"in-1"}
        assert await store.add_inputs([row], "cl-1") == set()
        assert [item.input_id for item in await store.open_inputs()] == ["in-1"]
        value = Output(input_id="in-1", call_id="fc-1", payload=Payload(data=b"value", blob_id="bl-1"))
        await store.finish_inputs([value])
        late = Output(input_id="in-1", call_id="fc-1", failure=Failure(kind=FailureKind.CANCELLED))
        await store.finish_inputs([late])
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
    database.close()


def test_one_output_of_a_call_of_many_is_read_alone(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000_000.0]
    database = disk.database()

    async def scenario() -> None:
        store = CallStore(database, lambda: now[0])
        rows = [(f"in-{n}", "fc-1", "fu-1", n, Payload(data=b"args"), "") for n in range(5)]
        await store.add_inputs(rows, "cl-1")
        ended = [
            Output(input_id=f"in-{n}", call_id="fc-1", index=n, payload=Payload(data=b"value %d" % n)) for n in (1, 3)
        ]
        await store.finish_inputs(ended)
        decoded: list[str] = []
        decode = calls._output

        def counted(data: bytes, input_id: str, call_id: str, position: int) -> Output:
            decoded.append(input_id)
            return decode(data, input_id, call_id, position)

        monkeypatch.setattr(calls, "_output", counted)
        for position, outputs in ((3, ended[1:]), (0, []), (9, [])):
            stored = await store.output_at("fc-1", position)
            assert stored is not None
            assert (stored.outputs, stored.num_inputs, stored.num_done) == (outputs, 5, 2)
            assert (stored.function_id, stored.expired) == ("fu-1", False)
        assert decoded == ["in-3"]
        assert await store.output_at("fc-2", 0) is None
        now[0] += KEEP_RESULTS_S + 1
        await store.expire()
        for position, expired in ((3, True), (0, False)):
            stored = await store.output_at("fc-1", position)
            assert stored is not None
            assert stored.expired is expired

    asyncio.run(scenario())
    database.close()
