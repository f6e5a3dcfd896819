"""Records as they are asked for: masked, with the log's traceback, and only with names that there are."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.unit.service.test_log_api import World, run
from wherry_proto.messages import (
    ContainerHistoryRequest,
    Failure,
    FailureKind,
    RecordListRequest,
    RecordShowRequest,
    RecordState,
    StatsRequest,
)
from wherry_service.api.records import RecordApi
from wherry_service.calls.recorded import Recorded, recorded_by
from wherry_service.errors import InvalidRequest, NotFound
from wherry_service.ids import new_id
from wherry_service.store.apps import AppStore
from wherry_service.store.failed_inputs import FailedInputStore

SECRET = "hunter2-of-the-app"


def api_of(world: World) -> tuple[RecordApi, Recorded]:
    recorded = recorded_by(world.journal, world.dispatcher, world.dispatcher._pools, world.database)
    return RecordApi(recorded, world.logs, AppStore(world.database), FailedInputStore(world.database)), recorded


def test_an_error_is_masked_and_its_traceback_is_the_logs(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        api, recorded = api_of(world)
        app_id, function_id = await world.run()
        recorded.records.function(function_id).subject.app_id = app_id
        world.masks.add(app_id, [SECRET])
        container, input_id, call_id = await world.call(function_id)
        container.events.on_log([(2, input_id, int(time.time() * 1000), "printed before", False)])
        frame = 'Traceback (most recent call last):\n  File "a.py", line 3, in f\n'
        text = f"{frame}ValueError: {SECRET} is wrong\nsecond\n"
        failure = Failure(
            kind=FailureKind.EXCEPTION,
            type_name="builtins.ValueError",
            message=f"{SECRET} is wrong\nsecond",
            traceback=text,
        )
        container.inputs.clear()
        container.events.on_failure(input_id, failure, 0)
        # What fails in a turn is told together.
        await asyncio.sleep(0)
        for record_id in (input_id, call_id):
            (shown,) = (await api.show(RecordShowRequest(record_id=record_id))).records
            assert shown.record is not None
            assert (shown.record.state, shown.record.error) == (RecordState.FAILED, "ValueError: **** is wrong")
            assert shown.traceback.splitlines() == [*text.splitlines()[:2], "ValueError: **** is wrong", "second"]
        await recorded.disk.write()
        (record,) = (await api.list(RecordListRequest(search="IS WRONG"))).records
        assert SECRET not in record.error

    run(tmp_path, scenario)


def test_names_that_are_not_there_are_errors_and_filters_are_checked(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        api, _ = api_of(world)
        await world.run("shop")
        assert (await api.list(RecordListRequest(app="shop", function="f"))).records == []
        for app, function, said in (
            ("shopp", "", "no app named 'shopp' was ever run in environment 'main'; did you mean 'shop'?"),
            ("shop", "g", "app 'shop' has no function 'g'"),
        ):
            with pytest.raises(NotFound, match="^" + said.replace("?", "[?]")):
                await api.list(RecordListRequest(app=app, function=function))
            with pytest.raises(NotFound):
                await api.stats(StatsRequest(app=app, function=function))
            with pytest.raises(NotFound):
                await api.containers(ContainerHistoryRequest(app=app, function=function))
        for request in (
            RecordListRequest(call_id="x"),
            RecordListRequest(container_id="x"),
            RecordListRequest(after="x"),
            RecordListRequest(limit=5000),
        ):
            with pytest.raises(InvalidRequest):
                await api.list(request)
        with pytest.raises(InvalidRequest):
            await api.show(RecordShowRequest(record_id="ap-1"))
        with pytest.raises(NotFound, match="nothing is kept of in-"):
            await api.show(RecordShowRequest(record_id=new_id("in")))

    run(tmp_path, scenario)
