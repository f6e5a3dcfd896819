"""When a sandbox is ready, and finding one by its name after it has ended."""

import asyncio

import pytest

from tests.acceptance.service import OwnService
from wherry import Probe, Sandbox
from wherry.exception import ExecutionError, InvalidError, NotFoundError, SandboxTerminatedError, TimeoutError

SERVE = ("python3", "-m", "http.server", "8080")


@pytest.mark.parametrize("options", [{"block_network": True}, {}, {"block_network": True, "loopback": True}])
def test_a_server_that_accepts_connections(service: OwnService, options: dict[str, bool]) -> None:
    where = ("--bind", "127.0.0.1") if options.pop("loopback", False) else ()
    with Sandbox.create(*SERVE, *where, readiness_probe=Probe.with_tcp(8080), timeout=120, **options) as sandbox:
        sandbox.wait_until_ready(timeout=60)
        ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080').status)"
        assert sandbox.exec("python3", "-c", ask).stdout.read() == "200\n"
        # Whoever comes later need not wait.
        asyncio.run(Sandbox.from_id(sandbox.object_id).wait_until_ready.aio(timeout=60))


def test_a_command_that_succeeds(service: OwnService) -> None:
    probe = Probe.with_exec("test", "-e", "/tmp/ready", interval_ms=50)
    with Sandbox.create(readiness_probe=probe, block_network=True, timeout=120) as sandbox:
        with pytest.raises(TimeoutError, match=r"was not ready within 0\.5 s"):
            sandbox.wait_until_ready(timeout=0.5)
        assert sandbox.exec("touch", "/tmp/ready").wait() == 0
        sandbox.wait_until_ready(timeout=60)


def test_one_that_ends_before_is_never_ready(service: OwnService) -> None:
    never = Probe.with_exec("false")
    ended = Sandbox.create("sh", "-c", "exit 7", readiness_probe=never, block_network=True)
    with pytest.raises(ExecutionError, match="exited with code 7 before it was ready"):
        ended.wait_until_ready(timeout=60)
    terminated = Sandbox.create(readiness_probe=never, block_network=True)
    terminated.terminate()
    with pytest.raises(SandboxTerminatedError):
        terminated.wait_until_ready(timeout=60)
    without = Sandbox.create(block_network=True)
    with without, pytest.raises(InvalidError, match="has no readiness_probe"):
        without.wait_until_ready(timeout=1)


def test_found_by_name_after_its_end(service: OwnService) -> None:
    for code in ("1", "2"):
        with Sandbox.create("sh", "-c", f"exit {code}", name="ended-by-now", block_network=True) as sandbox:
            sandbox.wait()
    with pytest.raises(NotFoundError):
        Sandbox.from_name(None, "ended-by-now")  # type: ignore[arg-type]
    assert Sandbox.from_name(None, "ended-by-now", include_terminated=True).poll() == 2
    with pytest.raises(NotFoundError):
        Sandbox.from_name(None, "never-begun", include_terminated=True)
