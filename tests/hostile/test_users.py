"""Who runs in a container: root that is nobody on the host (`userns-remap`), and a user by the settings."""

import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import pytest

import wherry
from tests.acceptance.service import OwnService
from tests.hostile.conftest import running_service
from tests.hostile.places import sandbox_place
from tests.own_engine import OwnEngine


@pytest.fixture(scope="module")
def remapped(runtime: str) -> Iterator[OwnEngine]:
    """An engine that maps root in a container to a user of the host which is nobody."""
    if runtime:
        pytest.skip(
            "gVisor has a kernel of its own: what the host's user name spaces do is tested under the default runtime"
        )
    with OwnEngine({"userns-remap": "default"}) as engine:
        yield engine


@contextmanager
def lodger(engine: OwnEngine | None, **settings: str) -> Iterator[tuple[OwnService, ModuleType]]:
    """A service with these settings, and the app of lodger.py."""
    sys.modules.pop("tests.hostile.lodger", None)
    with running_service(engine, settings) as service:
        # Made for the service that runs by now.
        lodger = importlib.import_module("tests.hostile.lodger")
        with lodger.volume.batch_upload() as batch:
            for name in ("uploaded", "unwanted", "folder/sent"):
                batch.put_file(io.BytesIO(b"sent"), f"/{name}")
        with lodger.app.run():
            yield service, lodger


def test_root_in_a_container_is_nobody_on_the_host(remapped: OwnEngine) -> None:
    with lodger(remapped) as (service, app):
        got = app.look.remote(b"x" * (5 << 20))
        assert got["user"] == [0, 0]
        inside, outside, _ = map(int, got["users"])
        assert inside == 0
        assert outside >= 1000
        assert (got["key"], got["got"], len(got["value"])) == ("opens", 5 << 20, 3 << 20)

        # What it made is its own on the host, and the service reads it.
        (place,) = (path for path in (service.state_dir / "volumes").iterdir() if path.name.startswith("vo-"))
        assert os.stat(place / "folder" / "made").st_uid == outside
        assert read(app, "uploaded") == "sent and more"
        assert read(app, "folder/made") == "made inside"
        assert app.below.remote() == ["made", "sent"]
        app.volume.remove_file("folder", recursive=True)
        assert sorted(entry.path for entry in app.volume.listdir("/")) == ["uploaded"]

        secrets = [wherry.Secret.from_dict({"KEY": "opens"})]
        image = wherry.Image.debian_slim().run_function(app.step, secrets=secrets, volumes={"/v": app.volume})
        sandbox = wherry.Sandbox.create(
            "sh", "-c", "cat /built /v/built; echo here >/v/sandbox; cat /proc/self/uid_map",
            image=image, volumes={"/v": app.volume},
        )  # fmt: skip
        sandbox.wait()
        said = sandbox.stdout.read()
        assert said.startswith("a file of the imageopens"), (said, sandbox.stderr.read())
        assert str(outside) in said
        assert read(app, "sandbox") == "here\n"

        # A shell's way, and a snapshot.
        with sandbox_place() as sandboxed:
            assert sandboxed.attack("echo mine >/root/file && id -u").value == [0, "0\n"]
            again = wherry.Sandbox.create("cat", "/root/file", image=sandboxed.sandbox.snapshot_filesystem())
            again.wait()
            assert again.stdout.read() == "mine\n"
        assert command("container", "exec", container_of(app), "id", "-u") == "0\n"
        shown = json.loads(command("server", "status", "--json"))["isolation"]
        assert shown["user_namespaces"]
        assert shown["network"] == "isolated", shown


def test_a_user_of_the_settings_has_what_root_has(engine: OwnEngine | None, runtime: str) -> None:
    settings = {"WHERRY_CONTAINERS_USER": "1234:2345", **({"WHERRY_CONTAINERS_RUNTIME": runtime} if runtime else {})}
    with lodger(engine, **settings) as (_, app):
        got = app.look.remote(b"x" * (5 << 20))
        assert got["user"] == [1234, 2345]
        assert (got["key"], got["got"], len(got["value"])) == ("opens", 5 << 20, 3 << 20)
        assert read(app, "uploaded") == "sent and more"
        assert app.install.remote() == ["/home/wherry", 7, True]
        assert command("container", "exec", container_of(app), "sh", "-c", "id -u; echo $HOME") == (
            "1234\n/home/wherry\n"
        )
        with sandbox_place(volumes={"/v": app.volume}) as place:
            assert place.attack("id -u; echo x >/v/by-sandbox; echo mine >~/file; cat ~/file").value == [
                0, "1234\nmine\n"
            ]  # fmt: skip
            assert place.attack("touch /usr/local/file").value[0] == 1
            assert place.attack("grep CapEff /proc/self/status").value == [0, "CapEff:\t0000000000000000\n"]
            image = place.sandbox.snapshot_filesystem()
        # The image is not the user's: steps that build on it are root's, as ever.
        again = wherry.Sandbox.create("id", "-u", image=image.run_commands("touch /usr/local/file"))
        again.wait()
        assert again.stdout.read() == "1234\n"
        assert json.loads(command("server", "status", "--json"))["isolation"]["user"] == "1234:2345"


def read(app: ModuleType, path: str) -> str:
    return b"".join(app.volume.read_file(path)).decode()


def container_of(app: ModuleType) -> str:
    listed = json.loads(command("container", "list", "--json"))
    return str(next(row["container_id"] for row in listed if row["function_name"] == "look"))


def command(*arguments: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "wherry.cli.main", *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
