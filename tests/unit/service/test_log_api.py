"""Asking for logs: which app, container or function is meant; who hears what; and how an app stops."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.apps import apps_of
from tests.fakes.calls import journal_of
from tests.fakes.host import host_of
from tests.fakes.node import FakeContainer, FakeNode, payload
from wherry_proto.messages import (
    AppListRequest,
    AppShowRequest,
    AppStopRequest,
    CallKind,
    CallStart,
    Failure,
    FailureKind,
    FunctionSpec,
    FunctionStatus,
    LogLine,
    LogReadRequest,
    PoolSettings,
)
from wherry_proto.messages import Input as InputMessage
from wherry_service.api.apps import AppApi
from wherry_service.api.logs import LogApi
from wherry_service.apps.deployments import Deployments
from wherry_service.calls.client import Clients
from wherry_service.calls.diary import Diary
from wherry_service.calls.dispatcher import Dispatcher
from wherry_service.calls.queue import QueueLimit
from wherry_service.calls.server_sessions import ServerSessions
from wherry_service.engines.containment import MemoryLimit
from wherry_service.errors import InvalidRequest, NotFound
from wherry_service.ids import new_id
from wherry_service.logs.masks import Masks
from wherry_service.logs.store import LogStore
from wherry_service.node.events import UNNEEDED, ContainerExit
from wherry_service.pools.pools import Pools
from wherry_service.store.apps import AppStore
from wherry_service.store.blobs import BlobStore
from wherry_service.store.database import Database
from wherry_service.store.deployments import DeploymentStore


async def _no_name(object_id: str) -> str:
    return ""


class World:
    """Everything above the node, and a node that does what it is told."""

    def __init__(self, tmp_path: Path) -> None:
        self.database = Database(f"sqlite:///{tmp_path / 'test.db'}")
        self.database.begin()
        self.node = FakeNode()
        self.logs = LogStore(tmp_path / "logs")
        self.logs.begin()
        self.masks = Masks()
        clients = Clients()
        blobs = BlobStore(tmp_path / "blobs")
        self.journal = journal_of(self.database, blobs)
        pools = Pools(self.node, host_of(4.0, 4096))
        self.dispatcher = Dispatcher(pools, clients, self.journal, Diary(self.logs, self.masks), QueueLimit())
        self.client = clients.connect(new_id("cl"))
        self.image = asyncio.Event()
        self.image.set()

        async def ready(image_id: str) -> str:
            await self.image.wait()
            return "image"

        store = AppStore(self.database)
        self.apps = apps_of(store, self.dispatcher, pools, self.node, ready_image=ready, on_stopped=self.logs.end_app)
        deployments = Deployments(self.apps, store, DeploymentStore(self.database), pools, self.dispatcher)
        self.api = LogApi(self.logs, store, self.apps.register, pools)
        self.app_api = AppApi(
            self.apps, deployments, clients, self.dispatcher, ServerSessions(self.dispatcher), _no_name
        )

    async def run(self, name: str = "app", environment: str = "") -> tuple[str, str]:
        """Run an app of one function `f`; return their ids."""
        info = await self.apps.open(name, environment, self.client.client_id, detach=True)
        pool = PoolSettings(max_containers=1, scaledown_window_s=60)
        spec = FunctionSpec(name="f", module_name="m", qualname="f", image_id="im-1", pool=pool)
        (function,) = await self.apps.publish(info.app_id, [spec])
        return info.app_id, function.function_id

    async def call(self, function_id: str) -> tuple[FakeContainer, str, str]:
        """Have a container run an input; return it, the input's id and the call's."""
        call_id, input_id = new_id("fc"), new_id("in")
        self.journal.start(self.client, CallStart(call_id=call_id, function_id=function_id, kind=CallKind.REMOTE))
        message = InputMessage(input_id=input_id, call_id=call_id, payload=payload())
        self.dispatcher.submit(self.journal.new_inputs([message]))
        return await self.holder(input_id), input_id, call_id

    async def holder(self, input_id: str) -> FakeContainer:
        """Wait for a container that runs an input."""
        while True:
            for container in self.node.running():
                if any(item.input_id == input_id for item in container.inputs):
                    return container
            await asyncio.sleep(0)

    async def read(self, **wanted: Any) -> list[LogLine]:
        return [line async for chunk in self.api.read(LogReadRequest(**wanted)) for line in chunk.lines]

    async def texts(self, **wanted: Any) -> list[str]:
        return [line.text for line in await self.read(**wanted)]


def run(tmp_path: Path, scenario: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        world = World(tmp_path)
        try:
            async with asyncio.timeout(20):
                await scenario(world)
        finally:
            await world.logs.close()
            world.database.close()

    asyncio.run(main())


def test_lines_belong_to_their_call_container_function_and_app(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        app_id, function_id = await world.run()
        container, input_id, call_id = await world.call(function_id)
        container.events.on_log([(1, input_id, 5, "of the call", False), (2, "", 6, "of the container", False)])
        first, second = await world.read(app_id=app_id)
        assert (first.text, first.call_id, first.input_id) == ("of the call", call_id, input_id)
        assert (second.text, second.call_id, second.stream) == ("of the container", "", 2)
        assert (first.app_id, first.function_id) == (app_id, function_id)
        assert first.container_id == container.container_id
        for wanted in ({"call_id": call_id}, {"stream": 1}, {"search": "CALL"}, {"until_ms": 6}):
            assert await world.texts(app_id=app_id, **wanted) == ["of the call"]
        for wanted in ({"function": "f"}, {"function": function_id}, {"container_id": container.container_id}):
            assert len(await world.texts(app_id=app_id, **wanted)) == 2
        assert len(await world.texts(container_id=container.container_id)) == 2

    run(tmp_path, scenario)


def test_the_newest_app_of_a_name_is_meant_running_or_not(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        for number in (1, 2):
            app_id, function_id = await world.run("named")
            container, _, _ = await world.call(function_id)
            container.events.on_log([(1, "", 5, f"of the app {number}", False)])
            await world.apps.ending.stop(app_id, "done", 0.0)
        await world.run("named", "other")
        assert (await world.texts(app_name="named"))[0] == "of the app 2"
        assert await world.texts(app_name="named", environment="other") == []
        assert (await world.texts(container_id=container.container_id))[0] == "of the app 2"

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("wanted", "error", "said"),
    [
        ({}, InvalidRequest, "Name an app or a container"),
        ({"app_id": "x"}, InvalidRequest, "app id 'x' is not an id"),
        ({"app_id": new_id("ap")}, NotFound, "wherry app list --all"),
        (
            {"app_name": "nmaed"},
            NotFound,
            "no app named 'nmaed' was ever run in environment 'main'; did you mean 'named'",
        ),
        ({"app_name": "named", "function": "g"}, NotFound, "the app has no function 'g'; there is 'f'"),
        ({"container_id": "../.."}, InvalidRequest, "container id '../..' is not an id"),
        ({"container_id": new_id("co")}, NotFound, "no line of container co-"),
        ({"app_name": "named", "call_id": "7"}, InvalidRequest, "call id '7' is not an id"),
        ({"app_name": "named", "follow": True, "until_ms": 5}, InvalidRequest, "leave one of them out"),
    ],
)
def test_what_there_is_not_is_said(tmp_path: Path, wanted: dict[str, Any], error: type[Exception], said: str) -> None:
    async def scenario(world: World) -> None:
        await world.run("named")
        with pytest.raises(error, match=said.replace("(", r"\(").replace(".", r"\.")):
            await world.read(**wanted)

    run(tmp_path, scenario)


def test_the_end_of_a_container_is_told_with_its_last_words(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        app_id, function_id = await world.run()
        container, input_id, call_id = await world.call(function_id)
        container.exit(ContainerExit(exit_code=139, log_tail="Fatal Python error: Segmentation fault\nin f"))
        lines = await world.read(app_id=app_id)
        assert [(line.stream, line.text) for line in lines] == [
            (2, "Fatal Python error: Segmentation fault"),
            (2, "in f"),
            (3, f"container {container.container_id} was killed by signal 11 (SIGSEGV)"),
        ]
        assert {(line.input_id, line.call_id) for line in lines} == {(input_id, call_id)}

        # It runs again.
        container = await world.holder(input_id)
        container.exit(ContainerExit(exit_code=137, oom_killed=True, memory_limit=MemoryLimit(64)))
        assert (await world.texts(app_id=app_id, stream=3))[-1].endswith("ran out of memory at its limit of 64 MiB")

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (ContainerExit(exit_code=0), []),
        # It was started for work that others have done meanwhile, and was killed before it was ready.
        (ContainerExit(exit_code=137, reason=UNNEEDED), []),
        (ContainerExit(exit_code=137, reason="was killed with its app"), ["was killed with its app"]),
        (ContainerExit(exit_code=137, reason=UNNEEDED, oom_killed=True), [UNNEEDED]),
    ],
)
def test_an_orderly_end_is_not_worth_a_line(tmp_path: Path, end: ContainerExit, said: list[str]) -> None:
    async def scenario(world: World) -> None:
        app_id, function_id = await world.run()
        container, _, _ = await world.call(function_id)
        container.finish()
        container.exit(end)
        lines = [f"container {container.container_id} {text}" for text in said]
        assert await world.texts(app_id=app_id) == lines

    run(tmp_path, scenario)


def test_b65_what_an_input_raised_is_there_and_masked(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        app_id, function_id = await world.run()
        world.masks.add(app_id, ["hunter22"])
        container, input_id, call_id = await world.call(function_id)
        text = "Traceback (most recent call last):\nValueError: no user hunter22"
        container.events.on_failure(input_id, Failure(kind=FailureKind.EXCEPTION, traceback=text), 0)
        assert await world.texts(call_id=call_id, app_id=app_id) == [
            "Traceback (most recent call last):",
            "ValueError: no user ****",
        ]

    run(tmp_path, scenario)


def test_code_that_could_not_be_loaded_says_why(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        app_id, function_id = await world.run()
        container, _, _ = await world.call(function_id)
        container.events.on_load_failed(Failure(kind=FailureKind.STARTUP, traceback="ImportError: no module x"))
        assert await world.texts(app_id=app_id) == ["ImportError: no module x"]

    run(tmp_path, scenario)


def test_following_an_app_ends_with_it(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        app_id, function_id = await world.run()
        container, _, _ = await world.call(function_id)
        following = asyncio.ensure_future(world.texts(app_id=app_id, follow=True))
        container.events.on_log([(1, "", 5, "while it runs", False)])
        await world.apps.ending.stop(app_id, "done", 0.0)
        assert await following == ["while it runs", f"container {container.container_id} was ended with its app"]
        # One that has stopped is not waited for.
        assert len(await world.texts(app_id=app_id, follow=True)) == 2

    run(tmp_path, scenario)


def test_following_a_container_ends_with_it(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        _, function_id = await world.run()
        container, _, _ = await world.call(function_id)
        following = asyncio.ensure_future(world.texts(container_id=container.container_id, follow=True))
        while not world.logs._followers:
            await asyncio.sleep(0)
        container.events.on_log([(1, "", 5, "still here", False)])
        container.exit(ContainerExit(exit_code=1))
        said = ["still here", f"container {container.container_id} exited with code 1"]
        assert await following == said
        assert await world.texts(container_id=container.container_id, follow=True) == said

    run(tmp_path, scenario)


# Stopping


def test_an_app_that_waits_for_its_image_stops_at_once(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.image.clear()
        app_id, function_id = await world.run()
        call = CallStart(call_id=new_id("fc"), function_id=function_id, kind=CallKind.REMOTE)
        world.journal.start(world.client, call)
        message = InputMessage(input_id=new_id("in"), call_id=call.call_id, payload=payload())
        world.dispatcher.submit(world.journal.new_inputs([message]))
        assert world.apps.register.info(app_id).num_containers == 1
        async with asyncio.timeout(2):
            assert await world.apps.ending.stop(app_id, "done") == (1, [])
        assert world.node.containers == []

    run(tmp_path, scenario)


def test_a_stop_answers_at_its_deadline_names_what_is_left_and_goes_on(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        app_id, function_id = await world.run()
        container, _, _ = await world.call(function_id)
        answer = await world.app_api.stop(AppStopRequest(app_id=app_id, deadline_s=1))
        assert (answer.num_containers_stopped, answer.left_over) == (0, [f"wherry-{container.container_id}"])
        assert world.apps.register.is_running(app_id)

        again = asyncio.ensure_future(world.apps.ending.stop(app_id, "again"))
        await asyncio.sleep(0)
        container.exit(ContainerExit(exit_code=0))
        assert await again == (1, [])
        assert not world.apps.register.is_running(app_id)

    run(tmp_path, scenario)


def test_how_inputs_of_an_app_ended_is_counted_and_its_last_error_masked(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        app_id, function_id = await world.run()
        world.masks.add(app_id, ["hunter22"])

        async def status() -> FunctionStatus:
            (found,) = (await world.app_api.show(AppShowRequest(app_id=app_id))).functions
            return found

        container, _, _ = await world.call(function_id)
        busy = await status()
        assert (busy.num_running, busy.num_active_containers, busy.num_containers) == (1, 1, 1)
        container.finish()
        container, input_id, _ = await world.call(function_id)
        raised = Failure(kind=FailureKind.EXCEPTION, type_name="builtins.KeyError", message="hunter22\nmore")
        container.inputs.clear()
        container.events.on_failure(input_id, raised, 0)
        container, input_id, _ = await world.call(function_id)
        container.answer_cancelled(input_id)
        done = await status()
        assert (done.num_succeeded, done.num_failed, done.num_active_containers) == (1, 1, 1)
        assert done.last_error == "KeyError: ****"
        (app,) = (await world.app_api.list(AppListRequest(environment="main"))).apps
        assert (app.last_error, app.last_error_at_ms) == (done.last_error, done.last_error_at_ms)
        assert (app.num_functions, app.url) == (1, "")

    run(tmp_path, scenario)


def test_code_that_can_not_be_loaded_is_the_last_error(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        _, function_id = await world.run()
        container, _, _ = await world.call(function_id)
        container.fail_to_load()
        (app,) = (await world.app_api.list(AppListRequest(environment="main"))).apps
        assert app.last_error == "ImportError: no such module"

    run(tmp_path, scenario)
