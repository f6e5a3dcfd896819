"""What every store promises, on SQLite and on PostgreSQL: those that no other test has on both."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import sqlalchemy as sa

from tests.databases import Disk
from wherry_proto.messages import (
    AppState,
    AuditEntry,
    CallGraph,
    Format,
    FunctionSpec,
    ImageDefinition,
    ImageState,
    ImageStep,
    Output,
    Payload,
    TokenInfo,
    Yield,
)
from wherry_service.ids import new_id
from wherry_service.store.apps import AppRecord, AppStore, FunctionRecord
from wherry_service.store.calls import KEEP_RESULTS_S, CallStore
from wherry_service.store.database import Database
from wherry_service.store.environments import EnvironmentStore
from wherry_service.store.images import ImageRecord, ImageStore
from wherry_service.store.objects import ObjectRecord, ObjectStore
from wherry_service.store.queues import QueueStore
from wherry_service.store.schema import metadata
from wherry_service.store.tokens import KEEP_AUDIT_S, AuditStore, TokenStore
from wherry_service.store.web import WebResult, WebStore
from wherry_service.store.yields import YieldStore

Run = Callable[[Callable[[Database], Coroutine[Any, Any, None]]], None]
BIG = 1 << 62


@pytest.fixture
def run(disk: Disk) -> Run:
    def run(scenario: Callable[[Database], Coroutine[Any, Any, None]]) -> None:
        database = disk.database()
        try:
            asyncio.run(scenario(database))
        finally:
            database.close()

    return run


def test_tokens(run: Run) -> None:
    async def scenario(database: Database) -> None:
        store = TokenStore(database)
        first = TokenInfo(
            token_id="tk-1", name="anna", scopes=["deploy", "invoke"], environments=["main"], created_at_ms=BIG
        )
        second = TokenInfo(token_id="tk-2", name="ci", scopes=["deploy"], environments=["*"], created_at_ms=1)
        await store.add(first, b"\x00\xff")
        await store.add(second, b"")
        assert await store.all() == [(second, b""), (first, b"\x00\xff")]
        await store.revoke("tk-1", 5)
        await store.revoke("tk-1", 6)
        await store.set_environments("tk-2", ["a", "b"])
        (_, _), (revoked, _) = found = await store.all()
        assert revoked.revoked_at_ms == 5
        assert found[0][0].environments == ["a", "b"]

    run(scenario)


def test_the_audit_log(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(database: Database) -> None:
        store = AuditStore(database)
        entries = [AuditEntry(at_ms=n, action="Apps.Publish", target=f"app {n}", peer="ipv4:1.2.3.4") for n in range(5)]
        for entry in entries:
            await store.add(entry)
        assert await store.latest(3) == entries[:1:-1]
        monkeypatch.setattr("time.time", lambda: KEEP_AUDIT_S + 0.0035)
        await store.expire()
        assert await store.latest(9) == entries[:2:-1]

    run(scenario)


def test_answers_of_web_endpoints(run: Run) -> None:
    now = [1000.0]

    async def scenario(database: Database) -> None:
        store = WebStore(database, lambda: now[0])
        result = WebResult("fc-1", "fu-1", 200, '[["a", "ä"]]', "bl-1", BIG)
        await store.add(result)
        assert await store.find("fc-1") == result
        assert await store.find("fc-2") is None
        assert await store.blob_ids() == {"bl-1"}
        assert await store.expire() == []
        now[0] += KEEP_RESULTS_S + 1
        assert await store.expire() == ["bl-1"]
        assert await store.find("fc-1") is None

    run(scenario)


def test_what_generators_have_yielded(run: Run) -> None:
    async def scenario(database: Database) -> None:
        store, calls = YieldStore(database), CallStore(database)
        await calls.add_inputs([("in-1", "fc-1", "fu-1", 0, Payload(), "")], "cl-1")
        values = [Yield(input_id="in-1", index=n, payload=Payload(data=bytes([n]))) for n in range(10)]
        for value in reversed(values):
            await store.add(value)
        await store.add(Yield(input_id="in-1", index=3, payload=Payload(data=b"other")))
        assert await store.read("in-1", 2, 4) == values[2:6]
        found = await store.input_of("fc-1")
        assert found is not None
        assert (found.input_id, found.finished) == ("in-1", False)
        assert await store.input_of("fc-2") is None

    run(scenario)


def test_calls_and_their_graphs(run: Run) -> None:
    now = [1000.0]

    async def scenario(database: Database) -> None:
        store = CallStore(database, lambda: now[0])
        # More than a statement may have parameters, in one go.
        rows = [(f"in-{n}", "fc-1", "fu-1", n, Payload(data=b"\x00" * 10), "") for n in range(5000)]
        assert len(await store.add_inputs(rows, "cl-1")) == 5000
        assert len(await store.add_inputs(rows, "cl-1")) == 0
        await asyncio.gather(*(store.finish_inputs([Output(input_id=row[0], call_id="fc-1")]) for row in rows[:100]))
        stored = await store.outputs("fc-1")
        assert stored is not None
        assert (len(stored.outputs), stored.num_inputs) == (100, 5000)
        assert [item.index for item in await store.open_inputs()] == list(range(100, 5000))
        graph = CallGraph()
        await store.put_graphs({"fc-1": graph})
        await store.put_graphs({"fc-1": graph})
        assert await store.graph("fc-1") == graph
        now[0] += KEEP_RESULTS_S + 1
        assert (await store.expire())[0] == 100
        await store.expire()
        assert await store.graph("fc-1") is None

    run(scenario)


def test_images_and_whose_they_are(run: Run) -> None:
    async def scenario(database: Database) -> None:
        store, places = ImageStore(database), EnvironmentStore(database)
        definition = ImageDefinition(steps=[ImageStep(kind="debian_slim")])
        record = ImageRecord("im-1", definition, int(ImageState.BUILDING), internal=True, seconds=1.5)
        await store.put(record)
        assert await store.get("im-1") == record
        await store.put(record, "main")
        await store.used(["im-1"], 7, "dev")
        await store.used(["im-1"], BIG, "dev")
        assert await places.of_image("im-1") == {"main", "dev"}
        assert await places.images_of(["dev", "main"]) == {"im-1"}
        assert await places.images_of([]) == set()
        assert await store.interrupted() == 1
        (found,) = await store.list()
        assert (found.state, found.internal, found.used_at_ms, found.seconds) == (ImageState.STOPPED, False, BIG, 1.5)

    run(scenario)


def test_apps_functions_and_where_they_are(run: Run) -> None:
    async def scenario(database: Database) -> None:
        store, places = AppStore(database), EnvironmentStore(database)
        app = AppRecord("ap-1", "app", "dev", int(AppState.DETACHED), "cl-1", 1)
        await store.add(app)
        spec = FunctionSpec(name="f", module_name="m", qualname="f", image_id="im-1")
        record = FunctionRecord("fu-1", "ap-1", "f", spec)
        await store.publish("ap-1", [record])
        assert await store.functions_ever("ap-1") == [("fu-1", "f")]
        assert await places.of_app("ap-1") == await places.of_function("fu-1") == "dev"
        await CallStore(database).add_inputs([("in-1", "fc-1", "fu-1", 0, Payload(), "")], "cl-1")
        assert await places.of_call("fc-1") == "dev"
        assert await places.of_call("fc-2") is None

    run(scenario)


def test_texts_of_any_kind_are_taken(run: Run) -> None:
    async def scenario(database: Database) -> None:
        for text, kept in [
            ("ä€🐍", "ä€🐍"),
            ("a\0b", "a\ufffdb"),
            ("a\ud800b", "a?b"),
            ("", ""),
            ("line\nline", "line\nline"),
        ]:
            await AuditStore(database).add(AuditEntry(at_ms=1, target=text))
            assert kept in {entry.target for entry in await AuditStore(database).latest(100)}

    run(scenario)


def test_a_partition_of_any_name_expires(run: Run) -> None:
    async def scenario(database: Database) -> None:
        await ObjectStore(database).add(ObjectRecord("qu-1", "queue", "main", "q", 1))
        store = QueueStore(database)
        value = Payload(format=Format.PICKLE, data=b"x", size=1)
        await store.put("qu-1", "op-1", "a\0b", [(1, value)], 5, 1)
        await store.put("qu-1", "op-2", "a\0b", [(2, value)], 6, 1)
        await store.put("qu-1", "op-3", "a\0b", [(3, value)], None, 1)
        items, expiries = await store.load("qu-1")
        assert [item.position for item in items] == [1, 2, 3]
        assert expiries == {"a\ufffdb": 6}

    run(scenario)


def test_ids_fit_their_columns() -> None:
    longest = len(new_id("in"))
    for table in metadata.sorted_tables:
        for column in table.c:
            if column.name.endswith("_id") and isinstance(column.type, sa.String) and column.type.length:
                assert column.type.length >= longest
