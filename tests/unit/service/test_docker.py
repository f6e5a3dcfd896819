"""The request that reaches the engine, and what its refusals become."""

import asyncio
import logging
from typing import Any

import docker.errors
import pytest

from wherry_service.engines import docker as docker_engine
from wherry_service.engines.docker import DockerEngine, create_body
from wherry_service.engines.engine import ContainerSpec, DeviceMissing, EngineError, Gpu, Mount, RuntimeMissing


def spec(**fields: Any) -> ContainerSpec:
    return ContainerSpec(name="n", image="i", command=("true",), **fields)


def test_gpus_are_a_device_request() -> None:
    (request,) = create_body(spec(gpus=(Gpu("A100", 2), Gpu("any", 1))))["HostConfig"]["DeviceRequests"]
    assert request == {"Driver": "nvidia", "Count": 2, "Capabilities": [["gpu"]], "Options": {"type": "A100"}}
    (request,) = create_body(spec(gpus=(Gpu("any", 1),)))["HostConfig"]["DeviceRequests"]
    assert request == {"Driver": "nvidia", "Count": 1, "Capabilities": [["gpu"]], "Options": {}}
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
    monkeypatch.setattr(docker_engine, "_connect", lambda: Client(told))

    async def start() -> None:
        await DockerEngine().start("abc")

    with pytest.raises(DeviceMissing, match="/dev/fuse"):
        asyncio.run(start())


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

    def create_container_from_config(self, body: dict[str, Any], name: str) -> dict[str, str]:
        self.bodies.append({**body, "HostConfig": dict(body["HostConfig"])})
        if self.error and "StorageOpt" in body["HostConfig"]:
            raise docker.errors.APIError("no", explanation=self.error)
        return {"Id": "abc"}

    def start(self, engine_id: str) -> None:
        raise docker.errors.APIError("no", explanation=self.error)

    def close(self) -> None:
        pass


def run(client: Client, monkeypatch: pytest.MonkeyPatch, work: Any) -> None:
    monkeypatch.setattr(docker_engine, "_connect", lambda: client)

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
