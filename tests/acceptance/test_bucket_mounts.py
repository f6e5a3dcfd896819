"""Buckets of an S3 server (rclone's) as directories of functions and sandboxes."""

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import wherry
from tests.acceptance.conftest import RunApp
from tests.acceptance.servers import BucketServer
from tests.acceptance.service import OwnService
from tests.waiting import wait_until
from wherry.exception import RemoteError

pytestmark = pytest.mark.skipif(
    not Path("/dev/fuse").exists(),
    reason="this host has no /dev/fuse, and a bucket is mounted by it; orders and refusals have unit tests",
)

SECRET_KEY = "kept-from-sight"
MOUNTS = Path("/proc/self/mountinfo")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    with BucketServer(tmp_path_factory.mktemp("s3"), SECRET_KEY).serving("shared") as server:
        yield server


@pytest.fixture(scope="module")
def mounted(store: BucketServer, run_app: RunApp, service: OwnService) -> Iterator[ModuleType]:
    """The module `apps.bucket_mounts`, its app running; when it has stopped, no mount of it is left."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUCKET_ENDPOINT", store.endpoint)
        patch.setenv("BUCKET_SECRET_KEY", SECRET_KEY)
        from tests.acceptance.apps import bucket_mounts

    with run_app(bucket_mounts.app):
        yield bucket_mounts
    assert helpers(service) == []
    assert f"wherry-bucket-{service.instance}" not in MOUNTS.read_text()
    assert volumes(service) == []


def helpers(service: OwnService) -> list[str]:
    """Return the ids of the containers that mount buckets."""
    return [container["Id"] for container in service.containers(kind="bucket")]


def volumes(service: OwnService) -> list[str]:
    command = ["docker", "volume", "ls", "--quiet", f"--filter=label=wherry.instance={service.instance}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def commands() -> Iterator[str]:
    """Yield the command of each process of this machine, its words ended by NUL."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            yield path.read_text(errors="replace")


def kept(store: BucketServer, name: str) -> str:
    """Return what the store has under a key."""
    return (store.folder / "shared" / name).read_text()


def test_what_a_call_wrote_is_in_the_bucket_when_it_returns(mounted: ModuleType, store: BucketServer) -> None:
    mounted.write.remote("notes.txt", "one,")
    assert kept(store, "notes.txt") == "one,"

    mounted.write.remote("notes.txt", "two")
    assert kept(store, "notes.txt") == "one,two"
    assert mounted.read.remote("notes.txt") == "one,two"


def test_a_prefix_is_a_directory_that_can_be_kept_from_writing(mounted: ModuleType, store: BucketServer) -> None:
    (store.folder / "shared" / "part").mkdir()
    (store.folder / "shared" / "part" / "from-elsewhere").write_text("x")
    mounted.write.remote("part/from-here", "x")

    assert mounted.part.remote() == ["from-elsewhere", "from-here"]
    with pytest.raises(OSError, match="Read-only file system"):
        mounted.part.remote("refused")
    assert "part/refused" not in store.keys("shared")


def test_containers_with_the_same_bucket_share_a_mount_that_tells_no_key(
    mounted: ModuleType, service: OwnService
) -> None:
    mounted.write.remote("shared.txt", "x")
    assert mounted.read.remote("shared.txt") == "x"

    found = json.loads(
        subprocess.run(["docker", "inspect", *helpers(service)], capture_output=True, text=True, check=True).stdout
    )
    # One for `write` and `read`, one for `part`.
    assert len(found) <= 2
    logs = [subprocess.run(["docker", "logs", one["Id"]], capture_output=True, text=True, check=True) for one in found]
    told = json.dumps(found) + "".join(log.stdout + log.stderr for log in logs)
    mounting = [command for command in commands() if "rclone\0mount" in command]
    assert mounting
    told += "".join(mounting)
    assert SECRET_KEY not in told
    assert SECRET_KEY not in service.log()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("in_no_bucket", "can't mount bucket 'missing' at http://.*: there is no such bucket"),
        ("with_another_key", "can't mount bucket 'shared' at .*: the store refuses the key"),
        ("at_no_store", "can't mount bucket 'shared' at http://127.0.0.1:9: the store can't be reached from this host"),
    ],
)
def test_what_can_not_be_mounted_is_the_calls_error(mounted: ModuleType, name: str, said: str) -> None:
    with pytest.raises(RemoteError, match=said):
        getattr(mounted, name).remote()


def test_a_sandbox_has_a_bucket(mounted: ModuleType, store: BucketServer) -> None:
    with wherry.Sandbox.create(
        "sh", "-c", "echo from a sandbox > /b/sandbox.txt", volumes={"/b": mounted.mine}, block_network=True
    ) as sandbox:
        sandbox.wait()
    wait_until(lambda: "sandbox.txt" in store.keys("shared"), "what it wrote is there")
    assert kept(store, "sandbox.txt") == "from a sandbox\n"


def test_a_killed_service_takes_mounts_over(mounted: ModuleType, store: BucketServer, service: OwnService) -> None:
    where = mounted.write.remote("over.txt", "before,")
    before = helpers(service)
    call = mounted.write.spawn("over/late.txt", "written while there was no service", 1.0)
    wait_until(lambda: "over/begun" in store.keys("shared"), "it runs")

    service.signal(signal.SIGKILL)

    wait_until(lambda: "over/late.txt" in store.keys("shared"), "a container writes on")
    call.get(timeout=60)
    assert mounted.write.remote("over.txt", "after") == where
    assert kept(store, "over.txt") == "before,after"
    assert set(before) <= set(helpers(service))


def test_a_killed_helper_costs_containers_and_no_input(
    mounted: ModuleType, store: BucketServer, service: OwnService
) -> None:
    where = mounted.write.remote("helped.txt", "before,")
    before = helpers(service)

    subprocess.run(["docker", "kill", *before], capture_output=True, check=True)

    def is_there() -> bool:
        return any(container["Id"].startswith(where) for container in service.containers())

    wait_until(lambda: not is_there(), "a container whose bucket is lost ends")
    wait_until(lambda: mounted.write.get_current_stats().num_total_runners == 0, "the pool knows")
    assert mounted.write.remote("helped.txt", "after") != where
    assert kept(store, "helped.txt") == "before,after"
    assert not set(before) & set(helpers(service))
