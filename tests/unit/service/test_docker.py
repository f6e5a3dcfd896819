"""The request that reaches the engine, and what its refusals become."""

import asyncio
import logging
import threading
from typing import Any

import docker.errors
import pytest

from wherry_service.engines.docker import MEASURING_S, DockerEngine
from wherry_service.engines.docker_body import create_body
from wherry_service.engines.docker_connection import TIMEOUT_S, DockerConnection
from wherry_service.engines.docker_streams import clean_config
from wherry_service.engines.engine import ContainerSpec, DeviceMissing, EngineError, Mount, RuntimeMissing


def spec(**fields: Any) -> ContainerSpec:
    return ContainerSpec(name="n", image="i", command=("true",), **fields)


def test_gpus_are_a_device_request_that_names_them() -> None:
    (request,) = create_body(spec(gpu_ids=("GPU-1", "GPU-4")))["HostConfig"]["DeviceRequests"]
    assert request == {"Driver": "nvidia", "DeviceIDs": ["GPU-1", "GPU-4"], "Capabilities": [["gpu"]], "Options": {}}
    assert "DeviceRequests" not in create_body(spec())["HostConfig"]


def test_what_mounts_for_others_has_the_rights_for_that() -> None:
    mounts = (Mount("/a", "/b", shared=True), Mount("volume", "/c", read_only=True), Mount("/d", "/e"))
    body = create_body(spec(mounts=mounts, devices=("/dev/fuse",), added_capabilities=("SYS_ADMIN",), unconfined=True))
    host = body["HostConfig"]
    assert host["Binds"] == ["/a:/b:rshared", "volume:/c:ro", "/d:/e"]
    assert [device["PathOnHost"] for device in host["Devices"]] == ["/dev/fuse"]
    assert host["CapAdd"] == ["SYS_ADMIN"]
    assert host["SecurityOpt"] == ["no-new-privileges", "apparmor=unconfined", "label=disable"]

    others = create_body(spec())["HostConfig"]
    assert {"Devices", "CapAdd"}.isdisjoint(others)
    assert others["SecurityOpt"] == ["no-new-privileges"]


def test_a_device_that_the_host_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told = 'error gathering device information while adding custom device "/dev/fuse": no such file or directory'
    monkeypatch.setattr(DockerConnection, "open", lambda connection, timeout=60: Client(told))

    async def start() -> None:
        await DockerEngine().start("abc")

    with pytest.raises(DeviceMissing, match="/dev/fuse"):
        asyncio.run(start())


def test_a_user_of_the_settings_has_a_home() -> None:
    body = create_body(spec(user="1000:1001"))
    assert body["User"] == "1000:1001"
    home = body["HostConfig"]["Tmpfs"]["/home/wherry"].split(",")
    assert {"uid=1000", "gid=1001", "mode=0700", "nosuid", "nodev"} <= set(home)
    assert body["Env"] == ["HOME=/home/wherry"]
    assert create_body(spec(user="1:1", env={"HOME": "/x"}))["Env"] == ["HOME=/x"]
    assert {"User", "Tmpfs"}.isdisjoint({**create_body(spec()), **create_body(spec())["HostConfig"]})


def test_what_is_on_the_hosts_network_is_not_mapped_to_other_users() -> None:
    assert create_body(spec(network="host"))["HostConfig"]["UsernsMode"] == "host"
    assert "UsernsMode" not in create_body(spec())["HostConfig"]


def test_a_snapshot_has_the_images_user_and_not_the_settings() -> None:
    assert clean_config({"User": "1000:1000"}, {}, {})["User"] == "0"
    assert clean_config({"User": "1000:1000"}, {"User": "app"}, {})["User"] == "app"
    assert clean_config({}, {}, {})["User"] == ""


@pytest.mark.parametrize(
    ("options", "directory", "root", "namespaces"),
    [
        (["name=seccomp,profile=default", "name=userns"], "/var/lib/docker/100000.100001", (100000, 100001), True),
        (["name=userns"], "/elsewhere", None, True),
        (["name=rootless"], "/home/me/docker/1.1", None, True),
        (["name=seccomp,profile=default"], "/var/lib/docker/5.5", None, False),
        (None, "", None, False),
    ],
)
def test_who_root_in_a_container_is(
    monkeypatch: pytest.MonkeyPatch, options: list[str] | None, directory: str, root: object, namespaces: bool
) -> None:
    client = Client()
    client.told = {
        "ServerVersion": "1", "NCPU": 1, "MemTotal": 1 << 30, "SecurityOptions": options, "DockerRootDir": directory,
        "Runtimes": {"runc": {}}, "DefaultRuntime": "runc",
    }  # fmt: skip

    async def work(engine: DockerEngine) -> None:
        status = await engine.status()
        assert (status.root, status.user_namespaces) == (root, namespaces)
        assert (status.runtimes, status.default_runtime) == (("runc",), "runc")

    run(client, monkeypatch, work)


def test_containers_are_ended_before_the_service_where_the_host_has_no_memory_left() -> None:
    assert create_body(spec())["HostConfig"]["OomScoreAdj"] == 500


def test_disk_is_a_storage_option() -> None:
    assert create_body(spec(disk_limit_mib=2048))["HostConfig"]["StorageOpt"] == {"size": "2048M"}
    assert "StorageOpt" not in create_body(spec())["HostConfig"]


class Client:
    """Answers as Docker does."""

    def __init__(self, error: str = "") -> None:
        self.error = error
        self.bodies: list[dict[str, Any]] = []
        self.told: dict[str, Any] = {}

    def create_container_from_config(self, body: dict[str, Any], name: str) -> dict[str, str]:
        self.bodies.append({**body, "HostConfig": dict(body["HostConfig"])})
        if self.error and "StorageOpt" in body["HostConfig"]:
            raise docker.errors.APIError("no", explanation=self.error)
        return {"Id": "abc"}

    def start(self, engine_id: str) -> None:
        raise docker.errors.APIError("no", explanation=self.error)

    def info(self) -> dict[str, Any]:
        return self.told

    def close(self) -> None:
        pass


def run(client: Client, monkeypatch: pytest.MonkeyPatch, work: Any) -> None:
    monkeypatch.setattr(DockerConnection, "open", lambda connection, timeout=60: client)

    async def main() -> None:
        engine = DockerEngine()
        try:
            await work(engine)
        finally:
            await engine.close()

    asyncio.run(main())


def test_where_storage_has_no_limits_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client("--storage-opt is supported only for overlay over xfs with 'pquota' mount option")

    async def work(engine: DockerEngine) -> None:
        for _ in range(3):
            assert await engine.create(spec(disk_limit_mib=1)) == "abc"

    with caplog.at_level(logging.WARNING):
        run(client, monkeypatch, work)
    assert ["StorageOpt" in body["HostConfig"] for body in client.bodies] == [True, False, False, False]
    assert len([r for r in caplog.records if "ephemeral_disk is not enforced" in r.message]) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (
            'could not select device driver "nvidia" with capabilities: [[gpu]]',
            DeviceMissing,
            "install nvidia-container-toolkit, run `nvidia-ctk runtime configure --runtime=docker` and restart Docker",
        ),
        ("nvidia-container-cli: device error: 1: unknown device", DeviceMissing, "nvidia-smi -L"),
        ("port is taken", EngineError, "could not start container e: port is taken"),
        ("Unknown runtime specified runsc", RuntimeMissing, "add the runtime to the engine's configuration"),
        ("unknown or invalid runtime name: runsc", RuntimeMissing, "or change containers.runtime and sandbox.runtime"),
    ],
)
def test_what_docker_says_of_gpus(
    monkeypatch: pytest.MonkeyPatch, answer: str, kind: type[EngineError], said: str
) -> None:
    async def work(engine: DockerEngine) -> None:
        with pytest.raises(EngineError) as caught:
            await engine.start("e")
        assert type(caught.value) is kind
        assert said in str(caught.value)

    run(Client(answer), monkeypatch, work)


class Slow:
    """An engine that does not come to an end of measuring."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.measured = 0

    def stats(self, engine_id: str, stream: bool, one_shot: bool) -> dict[str, Any]:
        self.measured += 1
        self.go_on.wait(20)
        return {}

    def start(self, engine_id: str) -> None:
        pass

    def close(self) -> None:
        pass


def test_an_engine_that_is_slow_to_measure_holds_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, limits = Slow(), []

    def open_(connection: DockerConnection, timeout: int) -> Slow:
        limits.append(timeout)
        return slow

    monkeypatch.setattr(DockerConnection, "open", open_)

    async def scenario() -> None:
        engine = DockerEngine()
        looks = [asyncio.ensure_future(engine.usage(str(number))) for number in range(50)]
        while not slow.measured:
            await asyncio.sleep(0.001)
        async with asyncio.timeout(10):
            await engine.start("abc")
        assert not any(look.done() for look in looks)
        slow.go_on.set()
        assert {used.cpu_ns for used in await asyncio.gather(*looks)} == {0}
        await engine.close()

    asyncio.run(scenario())
    # Looks have less time than all else, too.
    assert limits == [MEASURING_S, TIMEOUT_S]
