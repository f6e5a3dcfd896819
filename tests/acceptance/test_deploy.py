"""Apps that are deployed: versions under load, that fail, rolled back, and in a service that is killed."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wherry
from tests.acceptance.service import OwnService
from tests.waiting import wait_until
from wherry.exception import DeploymentError, InvalidError, NotFoundError

SOURCE = """
import os
import time
import wherry

app = wherry.App("{name}")
{extra}

@app.function({options})
def f(seconds: float = 0.0) -> tuple[str, int]:
    time.sleep(seconds)
    return os.uname().nodename, {version}
"""
GREETER = """
@app.cls()
class Greeter:
    who: str = wherry.parameter()

    @wherry.method()
    def greet(self) -> str:
        return f"{{self.who}} of {version}"
"""
BROKEN = """
if os.path.isdir("/wherry"):
    import not_there
"""


class Repository:
    """An app's source in a git work tree, and `wherry` run there."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.path = folder / f"{name.replace('-', '_')}.py"
        self._folder = folder

    def write(self, version: int, extra: str = "", options: str = "") -> None:
        self.path.write_text(
            SOURCE.format(name=self.name, version=version, extra=extra.format(version=version), options=options)
        )

    def git(self, *words: str) -> str:
        command = ["git", "-c", "user.name=n", "-c", "user.email=e@example.com", *words]
        return subprocess.run(command, cwd=self._folder, check=True, capture_output=True, text=True).stdout.strip()

    def wherry(self, *words: str, code: int = 0) -> str:
        """Run a command without a terminal; return what it printed, on both streams where that is not JSON."""
        done = subprocess.run(
            [sys.executable, "-m", "wherry.cli.main", *words],
            cwd=self._folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=110,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if "--json" in words and not code else done.stdout + done.stderr

    def deploy(self, *words: str) -> Any:
        return json.loads(self.wherry("deploy", str(self.path), "--json", *words))


@pytest.fixture
def repository(service: OwnService, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Repository]:
    """The source of an app of the test's own."""
    made = Repository(tmp_path, f"deploy-{abs(hash(request.node.name)) % 10**6}")
    yield made
    with contextlib.suppress(AssertionError):
        made.wherry("app", "stop", made.name)


def test_b55_a_version_is_deployed_looked_at_and_rolled_back(service: OwnService, repository: Repository) -> None:
    repository.write(1, GREETER)
    repository.git("init", "-q")
    repository.git("add", "-A")
    repository.git("commit", "-qm", "first")
    would = repository.deploy("--dry-run")
    assert (would["app_id"], would["changes"]) == (None, {"Greeter": "added", "f": "added"})
    first = repository.deploy("--tag", "one")
    assert (first["version"], first["changed"]) == (1, True)
    assert repository.deploy()["changed"] is False
    assert "no changes; version 1 serves on" in repository.wherry("deploy", str(repository.path))
    function = wherry.Function.lookup(repository.name, "f")
    assert function.object_id == first["functions"]["f"]
    host, version = function.remote()
    assert version == 1
    assert function.remote() == (host, 1), "nothing was restarted"

    repository.write(2, GREETER)
    assert set(repository.deploy("--dry-run")["changes"].values()) == {"replaced"}
    second = repository.deploy()
    assert (second["version"], second["app_id"]) == (2, first["app_id"])
    assert second["functions"] == first["functions"]
    assert function.remote()[1] == 2
    assert wherry.Function.from_name(repository.name, "f", version=1).remote()[1] == 1
    assert wherry.Cls.from_name(repository.name, "Greeter")(who="you").greet.remote() == "you of 2"
    assert wherry.Cls.from_name(repository.name, "Greeter", version=1)(who="you").greet.remote() == "you of 1"
    with pytest.raises(NotFoundError, match="no version 8"):
        wherry.Function.lookup(repository.name, "f", version=8)
    with pytest.raises(InvalidError, match="version is 0"):
        wherry.Function.lookup(repository.name, "f", version=0)

    newest, oldest = json.loads(repository.wherry("app", "history", repository.name, "--json"))
    assert (oldest["state"], oldest["tag"], oldest["dirty"]) == ("superseded", "one", False)
    assert (newest["state"], newest["dirty"]) == ("live", True)
    assert newest["commit"] == oldest["commit"] == repository.git("rev-parse", "HEAD")
    assert "version 3 serves" in repository.wherry("app", "rollback", repository.name)
    assert function.remote()[1] == 1
    assert "as version 1" in repository.wherry("app", "history", repository.name)
    info = json.loads(repository.wherry("app", "info", repository.name, "--json"))
    assert (info["deployment"]["version"], info["deployment"]["rollback_of"]) == (3, 1)
    assert [one["name"] for one in info["functions"]] == ["Greeter", "f"]
    assert "no version 9" in repository.wherry("app", "rollback", repository.name, "9", code=1)
    where = function.remote()
    assert "version 4 serves" in repository.wherry("app", "rollover", repository.name)
    assert function.remote()[1] == where[1]
    assert function.remote()[0] != where[0]
    repository.wherry("app", "stop", repository.name)
    assert service.containers(app=first["app_id"]) == []


LIMITED = (
    "cpu=(0.5, 1.5), memory=(64, 192), timeout=7, startup_timeout=80, min_containers=1, max_containers=3, "
    "buffer_containers=0, scaledown_window=90, allow_concurrent_inputs=6, block_network=True, "
    "retries=wherry.Retries(max_retries=2, backoff_coefficient=3.0, initial_delay=0.5, max_delay=4.0)"
)
AS_LIMITED = {
    "cpu": {"request": 0.5, "limit": 1.5},
    "memory_mib": {"request": 64, "limit": 192},
    "ephemeral_disk_mib": None,
    "gpu": [],
    "timeout_s": 7,
    "startup_timeout_s": 80,
    "retries": {"max_retries": 2, "backoff_coefficient": 3, "initial_delay_s": 0.5, "max_delay_s": 4},
    "min_containers": 1,
    "max_containers": 3,
    "buffer_containers": 0,
    "scaledown_window_s": 90,
    "max_inputs": 6,
    "target_inputs": None,
    "max_batch_size": None,
    "batch_wait_ms": 0,
    "single_use_containers": False,
}


def test_b45_settings_in_code_are_those_of_the_deployed_function_also_after_a_rollback(
    service: OwnService, repository: Repository
) -> None:
    def settings() -> Any:
        (function,) = json.loads(repository.wherry("app", "info", repository.name, "--json"))["functions"]
        return function["settings"]

    def host_config(hostname: str) -> dict[str, Any]:
        found = service.host_config(hostname)
        return {name: found[name] for name in ("NanoCpus", "CpuShares", "Memory", "MemoryReservation")}

    repository.write(1, options=LIMITED)
    repository.deploy()
    function = wherry.Function.lookup(repository.name, "f")
    assert settings() == AS_LIMITED
    as_limited = {"NanoCpus": 1_500_000_000, "CpuShares": 512, "Memory": 192 << 20, "MemoryReservation": 64 << 20}
    assert host_config(function.remote()[0]) == as_limited

    repository.write(1, options="memory=128")
    changes = repository.deploy()["changes"]
    assert changes == {"f": "replaced"}
    assert settings()["memory_mib"] == {"request": 128, "limit": None}
    assert settings()["retries"] is None
    # None of its own: the server's.
    assert host_config(function.remote()[0])["Memory"] > 192 << 20

    repository.wherry("app", "rollback", repository.name)
    assert settings() == AS_LIMITED
    assert host_config(function.remote()[0]) == as_limited


def test_no_call_fails_while_versions_come_and_go(repository: Repository) -> None:
    repository.write(0)
    repository.deploy()
    function = wherry.Function.lookup(repository.name, "f")
    stop = threading.Event()
    versions: list[int] = []
    errors: list[BaseException] = []

    def call() -> None:
        while not stop.is_set():
            try:
                versions.append(function.remote()[1])
            except BaseException as error:  # noqa: BLE001 - any error is what this test looks for
                errors.append(error)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    # Runs through all of them in the container of the first.
    long = function.spawn(8.0)
    for version in range(1, 4):
        repository.write(version)
        assert repository.deploy()["version"] == version + 1
        wait_until(lambda version=version: versions and versions[-1] == version, f"version {version} answers")
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert set(versions) == {0, 1, 2, 3}
    assert long.get()[1] == 0


@pytest.mark.parametrize("strategy", ["rolling", "recreate"])
def test_a_version_that_can_not_be_imported_never_serves(
    service: OwnService, repository: Repository, strategy: str
) -> None:
    repository.write(1)
    first = repository.deploy()
    function = wherry.Function.lookup(repository.name, "f")
    repository.write(2, BROKEN)
    said = repository.wherry("deploy", str(repository.path), "--strategy", strategy, code=6)
    assert "could not start: ModuleNotFoundError: No module named 'not_there'" in said
    assert "app logs" not in said.partition("Traceback")[0]
    assert function.remote()[1] == 1
    newest, _ = json.loads(repository.wherry("app", "history", repository.name, "--json"))
    assert (newest["state"], newest["version"]) == ("failed", 2)
    repository.write(3)
    assert repository.deploy("--strategy", strategy)["version"] == 3
    assert function.remote()[1] == 3
    wait_until(lambda: len(service.containers(app=first["app_id"])) == 1, "only the version that serves has containers")


def test_b66_a_deployed_app_answers_after_the_service_was_killed(service: OwnService, repository: Repository) -> None:
    repository.write(1, options="min_containers=1")
    repository.deploy()
    function = wherry.Function.lookup(repository.name, "f")
    host, _ = function.remote()
    killed = service.pid
    service.signal(signal.SIGKILL)
    # Its container is still there, and is taken over.
    assert function.remote() == (host, 1)
    assert service.pid != killed
    assert repository.deploy()["changed"] is False

    # Killed while a version starts: it is made in the next life.
    repository.write(2, extra="time.sleep(2 if os.path.isdir('/wherry') else 0)", options="min_containers=1")
    command = [sys.executable, "-m", "wherry.cli.main", "deploy", str(repository.path), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as deploying:
        app_id = json.loads(repository.wherry("app", "info", repository.name, "--json"))["app_id"]
        wait_until(lambda: len(service.containers(app=app_id)) == 2, "the new version's container is there")
        service.signal(signal.SIGKILL)
        out, err = deploying.communicate(timeout=100)
    assert deploying.returncode == 0, err
    assert json.loads(out)["version"] == 2
    assert function.remote()[1] == 2
    wait_until(lambda: len(service.containers(app=app_id)) == 1, "no container of another version is left")


def test_who_breaks_it_off_has_deployed_nothing(service: OwnService, repository: Repository) -> None:
    repository.write(1)
    app_id = repository.deploy()["app_id"]
    repository.write(2, extra="time.sleep(30 if os.path.isdir('/wherry') else 0)")
    command = [sys.executable, "-m", "wherry.cli.main", "deploy", str(repository.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as deploying:
        wait_until(lambda: len(service.containers(app=app_id)) == 2, "the new version's container is there")
        began = time.monotonic()
        deploying.send_signal(signal.SIGINT)
        out, _ = deploying.communicate(timeout=30)
    assert deploying.returncode == 130, out
    assert out.endswith("taken over already: wherry app history shows it.\n")
    assert "Traceback" not in out
    wait_until(lambda: len(service.containers(app=app_id)) == 1, "the new version's container is gone", 20)
    assert time.monotonic() - began < 25, "it was not waited for its import"
    assert wherry.Function.lookup(repository.name, "f").remote()[1] == 1
    assert len(json.loads(repository.wherry("app", "history", repository.name, "--json"))) == 1


def test_a_script_deploys_itself_and_its_handles_work(service: OwnService, repository: Repository) -> None:
    app = wherry.App(repository.name)

    @app.function(serialized=True)
    def double(x: int) -> int:
        return 2 * x

    assert app.deploy() is app
    assert double.remote(4) == 8
    assert wherry.Function.lookup(repository.name, "double").remote(5) == 10
    assert app.app_id is not None

    broken = wherry.App(repository.name)

    class Unpickled:
        def __reduce__(self) -> Any:
            return exec, ("raise ValueError('not here')",)

    value = Unpickled()

    @broken.function(serialized=True, name="double")
    def other(x: int) -> Any:
        return value

    with pytest.raises(DeploymentError, match=r"'double' could not start: ValueError: not here"):
        broken.deploy()
    assert double.remote(6) == 12
    with pytest.raises(InvalidError, match="has no name to deploy it under"):
        wherry.App().deploy()
    with pytest.raises(InvalidError, match="has no function to deploy"):
        wherry.App(repository.name).deploy()
    with pytest.raises(InvalidError, match="strategy is 'blue'"):
        app.deploy(strategy="blue")


def test_wrong_commands_say_what_to_do(service: OwnService, repository: Repository) -> None:
    assert "there is no file" in repository.wherry("deploy", "nothing.py", code=2)
    assert "was ever deployed" in repository.wherry("app", "history", "nothing", code=1)
    assert "no app named 'nothing' runs" in repository.wherry("app", "rollback", "nothing", code=1)
    repository.write(1, extra="1 / 0")
    assert "ZeroDivisionError" in repository.wherry("deploy", str(repository.path), code=1)
    repository.write(1)
    assert "one of rolling, recreate" in repository.wherry("deploy", str(repository.path), "--strategy", "blue", code=2)
    environ = {**os.environ, "WHERRY_SERVER_URL": "https://127.0.0.1:9"}
    environ |= {"WHERRY_TOKEN_ID": "tk-x", "WHERRY_TOKEN_SECRET": "s", "WHERRY_CONFIG_PATH": str(repository.path)}
    environ["WHERRY_CONFIG_PATH"] = str(repository.path.parent / "none.toml")
    command = [sys.executable, "-m", "wherry.cli.main", "deploy", str(repository.path)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3, done.stderr
