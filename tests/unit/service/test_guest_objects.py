"""Which dicts, queues and secrets code inside a container reaches."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.databases import SqliteDisks
from tests.fakes.objects import World
from tests.unit.service.test_guests import World as GuestWorld
from tests.unit.service.test_guests import run
from wherry_proto import services
from wherry_proto.messages import (
    DictCountRequest,
    FunctionBindRequest,
    FunctionSpec,
    ObjectDeleteRequest,
    ObjectListRequest,
    ObjectOpenRequest,
    QueueGetRequest,
)
from wherry_service.api.guests import Guest, Guests
from wherry_service.api.objects import object_handlers
from wherry_service.api.terminals import Terminals
from wherry_service.errors import InvalidRequest, NotFound
from wherry_service.ids import new_id
from wherry_service.store.environments import EnvironmentStore

if TYPE_CHECKING:
    from wherry_service.api.guest_sandboxes import GuestSandboxes


def handlers_of(world: GuestWorld, objects: World) -> dict[str, Any]:
    """Return what a container of the first app may call."""
    served = object_handlers(objects.objects, world.apps.register, world.clients)

    async def bind(request: FunctionBindRequest) -> str:
        return "bound"

    served["Functions.Bind"] = bind
    world.places._finders |= dict.fromkeys(("dict", "queue", "object"), EnvironmentStore(objects.database).of_object)
    guests = Guests(
        served,
        world.sessions,
        world.apps.register,
        world.journal,
        world.places,
        Terminals(world.apps.register, world.pools),
        cast("GuestSandboxes", None),
    )
    return Guest(guests, "co-1", world.app_id).handlers()


def test_a_container_reaches_those_of_its_environment_by_any_way(tmp_path: Path) -> None:
    objects = World(SqliteDisks.within(tmp_path / "objects"))

    async def scenario(world: GuestWorld) -> None:
        handlers = handlers_of(world, objects)
        ours, theirs = await objects.make("dict", "d"), await objects.make("dict", "d", "other")
        opened = await handlers["Dicts.Open"](ObjectOpenRequest(name="d"))
        assert (opened.object_id, opened.environment) == (ours, "main")
        assert (await handlers["Dicts.Count"](DictCountRequest(dict_id=ours))).count == 0
        (listed,) = (await handlers["Dicts.List"](ObjectListRequest())).objects
        assert listed.object_id == ours
        for name, request in [
            ("Dicts.Count", DictCountRequest(dict_id=theirs)),
            ("Dicts.Open", ObjectOpenRequest(object_id=theirs)),
            ("Dicts.Delete", ObjectDeleteRequest(object_id=theirs)),
        ]:
            with pytest.raises(NotFound, match=f"(dict|object) '{theirs}' does not exist"):
                await handlers[name](request)
        queue = await objects.make("queue", "q", "other")
        with pytest.raises(NotFound, match="does not exist"):
            await anext(handlers["Queues.Get"](QueueGetRequest(queue_id=queue, lease_id=new_id("op"), count=1)))
        for name, request in [
            ("Dicts.Open", ObjectOpenRequest(name="d", environment="other")),
            ("Dicts.List", ObjectListRequest(environment="other")),
        ]:
            with pytest.raises(InvalidRequest, match="belongs to environment 'main' and can't reach 'other'"):
                await handlers[name](request)

    try:
        run(tmp_path, scenario)
    finally:
        objects.database.close()


def test_what_a_container_makes_without_a_name_is_its_apps(tmp_path: Path) -> None:
    objects = World(SqliteDisks.within(tmp_path / "objects"))

    async def scenario(world: GuestWorld) -> None:
        handlers = handlers_of(world, objects)
        other_app = world.functions["second"].app_id
        for request in (
            ObjectOpenRequest(client_id=new_id("cl"), create=True),
            ObjectOpenRequest(name="mine", app_id=other_app, create=True),
        ):
            made = await handlers["Queues.Open"](request)
            record = await objects.objects.register.get("queue", made.object_id)
            assert (record.app_id, record.client_id) == (world.app_id, "")

    try:
        run(tmp_path, scenario)
    finally:
        objects.database.close()


def test_b65_no_method_shows_or_changes_secrets_and_no_variant_gets_one_its_app_lacks(tmp_path: Path) -> None:
    objects = World(SqliteDisks.within(tmp_path / "objects"))

    async def scenario(world: GuestWorld) -> None:
        handlers = handlers_of(world, objects)
        # Its ids, keys and dates, of those that its app was given: what it takes to give one to a sandbox.
        assert [name for name in handlers if name.startswith("Secrets.")] == ["Secrets.Lookup"]
        assert {name for name in services.METHODS if name.startswith(("Dicts.", "Queues."))} <= set(handlers)
        (record,) = world.apps.register.running(world.app_id).functions.values()
        record.spec.secret_ids = ["st-own"]

        def bind(*secret_ids: str) -> Any:
            changes = FunctionSpec(secret_ids=list(secret_ids))
            request = FunctionBindRequest(function_id=record.function_id, changes=changes, fields=["secret_ids"])
            return handlers["Functions.Bind"](request)

        assert await bind("st-own") == "bound"
        with pytest.raises(InvalidRequest, match="can't give secrets to functions that its app does not have"):
            await bind("st-own", "st-other")

    try:
        run(tmp_path, scenario)
    finally:
        objects.database.close()
