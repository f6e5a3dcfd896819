"""What a container may ask, and what it may not."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.node import FakeNode, payload
from wherry_proto.messages import (
    AppInfo,
    CallKind,
    CallStart,
    FunctionInfo,
    FunctionLookupRequest,
    FunctionSpec,
    Hello,
    Input,
    ServerInfo,
    ServerInfoRequest,
    SessionUp,
)
from wherry_service.api.guests import Guest, Guests
from wherry_service.api.local import Handler
from wherry_service.api.sessions import SessionApi
from wherry_service.apps.apps import Apps
from wherry_service.calls.client import Clients
from wherry_service.calls.dispatcher import Dispatcher
from wherry_service.calls.journal import Journal
from wherry_service.calls.values import Values
from wherry_service.errors import InvalidRequest, NotFound
from wherry_service.ids import new_id
from wherry_service.pools.capacity import Capacity
from wherry_service.pools.pools import Pools
from wherry_service.store.apps import AppStore
from wherry_service.store.blobs import BlobStore
from wherry_service.store.calls import CallStore
from wherry_service.store.database import Database
from wherry_service.store.yields import YieldStore


class World:
    """Two apps in environment "main", one in "other", and a guest in the first."""

    def __init__(self, tmp_path: Path) -> None:
        self.database = Database(f"sqlite:///{tmp_path / 'test.db'}")
        self.database.begin()
        self.node = FakeNode()
        self.clients = Clients(lambda client: None)
        blobs = BlobStore(tmp_path / "blobs")
        self.journal = Journal(CallStore(self.database), blobs, Values(YieldStore(self.database), blobs))
        self.pools = pools = Pools(self.node, Capacity(4.0, 4096))
        self.dispatcher = Dispatcher(pools, self.clients, blobs, self.journal)
        self.sessions = SessionApi(self.clients, self.journal, self.dispatcher, new_id("sv"))

        async def ready(image_id: str) -> str:
            return "image"

        self.apps = Apps(AppStore(self.database), self.dispatcher, pools, self.node, ready)

    async def begin(self) -> None:
        self.functions: dict[str, FunctionInfo] = {}
        for app_name, environment in [("first", "main"), ("second", "main"), ("third", "other")]:
            app = await self.apps.open(app_name, environment, new_id("cl"), detach=True)
            spec = FunctionSpec(name="f", module_name="m", qualname="f", image_id="im-1")
            (info,) = await self.apps.publish(app.app_id, [spec])
            self.functions[app_name] = info
        self.app_id = self.functions["first"].app_id
        self.guests = Guests({"Server.Info": _info}, self.sessions, self.apps, self.journal)
        self.guest = Guest(self.guests, "co-1", self.app_id)

    async def ask(self, **names: str) -> FunctionInfo:
        handler: Handler = self.guest.handlers()["Functions.Lookup"]
        found: FunctionInfo = await handler(FunctionLookupRequest(**names))
        return found


async def _info(request: ServerInfoRequest) -> ServerInfo:
    return ServerInfo(version="1", protocol=1, state_dir="/secret", handover_dir="/secret", pid=7)


def run(tmp_path: Path, scenario: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        world = World(tmp_path)
        try:
            await world.begin()
            await scenario(world)
        finally:
            world.database.close()

    asyncio.run(main())


def test_a_container_finds_functions_of_its_own_app_and_environment(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        assert await world.ask(name="f") == world.functions["first"]
        assert await world.ask(app_name="first", name="f") == world.functions["first"]
        assert await world.ask(app_name="second", name="f") == world.functions["second"]
        assert await world.ask(function_id=world.functions["second"].function_id) == world.functions["second"]

    run(tmp_path, scenario)


def test_another_environment_is_out_of_reach(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(InvalidRequest, match="belongs to environment 'main' and can't reach 'other'"):
            await world.ask(app_name="third", name="f", environment="other")
        with pytest.raises(NotFound, match="no app named 'third'"):
            await world.ask(app_name="third", name="f")
        with pytest.raises(NotFound, match="does not exist"):
            await world.ask(function_id=world.functions["third"].function_id)

    run(tmp_path, scenario)


def test_methods_that_change_apps_or_tell_of_the_host_are_not_there(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        handlers = world.guest.handlers()
        assert not [
            name for name in handlers if name.startswith(("Apps.", "Images.", "Logs.")) or name == "Server.Stop"
        ]
        assert await handlers["Server.Info"](ServerInfoRequest()) == ServerInfo(version="1", protocol=1)

    run(tmp_path, scenario)


def test_calls_out_of_reach_and_parents_of_others_are_taken_out(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        owner = world.sessions.begin(SessionUp(hello=Hello(client_id=new_id("cl"), protocol=1)))
        held, other = new_id("in"), new_id("in")
        for input_id in (held, other):
            call_id = new_id("fc")
            owner.receive(
                SessionUp(
                    calls=[
                        CallStart(
                            call_id=call_id, function_id=world.functions["first"].function_id, kind=CallKind.REMOTE
                        )
                    ],
                    inputs=[Input(input_id=input_id, call_id=call_id, payload=payload())],
                )
            )
        while sum(len(container.inputs) for container in world.node.containers) < 2:
            await asyncio.sleep(0)
        holder = next(c for c in world.node.containers if c.inputs[0].input_id == held)
        guest = Guest(world.guests, holder.container_id, world.app_id)

        def restricted(name: str, parent: str) -> tuple[str, str]:
            start = CallStart(function_id=world.functions[name].function_id, parent_input_id=parent)
            guest.restrict(SessionUp(calls=[start]))
            return start.function_id, start.parent_input_id

        assert restricted("second", held) == (world.functions["second"].function_id, held)
        assert restricted("second", other) == (world.functions["second"].function_id, "")
        assert restricted("third", held) == ("fu-out-of-reach", held)

    run(tmp_path, scenario)


def test_a_container_can_not_take_over_another_client(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        hello = SessionUp(hello=Hello(client_id=new_id("cl"), protocol=1))
        world.sessions.begin(hello)
        with pytest.raises(InvalidRequest, match="belongs to somebody else"):
            world.sessions.begin(hello, world.guest)

    run(tmp_path, scenario)


def test_environments_are_asked_about_running_apps_only(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        info: AppInfo = world.apps.info(world.app_id)
        assert info.environment == "main"
        await world.apps.stop(world.app_id, "done")
        with pytest.raises(NotFound):
            await world.ask(name="f")

    run(tmp_path, scenario)
