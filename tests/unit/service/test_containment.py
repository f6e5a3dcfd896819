"""What the one who runs the service decides about all containers, and what of it the engine must have."""

import asyncio
from pathlib import Path

import pytest

from tests.fakes.engine import FakeEngine
from tests.fakes.node import no_buckets, no_guests, no_web
from wherry.cli import server as cli_server
from wherry_proto.messages import IsolationInfo, NetworkIsolation
from wherry_service.api.info import Isolation
from wherry_service.engines.containment import NO_LIMIT, Containment, MemoryLimit, check_engine, check_runtimes
from wherry_service.engines.engine import ContainerSpec, EngineStatus
from wherry_service.engines.firewall import Firewall
from wherry_service.engines.network import NetworkSettings, OwnNetwork
from wherry_service.errors import Unready
from wherry_service.logs.masks import Masks
from wherry_service.node.container_files import CONTAINMENT_LABEL, LABEL, LAYOUT
from wherry_service.node.events import ContainerExit
from wherry_service.node.local import LocalNode
from wherry_service.sandboxes.settings import SandboxSettings
from wherry_service.settings import load
from wherry_service.settings_key import SettingsError
from wherry_service.store.blobs import BlobStore
from wherry_service.store.sources import SourceStore
from wherry_service.store.volumes import VolumeStore

ENGINE = EngineStatus(True, runtimes=("runc", "io.containerd.runc.v2"), default_runtime="runc")


def test_a_runtime_is_for_sandboxes_too_unless_they_have_their_own() -> None:
    environ = {"WHERRY_CONTAINERS_RUNTIME": "runsc"}
    assert Containment.from_environment(environ, 0).runtime == "runsc"
    assert SandboxSettings.from_environment(environ).runtime == "runsc"
    environ = {**environ, "WHERRY_SANDBOX_RUNTIME": "kata"}
    assert Containment.from_environment(environ, 0).runtime == "runsc"
    assert SandboxSettings.from_environment(environ).runtime == "kata"
    assert Containment.from_environment({"WHERRY_SANDBOX_RUNTIME": "kata"}, 0).runtime == ""


@pytest.mark.parametrize("name", ["--x", "a b", "a/b", "x" * 65])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(Unready, match=r"WHERRY_CONTAINERS_RUNTIME is .*: it must be a runtime's name"):
        Containment.from_environment({"WHERRY_CONTAINERS_RUNTIME": name}, 0)


@pytest.mark.parametrize("name", ["WHERRY_CONTAINERS_RUNTIME", "WHERRY_SANDBOX_RUNTIME"])
def test_a_runtime_that_the_engine_lacks_is_refused(name: str) -> None:
    with pytest.raises(Unready, match=f"{name} is 'runsc', and this engine has no such runtime, only runc: add it"):
        check_runtimes({name: "runsc"}, ENGINE)
    for known in ("runc", "io.containerd.runsc.v1", ""):
        check_runtimes({name: known}, ENGINE)
    # What does not answer, or does not say, is asked when a container is made.
    check_runtimes({name: "runsc"}, EngineStatus(False))
    check_runtimes({name: "runsc"}, EngineStatus(True))


@pytest.mark.parametrize("name", ["containers", "sandbox"])
def test_the_refusal_names_the_place_in_the_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / "wherry.yaml"
    path.write_text(f"{name}:\n  runtime: runsc\n")
    settings = load(path, {})
    with pytest.raises(Unready) as caught:
        asyncio.run(check_engine(FakeEngine({}), settings.rooms))
    assert settings.told(caught.value).startswith(f"{path}: {name}.runtime is 'runsc', and this engine has no such")
    away = FakeEngine({})
    away.reachable = False
    asyncio.run(check_engine(away, settings.rooms))
    asyncio.run(check_engine(away, {}))


def test_a_container_that_was_contained_otherwise_is_replaced(tmp_path: Path) -> None:
    async def main() -> None:
        engine = FakeEngine({"image": {}})
        blobs = BlobStore(tmp_path / "blobs")
        sources = SourceStore(tmp_path / "sources", blobs)
        node = LocalNode(
            engine, tmp_path / "run", blobs, sources, VolumeStore(tmp_path / "volumes"), no_buckets(engine, tmp_path),
            Masks(), Containment(runtime="runsc"), starts_at_once=4, connect_guest=no_guests, connect_web=no_web,
        )  # fmt: skip
        for name, runtime in (("co-A", ""), ("co-B", "runsc")):
            (node.directory / name).mkdir()
            labels = {**node.labels, "wherry.container": name, LABEL: LAYOUT, CONTAINMENT_LABEL: runtime}
            await engine.start(await engine.create(ContainerSpec(name, "image", ("sleep", "60"), labels=labels)))
        assert [found.container_id for found in await node.find()] == ["co-B"]
        assert [one.spec.name for one in engine.containers.values()] == ["co-B"]
        await node.discard("co-B")
        await node.close()
        await engine.close()

    asyncio.run(main())


@pytest.mark.parametrize(("given", "mib"), [("", 3276), ("4GiB", 4096), ("1GB", 954), ("0", 0), (str(64 << 20), 64)])
def test_the_default_limit_of_memory(given: str, mib: int) -> None:
    assert Containment.from_environment({"WHERRY_CONTAINERS_MEMORY_LIMIT": given}, 3276).memory_limit_mib == mib


def test_a_limit_in_which_nothing_runs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wherry.yaml"
    path.write_text("containers:\n  memory_limit: 4MiB\n")
    settings = load(path, {})
    with pytest.raises(Unready) as caught:
        Containment.from_environment(settings.rooms, 0)
    told = f"{path}: containers.memory_limit is 4194304: it is at least 64MiB, or 0 for no limit"
    assert settings.told(caught.value) == told
    path.write_text("containers:\n  memory_limit: much\n")
    with pytest.raises(SettingsError, match="is no size"):
        load(path, {})


@pytest.mark.parametrize(("given", "user"), [("", ""), ("1000", "1000:1000"), ("1000:0", "1000:0"), ("1:2", "1:2")])
def test_a_user_is_numbers(given: str, user: str) -> None:
    found = Containment.from_environment({"WHERRY_CONTAINERS_USER": given}, 0)
    assert found.user == user
    # Containers of another user are replaced.
    assert found.mark == user
    assert Containment(runtime="runsc", user="1:1").mark != Containment(runtime="runsc").mark


@pytest.mark.parametrize("given", ["0", "0:0", "me", "65534", "1000:70000", "-1", "1000:", "1000:x", " 1"])
def test_no_user_is_refused(given: str) -> None:
    with pytest.raises(Unready, match=r"WHERRY_CONTAINERS_USER is .*: write UID or UID:GID in numbers"):
        Containment.from_environment({"WHERRY_CONTAINERS_USER": given}, 0)


@pytest.mark.parametrize(
    ("default", "limit", "request_mib", "expected"),
    [
        (1000, None, None, MemoryLimit(1000, is_default=True)),
        (1000, 200, None, MemoryLimit(200)),
        (1000, 4000, 100, MemoryLimit(4000)),
        # What is set aside for it, it may use.
        (1000, None, 4000, MemoryLimit(4000, is_default=True)),
        (1000, 0, 10, MemoryLimit(1000, is_default=True)),
        (0, None, 10, NO_LIMIT),
        (0, 200, 10, MemoryLimit(200)),
    ],
)
def test_what_a_container_may_use(
    default: int, limit: int | None, request_mib: int | None, expected: MemoryLimit
) -> None:
    assert Containment(memory_limit_mib=default).memory_limit(limit, request_mib) == expected


def test_the_limit_of_a_container_of_an_earlier_life_is_told_too() -> None:
    containment = Containment(memory_limit_mib=1000)
    assert containment.found_limit(1000) == MemoryLimit(1000, is_default=True)
    assert containment.found_limit(64) == MemoryLimit(64)
    assert not containment.found_limit(None)
    assert MemoryLimit(64)


def test_out_of_memory_names_the_limit_and_what_to_do() -> None:
    told = ContainerExit(oom_killed=True, memory_limit=MemoryLimit(1000, is_default=True)).describe()
    assert told == (
        "ran out of memory at this server's limit of 1000 MiB for containers that ask for none "
        "(containers.memory_limit): give it one of its own with memory=(request, limit)"
    )
    assert ContainerExit(oom_killed=True, memory_limit=MemoryLimit(64)).describe().endswith("at its limit of 64 MiB")
    assert ContainerExit(oom_killed=True).describe() == "ran out of memory"


@pytest.mark.parametrize(
    ("isolate", "problem", "network", "told"),
    [
        ("auto", "", NetworkIsolation.FULL, "runtime runsc (sandboxes: runc), isolated network, no user namespaces"),
        ("auto", "no iptables", NetworkIsolation.PARTIAL, "network only partly isolated"),
        ("off", "", NetworkIsolation.OFF, "network shared with other containers"),
    ],
)
def test_status_says_what_isolates(tmp_path: Path, isolate: str, problem: str, network: int, told: str) -> None:
    async def main() -> IsolationInfo:
        own = OwnNetwork(NetworkSettings(isolate), "instance", tmp_path, firewall=Firewall(rules))
        own.connect(ask)
        return await Isolation(Containment(runtime="runsc", memory_limit_mib=512), "", own).told(ENGINE)

    async def ask(what: str, work: object) -> object:
        return {} if what.endswith("version") else []

    async def rules(script: str) -> tuple[int, str, str]:
        return (3, "", problem) if problem else (0, "1", "")

    info = asyncio.run(main())
    assert info.memory_limit_mib == 512
    assert (info.network, info.runtime, info.sandbox_runtime, info.user_namespaces) == (network, "runsc", "runc", False)
    assert problem in info.network_problem
    assert told in cli_server._sentence(info)
    shown = cli_server._isolation(info)
    assert (shown["runtime"], shown["build_runtime"], shown["build_memory_limit_mib"]) == ("runsc", "runc", None)
    assert cli_server._builds(info) == (
        "RUN steps have runtime runc and no memory limit, and the engine's default network; "
        "Docker has no such settings for builds"
    )
    info.runtime, info.memory_limit_mib = "runc", 0
    assert cli_server._builds(info) == "RUN steps are contained as functions are, and the engine's default network"
