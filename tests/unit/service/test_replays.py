"""Failed inputs run again: as the function is now, or as it was in the version that failed."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.unit.service.test_deployments import World, spec
from wherry_proto.messages import (
    CallKind,
    CallStart,
    Failure,
    FailureKind,
    FunctionBindRequest,
    MethodSpec,
    Payload,
    ReplayArgumentsRequest,
    ReplayedInput,
    ReplayListRequest,
    ReplayRunRequest,
    ReplayVersion,
)
from wherry_proto.messages import Input as InputMessage
from wherry_service.api.notes import NotedRequest
from wherry_service.api.replays import ReplayApi
from wherry_service.apps.failed import begin_failures
from wherry_service.apps.replays import Replays
from wherry_service.errors import InvalidRequest, NotFound
from wherry_service.ids import new_id
from wherry_service.logs.masks import Masks
from wherry_service.store.apps import AppStore
from wherry_service.store.blobs import BlobStore
from wherry_service.store.database import Database

NEWEST, FAILED = ReplayVersion.NEWEST, ReplayVersion.FAILED


class Sources:
    """All source is there, but for what was removed (implements what `Replays` asks of it)."""

    def __init__(self) -> None:
        self.gone: set[str] = set()

    def exists(self, source_id: str) -> bool:
        return source_id not in self.gone


class ReplayWorld(World):
    """A service with an app that is deployed, and inputs that fail."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        super().__init__(database, blobs)
        self.blobs = blobs
        self.sources: Any = Sources()
        self.failures = self.journal._failures
        begin_failures(self.failures, self.apps.register, self.journal, self.dispatcher, Masks())
        app_store, gate = AppStore(database), self.dispatcher.gate
        replays = Replays(self.failures, self.apps, app_store, self.deployments, gate, self.sources)
        self.api = ReplayApi(replays, app_store)

    async def failed(self, function_id: str, payload: Payload | None = None, method: str = "") -> str:
        """Have an input fail; return its id."""
        call_id, input_id = new_id("fc"), new_id("in")
        self.journal.start(self.client, CallStart(call_id=call_id, function_id=function_id, kind=CallKind.SPAWN))
        payload = payload or Payload(format=1, data=b"args", size=4)
        message = InputMessage(input_id=input_id, call_id=call_id, payload=payload, method=method)
        self.journal.save(self.client, self.journal.new_inputs([message]), self.dispatcher.submit)
        await self.fails(input_id)
        return input_id

    async def fails(self, input_id: str) -> None:
        def is_over() -> bool:
            for container in self.node.running():
                for item in [one for one in container.inputs if one.input_id == input_id]:
                    container.inputs.remove(item)
                    failure = Failure(kind=FailureKind.EXCEPTION, type_name="builtins.ValueError", message="no")
                    container.events.on_failure(item.input_id, failure, 0)
            return self.journal.call_of(input_id) is None

        await self.until(is_over)

    async def again(self, *input_ids: str, version: int = NEWEST, **fields: Any) -> list[ReplayedInput]:
        fields = {"environment": "main", "operation_id": new_id("op"), **fields}
        request = ReplayRunRequest(input_ids=list(input_ids), version=version, **fields)
        return (await self.api.run(request)).inputs

    async def where(self, replayed: ReplayedInput) -> str:
        """Return the source that the container has which runs it."""
        assert not replayed.problem, replayed.problem

        def found() -> list[str]:
            return [
                one.load.source_id
                for one in self.node.running()
                for item in one.inputs
                if item.input_id == replayed.new_input_id
            ]

        await self.until(found)
        return found()[0]

    async def problem(self, *input_ids: str, version: int = NEWEST, **fields: Any) -> str:
        (told,) = await self.again(*input_ids, version=version, **fields)
        assert not told.new_input_id
        return told.problem


Scenario = Callable[[ReplayWorld], Coroutine[Any, Any, None]]


def run(tmp_path: Path, scenario: Scenario) -> None:
    async def life() -> None:
        database = Database(f"sqlite:///{tmp_path / 'test.db'}")
        database.begin()
        world = ReplayWorld(database, BlobStore(tmp_path / "blobs"))
        try:
            async with asyncio.timeout(30):
                await scenario(world)
        finally:
            await world.apps.ending.close()
            await world.pools.close_all(0)
            database.close()

    asyncio.run(life())


async def two_versions(world: ReplayWorld) -> tuple[str, str]:
    """Have an input fail in version 1, and deploy version 2; return the app and the input."""
    app_id = await world.open()
    result = await world.deploy(app_id, spec())
    input_id = await world.failed(result.functions[0].function_id)
    await world.deploy(app_id, spec(version=2))
    return app_id, input_id


def test_it_runs_on_the_newest_version_and_on_the_one_that_failed(tmp_path: Path) -> None:
    async def scenario(world: ReplayWorld) -> None:
        _, input_id = await two_versions(world)
        (newest,) = await world.again(input_id)
        assert await world.where(newest) == "v2"
        (before,) = await world.again(input_id, version=FAILED)
        assert await world.where(before) == "v1"
        assert newest.function_name == before.function_name == "f"
        (kept,) = (await world.api.list(ReplayListRequest())).inputs
        assert (kept.input_id, kept.version, kept.replayed_by) == (input_id, 1, before.new_input_id)

    run(tmp_path, scenario)


def test_one_that_failed_as_it_is_now_runs_in_the_same_containers(tmp_path: Path) -> None:
    async def scenario(world: ReplayWorld) -> None:
        app_id = await world.open()
        (info,) = (await world.deploy(app_id, spec())).functions
        input_id = await world.failed(info.function_id)
        (again,) = await world.again(input_id, version=FAILED)
        assert again.function_id == info.function_id
        await world.fails(again.new_input_id)
        (kept, _) = (await world.api.list(ReplayListRequest())).inputs
        assert (kept.input_id, kept.replay_of) == (again.new_input_id, input_id)

    run(tmp_path, scenario)


def test_a_variant_runs_again_as_one(tmp_path: Path) -> None:
    async def scenario(world: ReplayWorld) -> None:
        app_id = await world.open()
        room = spec("Room", methods=[MethodSpec(name="m")])
        (info,) = (await world.deploy(app_id, room)).functions
        parameters = Payload(format=1, data=b"parameters", size=10)
        variant = await world.apps.binding.bind(
            FunctionBindRequest(function_id=info.function_id, parameters=parameters)
        )
        input_id = await world.failed(variant.function_id, method="m")
        await world.deploy(app_id, spec("Room", 2, methods=[MethodSpec(name="m")]))
        for version, source in ((NEWEST, "v2"), (FAILED, "v1")):
            (again,) = await world.again(input_id, version=version)
            assert await world.where(again) == source
            found = world.apps.register.find(again.function_id)[1]
            assert found.spec.parameters == parameters
            request = ReplayArgumentsRequest(input_id=input_id, version=version)
            function = (await world.api.arguments(request)).function
            assert function is not None
            assert (function.source_id, function.parameters) == (source, parameters)

    run(tmp_path, scenario)


def test_what_can_not_run_again_says_why(tmp_path: Path) -> None:
    async def scenario(world: ReplayWorld) -> None:
        app_id, input_id = await two_versions(world)
        assert "is not kept here" in await world.problem(new_id("in"))
        assert "is not kept here" in await world.problem(input_id, environment="other")
        world.sources.gone.add("v1")
        assert "the source of version 1" in await world.problem(input_id, version=FAILED)
        await world.deploy(app_id, spec("other"))
        assert "has no function 'f'" in await world.problem(input_id)
        await world.apps.ending.stop(app_id, "over")
        assert "no app named 'app' runs" in await world.problem(input_id)
        assert "was stopped since" in await world.problem(input_id, version=FAILED)
        other = await world.open()
        await world.deploy(other, spec(version=3))
        (again,) = await world.again(input_id)
        assert await world.where(again) == "v3"

    run(tmp_path, scenario)


def test_an_app_that_was_not_deployed_runs_it_while_it_is_there(tmp_path: Path) -> None:
    async def scenario(world: ReplayWorld) -> None:
        app_id = (await world.apps.open("app", "main", world.client.client_id, True)).app_id
        (info,) = await world.apps.publish(app_id, [spec()])
        input_id = await world.failed(info.function_id)
        (again,) = await world.again(input_id, version=FAILED)
        assert await world.where(again) == "v1"
        await world.apps.ending.stop(app_id, "over")
        assert "was not deployed and has stopped" in await world.problem(input_id, version=FAILED)
        function = (await world.api.arguments(ReplayArgumentsRequest(input_id=input_id))).function
        assert function is not None
        assert function.source_id == "v1"

    run(tmp_path, scenario)


def test_others_of_a_request_run_though_one_can_not(tmp_path: Path) -> None:
    async def scenario(world: ReplayWorld) -> None:
        _, input_id = await two_versions(world)
        lost = new_id("in")
        answer = await world.again(lost, input_id, input_id)
        assert [one.input_id for one in answer] == [lost, input_id]
        assert [bool(one.problem) for one in answer] == [True, False]

    run(tmp_path, scenario)


def test_the_same_operation_runs_it_once(tmp_path: Path) -> None:
    async def scenario(world: ReplayWorld) -> None:
        _, input_id = await two_versions(world)
        operation_id = new_id("op")
        first = await world.again(input_id, operation_id=operation_id)
        assert await world.again(input_id, operation_id=operation_id) == first
        assert [one.input_id for one in await world.journal._store.open_inputs()] == [first[0].new_input_id]

    run(tmp_path, scenario)


def test_a_large_argument_is_each_runs_own(tmp_path: Path) -> None:
    async def scenario(world: ReplayWorld) -> None:
        app_id = await world.open()
        (info,) = (await world.deploy(app_id, spec())).functions
        blob_id = new_id("bl")
        world.blobs.put(blob_id, [b"large"])
        input_id = await world.failed(info.function_id, Payload(format=1, blob_id=blob_id, size=5))
        (again,) = await world.again(input_id)
        item = world.journal.open_input(again.new_input_id)
        assert item is not None
        own = item.payload.blob_id
        assert own not in ("", blob_id)
        assert world.blobs.is_here(own)
        await world.where(again)
        for container in world.node.running():
            container.finish()
        await world.until(lambda: world.journal.call_of(again.new_input_id) is None)
        assert not world.blobs.is_here(own)
        assert world.blobs.is_here(blob_id)

    run(tmp_path, scenario)


def test_code_in_a_container_runs_an_input_again_once(tmp_path: Path) -> None:
    async def scenario(world: ReplayWorld) -> None:
        _, input_id = await two_versions(world)
        (again,) = await world.again(input_id, once=True)
        await world.where(again)
        await world.fails(again.new_input_id)
        assert "so that nothing goes round and round" in await world.problem(again.new_input_id, once=True)
        (third,) = await world.again(again.new_input_id)
        assert not third.problem

    run(tmp_path, scenario)


def test_arguments_are_given_with_the_function_or_bare(tmp_path: Path) -> None:
    async def scenario(world: ReplayWorld) -> None:
        _, input_id = await two_versions(world)
        answer = await world.api.arguments(ReplayArgumentsRequest(input_id=input_id, bare=True))
        assert answer.payload is not None
        assert (answer.payload.data, answer.function) == (b"args", None)
        for version, source in ((NEWEST, "v2"), (FAILED, "v1")):
            found = (await world.api.arguments(ReplayArgumentsRequest(input_id=input_id, version=version))).function
            assert found is not None
            assert found.source_id == source
        with pytest.raises(NotFound, match="is not kept here"):
            await world.api.arguments(ReplayArgumentsRequest(environment="other", input_id=input_id))

    run(tmp_path, scenario)


def test_a_list_is_read_page_by_page(tmp_path: Path) -> None:
    async def scenario(world: ReplayWorld) -> None:
        app_id = await world.open()
        (info,) = (await world.deploy(app_id, spec())).functions
        ids = [await world.failed(info.function_id) for _ in range(3)]
        found: list[str] = []
        request = ReplayListRequest(limit=2)
        while True:
            answer = await world.api.list(request)
            found += [one.input_id for one in answer.inputs]
            if not answer.next:
                break
            request.after = answer.next
        assert found == ids[::-1]

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"input_ids": ["x"]}, "input id 'x' is not an id"),
        ({"input_ids": []}, "1 to 100 inputs are run again at once, not 0"),
        ({"input_ids": [new_id("in") for _ in range(101)]}, "not 101"),
        ({"version": 7}, "7 is no version"),
        ({"operation_id": "x"}, "operation id 'x'"),
    ],
)
def test_nonsense_is_refused(tmp_path: Path, fields: dict[str, Any], says: str) -> None:
    async def scenario(world: ReplayWorld) -> None:
        request = ReplayRunRequest(input_ids=[new_id("in")], operation_id=new_id("op"))
        for name, value in fields.items():
            setattr(request, name, value)
        with pytest.raises(InvalidRequest, match=says):
            await world.api.run(request)

    run(tmp_path, scenario)


def test_the_audit_log_names_the_inputs() -> None:
    assert NotedRequest(ReplayRunRequest(input_ids=["in-1", "in-2"])).target == "in-1, in-2"
    assert NotedRequest(ReplayArgumentsRequest(input_id="in-1")).target == "in-1"


def test_names_that_are_not_there_are_errors(tmp_path: Path) -> None:
    async def scenario(world: ReplayWorld) -> None:
        await world.deploy(await world.open(), spec())
        (app,) = await AppStore(world.failures.store._database).names("main")
        assert (await world.api.list(ReplayListRequest(app=app, function="f"))).inputs == []
        with pytest.raises(NotFound, match=rf"no app named '{app}x' was ever run .* did you mean '{app}'"):
            await world.api.list(ReplayListRequest(app=f"{app}x"))
        with pytest.raises(NotFound, match=f"app '{app}' has no function 'ff'"):
            await world.api.list(ReplayListRequest(app=app, function="ff"))
        # Of an id, and of a function alone, nothing is nothing.
        for one in (ReplayListRequest(app=new_id("ap")), ReplayListRequest(function="ff")):
            assert (await world.api.list(one)).inputs == []

    run(tmp_path, scenario)


@pytest.mark.parametrize("after", ["x", "1", "1 in-1", f"{'9' * 30} in-01M8P19MQQ5S6SNETSTC8KFPSB"])
def test_a_key_of_no_list_is_refused(tmp_path: Path, after: str) -> None:
    async def scenario(world: ReplayWorld) -> None:
        with pytest.raises(InvalidRequest):
            await world.api.list(ReplayListRequest(after=after))

    run(tmp_path, scenario)
