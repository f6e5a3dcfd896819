"""The containers' own network: made once, made again, removed; and what happens where it can't be isolated."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from wherry_service.engines import network as network_module
from wherry_service.engines.docker import DockerEngine
from wherry_service.engines.docker_connection import DockerConnection
from wherry_service.engines.engine import ContainerMissing, ContainerSpec, EngineError, EngineUnreachable
from wherry_service.engines.firewall import Firewall
from wherry_service.engines.network import NetworkSettings, OwnNetwork
from wherry_service.errors import Unready


class World:
    """An engine's networks, and the host's rules."""

    def __init__(self, tmp_path: Path, isolate: str = "auto") -> None:
        self.rows: list[dict[str, Any]] = []
        self.made: list[dict[str, Any]] = []
        self.removed: list[str] = []
        self.refuses = ""
        self.is_away = False
        self.applied = 0
        self.answer = (0, "1", "")
        self.engine = {"Components": [{"Name": "Engine", "Version": "27.5.1"}]}
        (tmp_path / "state").mkdir(exist_ok=True)
        settings = NetworkSettings(isolate)
        self.network = OwnNetwork(settings, "abc", tmp_path / "state", firewall=Firewall(self._run))
        self.network.connect(self._ask)

    async def _ask(self, what: str, work: Callable[[Any], Any]) -> Any:
        if self.is_away:
            raise EngineUnreachable("it is away")
        return work(self)

    async def _run(self, script: str) -> tuple[int, str, str]:
        self.applied += "rules=" in script
        return self.answer

    # The engine's client

    def version(self) -> dict[str, Any]:
        return self.engine

    def networks(self, filters: object) -> list[dict[str, Any]]:
        return list(self.rows)

    def create_network(self, name: str, **options: Any) -> None:
        if self.refuses:
            raise EngineError(self.refuses)
        self.made.append(options)
        self.rows.append({"Name": name, "Id": f"id-{len(self.made)}", "Labels": options["labels"]})

    def remove_network(self, name: str) -> None:
        if self.refuses:
            raise EngineError(self.refuses)
        self.removed.append(name)
        self.rows = [row for row in self.rows if name not in (row["Name"], row["Id"])]


Scenario = Callable[[World], Coroutine[Any, Any, None]]


def play(tmp_path: Path, scenario: Scenario, isolate: str = "auto") -> World:
    async def main() -> World:
        world = World(tmp_path, isolate)
        await scenario(world)
        return world

    return asyncio.run(main())


def test_it_is_made_once_whoever_asks(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        names = await asyncio.gather(*(world.network.name() for _ in range(5)))
        assert set(names) == {"wherry-abc"}

    world = play(tmp_path, scenario)
    assert len(world.made) == 1
    assert world.applied == 1
    assert world.made[0]["options"] == {
        "com.docker.network.bridge.name": "wh-abc", "com.docker.network.bridge.enable_icc": "false"
    }  # fmt: skip
    assert world.made[0]["labels"]["wherry.state_dir"] == str(tmp_path / "state")


def test_one_of_an_earlier_life_is_taken(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.rows.append({"Name": "wherry-abc", "Id": "1", "Labels": {}})
        await world.network.name()
        assert world.made == []
        assert world.applied == 1

    play(tmp_path, scenario)


def test_two_services_at_once_are_no_error(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.refuses = "network with name wherry-abc already exists"
        assert await world.network.name() == "wherry-abc"

    play(tmp_path, scenario)


def test_no_addresses_left_is_told_with_what_to_do(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.refuses = "could not find an available, non-overlapping IPv4 address pool"
        with pytest.raises(EngineError, match="docker network prune"):
            await world.network.name()

    play(tmp_path, scenario)


def test_networks_of_services_that_are_gone_are_removed(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        for name, state_dir in (("gone", tmp_path / "gone"), ("there", tmp_path), ("unmarked", "")):
            world.rows.append({"Name": name, "Id": name, "Labels": {"wherry.state_dir": str(state_dir)}})
        await world.network.name()
        assert world.removed == ["gone"]

    play(tmp_path, scenario)


def test_after_an_engines_restart_both_are_made_again(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.network.name()
        # Rules alone are gone, or the network as well.
        await world.network.check()
        assert (len(world.made), world.applied) == (1, 2)
        world.rows.clear()
        await world.network.check()
        assert (len(world.made), world.applied) == (2, 3)
        world.is_away = True
        await world.network.check()
        world.is_away = False
        await world.network.check()
        assert (len(world.made), world.applied) == (2, 4)

    play(tmp_path, scenario)


def test_what_was_never_made_is_not_looked_after(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.network.check()
        await world.network.clean()
        assert (world.made, world.removed, world.applied) == ([], [], 0)

    play(tmp_path, scenario)


def test_it_goes_with_the_service_unless_something_uses_it(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        await world.network.name()
        world.refuses = "network has active endpoints"
        await world.network.clean()
        assert world.removed == []
        world.refuses = ""
        await world.network.name()
        await world.network.clean()
        assert world.removed == ["wherry-abc"]

    play(tmp_path, scenario)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ((3, "", "no iptables that may be used: not found"), "can't be kept from containers: no iptables"),
        ((4, "", "the engine's bridge wh-abc is not among"), "is not among"),
        ((0, "0", ""), "load br_netfilter"),
    ],
)
def test_where_it_is_not_isolated_that_is_said_once_and_may_be_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, answer: tuple[int, str, str], problem: str
) -> None:
    async def scenario(world: World) -> None:
        world.answer = answer
        assert await world.network.name() == "wherry-abc"
        await world.network.check()
        assert problem in world.network.problem
        world.answer = (0, "1", "")
        await world.network.check()
        assert world.network.problem == ""

    async def strict(world: World) -> None:
        world.answer = answer
        with pytest.raises(EngineError, match=r"network\.isolate is require: .*give them no network"):
            await world.network.name()
        world.answer = (0, "1", "")
        await world.network.check()
        assert await world.network.name() == "wherry-abc"

    with caplog.at_level(logging.INFO):
        play(tmp_path, scenario)
    told = [record.message for record in caplog.records if "isolated" in record.message]
    assert len(told) == 2, told
    play(tmp_path, strict, "require")


def test_off_is_the_engines_own_bridge(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        assert await world.network.name() == "bridge"
        assert world.made == []

    play(tmp_path, scenario, "off")


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"WHERRY_NETWORK_ISOLATE": "no"}, "WHERRY_NETWORK_ISOLATE is 'no': it is auto, require or off"),
        ({"WHERRY_NETWORK_BLOCK": "10.0.0.1:80"}, "WHERRY_NETWORK_BLOCK has .*: it takes whole networks"),
        ({"WHERRY_NETWORK_ALLOW": "10.0.0.1 nowhere"}, "WHERRY_NETWORK_ALLOW has 'nowhere'"),
        ({"WHERRY_NETWORK_ALLOW": "10.0.0.1," * 300}, "has 300 places: 256 are allowed"),
    ],
)
def test_settings_that_make_no_sense_are_refused(environ: dict[str, str], said: str) -> None:
    with pytest.raises(Unready, match=said):
        NetworkSettings.from_environment(environ)


class Beside(World):
    """An engine of which this service is a container."""

    def __init__(self, tmp_path: Path) -> None:
        super().__init__(tmp_path)
        self.host: dict[str, Any] = {}
        self.command: list[str] = []
        self.gone: list[str] = []
        self.network = OwnNetwork(NetworkSettings(), "abc", tmp_path)
        self.network.connect(self._ask)

    def inspect_container(self, name: str) -> dict[str, str]:
        if self.refuses:
            raise ContainerMissing(self.refuses)
        return {"Image": "sha256:own"}

    def create_host_config(self, **options: Any) -> dict[str, Any]:
        return options

    def create_container(self, image: str, command: list[str], **options: Any) -> dict[str, str]:
        assert image == "sha256:own"
        self.host, self.command = options["host_config"], [*options["entrypoint"], *command]
        return {"Id": "helper"}

    def start(self, name: str) -> None: ...

    def wait(self, name: str, timeout: int) -> dict[str, int]:
        return {"StatusCode": 0}

    def logs(self, name: str, stdout: bool, stderr: bool) -> bytes:
        return b"1\n" if stdout else b""

    def remove_container(self, name: str, **options: Any) -> None:
        self.gone.append(name)


@pytest.mark.parametrize("is_container", [True, False])
def test_a_service_in_a_container_makes_rules_from_one_in_the_hosts_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_container: bool
) -> None:
    async def here(script: str) -> tuple[int, str, str]:
        return 4, "", "the engine's bridge wh-abc is not among the interfaces here"

    monkeypatch.setattr(network_module, "run_here", here)
    monkeypatch.setattr(network_module.os.path, "exists", lambda path: is_container)

    async def main() -> None:
        world = Beside(tmp_path)
        await world.network.name()
        assert (world.network.problem == "") is is_container, world.network.problem
        if is_container:
            assert world.command[:2] == ["sh", "-c"]
            assert world.host == {
                "network_mode": "host", "userns_mode": "host", "cap_drop": ["ALL"], "cap_add": ["NET_ADMIN", "NET_RAW"]
            }  # fmt: skip
            assert world.gone == ["helper"]
            # One that is another engine's container is told what is missing here, not there.
            world.refuses = "No such container: here"
            await world.network.check()
            assert "is not among the interfaces here" in world.network.problem

    asyncio.run(main())


OLD = {"Components": [{"Name": "Engine", "Version": "20.10.24+dfsg1"}, {"Name": "runc", "Version": "1.1"}]}


def resolvers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *texts: str) -> None:
    paths = [tmp_path / f"resolv-{number}.conf" for number in range(2)]
    for path, text in zip(paths, texts, strict=False):
        path.write_text(text)
    monkeypatch.setattr(network_module, "_RESOLVERS", tuple(map(str, paths)))


async def joined(world: World) -> dict[str, Any]:
    body: dict[str, Any] = {"HostConfig": {}}
    await world.network.join(body)
    return body


def test_an_engine_whose_resolvers_are_slow_runs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        world.engine = OLD
        quick: dict[str, Any] = {"EndpointsConfig": {"container:wherry-abc": {}}}
        assert await joined(world) == {"HostConfig": {"NetworkMode": "id-1"}, "NetworkingConfig": quick}
        assert await world.network.name() == "id-1"
        # Removed by somebody, and made again.
        world.rows.clear()
        world.network.lost()
        assert await joined(world) == {"HostConfig": {"NetworkMode": "id-2"}, "NetworkingConfig": quick}
        assert [row["Name"] for row in world.rows] == ["container:wherry-abc"]
        # The rules are for its bridge, whatever its name is.
        assert {made["options"]["com.docker.network.bridge.name"] for made in world.made} == {"wh-abc"}
        assert world.applied == 2
        await world.network.clean()
        assert world.removed == ["id-2"]

    resolvers(monkeypatch, tmp_path, "nameserver 10.0.0.53\n")
    play(tmp_path, scenario)


@pytest.mark.parametrize("texts", [
    ("nameserver 127.0.0.1\n",), ("nameserver 10.0.0.53\nnameserver 127.0.0.1\n",), ("nameserver fd00::53\n",), (),
    ("nameserver 127.0.0.53\n", "nameserver 127.0.0.1\n"), ("nameserver 127.0.0.53\n",),
])  # fmt: skip
def test_who_needs_the_engines_resolver_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: tuple[str, ...]
) -> None:
    async def scenario(world: World) -> None:
        world.engine = OLD
        assert await joined(world) == {"HostConfig": {"NetworkMode": "wherry-abc"}}

    resolvers(monkeypatch, tmp_path, *texts)
    play(tmp_path, scenario)


@pytest.mark.parametrize(
    "engine",
    [
        {"Components": [{"Name": "Engine", "Version": "28.2.2"}]},
        {"Components": [{"Name": "Podman Engine", "Version": "20.10.1"}]},
        {},
    ],
)
def test_other_engines_have_an_ordinary_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: dict[str, Any]
) -> None:
    async def scenario(world: World) -> None:
        world.engine = engine
        assert await joined(world) == {"HostConfig": {"NetworkMode": "wherry-abc"}}

    async def replaced(world: World) -> None:
        # What an older engine was given is replaced when nothing is in it any more.
        world.rows.append({"Name": "container:wherry-abc", "Id": "old", "Labels": {}})
        world.engine, world.refuses = engine, "network has active endpoints"
        assert await world.network.name() == "old"
        world.refuses = ""
        await world.network.check()
        assert await world.network.name() == "wherry-abc"
        assert world.removed == ["old"]

    resolvers(monkeypatch, tmp_path, "nameserver 127.0.0.53\n", "nameserver 10.0.0.53\n")
    play(tmp_path, scenario)
    play(tmp_path, replaced)


def test_the_resolver_of_the_host_itself_is_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: World) -> None:
        world.engine = OLD
        assert await world.network.name() == "id-1"

    resolvers(monkeypatch, tmp_path, "nameserver 127.0.0.53\n", "nameserver 10.0.0.53\n")
    play(tmp_path, scenario)


class Losing:
    """A client of an engine that has lost the network."""

    def __init__(self) -> None:
        self.lost = {"create", "start"}
        self.done: list[str] = []

    def _do(self, what: str) -> None:
        import docker.errors

        if what in self.lost:
            self.lost.discard(what)
            raise docker.errors.NotFound("no", explanation="network wherry-abc not found")
        self.done.append(what)

    def create_container_from_config(self, body: dict[str, Any], name: str) -> dict[str, str]:
        self._do("create")
        return {"Id": "engine-id"}

    def start(self, engine_id: str) -> None:
        self._do("start")

    def version(self) -> dict[str, Any]:
        return {}

    def networks(self, filters: object) -> list[dict[str, Any]]:
        return []

    def create_network(self, name: str, **options: Any) -> None:
        self.done.append("network")

    def remove_network(self, name: str) -> None: ...

    def close(self) -> None: ...


def test_a_container_whose_network_was_lost_starts_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Losing()
    monkeypatch.setattr(DockerConnection, "open", lambda connection, timeout=60: client)

    async def run(script: str) -> tuple[int, str, str]:
        return 0, "1", ""

    async def main() -> None:
        engine = DockerEngine(network=OwnNetwork(NetworkSettings(), "abc", tmp_path, firewall=Firewall(run)))
        await engine.start(await engine.create(ContainerSpec("n", "image", ("true",))))
        await engine.close()

    asyncio.run(main())
    assert client.done == ["network", "network", "create", "network", "start"]
