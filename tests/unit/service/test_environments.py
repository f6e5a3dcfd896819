"""Environments: made, renamed with what is in them, deleted, and not to be mistyped."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from tests.databases import Disk
from tests.fakes.apps import apps_of
from tests.fakes.objects import World as ObjectWorld
from tests.unit.service.test_guests import World as AppWorld
from wherry_proto.messages import (
    AppListRequest,
    AppState,
    DeploymentCreateRequest,
    EnvironmentCreateRequest,
    EnvironmentDeleteRequest,
    EnvironmentListRequest,
    EnvironmentRenameRequest,
    FunctionSpec,
    LogReadRequest,
    ScheduleListRequest,
    ScheduleSpec,
    WebKind,
    WebSpec,
)
from wherry_service.api.chain import chained
from wherry_service.api.environments import EnvironmentApi, ExpectedEnvironment
from wherry_service.api.schedules import ScheduleApi
from wherry_service.apps.deployments import Deployments
from wherry_service.apps.environments import Environments, Heir
from wherry_service.errors import AlreadyExists, InvalidRequest, NotFound
from wherry_service.ids import new_id
from wherry_service.schedules.schedules import Schedules
from wherry_service.store import database as database_module
from wherry_service.store.apps import AppStore
from wherry_service.store.deployments import DeploymentStore
from wherry_service.store.environment_records import EnvironmentRecords
from wherry_service.store.schedules import ScheduleStore
from wherry_service.store.schema import apps, objects


class FakeSandboxes:
    """How many there are in each environment."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    async def num_in(self, environment: str) -> int:
        return self.numbers.get(environment, 0)

    async def end_environment(self, environment: str) -> None:
        self.numbers.pop(environment, None)

    def environment_renamed(self, name: str, new_name: str) -> None:
        if name in self.numbers:
            self.numbers[new_name] = self.numbers.pop(name)


class World:
    """Environments with apps and objects in them."""

    def __init__(self, disk: Disk) -> None:
        self.shared = ObjectWorld(disk)
        (disk.folder / "apps").mkdir()
        self.app_world = AppWorld(disk.folder / "apps")
        # One database, as in a service.
        self.database = self.shared.database
        world = self.app_world
        self.schedules = Schedules(ScheduleStore(self.database), world.journal, world.dispatcher)
        self.apps = apps_of(
            AppStore(self.database), world.dispatcher, world.pools, world.node, schedules=self.schedules
        )
        self.sandboxes = FakeSandboxes()
        self.heirs: list[Heir] = []
        self.live()

    def live(self) -> None:
        records = EnvironmentRecords(self.database)
        self.environments = Environments(records, self.apps, self.sandboxes, self.shared.objects, self.heirs)
        self.api = EnvironmentApi(self.environments)

    async def names(self) -> list[str]:
        return [info.name for info in (await self.api.list(EnvironmentListRequest())).environments]

    async def app(self, environment: str, state: int = AppState.DETACHED) -> str:
        """Run an app with one function, which has a URL."""
        deploys = state == AppState.DEPLOYED
        app = await self.apps.open("app", environment, new_id("cl"), detach=True, deploy=deploys)
        specs = [
            FunctionSpec(name="f", module_name="m", qualname="f", image_id="im-1", web=WebSpec(kind=WebKind.ASGI)),
            FunctionSpec(name="g", module_name="m", qualname="g", image_id="im-1", schedule=ScheduleSpec(days=1)),
        ]
        if deploys:
            await self.deploy(app.app_id, *specs)
        else:
            await self.apps.publish(app.app_id, specs)
        return app.app_id

    async def deploy(self, app_id: str, *specs: FunctionSpec) -> None:
        """Make these the functions of the app's next version."""
        dispatcher, pools = self.app_world.dispatcher, self.app_world.pools
        deployments = Deployments(self.apps, AppStore(self.database), DeploymentStore(self.database), pools, dispatcher)
        async for _ in deployments.create(DeploymentCreateRequest(app_id=app_id, functions=list(specs))):
            pass


def run(disk: Disk, scenario: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        world = World(disk)
        try:
            await world.environments.begin()
            await scenario(world)
        finally:
            world.shared.database.close()
            world.app_world.database.close()

    asyncio.run(main())


def test_main_is_always_there_and_others_are_made(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        assert await world.names() == ["main"]
        made = await world.api.create(EnvironmentCreateRequest(name="dev"))
        again = await world.api.create(EnvironmentCreateRequest(name="dev"))
        assert made.created_at_ms == again.created_at_ms > 0
        world.live()
        await world.environments.begin()
        assert await world.names() == ["dev", "main"]

    run(disk, scenario)


@pytest.mark.parametrize(
    "name", ["", "Dev", "1st", "a b", "a.b", "a--b", "-a", "a-", "ä", "x" * 41, "a\n", "deleted:a:1"]
)
def test_names_are_such_that_hosts_can_have_them(disk: Disk, name: str) -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(InvalidRequest, match="an environment can't be called"):
            await world.api.create(EnvironmentCreateRequest(name=name))
        await world.api.create(EnvironmentCreateRequest(name="dev"))
        with pytest.raises(InvalidRequest, match="an environment can't be called"):
            await world.api.rename(EnvironmentRenameRequest(name="dev", new_name=name))
        assert await world.names() == ["dev", "main"]

    run(disk, scenario)


def test_one_that_is_not_there_is_told_with_the_near_one_by_every_method(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        async def stream(request: Any) -> AsyncIterator[str]:
            yield "a line"

        async def one(request: Any) -> str:
            return "an answer"

        handlers = {"Logs.Read": stream, "Apps.List": one, "Blobs.Put": one, "Apps.Stop": one}
        served = chained(handlers, ExpectedEnvironment(world.environments))
        await world.api.create(EnvironmentCreateRequest(name="staging"))
        for environment in ("", "main", "staging"):
            assert await served["Apps.List"](AppListRequest(environment=environment)) == "an answer"  # type: ignore[misc]
            lines: Any = served["Logs.Read"](LogReadRequest(environment=environment))
            assert [line async for line in lines] == ["a line"]
        with pytest.raises(NotFound, match="no environment 'stagign': did you mean 'staging'"):
            await served["Apps.List"](AppListRequest(environment="stagign"))  # type: ignore[misc]
        refused: Any = served["Logs.Read"](LogReadRequest(environment="xyz"))
        said = r"no environment 'xyz': there are main, staging\. To make it: wherry environment create xyz"
        with pytest.raises(NotFound, match=said):
            await anext(refused)
        assert served["Blobs.Put"] is one
        assert served["Apps.Stop"] is one

    run(disk, scenario)


def test_a_renamed_one_keeps_what_is_in_it_and_what_runs(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        await world.api.create(EnvironmentCreateRequest(name="dev"))
        app_id = await world.app("dev", AppState.DEPLOYED)
        dict_id = await world.shared.make("dict", "d", "dev")
        world.sandboxes.numbers["dev"] = 1
        info = await world.api.rename(EnvironmentRenameRequest(name="dev", new_name="test"))
        assert (info.name, info.num_apps, info.num_sandboxes, info.num_objects) == ("test", 1, 1, 1)
        assert await world.shared.make("dict", "d", "test") == dict_id
        assert (await world.shared.objects.register.get("dict", dict_id)).environment == "test"
        assert world.apps.register.lookup("app", "f", "test").app_id == app_id
        assert "wherry-test--" in world.apps.register.lookup("app", "f", "test").web_url
        listed = await ScheduleApi(world.schedules, world.apps.register).list(ScheduleListRequest(environment="test"))
        assert [(found.app_name, found.function_name, found.environment) for found in listed.schedules] == [
            ("app", "g", "test")
        ]
        rows = await world.database.read(lambda connection: connection.execute(sa.select(apps.c.environment)).scalars())
        assert set(rows) == {"test"}
        with pytest.raises(NotFound, match="no environment 'dev'"):
            world.environments.expect("dev")
        await world.api.create(EnvironmentCreateRequest(name="dev"))
        with pytest.raises(AlreadyExists, match="there is an environment 'test' already"):
            await world.api.rename(EnvironmentRenameRequest(name="dev", new_name="test"))
        with pytest.raises(InvalidRequest, match="'main' can't be renamed"):
            await world.api.rename(EnvironmentRenameRequest(name="main", new_name="other"))
        with pytest.raises(NotFound, match="no environment 'gone'"):
            await world.api.rename(EnvironmentRenameRequest(name="gone", new_name="other"))
        assert (await world.api.rename(EnvironmentRenameRequest(name="test", new_name="test"))).name == "test"

    run(disk, scenario)


def test_one_in_which_something_runs_is_deleted_only_by_force_and_then_with_all(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        await world.api.create(EnvironmentCreateRequest(name="dev"))
        app_id = await world.app("dev", AppState.DEPLOYED)
        kept = await world.app("main", AppState.DEPLOYED)
        await world.shared.make("dict", "d", "dev")
        other = await world.shared.make("dict", "d", "main")
        await world.shared.objects.secrets.create("s", "dev", {"A": "1"})
        world.sandboxes.numbers["dev"] = 2
        with pytest.raises(InvalidRequest, match="1 app and 2 sandboxes run in environment 'dev': stop them first"):
            await world.api.delete(EnvironmentDeleteRequest(name="dev"))
        info = await world.api.delete(EnvironmentDeleteRequest(name="dev", force=True))
        assert (info.num_apps, info.num_sandboxes, info.num_objects) == (1, 2, 2)
        assert await world.names() == ["main"]
        assert world.apps.register.ids() == {kept}
        left = await world.database.read(lambda connection: connection.execute(sa.select(objects)).all())
        assert [row.object_id for row in left] == [other]
        assert [one.app_id for one in await world.schedules.infos([app_id, kept])] == [kept]
        # One of that name begins empty, without the history of the other.
        await world.api.create(EnvironmentCreateRequest(name="dev"))
        assert await world.apps.register.list("dev", include_stopped=True) == []
        await world.api.delete(EnvironmentDeleteRequest(name="dev"))
        with pytest.raises(InvalidRequest, match="'main' can't be deleted"):
            await world.api.delete(EnvironmentDeleteRequest(name="main", force=True))
        with pytest.raises(NotFound, match="no environment 'dev'"):
            await world.api.delete(EnvironmentDeleteRequest(name="dev", force=True))

    run(disk, scenario)


def test_nothing_new_gets_into_one_that_is_being_deleted(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        await world.api.create(EnvironmentCreateRequest(name="dev"))
        told: list[str] = []

        async def end(environment: str) -> None:
            for name in ("dev", "main"):
                try:
                    world.environments.expect(name)
                except NotFound as error:
                    told.append(str(error))

        class Listener:
            async def environment_changed(self, name: str, new_name: str) -> None:
                told.append(f"{name} -> {new_name!r}")

        world.sandboxes.end_environment = end  # type: ignore[method-assign]
        world.heirs.append(Listener())
        await world.api.delete(EnvironmentDeleteRequest(name="dev"))
        assert told == ["environment 'dev' is being deleted", "dev -> ''"]

    run(disk, scenario)


def test_a_delete_that_fails_half_way_can_be_tried_again(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        await world.api.create(EnvironmentCreateRequest(name="dev"))
        await world.shared.make("dict", "d", "dev")
        original = world.sandboxes.end_environment

        async def end(environment: str) -> None:
            raise OSError("no engine")

        world.sandboxes.end_environment = end  # type: ignore[method-assign]
        with pytest.raises(OSError, match="no engine"):
            await world.api.delete(EnvironmentDeleteRequest(name="dev"))
        world.environments.expect("dev")
        world.sandboxes.end_environment = original  # type: ignore[method-assign]
        await world.api.delete(EnvironmentDeleteRequest(name="dev"))
        assert await world.names() == ["main"]

    run(disk, scenario)


def test_only_deployed_apps_have_schedules_and_bad_ones_are_refused(disk: Disk) -> None:
    async def scenario(world: World) -> None:
        app_id = await world.app("main", AppState.DETACHED)
        assert await world.schedules.infos([app_id]) == []
        deployed = await world.app("main", AppState.DEPLOYED)
        assert [one.function_name for one in await world.schedules.infos([deployed])] == ["g"]
        bad = FunctionSpec(
            name="g", module_name="m", qualname="g", image_id="im-1", schedule=ScheduleSpec(cron="61 * * * *")
        )
        with pytest.raises(InvalidRequest, match="'61 \\* \\* \\* \\*' can't be read: Bad minute"):
            await world.deploy(deployed, bad)
        await world.apps.ending.stop(deployed, "test")
        assert await world.schedules.infos([deployed]) == []

    run(disk, scenario)


def test_environments_of_earlier_versions_are_those_that_were_used(bare_disk: Disk) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(database_module.__file__).parent / "migrations"))
    engine = sa.create_engine(bare_disk.url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0014")
        row = {"app_id": "ap-1", "name": "a", "environment": "Old.One", "state": 4, "client_id": ""}
        # With the columns of that time.
        apps = sa.Table("apps", sa.MetaData(), autoload_with=connection)
        connection.execute(sa.insert(apps), row | {"created_at_ms": 1, "stopped_at_ms": 0})
        command.upgrade(config, "head")
        assert list(connection.execute(sa.text("select name from environments order by name")).scalars()) == [
            "Old.One",
            "main",
        ]
        command.downgrade(config, "0014")
        assert not sa.inspect(connection).has_table("schedules")
    engine.dispose()
