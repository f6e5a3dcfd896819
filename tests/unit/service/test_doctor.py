"""What the doctor finds on machines and engines that are as the test says."""

import functools
import io
import json
import os
import socket
import stat
import tarfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from wherry_service.doctor import __main__ as program
from wherry_service.doctor import machine
from wherry_service.doctor.engine import EngineDoctor, clock, mend_of, registry
from wherry_service.doctor.finding import Finding
from wherry_service.doctor.seen import seen
from wherry_service.engines.docker_connection import DockerConnection
from wherry_service.engines.endpoint import Endpoint
from wherry_service.ids import instance_of
from wherry_service.images import host
from wherry_service.images.host import BuildCli
from wherry_service.images.settings import ImageSettings

GIB = 1 << 30


# The machine


@pytest.mark.parametrize(
    ("total", "free", "ok"),
    [(100, 50, True), (100, 9, False), (10, 1.5, False), (4000, 50, True), (30, 2.5, False), (30, 4, True)],
)
def test_a_disk_that_is_short_is_told(total: float, free: float, ok: bool) -> None:
    found = machine.disk("Disk", Path("/x"), lambda place: (int(total * GIB), 0, int(free * GIB)))
    assert found.ok is ok
    assert found.said == f"{free:.1f} GiB of {total:.1f} GiB are free (/x)"
    assert found.mend == ("" if ok else "wherry image prune; docker builder prune")


@pytest.mark.parametrize(
    ("text", "ok", "said"),
    [
        ("MemTotal: 8388608 kB\nMemAvailable: 4194304 kB\n", True, "4.0 GiB of 8.0 GiB are free"),
        ("MemTotal: 8388608 kB\nMemAvailable: 104857 kB\n", False, "0.1 GiB of 8.0 GiB are free"),
        ("MemTotal: x\n", True, "this system does not say how much is free"),
        ("", True, "this system does not say how much is free"),
    ],
)
def test_memory(tmp_path: Path, text: str, ok: bool, said: str) -> None:
    (tmp_path / "meminfo").write_text(text)
    found = machine.memory(tmp_path / "meminfo")
    assert (found.ok, found.said) == (ok, said)
    assert bool(found.mend) is not ok


def test_a_state_directory_may_be_made_later(tmp_path: Path) -> None:
    found = machine.state_directory(tmp_path / "a" / "b", 1000)
    assert found == Finding("State directory", True, f"{tmp_path}/a/b, which the first start makes")
    assert list(tmp_path.iterdir()) == []
    assert machine.state_directory(tmp_path, 1000).said == str(tmp_path)


def test_a_state_directory_that_can_not_be_used_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = machine.state_directory(tmp_path, 10)
    assert not told.ok
    assert "leave room for 10" in told.said

    def refuse(self: Path, mode: int = 0, exist_ok: bool = True) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "touch", refuse)
    told = machine.state_directory(tmp_path, 1000)
    assert (told.ok, told.said) == (False, f"{tmp_path} can't be written: Read-only file system")
    assert told.mend.startswith("export WHERRY_STATE_DIR=")


def test_ports_that_others_have(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken, socket.socket() as free:
        for one in (taken, free):
            one.bind(("127.0.0.1", 0))
        taken.listen()
        port, other = taken.getsockname()[1], free.getsockname()[1]
        free.close()
        wanted = [("listen.address", "127.0.0.1", port), ("http.port", "127.0.0.1", other)]
        told, well = machine.ports(wanted, is_served=False)
        assert (told.ok, told.said) == (False, "can't be listened on: another program has it (listen.address)")
        assert told.mend == f"ss -ltnp 'sport = :{port}'"
        assert (well.ok, well.said) == (True, "is free (http.port)")
        assert all(found.ok for found in machine.ports(wanted, is_served=True))
        # The default one may be another's: then another is taken.
        monkeypatch.setattr(machine, "DEFAULT_PORT", port)
        (default,) = machine.ports([("http.port", "127.0.0.1", port)], is_served=False)
        assert default.ok
    (odd,) = machine.ports([("http.port", "192.0.2.1", 80)], is_served=False)
    assert not odd.ok


SMI = "#!/bin/sh\n{}\n"


@pytest.mark.parametrize(
    ("script", "runtimes", "ok", "said"),
    [
        ("", {}, True, "this machine has no NVIDIA driver, so functions get no GPU"),
        ("echo 'GPU 0: NVIDIA L4 (UUID: GPU-1)'", {"nvidia": {}}, True, "GPU 0: NVIDIA L4"),
        ("echo 'GPU 0: NVIDIA L4 (UUID: GPU-1)'", None, True, "GPU 0: NVIDIA L4"),
        ("echo 'GPU 0: NVIDIA L4 (UUID: GPU-1)'", {"runc": {}}, False, "Docker can't give them to containers"),
        ("echo 'no driver is loaded' >&2; exit 9", {}, False, "nvidia-smi lists none: no driver is loaded"),
    ],
)
def test_gpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, runtimes: dict[str, Any] | None, ok: bool, said: str
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if script:
        (tmp_path / "nvidia-smi").write_text(SMI.format(script))
        (tmp_path / "nvidia-smi").chmod(0o755)
    found = machine.gpus(runtimes, lambda name: str(tmp_path / name) if (tmp_path / name).exists() else None)
    assert found.ok is ok
    assert said in found.said
    assert bool(found.mend) is not ok


# The engine


class Client:
    """An engine that sees files and sockets as it is told."""

    def __init__(self, folder: Path, *, sees_files: bool = True, sees_sockets: bool = True) -> None:
        self.folder = folder
        self.sees = sees_files, sees_sockets
        self.now = datetime.now(UTC)
        self.images_here: dict[str, dict[str, str]] = {}
        self.containers_here: list[dict[str, Any]] = []
        self.networks_here: list[dict[str, Any]] = []
        self.registry_says = ""
        self.bodies: list[dict[str, Any]] = []
        self.removed: list[str] = []

    def info(self) -> dict[str, Any]:
        return {
            "ID": "engine-1", "ServerVersion": "28.0", "SystemTime": self.now.isoformat(), "Runtimes": {"runc": {}},
            "DockerRootDir": str(self.folder),
        }  # fmt: skip

    def inspect_image(self, tag: str) -> dict[str, Any]:
        if tag not in self.images_here:
            raise docker.errors.NotFound("no", explanation="no such image")
        return {"Config": {"Labels": self.images_here[tag]}}

    def inspect_distribution(self, reference: str) -> dict[str, Any]:
        if self.registry_says:
            raise docker.errors.APIError("no", explanation=self.registry_says)
        return {"Descriptor": {}}

    def containers(self, **filters: Any) -> list[dict[str, Any]]:
        return self.containers_here

    def networks(self, **filters: Any) -> list[dict[str, Any]]:
        return self.networks_here

    def volumes(self, **filters: Any) -> dict[str, Any]:
        return {}

    def images(self, **filters: Any) -> list[dict[str, Any]]:
        return []

    def import_image_from_data(self, data: bytes, repository: str, tag: str) -> None:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            assert [entry.name for entry in tar] == ["wherry-doctor"]
        self.images_here[f"{repository}:{tag}"] = {}

    def create_container_from_config(self, body: dict[str, Any], name: str | None) -> dict[str, str]:
        self.bodies.append(body)
        return {"Id": "made"}

    def start(self, engine_id: str) -> None:
        pass

    def wait(self, engine_id: str, timeout: int) -> None:
        pass

    @property
    def _shown(self) -> Path:
        return Path(self.bodies[-1]["HostConfig"]["Binds"][0].partition(":")[0])

    def logs(self, engine_id: str) -> bytes:
        files, sockets = self.sees
        told = (self._shown / "nonce").read_bytes() + b"\n" if files else b"FileNotFoundError"
        if sockets:
            assert stat.S_IMODE((self._shown / "sock").stat().st_mode) == 0o666
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(str(self._shown / "sock"))
                told += peer.recv(64)
        return told

    def get_archive(self, engine_id: str, path: str) -> tuple[list[bytes], None]:
        if not self.sees[0]:
            raise docker.errors.NotFound("no", explanation="no such file")
        return [b"a tar's head ", (self._shown / "nonce").read_bytes()], None

    def remove_container(self, engine_id: str, force: bool) -> None:
        self.removed.append(engine_id)

    def remove_image(self, tag: str) -> None:
        del self.images_here[tag]

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("sees", "images", "ok", "said"),
    [
        ((True, True), ["base"], True, "reach sockets there"),
        ((True, False), ["base"], False, "reach no socket there"),
        ((False, False), ["base"], False, "does not see this machine's files"),
        ((True, False), [], True, "sockets were not tried"),
        ((False, False), [], False, "does not see this machine's files"),
    ],
)
def test_whether_the_engine_sees_files_and_sockets(
    tmp_path: Path, sees: tuple[bool, bool], images: list[str], ok: bool, said: str
) -> None:
    place = Path(f"/tmp/wherry-{os.getpid()}")  # sockets leave room for a short path alone
    place.mkdir()
    try:
        client = Client(tmp_path, sees_files=sees[0], sees_sockets=sees[1])
        found = seen(client, place, images)  # type: ignore[arg-type]
        assert list(place.iterdir()) == []
    finally:
        place.rmdir()
    assert found.ok is ok
    assert said in found.said
    assert ("WHERRY_SERVER_URL" in found.mend) is not ok
    assert client.removed == ["made"]
    assert client.images_here == {}
    assert client.bodies[0]["HostConfig"]["NetworkMode"] == "none"
    assert client.bodies[0]["HostConfig"]["Binds"][0].endswith(":/wherry-doctor:ro")


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Finding]]:
    """Look at an engine; return what was found, by name."""
    monkeypatch.setattr("wherry_service.doctor.engine.seen", lambda *args: Finding("Files", True, "seen"))
    # However full the disk below this test is.
    roomy = functools.partial(machine.disk, usage=lambda place: (100 << 30, 0, 50 << 30))
    monkeypatch.setattr("wherry_service.doctor.engine.disk", roomy)
    (tmp_path / "docker").write_text("#!/bin/sh\necho engine-1\n")
    (tmp_path / "docker").chmod(0o755)

    async def cli() -> BuildCli:
        return BuildCli((str(tmp_path / "docker"), "buildx", "build"), str(tmp_path / "docker"))

    monkeypatch.setattr(host, "find_build_cli", cli)

    def at(
        client: Client, *, is_served: bool = False, state_dir: Path = tmp_path, address: str = "unix:///d.sock"
    ) -> dict[str, Finding]:
        monkeypatch.setattr(DockerConnection, "open", lambda self, timeout: client)
        connection = DockerConnection(lambda: Endpoint(address, "Docker's own socket"))
        doctor = EngineDoctor(connection, state_dir, ImageSettings(), is_served=is_served)
        return {found.name: found for found in doctor.findings()}

    return at


def test_an_engine_that_is_well(tmp_path: Path, look: Callable[..., dict[str, Finding]]) -> None:
    client = Client(tmp_path)
    client.images_here["wherry/base:bookworm"] = {"wherry.base": "container"}
    found = look(client)
    assert [name for name, one in found.items() if not one.ok] == []
    assert found["Engine"].said == "Docker 28.0 at unix:///d.sock (Docker's own socket)"
    assert found["Base image"].said == "Python 3.11 was made of Debian's packages, in a container"
    assert set(found) == {
        "Engine", "Clock", "BuildKit", "Builds", "Base image", "Registry", "Files", "Disk of images", "GPU",
        "Leftovers",
    }  # fmt: skip


def test_builds_elsewhere_are_told(
    tmp_path: Path, look: Callable[..., dict[str, Finding]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docker").write_text("#!/bin/sh\necho engine-2\n")
    assert look(Client(tmp_path))["Builds"].said.endswith("builds in another engine")
    (tmp_path / "docker").write_text("#!/bin/sh\necho refused >&2; exit 1\n")
    assert look(Client(tmp_path))["Builds"].said.endswith("does not reach the engine: refused")
    monkeypatch.setattr("wherry_service.doctor.engine.ANSWER_WITHIN_S", 0.2)
    (tmp_path / "docker").write_text("#!/bin/sh\nexec sleep 60\n")
    assert look(Client(tmp_path))["Builds"].said.endswith("does not reach the engine: no answer within 0.2 s")


def test_an_engine_that_does_not_answer_is_all_there_is_to_say(tmp_path: Path) -> None:
    connection = DockerConnection(lambda: Endpoint("ssh://far", "DOCKER_HOST"))
    first, gpu = EngineDoctor(connection, tmp_path, ImageSettings(), is_served=False).findings()
    assert (first.name, first.ok, gpu.name) == ("Engine", False, "GPU")
    assert first.mend == "unset DOCKER_HOST"
    assert mend_of("DOCKER_CONTEXT=x names no context") == "unset DOCKER_CONTEXT"
    assert mend_of("the docker context 'x' names no context") == "docker context use default"
    assert mend_of("Docker refuses this user at …").startswith("sudo usermod")
    assert mend_of("Docker does not answer at …") == "systemctl start docker"


def test_what_services_left_is_told(tmp_path: Path, look: Callable[..., dict[str, Finding]]) -> None:
    own = instance_of(tmp_path / "run")
    client = Client(tmp_path)
    client.containers_here = [
        {"Id": "a" * 64, "Labels": {"wherry.instance": own}},
        {"Id": "b" * 64, "Labels": {"wherry.instance": "another"}},
    ]
    assert look(client, is_served=True)["Leftovers"].ok
    told = look(client)["Leftovers"]
    assert (told.ok, told.mend) == (False, "wherry server start")
    # Of another that says where it was, and is not there any more.
    client.containers_here[0]["Labels"] = {"wherry.instance": "x", "wherry.state_dir": str(tmp_path / "gone")}
    client.networks_here = [{"Id": "c" * 64, "Labels": {"wherry.instance": "x", "wherry.state_dir": "/gone/too"}}]
    assert look(client, is_served=True)["Leftovers"].mend == "docker rm -f aaaaaaaaaaaa; docker network rm cccccccccccc"
    client.containers_here = []
    assert look(client, is_served=True)["Leftovers"].mend == "docker network rm cccccccccccc"


def test_what_may_be_another_services_is_no_leftover(
    look: Callable[..., dict[str, Finding]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, place = Client(tmp_path), str(tmp_path / "another/home")
    client.containers_here = [{"Id": "a" * 64, "Labels": {"wherry.instance": "x", "wherry.state_dir": place}}]
    assert not look(client, is_served=True)["Leftovers"].ok
    # Of another machine's engine, the directories are there.
    assert look(client, is_served=True, address="tcp://far:2376")["Leftovers"].ok
    real = os.lstat, os.stat

    def refused(how: Callable[..., os.stat_result]) -> Callable[..., os.stat_result]:
        def ask(path: Any, **options: Any) -> os.stat_result:
            if str(path) == place:
                raise PermissionError(13, "Permission denied", place)
            return how(path, **options)

        return ask

    monkeypatch.setattr(os, "lstat", refused(real[0]))
    monkeypatch.setattr(os, "stat", refused(real[1]))
    found = look(client, is_served=True)
    assert found["Engine"].ok
    assert found["Leftovers"].ok


def test_clocks() -> None:
    now = time.time()

    def at(seconds: float) -> Finding:
        return clock(datetime.fromtimestamp(now + seconds, timezone(timedelta(hours=5))).isoformat(), now, 1.0)

    assert [at(seconds).ok for seconds in (-60, -1, 0, 0.5, 2.5, 60)] == [False, True, True, True, True, False]
    assert at(-60).mend == "timedatectl set-ntp true"
    assert clock("never", now, 1.0).ok
    # As Docker writes it.
    assert clock(datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f123Z"), now, 1.0).ok


@pytest.mark.parametrize(
    ("base", "says", "has_base", "ok", "said"),
    [
        ("auto", "", False, True, "own/debian:bookworm-slim can be pulled"),
        ("auto", "no route", True, True, "none gives own/debian:bookworm-slim, so bases are made of Debian's packages"),
        ("registry", "no route", True, False, "none gives own/debian:bookworm-slim: no route"),
        ("debootstrap", "no route", False, True, "is not asked for bases: images.base is debootstrap"),
    ],
)
def test_registries(tmp_path: Path, base: str, says: str, has_base: bool, ok: bool, said: str) -> None:
    client = Client(tmp_path)
    client.registry_says = says
    settings = ImageSettings(base=base, base_image="own/debian:{suite}-slim")
    found = registry(client, settings, has_base=has_base)  # type: ignore[arg-type]
    assert (found.ok, found.said) == (ok, said)
    assert bool(found.mend) is not ok


def test_the_program_says_a_line_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    monkeypatch.setattr("sys.argv", ["doctor", "--state-dir", str(tmp_path)])
    monkeypatch.setattr(program, "MAX_STATE_DIR", 1000)
    assert program.main() == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    names = [row["name"] for row in rows]
    assert names[:5] == ["Engine", "GPU", "State directory", "Disk", "Memory"]
    assert names[5].startswith("Port ")
    assert all(bool(row["mend"]) is not row["ok"] for row in rows)
    monkeypatch.setenv("WHERRY_IMAGES_BASE", "magic")
    assert program.main() == 1
    assert json.loads(capsys.readouterr().out)["said"].startswith("WHERRY_IMAGES_BASE is 'magic'")
