"""What a container may ask, and what it may not."""

import asyncio
import copy
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.fakes.apps import apps_of
from tests.fakes.calls import dispatcher_of, journal_of
from tests.fakes.host import host_of
from tests.fakes.node import FakeNode, payload
from wherry_proto.messages import (
    AppInfo,
    AppShowRequest,
    AppShowResponse,
    BucketMount,
    CallCancel,
    CallKind,
    CallStart,
    CallWatch,
    FailureKind,
    FunctionBindRequest,
    FunctionInfo,
    FunctionLookupRequest,
    FunctionSpec,
    FunctionStatus,
    Hello,
    Input,
    InputsEnd,
    LocalMount,
    Payload,
    ServerInfo,
    ServerInfoRequest,
    SessionUp,
    YieldsTaken,
)
from wherry_service.api.guests import Guest, Guests, is_part
from wherry_service.api.places import Places
from wherry_service.api.rpc import Handler
from wherry_service.api.sessions import SessionApi
from wherry_service.api.terminals import Terminals
from wherry_service.calls.client import Clients
from wherry_service.errors import Denied, InvalidRequest, NotFound
from wherry_service.ids import new_id
from wherry_service.pools.pools import Pools
from wherry_service.store.apps import AppStore
from wherry_service.store.blobs import BlobStore
from wherry_service.store.database import Database
from wherry_service.store.environments import EnvironmentStore

if TYPE_CHECKING:
    from wherry_service.api.guest_sandboxes import GuestSandboxes
    from wherry_service.logs.store import LogStore
    from wherry_service.records.reader import RecordReader
    from wherry_service.sandboxes.sandboxes import Sandboxes


class World:
    """Two apps in environment "main", one in "other", and a guest in the first."""

    def __init__(self, tmp_path: Path) -> None:
        self.database = Database(f"sqlite:///{tmp_path / 'test.db'}")
        self.database.begin()
        self.node = FakeNode()
        self.clients = Clients()
        blobs = BlobStore(tmp_path / "blobs")
        self.journal = journal_of(self.database, blobs)
        self.pools = pools = Pools(self.node, host_of(4.0, 4096))
        self.dispatcher = dispatcher_of(pools, self.clients, self.journal)
        self.sessions = SessionApi(self.clients, self.journal, self.dispatcher, new_id("sv"))

        self.apps = apps_of(AppStore(self.database), self.dispatcher, pools, self.node)

    async def begin(self) -> None:
        self.functions: dict[str, FunctionInfo] = {}
        for app_name, environment in [("first", "main"), ("second", "main"), ("third", "other")]:
            app = await self.apps.open(app_name, environment, new_id("cl"), detach=True)
            spec = FunctionSpec(name="f", module_name="m", qualname="f", image_id="im-1")
            (info,) = await self.apps.publish(app.app_id, [spec])
            self.functions[app_name], self.spec = info, spec
        self.app_id = self.functions["first"].app_id
        self.places = Places(
            EnvironmentStore(self.database),
            self.journal,
            self.pools,
            cast("Sandboxes", None),
            cast("LogStore", None),
            cast("RecordReader", None),
        )
        handlers = {
            "Server.Info": _info,
            "Functions.Lookup": self._lookup,
            "Functions.Bind": self._bind,
            "Apps.Show": self._show,
        }
        self.guests = Guests(
            handlers,
            self.sessions,
            self.apps.register,
            self.journal,
            self.places,
            Terminals(self.apps.register, self.pools),
            cast("GuestSandboxes", None),
        )
        self.guest = Guest(self.guests, "co-1", self.app_id)

    async def _lookup(self, request: FunctionLookupRequest) -> FunctionInfo:
        if request.function_id:
            return self.apps.register.function(request.function_id)
        return self.apps.register.lookup(request.app_name, request.name, request.environment)

    async def _bind(self, request: FunctionBindRequest) -> FunctionInfo:
        return self.apps.register.function(request.function_id)

    async def _show(self, request: AppShowRequest) -> AppShowResponse:
        register = self.apps.register
        app = (
            register.running(request.app_id)
            if request.app_id
            else register.named(request.app_name, request.environment)
        )
        infos = [register.function_info(app, base) for base in app.bases]
        functions = [FunctionStatus(function=info, image_id="im-1", backlog=3) for info in infos]
        return AppShowResponse(app=register.info(app.record.app_id), functions=functions)

    async def ask(self, **names: Any) -> FunctionInfo:
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


def test_a_container_finds_functions_of_its_own_app_by_the_name_that_its_code_has(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        spec = FunctionSpec(name="f", module_name="m", qualname="f", image_id="im-1", app_name="second")
        (own,) = await world.apps.publish(world.app_id, [spec])
        assert await world.ask(app_name="second", name="f", is_own=True) == own
        # By hand, the app is meant that runs under the name.
        assert await world.ask(app_name="second", name="f") == world.functions["second"]
        with pytest.raises(NotFound):
            await world.ask(app_name="third", name="f", is_own=True)

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
        assert not [name for name in handlers if name.startswith(("Images.", "Logs.")) or name == "Server.Stop"]
        assert [name for name in handlers if name.startswith("Apps.")] == ["Apps.Show"]
        assert await handlers["Server.Info"](ServerInfoRequest()) == ServerInfo(version="1", protocol=1)

    run(tmp_path, scenario)


def test_a_container_is_told_of_an_app_what_its_functions_names_tell(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        show = world.guest.handlers()["Apps.Show"]
        for request, name in (
            (AppShowRequest(), "first"),
            (AppShowRequest(app_name="first"), "first"),
            (AppShowRequest(app_name="second"), "second"),
            (AppShowRequest(app_id=world.functions["second"].app_id), "second"),
        ):
            shown = await show(request)
            assert (shown.app.app_id, shown.app.name) == (world.functions[name].app_id, name)
            assert shown.functions == [FunctionStatus(function=world.functions[name])]
        for request, error in (
            (AppShowRequest(app_name="third"), NotFound),
            (AppShowRequest(app_name="third", environment="other"), InvalidRequest),
            (AppShowRequest(app_id=world.functions["third"].app_id), NotFound),
        ):
            with pytest.raises(error):
                await show(request)

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

        client = world.clients.expect(new_id("cl"), container_id=holder.container_id)

        def restricted(name: str, parent: str) -> list[tuple[str, str]]:
            start = CallStart(
                call_id=new_id("fc"), function_id=world.functions[name].function_id, parent_input_id=parent
            )
            message = SessionUp(calls=[start])
            guest.restrict(client, message)
            return [(one.function_id, one.parent_input_id) for one in message.calls]

        second = world.functions["second"].function_id
        assert restricted("second", held) == [(second, held)]
        assert restricted("second", other) == [(second, "")]
        assert restricted("third", held) == []

    run(tmp_path, scenario)


def test_calls_of_other_environments_are_neither_seen_nor_touched(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        owner = world.sessions.begin(SessionUp(hello=Hello(client_id=new_id("cl"), protocol=1)))
        call_id, input_id = new_id("fc"), new_id("in")
        start = CallStart(call_id=call_id, function_id=world.functions["third"].function_id, kind=CallKind.GENERATOR)
        owner.receive(SessionUp(calls=[start], inputs=[Input(input_id=input_id, call_id=call_id, payload=payload())]))
        known = world.journal.call(call_id)
        assert known is not None
        mine, unknown = new_id("cl"), new_id("fc")
        session = world.sessions.begin(SessionUp(hello=Hello(client_id=mine, protocol=1)), world.guest)
        told, more = new_id("in"), new_id("in")
        session.receive(
            SessionUp(
                calls=[start, CallStart(call_id=unknown, function_id=start.function_id, kind=CallKind.MAP)],
                inputs=[
                    Input(input_id=more, call_id=call_id, payload=payload()),
                    Input(input_id=told, call_id=unknown, payload=payload()),
                ],
                ends=[InputsEnd(call_id=call_id, num_inputs=0)],
                taken=[input_id],
                yields_taken=[YieldsTaken(input_id=input_id, index=1_000_000)],
                cancels=[CallCancel(call_id=call_id, terminate_containers=True), CallCancel(call_id=unknown)],
                watches=[CallWatch(call_id=call_id), CallWatch(call_id=unknown)],
            )
        )
        states, outputs = [], []
        async with asyncio.timeout(5):
            while len(states) < 2 or len(outputs) < 2:
                message = await session.client.next_message(session.number)
                states += message.states if message is not None else []
                outputs += message.outputs if message is not None else []
        assert {(state.call_id, state.known, state.function_id) for state in states} == {
            (call_id, False, ""),
            (unknown, False, ""),
        }
        assert {output.input_id for output in outputs} == {more, told}
        assert {output.failure.kind for output in outputs if output.failure is not None} == {FailureKind.NOT_FOUND}
        item = known.open[input_id]
        assert (known.client, known.num_inputs, known.cancelled) == (owner.client, 1, False)
        assert (list(known.open), known.watchers, item.done, item.yields_taken) == ([input_id], set(), False, 0)
        assert world.journal.call(unknown) is None

    run(tmp_path, scenario)


def test_a_container_reaches_its_own_calls_though_their_function_is_gone(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        session = world.sessions.begin(SessionUp(hello=Hello(client_id=new_id("cl"), protocol=1)), world.guest)
        call_id, input_id = new_id("fc"), new_id("in")
        second = world.functions["second"]
        session.receive(
            SessionUp(
                calls=[CallStart(call_id=call_id, function_id=second.function_id, kind=CallKind.REMOTE)],
                inputs=[Input(input_id=input_id, call_id=call_id, payload=payload())],
            )
        )
        await world.apps.ending.stop(second.app_id, "over")
        assert world.journal.call(call_id) is not None
        session.receive(SessionUp(taken=[input_id]))
        assert world.journal.call(call_id) is None

    run(tmp_path, scenario)


def test_an_input_of_a_container_is_no_source_file(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        session = world.sessions.begin(SessionUp(hello=Hello(client_id=new_id("cl"), protocol=1)), world.guest)
        start = CallStart(call_id=new_id("fc"), function_id=world.functions["first"].function_id, kind=CallKind.REMOTE)
        item = Input(input_id=new_id("in"), call_id=start.call_id, payload=Payload(blob_id="sha256:" + "0" * 64))
        with pytest.raises(InvalidRequest, match="blob id 'sha256:0"):
            session.receive(SessionUp(calls=[start], inputs=[item]))

    run(tmp_path, scenario)


def test_a_variant_of_another_apps_function_runs_that_apps_code(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        bind = world.guest.handlers()["Functions.Bind"]

        def asked(name: str, field: str, **changes: Any) -> Any:
            function_id = world.functions[name].function_id
            return bind(FunctionBindRequest(function_id=function_id, changes=FunctionSpec(**changes), fields=[field]))

        for field, changes in {
            "env": {"env": {"PYTHONSTARTUP": "/v/attack.py"}},
            "image_id": {"image_id": "im-1"},
            "local_mounts": {"local_mounts": []},
            "volumes": {"volumes": []},
            "bucket_mounts": {"bucket_mounts": []},
        }.items():
            with pytest.raises(Denied, match=f"functions of another app another {field}"):
                await asked("second", field, **changes)
            assert (await asked("first", field, **changes)).app_id == world.app_id
        assert await asked("second", "timeout_s", timeout_s=5.0) == world.functions["second"]
        with pytest.raises(NotFound, match="image 'im-2' does not exist"):
            await asked("first", "image_id", image_id="im-2")
        with pytest.raises(InvalidRequest, match="can't give functions bucket 'b', which its app does not have"):
            await asked("first", "bucket_mounts", bucket_mounts=[BucketMount(path="/b", bucket="b")])
        with pytest.raises(InvalidRequest, match="can't give secrets to functions"):
            await asked("first", "bucket_mounts", bucket_mounts=[BucketMount(bucket="b", secret_id="st-1")])
        with pytest.raises(NotFound, match="source tree 'so-1' does not exist"):
            await asked("first", "local_mounts", local_mounts=[LocalMount(remote_path="/x", source_id="so-1")])
        with pytest.raises(NotFound, match="does not exist"):
            await asked("third", "timeout_s", timeout_s=5.0)

    run(tmp_path, scenario)


def test_a_function_without_network_gets_none_by_a_variant(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        bind = world.guest.handlers()["Functions.Bind"]
        spec = FunctionSpec(name="g", module_name="m", qualname="g", image_id="im-1", block_network=True)
        _, blocked = await world.apps.publish(world.app_id, [world.spec, spec])

        def asked(info: FunctionInfo, is_blocked: bool) -> Any:
            changes = FunctionSpec(block_network=is_blocked)
            return bind(FunctionBindRequest(function_id=info.function_id, changes=changes, fields=["block_network"]))

        with pytest.raises(Denied, match="can't give a network to a function that has block_network=True"):
            await asked(blocked, False)
        closed = await asked(blocked, True)
        assert closed.app_id == world.app_id
        # One that has a network may be asked for with it.
        assert (await asked(world.functions["first"], False)).app_id == world.app_id

    run(tmp_path, scenario)


KNOWN = BucketMount(path="/b", bucket="b", endpoint_url="https://s", key_prefix="a/", secret_id="st-1", read_only=True)


@pytest.mark.parametrize(
    ("other", "fits"),
    [
        ({}, True),
        ({"path": "/elsewhere"}, True),
        ({"key_prefix": "a/b/"}, True),
        ({"key_prefix": ""}, False),
        ({"key_prefix": "ab/"}, False),
        ({"read_only": False}, False),
        ({"bucket": "c"}, False),
        ({"endpoint_url": "http://169.254.169.254"}, False),
        ({"secret_id": ""}, False),
        ({"requester_pays": True}, False),
    ],
)
def test_a_container_mounts_only_parts_of_its_apps_buckets(other: dict[str, Any], fits: bool) -> None:
    mount = copy.copy(KNOWN)
    for name, value in other.items():
        setattr(mount, name, value)
    assert is_part(mount, KNOWN) is fits


def test_a_container_can_not_take_over_another_client(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        hello = SessionUp(hello=Hello(client_id=new_id("cl"), protocol=1))
        world.sessions.begin(hello)
        with pytest.raises(InvalidRequest, match="belongs to somebody else"):
            world.sessions.begin(hello, world.guest)

    run(tmp_path, scenario)


def test_environments_are_asked_about_running_apps_only(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        info: AppInfo = world.apps.register.info(world.app_id)
        assert info.environment == "main"
        await world.apps.ending.stop(world.app_id, "done")
        with pytest.raises(NotFound):
            await world.ask(name="f")

    run(tmp_path, scenario)
