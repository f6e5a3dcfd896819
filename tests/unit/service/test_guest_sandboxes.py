"""Which sandboxes code inside a container may make and use: never one that has what its own app has not."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.fakes.sandbox_node import IMAGE, House
from tests.unit.service.test_guests import World, run
from wherry_proto.messages import (
    BucketMount,
    ExecRequest,
    ExecStart,
    FunctionSpec,
    ImageDefinition,
    ImageEnsureRequest,
    ImageEvent,
    ImageStep,
    LocalMount,
    SandboxCreateRequest,
    SandboxGetRequest,
    SandboxInfo,
    SandboxListRequest,
    SandboxListResponse,
    SandboxSpec,
    SandboxTunnel,
)
from wherry_service.api.guest_sandboxes import Asking, GuestSandboxes
from wherry_service.errors import Denied, Exhausted, NotFound
from wherry_service.ids import new_id
from wherry_service.images.definition import image_id
from wherry_service.images.pythons import settled
from wherry_service.sandboxes.settings import SandboxSettings

OWN = FunctionSpec(
    name="g",
    module_name="m",
    qualname="g",
    image_id=IMAGE,
    secret_ids=["st-app"],
    source_id="so-app",
    local_mounts=[LocalMount(remote_path="/x", source_id="so-mount")],
    bucket_mounts=[
        BucketMount(path="/c", bucket="bin", endpoint_url="http://store", secret_id="st-app", read_only=True)
    ],
)


KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "key"}


def bucket(secret_id: str = "", **options: Any) -> BucketMount:
    return BucketMount(path="/b", bucket="bin", endpoint_url="http://store", secret_id=secret_id, **options)


BUILT = ImageDefinition(steps=[ImageStep(kind="debian_slim"), ImageStep(kind="run_commands", args=["id"])])


class Place:
    """A container of the app `first`, with a network and without; sandboxes of its app, and of others."""

    def __init__(self, world: World, house: House) -> None:
        self.house = house
        self.app_id = world.app_id
        self.blocked = False
        self.places = {IMAGE: {"main"}, "im-theirs": {"other"}, image_id(BUILT): {"main"}}
        self.num_ready = 0
        self.guests = GuestSandboxes(
            house.sandboxes,
            world.apps.register,
            cast("Any", self),
            cast("Any", self),
            lambda one: settled(one, False),
            cast("Any", self),
            self.ready,
        )
        self.asking = Asking("co-1", self.app_id, "main")

    def find(self, container_id: str) -> Any:
        """Play the pools."""
        return (SimpleNamespace(plan=SimpleNamespace(block_network=self.blocked)), None)

    def local_url(self, owner_id: str, port: int, host: str) -> str:
        """Play the tunnels."""
        return f"http://{owner_id}-{port}.localhost" if host == "127.0.0.1" else ""

    async def ready(self) -> None:
        """Play the ingress."""
        self.num_ready += 1

    async def of(self, kind: str, object_id: str) -> frozenset[str]:
        """Play the places."""
        if kind == "container":
            return frozenset(self.places.get(object_id, ()))
        if kind == "image":
            return frozenset(self.places.get(object_id, ()))
        return frozenset({"main"} if await self.house.sandboxes.register.record(object_id) else ())

    async def check(self, app_id: str = "", sandbox_id: str = "", **spec: Any) -> SandboxCreateRequest:
        made = SandboxSpec(**{"image_id": IMAGE, "command": ["true"], "timeout_s": 9, **spec})
        request = SandboxCreateRequest(sandbox_id=sandbox_id or new_id("sb"), app_id=app_id, spec=made)
        await self.guests.check_new(self.asking, request)
        return request

    async def sandbox(self, app_id: str | None = None, name: str = "", **spec: Any) -> str:
        self.house.secrets |= {"st-app": {}, "st-developers": {"KEY": "x"}}
        return await self.house.create(name, self.app_id if app_id is None else app_id, **spec)


def scene(
    tmp_path: Path, scenario: Callable[[Place], Awaitable[None]], settings: SandboxSettings | None = None
) -> None:
    async def main(world: World) -> None:
        await world.apps.publish(world.app_id, [OWN])
        house = House(tmp_path / "house", settings=settings)
        try:
            await scenario(Place(world, house))
        finally:
            await house.sandboxes.close("over")

    run(tmp_path, main)


def test_ports_are_reached_within_the_environment_by_those_with_a_network(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        place.places |= {"co-2": {"main"}, "co-3": {"other"}}
        own, without_app = await place.sandbox(), await place.sandbox(app_id="")
        may = place.guests.may_reach
        # Of its environment all: who knows a port's name was told it.
        assert [await may(place.asking, one) for one in (own, without_app, "co-2")] == [True] * 3
        assert [await may(place.asking, one) for one in (new_id("sb"), "co-3", new_id("co"))] == [False] * 3
        stranger = Asking("co-1", place.app_id, "other")
        assert not await may(stranger, own)
        place.blocked = True
        assert not await may(place.asking, own)

    scene(tmp_path, scenario)


def test_a_container_is_told_where_ports_answer_for_it(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        made = await place.sandbox()

        async def handler(request: SandboxGetRequest) -> SandboxInfo:
            tunnels = [SandboxTunnel(port=8000, host=host, host_port=9) for host in ("127.0.0.1", "0.0.0.0")]
            return SandboxInfo(sandbox_id=made, tunnels=tunnels if request.environment else [])

        info = await place.guests.get(place.asking, handler, SandboxGetRequest(sandbox_id=made, environment="main"))
        assert [tunnel.local_url for tunnel in info.tunnels] == [f"http://{made}-8000.localhost", ""]
        assert place.num_ready == 1
        # For one without ports nothing begins to listen.
        await place.guests.get(place.asking, handler, SandboxGetRequest(sandbox_id=made))
        assert place.num_ready == 1

    scene(tmp_path, scenario)


def test_a_new_one_is_its_own_apps_whatever_it_says(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        assert (await place.check()).app_id == place.app_id
        assert (await place.check(place.app_id)).app_id == place.app_id
        with pytest.raises(Denied, match="of its own app only: leave out app="):
            await place.check(new_id("ap"))

    scene(tmp_path, scenario)


ALLOWED: dict[str, dict[str, Any]] = {
    "a secret of its app": {"secret_ids": ["st-app"]},
    "a bucket of its app, elsewhere": {"bucket_mounts": [bucket("st-app", read_only=True)]},
    "files of its app": {"local_mounts": [LocalMount(remote_path="/y", source_id="so-mount")], "source_id": "so-app"},
    "a volume: who may see it was checked": {"volumes": []},
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a secret of the environment": ({"secret_ids": ["st-app", "st-developers"]}, "a secret that none"),
    "a bucket of its own choice": (
        {"bucket_mounts": [BucketMount(path="/b", bucket="bin", endpoint_url="http://169.254.169.254")]},
        "a bucket",
    ),
    "a bucket, as somebody who pays": (
        {"bucket_mounts": [bucket("st-app", read_only=True, requester_pays=True)]},
        "a bucket",
    ),
    "a bucket that it may only read": ({"bucket_mounts": [bucket("st-app")]}, "a bucket"),
    "a bucket with another secret": ({"bucket_mounts": [bucket("st-other", read_only=True)]}, "a bucket"),
    "another's source": ({"source_id": "so-theirs"}, "local files"),
    "another's files": ({"local_mounts": [LocalMount(remote_path="/x", source_id="so-theirs")]}, "local files"),
}


@pytest.mark.parametrize("what", ALLOWED)
def test_what_its_app_has_a_sandbox_may_have(tmp_path: Path, what: str) -> None:
    async def scenario(place: Place) -> None:
        await place.check(**ALLOWED[what])

    scene(tmp_path, scenario)


@pytest.mark.parametrize("what", REFUSED)
def test_what_its_app_has_not_is_refused_when_made_and_when_used(tmp_path: Path, what: str) -> None:
    spec, said = REFUSED[what]

    async def scenario(place: Place) -> None:
        with pytest.raises(Denied, match=f"can't create this sandbox: it has {said}"):
            await place.check(**spec)
        # A developer's, with its app: its content is not the app's to have.
        theirs = SandboxCreateRequest(
            sandbox_id=new_id("sb"),
            app_id=place.app_id,
            spec=SandboxSpec(**{"command": ["true"], "image_id": IMAGE, "timeout_s": 9, **spec}),
        )
        place.house.secrets |= dict.fromkeys(("st-app", "st-developers", "st-other"), KEYS)
        await place.house.sandboxes.create(theirs, "first", "main")
        with pytest.raises(Denied, match=f"can't use sandbox {theirs.sandbox_id}: it has {said}"):
            await place.guests.check_use(place.asking, theirs.sandbox_id)

    scene(tmp_path, scenario)


def test_who_has_no_network_gets_none_by_a_sandbox(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        with_network = await place.sandbox()
        without = await place.sandbox(block_network=True)
        await place.guests.check_use(place.asking, with_network)
        place.blocked = True
        await place.guests.check_use(place.asking, without)
        assert (await place.check(block_network=True)).app_id
        for attempt in (place.check(), place.guests.check_use(place.asking, with_network)):
            with pytest.raises(
                Denied, match="the function that asks has block_network=True, and the sandbox has a net"
            ):
                await attempt
        # Of a container that no pool knows nothing is known, so it has none.
        place.find = lambda container_id: None  # type: ignore[method-assign]
        with pytest.raises(Denied, match="block_network"):
            await place.check()

    scene(tmp_path, scenario)


def test_an_image_is_one_of_its_environment(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        for wanted in ("im-theirs", "im-nobodys"):
            with pytest.raises(NotFound, match=f"image '{wanted}' does not exist in this container's environment"):
                await place.check(image_id=wanted)
            # Nor is it shown to one that runs.
            with pytest.raises(NotFound, match="does not exist in this container's environment"):
                await place.guests.check_image(place.asking, wanted)
        await place.guests.check_image(place.asking, IMAGE)

    scene(tmp_path, scenario)


def test_another_apps_sandbox_looks_as_if_there_were_none(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        theirs, nobodys = await place.sandbox("ap-other"), await place.sandbox("")
        for sandbox_id in (theirs, nobodys, new_id("sb")):
            with pytest.raises(NotFound, match="does not exist in this container's app"):
                await place.guests.check_use(place.asking, sandbox_id)
        for sandbox_id in (theirs, nobodys):
            with pytest.raises(Denied, match="belongs to somebody else"):
                await place.check(sandbox_id=sandbox_id)
        # After its end, too.
        await place.house.sandboxes.terminate(theirs)
        with pytest.raises(NotFound, match="does not exist in this container's app"):
            await place.guests.check_use(place.asking, theirs)
        own = await place.sandbox()
        assert (await place.check(sandbox_id=own)).sandbox_id == own

    scene(tmp_path, scenario)


def test_by_name_and_in_lists_it_finds_its_own(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        own = await place.sandbox(name="mine")
        # Of another app that is called the same: House names all apps "app", the world's is "first".
        await place.sandbox("ap-other", name="theirs")

        async def never(request: Any) -> Any:
            raise AssertionError("was asked")

        found = await place.guests.get(place.asking, never, SandboxGetRequest(name="mine"))
        assert found.sandbox_id == own
        # What a container makes is its own app's, whichever app it names.
        found = await place.guests.get(place.asking, never, SandboxGetRequest(name="mine", app_name="second"))
        assert found.sandbox_id == own
        for name, app_name in (("theirs", ""), ("theirs", "app"), ("", "")):
            with pytest.raises(NotFound, match=r"no sandbox of app .* named .* runs"):
                await place.guests.get(place.asking, never, SandboxGetRequest(name=name, app_name=app_name))

        async def listed(request: SandboxListRequest) -> SandboxListResponse:
            assert (request.app_id, request.environment) == (place.app_id, "main")
            return SandboxListResponse()

        await place.guests.list(place.asking, listed, SandboxListRequest(environment="other"))
        with pytest.raises(NotFound):
            await place.guests.list(place.asking, listed, SandboxListRequest(app_id="ap-other"))

    scene(tmp_path, scenario)


def test_commands_run_in_its_sandboxes_alone(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        own, theirs = await place.sandbox(), await place.sandbox("ap-other")

        async def asked(*starts: str, secret_ids: Sequence[str] = ()) -> list[ExecRequest]:
            async def requests() -> Any:
                for container_id in starts:
                    start = ExecStart(container_id=container_id, args=["id"], secret_ids=list(secret_ids))
                    yield ExecRequest(start=start)
                yield ExecRequest(stdin=b"x")

            return [one async for one in place.guests.exec(place.asking, requests())]

        assert len(await asked(own)) == 2
        with pytest.raises(NotFound):
            await asked(theirs)
        with pytest.raises(Denied, match="can run commands in sandboxes only"):
            await asked(new_id("co"))
        with pytest.raises(Denied, match="only secrets that its app has"):
            await asked(own, secret_ids=["st-app", "st-developers"])
        assert len(await asked(own, secret_ids=["st-app"])) == 2
        with pytest.raises(Denied, match="begun twice"):
            await asked(own, theirs)

    scene(tmp_path, scenario)


def test_an_app_has_only_so_many(tmp_path: Path) -> None:
    async def scenario(place: Place) -> None:
        await place.sandbox("ap-other")
        first = await place.sandbox()
        await place.check()
        await place.sandbox()
        with pytest.raises(Exhausted, match="this app has 2 sandboxes, the most that its functions may create"):
            await place.check()
        await place.house.sandboxes.terminate(first)
        await place.check()

    scene(tmp_path, scenario, SandboxSettings(most_from_functions=2))


def test_no_image_is_built_from_inside_but_wherrys_own(tmp_path: Path) -> None:
    plain = ImageDefinition(steps=[ImageStep(kind="debian_slim", options={"python_version": "3.12"})])
    others = [
        ImageDefinition(steps=[ImageStep(kind="debian_slim"), ImageStep(kind="run_commands", args=["curl host"])]),
        ImageDefinition(steps=[ImageStep(kind="from_registry", args=["registry.of.the.host:5000/x"])]),
        ImageDefinition(steps=[ImageStep(kind="from_id", args=["im-" + "q" * 26])]),
        ImageDefinition(steps=[ImageStep(kind="debian_slim", force_build=True)]),
        ImageDefinition(steps=[ImageStep(kind="debian_slim", options={"python_version": "3.12", "other": "x"})]),
    ]
    asked: list[ImageEnsureRequest] = []

    async def build(request: ImageEnsureRequest) -> Any:
        asked.append(request)
        for index, _ in enumerate(request.images):
            yield ImageEvent(index=index, image_id="im-made", built=True)

    async def scenario(place: Place) -> None:
        request = ImageEnsureRequest(images=[BUILT, *others, plain], environment="main")
        events = [event async for event in place.guests.images(place.asking, build, request)]
        by_index = {event.index: event for event in events}
        assert by_index[0].image_id == image_id(BUILT), "it was there"
        assert by_index[6].image_id == "im-made"
        for index in range(1, 6):
            assert not by_index[index].image_id
            assert "builds no images" in by_index[index].error
        (only,) = asked
        assert (only.images, only.bare) == ([plain], True)

    scene(tmp_path, scenario)
