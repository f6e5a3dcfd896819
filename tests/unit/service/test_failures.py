"""Durable inputs that fail: kept with their arguments, within bounds, and told of once."""

import asyncio
import pickle
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.unit.service.test_dispatcher import FUNCTION, World
from wherry_proto.messages import (
    AppState,
    CallKind,
    CallStart,
    Failure,
    FailureKind,
    FunctionSpec,
    Output,
    Payload,
)
from wherry_proto.messages import Input as InputMessage
from wherry_proto.messages import RetryPolicy as RetryMessage
from wherry_service.calls.call import Input
from wherry_service.calls.failures import Around, Facts, made, row_of
from wherry_service.calls.replay_settings import ReplaySettings
from wherry_service.errors import Unready
from wherry_service.ids import new_id
from wherry_service.recovery import restored
from wherry_service.store.apps import AppRecord, AppStore, FunctionRecord
from wherry_service.store.calls import CallStore, Cause
from wherry_service.store.environment_records import EnvironmentRecords
from wherry_service.store.failed_inputs import KeptInput, Mark, Wanted

TOLD = "fu-told"
ALL = Wanted("main")
RAISED = Failure(
    kind=FailureKind.EXCEPTION,
    type_name="builtins.ValueError",
    message="hunter2 is bad\nmore",
    traceback="in f, hunter2",
    container_id="co-1",
)


class FailingWorld(World):
    """A function whose app is known, and one that hears of its failures."""

    def __init__(self, tmp_path: Path, replay: ReplaySettings | None = None, **settings: Any) -> None:
        super().__init__(tmp_path, **settings)
        self.open(TOLD)
        self.failures = self.journal._failures
        self.facts = Facts("ap-1", "app", "main", "f", 3, TOLD)
        self.failures.begin(Around(lambda *_: self.facts, lambda _, text: text.replace("hunter2", "****"), self.run))
        if replay is not None:
            self.failures._settings = replay

    def run(self, items: Sequence[Input]) -> None:
        self.journal.restore(items)
        self.dispatcher.submit(items)

    async def begin(self) -> None:
        store = AppStore(self.database)
        await store.add(AppRecord("ap-1", "app", "main", AppState.DEPLOYED, "", 1))
        functions = {FUNCTION: "f", TOLD: "told"}
        records = [FunctionRecord(key, "ap-1", name, FunctionSpec(name=name)) for key, name in functions.items()]
        await store.publish("ap-1", records)

    async def kept(self, **wanted: Any) -> list[KeptInput]:
        return await self.failures.store.find(replace(ALL, **wanted), 100, with_payload=True)

    def spawn(self, payload: Payload | None = None, kind: int = CallKind.SPAWN) -> str:
        call_id, input_id = new_id("fc"), new_id("in")
        payload = payload or Payload(data=b"args", size=4)
        self.journal.start(self.client, CallStart(call_id=call_id, function_id=FUNCTION, kind=kind))
        message = InputMessage(input_id=input_id, call_id=call_id, index=0, payload=payload)
        fresh = self.journal.new_inputs([message])
        self.journal.save(self.client, fresh, self.dispatcher.submit)
        return input_id

    async def fail(self, *input_ids: str, failure: Failure = RAISED) -> None:
        """Have inputs fail, each as often as it is tried, and wait until that is written."""

        def all_over() -> bool:
            for container in self.node.running():
                for item in [one for one in container.inputs if one.input_id in input_ids]:
                    container.inputs.remove(item)
                    container.events.on_failure(item.input_id, failure, 0)
            return not any(self.journal.call_of(one) for one in input_ids)

        await self.until(all_over)

    def told(self) -> list[dict[str, Any]]:
        """Return what the function that hears of failures was given and has not answered."""
        held = [item for one in self.node.running() if one.load.function_id == TOLD for item in one.inputs]
        return [pickle.loads(item.payload.data)[0][0] for item in held]

    async def heard(self, count: int) -> list[dict[str, Any]]:
        await self.until(lambda: len(self.told()) >= count)
        return self.told()


def run(
    tmp_path: Path,
    scenario: Callable[[FailingWorld], Coroutine[Any, Any, None]],
    replay: ReplaySettings | None = None,
    **settings: Any,
) -> None:
    async def main() -> None:
        world = FailingWorld(tmp_path, replay, **settings)
        try:
            await world.begin()
            await scenario(world)
        finally:
            await world.pools.close_all(0.0)
            world.database.close()

    asyncio.run(main())


def test_a_failed_input_is_kept_with_its_arguments(tmp_path: Path) -> None:
    async def scenario(world: FailingWorld) -> None:
        input_id = world.spawn()
        await world.fail(input_id)
        (kept,) = await world.kept()
        assert (kept.input_id, kept.function_name, kept.app_name, kept.version) == (input_id, "f", "app", 3)
        assert kept.error == "ValueError: **** is bad"
        assert kept.attempts == 1
        assert kept.payload is not None
        assert kept.payload.data == b"args"

    run(tmp_path, scenario)


@pytest.mark.parametrize("kind", [FailureKind.TIMEOUT, FailureKind.OUT_OF_MEMORY, FailureKind.STARTUP])
def test_other_ways_to_fail_are_kept_too(tmp_path: Path, kind: FailureKind) -> None:
    async def scenario(world: FailingWorld) -> None:
        await world.fail(world.spawn(), failure=Failure(kind=kind, message="no"))
        assert [one.kind for one in await world.kept()] == [kind]

    run(tmp_path, scenario)


def test_what_was_cancelled_or_succeeded_is_not_kept(tmp_path: Path) -> None:
    async def scenario(world: FailingWorld) -> None:
        input_id = world.spawn()
        await world.until(lambda: any(one.inputs for one in world.node.running()))
        call = world.journal.open_input(input_id).call  # type: ignore[union-attr]
        world.dispatcher.cancel(call)
        await world.fail(input_id, failure=Failure(kind=FailureKind.CANCELLED, message="cancelled"))
        well = world.spawn()
        await world.work_until(lambda: world.journal.call_of(well) is None)
        assert await world.kept() == []
        assert world.told() == []

    run(tmp_path, scenario)


def test_it_is_kept_after_its_last_try_alone(tmp_path: Path) -> None:
    async def scenario(world: FailingWorld) -> None:
        await world.fail(world.spawn())
        assert [one.attempts for one in await world.kept()] == [3]
        (told,) = await world.heard(1)
        assert told["attempts"] == 3

    run(tmp_path, scenario, retry=RetryMessage(max_retries=2))


def test_a_large_argument_stays_as_long_as_it_is_kept(tmp_path: Path) -> None:
    async def scenario(world: FailingWorld) -> None:
        blob_id = new_id("bl")
        world.blobs.put(blob_id, [b"large"])
        await world.fail(world.spawn(Payload(blob_id=blob_id, size=5)))
        assert world.blobs.is_here(blob_id)
        assert await world.failures.store.blob_ids() == {blob_id}
        world.failures._settings = ReplaySettings(max_inputs=0)
        await world.failures.trim()
        assert not world.blobs.is_here(blob_id)
        assert await world.kept() == []

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        (ReplaySettings(max_inputs=2), 2),
        (ReplaySettings(max_bytes=12), 3),
        (ReplaySettings(max_bytes=3), 0),
        (ReplaySettings(max_inputs=0), 0),
        (ReplaySettings(), 5),
    ],
)
def test_the_oldest_are_dropped_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, settings: ReplaySettings, left: int
) -> None:
    async def scenario(world: FailingWorld) -> None:
        ids: list[str] = []
        for number in range(5):
            world.failures.store._now = lambda at=1000 + number: at
            ids.append(world.spawn())
            await world.fail(ids[-1])
        await world.failures._tasks.wait()
        assert [one.input_id for one in await world.kept()] == list(reversed(ids))[:left]
        if left in (2, 3):
            assert ids[0] in caplog.text
            assert "replay.max_inputs" in caplog.text
        assert len(await world.heard(5)) == 5

    run(tmp_path, scenario, settings)


def test_old_ones_are_dropped(tmp_path: Path) -> None:
    async def scenario(world: FailingWorld) -> None:
        world.failures.store._now = lambda: 0.0
        await world.fail(world.spawn())
        world.failures.store._now = lambda: 86_400.0 * 2
        await world.fail(young := world.spawn())
        await world.failures._tasks.wait()
        assert [one.input_id for one in await world.kept()] == [young]

    run(tmp_path, scenario, ReplaySettings(keep_days=1.0))


def test_nothing_is_kept_of_an_environment_that_is_deleted(tmp_path: Path) -> None:
    async def scenario(world: FailingWorld) -> None:
        blob_id = new_id("bl")
        world.blobs.put(blob_id, [b"large"])
        await world.fail(world.spawn(Payload(blob_id=blob_id, size=5)))
        await world.failures.environment_changed("other", "")
        assert len(await world.kept()) == 1
        await EnvironmentRecords(world.database).delete("main", "deleted:main:1")
        await world.failures.environment_changed("main", "")
        assert await world.failures.store.blob_ids() == set()
        assert not world.blobs.is_here(blob_id)

    run(tmp_path, scenario)


def test_a_function_is_told_what_failed(tmp_path: Path) -> None:
    async def scenario(world: FailingWorld) -> None:
        input_id = world.spawn()
        await world.fail(input_id)
        (told,) = await world.heard(1)
        assert told["input_id"] == input_id
        assert (told["app"], told["function"], told["version"], told["kind"]) == ("app", "f", 3, "exception")
        assert (told["error_type"], told["message"]) == ("ValueError", "**** is bad\nmore")
        assert told["traceback"] == "in f, ****"
        assert told["failed_at"] >= told["queued_at"] > 1e9

    run(tmp_path, scenario)


def test_what_tells_of_a_failure_is_not_told_of_in_turn(tmp_path: Path) -> None:
    async def scenario(world: FailingWorld) -> None:
        await world.fail(world.spawn())
        await world.heard(1)
        (item,) = [item for one in world.node.running() for item in one.inputs]
        await world.fail(item.input_id)
        kept = await world.kept()
        assert [one.function_name for one in kept] == ["told", "f"]
        assert kept[0].origin == kept[1].input_id
        assert world.told() == []

    run(tmp_path, scenario)


def test_a_plain_call_is_neither_kept_nor_told_of(tmp_path: Path) -> None:
    async def scenario(world: FailingWorld) -> None:
        (input_id,) = world.call(1)
        await world.until(lambda: any(one.inputs for one in world.node.running()))
        world.node.running()[0].fail()
        await world.receive(1)
        world.journal.take([input_id])
        assert await world.kept() == []
        assert world.told() == []

    run(tmp_path, scenario)


def test_a_write_that_is_repeated_tells_once(tmp_path: Path) -> None:
    """As where the database answers no more after it has committed."""

    async def scenario(world: FailingWorld) -> None:
        finish = world.failures.store.finish

        async def twice(outputs: Sequence[Output], failed: Any) -> Any:
            first = await finish(outputs, failed)
            assert await finish(outputs, failed) == first
            return first

        world.failures.store.finish = twice  # type: ignore[method-assign]
        await world.fail(world.spawn())
        assert len(await world.heard(1)) == 1
        assert len(await world.kept()) == 1
        assert len(await CallStore(world.database).open_inputs()) == 1

    run(tmp_path, scenario)


def test_the_next_life_runs_what_tells_and_knows_that_it_does(tmp_path: Path) -> None:
    async def scenario(world: FailingWorld) -> None:
        input_id = world.spawn()
        await world.fail(input_id)
        (item,) = restored(await CallStore(world.database).open_inputs(), set())
        assert (item.call.function_id, item.call.cause, item.call.origin) == (TOLD, Cause.TELL, input_id)

    run(tmp_path, scenario)


def test_one_that_nobody_is_told_of_is_named_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(world: FailingWorld) -> None:
        world.facts = replace(world.facts, told_id="", problem="there is no function 'tell'")
        await world.fail(world.spawn())
        assert "there is no function 'tell'" in caplog.text
        assert len(await world.kept()) == 1

    run(tmp_path, scenario)


def test_kept_ones_are_found(tmp_path: Path) -> None:
    async def scenario(world: FailingWorld) -> None:
        world.failures.store._now = lambda: 1.0
        first = world.spawn()
        await world.fail(first)
        world.failures.store._now = lambda: 2.0
        second = world.spawn()
        await world.fail(second, failure=Failure(kind=FailureKind.TIMEOUT, message="100% of_time"))

        async def ids(**wanted: Any) -> list[str]:
            return [one.input_id for one in await world.kept(**wanted)]

        assert await ids() == [second, first]
        assert await ids(environment="other") == []
        assert await ids(app="app") == await ids(app="ap-1") == await ids(function="f") == [second, first]
        assert await ids(app="nope") == await ids(function="told") == []
        assert await ids(since_ms=2000) == [second]
        assert await ids(until_ms=2000) == [first]
        assert await ids(error="VALUEerror") == [first]
        assert await ids(error="0% of_") == [second]
        assert await ids(error="0%_of") == []
        assert await ids(input_ids=[first]) == [first]
        (found,) = await world.failures.store.find(ALL, 1)
        assert found.payload is None
        assert [one.input_id for one in await world.failures.store.find(ALL, 9, (2000, second))] == [first]

    run(tmp_path, scenario)


def test_another_run_names_its_origin_and_is_named_there(tmp_path: Path) -> None:
    async def scenario(world: FailingWorld) -> None:
        input_id = world.spawn()
        await world.fail(input_id)
        (kept,) = await world.kept()
        assert kept.payload is not None
        again = made(FUNCTION, kept.payload, "", Cause.REPLAY, input_id)
        assert await world.failures.store.replay({input_id: row_of(again)}, new_id("op"), b"answer") is None
        world.run([again])
        assert (await world.kept())[0].replayed_by == again.input_id
        assert await world.kept(only_left=True) == []
        assert await world.failures.store.marks_of([input_id, again.input_id, "in-0"]) == {
            input_id: Mark(True, "", again.input_id),
            again.input_id: Mark(False, input_id, ""),
        }
        await world.fail(again.input_id)
        assert [one.origin for one in await world.kept(only_left=True)] == [input_id]
        assert [one["replay_of"] for one in await world.heard(2)] == ["", input_id]

    run(tmp_path, scenario)


@pytest.mark.parametrize("name", ["MAX_INPUTS", "MAX_BYTES", "KEEP_DAYS"])
def test_nonsense_in_the_settings_is_named(name: str) -> None:
    assert ReplaySettings.from_environment({}) == ReplaySettings()
    for text in ("many", "-1", "nan"):
        with pytest.raises(Unready, match=f"WHERRY_REPLAY_{name} is '{text}'"):
            ReplaySettings.from_environment({f"WHERRY_REPLAY_{name}": text})
