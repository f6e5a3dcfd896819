"""Volumes by a driver of Docker's: what the engine is asked for, what settings are refused, and what goes."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fakes.engine import FakeEngine
from wherry_service.engines.docker_body import create_body
from wherry_service.engines.engine import ContainerSpec, EngineError, Mount
from wherry_service.engines.volume_driver import VolumeDriver, volume_id_of
from wherry_service.host import volumes_of
from wherry_service.node.driver_volumes import DriverVolumes
from wherry_service.settings import Settings, load
from wherry_service.settings_key import SettingsError

ONE, OTHER = f"vo-{'A' * 26}", f"sv-{'B' * 26}"
OWNER = {"wherry.instance": "mine"}
NFS = VolumeDriver(
    "local", {"type": "nfs", "o": "addr=10.0.0.5,rw", "device": ":/export/{volume}"}, Path("/srv/volumes")
)


def test_a_container_gets_volumes_in_the_place_of_their_directories() -> None:
    spec = ContainerSpec(
        name="x",
        image="y",
        command=("z",),
        mounts=(
            Mount("/var/run/it", "/run/wherry"),
            Mount(f"/srv/volumes/{ONE}", "/data"),
            Mount(f"/srv/volumes/{OTHER}/a/b", "/sub", read_only=True),
        ),
    )
    host = create_body(spec)["HostConfig"]
    NFS.replace_binds(host, OWNER)
    assert host["Binds"] == ["/var/run/it:/run/wherry"]
    first, second = host["Mounts"]
    assert (first["Target"], first["ReadOnly"], second["Target"], second["ReadOnly"]) == ("/data", False, "/sub", True)
    options = first["VolumeOptions"]
    assert options["NoCopy"]
    assert options["Labels"] == {**OWNER, "wherry.volume": ONE}
    assert options["DriverConfig"] == {
        "Name": "local",
        "Options": {"type": "nfs", "o": "addr=10.0.0.5,rw", "device": f":/export/{ONE}"},
    }
    assert second["VolumeOptions"]["DriverConfig"]["Options"]["device"] == f":/export/{OTHER}/a/b"
    assert [volume_id_of(mount["Source"]) for mount in host["Mounts"]] == [ONE, OTHER]


def test_a_volume_has_another_name_when_it_is_mounted_otherwise() -> None:
    moved = VolumeDriver("local", {**NFS.options, "o": "addr=10.0.0.6,rw"}, NFS.directory)
    sources = [f"/srv/volumes/{ONE}", f"/srv/volumes/{ONE}/sub"]
    found = [driver.volume_of(source) for driver in (NFS, moved) for source in sources]
    assert len({volume.name for volume in found if volume is not None}) == 4
    again = NFS.volume_of(sources[0])
    assert again == found[0]
    for elsewhere in ("/srv/volumes", "/srv/volumes-2/x", "/srv"):
        assert NFS.volume_of(elsewhere) is None
    for name in ("postgres", f"wherry-{ONE}", f"wherry-{ONE}-0", "wherry-bucket"):
        assert volume_id_of(name) == ""


def test_a_build_s_function_gets_it_by_docker_s_command_line() -> None:
    volume = NFS.volume_of(f"/srv/volumes/{ONE}/a, b")
    assert volume is not None
    assert volume.option("/data", True, OWNER) == (
        f"--mount=type=volume,source={volume.name},target=/data,volume-nocopy,volume-driver=local,volume-opt=type=nfs,"
        f'"volume-opt=o=addr=10.0.0.5,rw","volume-opt=device=:/export/{ONE}/a, b",'
        f"volume-label=wherry.instance=mine,volume-label=wherry.volume={ONE},readonly"
    )


def test_settings_of_a_file_and_of_the_environment_are_the_same(tmp_path: Path) -> None:
    file = tmp_path / "wherry.yaml"
    file.write_text(
        "volumes: {driver: local, dir: /srv/volumes, options: {type: nfs, o: 'addr=10.0.0.5,rw', "
        "device: ':/export/{volume}'}}\n"
    )
    text = '{type: nfs, o: "addr=10.0.0.5,rw", device: ":/export/{volume}"}'
    environment = {
        "WHERRY_VOLUMES_DRIVER": "local",
        "WHERRY_VOLUMES_DIR": "/srv/volumes",
        "WHERRY_VOLUMES_OPTIONS": text,
    }
    for settings in (load(file, {}), load(None, environment)):
        assert volumes_of(settings, tmp_path).driver == NFS
    assert volumes_of(load(None, {}), tmp_path).driver is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{options: {device: 'x/{volume}'}}", r"^volumes\.options is set, and volumes\.driver is not"),
        (
            "{driver: local, options: {device: 'x/{volume}'}}",
            r"^volumes\.driver is 'local', and volumes\.dir is not set",
        ),
        ("{driver: local, dir: srv, options: {device: 'x/{volume}'}}", r"^volumes\.dir is 'srv': .* begins with /"),
        ("{driver: local, dir: /srv}", r"^volumes\.options has no \{volume\}"),
        ("{driver: local, dir: /srv, options: {device: /export}}", r"^volumes\.options has no \{volume\}"),
        ("{driver: local, dir: /srv, options: nfs}", r"volumes\.options is 'nfs', and should be options by name"),
        (
            "{driver: local, dir: /srv, options: {device: {volume}}}",
            r"volumes\.options\.device is .*, and should be text: write it in quotes",
        ),
        ("{driver: [local], dir: /srv}", r"volumes\.driver is \['local'\], and should be text"),
        ("{drivers: local}", r"unknown key volumes\.drivers: did you mean volumes\.driver\?"),
    ],
)
def test_what_is_wrong_with_a_driver_is_told_with_its_key(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "wherry.yaml"
    file.write_text(f"volumes: {text}\n")
    with pytest.raises(SettingsError, match=message):
        load(file, {})


def test_an_engine_s_error_about_a_volume_says_which_settings_it_comes_from() -> None:
    told = NFS.explained("error while mounting volume '/x': no such host")
    assert told.endswith("(volumes.driver is 'local': compare volumes.options with what that driver takes)")
    assert NFS.explained("no such file: python3") == "no such file: python3"


def test_those_of_deleted_volumes_go_when_no_container_has_them(caplog: pytest.LogCaptureFixture) -> None:
    mine, gone = (f"wherry-{volume_id}-{'0' * 12}" for volume_id in (ONE, OTHER))

    class Busy(FakeEngine):
        busy = True

        async def remove_volume(self, name: str) -> None:
            if self.busy:
                raise EngineError(f"could not remove volume {name}: volume is in use")
            await super().remove_volume(name)

    async def exists(volume_id: str) -> bool:
        return volume_id == ONE

    async def is_gone(engine: FakeEngine) -> None:
        async with asyncio.timeout(10):
            while gone in engine.volumes_here:
                await asyncio.sleep(0.001)

    async def scenario() -> None:
        engine = Busy({})
        engine.volumes_here = {
            mine: OWNER, gone: OWNER, "theirs": {**OWNER}, f"wherry-{OTHER}-{'1' * 12}": {"wherry.instance": "another"}
        }  # fmt: skip
        volumes = DriverVolumes(engine, OWNER, exists)
        await volumes.tidy()
        await volumes.tidy()
        assert gone in engine.volumes_here
        assert caplog.text.count("stays for now") == 1
        engine.busy = False
        running = asyncio.ensure_future(volumes.run())
        await is_gone(engine)
        engine.volumes_here[gone] = OWNER
        volumes.gone("di-1")
        volumes.gone(OTHER)
        await is_gone(engine)
        running.cancel()
        assert len(engine.volumes_here) == 3

    asyncio.run(scenario())


def test_without_a_driver_nothing_changes(tmp_path: Path) -> None:
    store = volumes_of(Settings(), tmp_path)
    assert store.driver is None
    assert store.mount_source(ONE, "", ExitStack()) == str(tmp_path / "volumes" / ONE)
