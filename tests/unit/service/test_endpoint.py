"""Which engine is meant, of Docker's variables, its contexts and the sockets that there are."""

import asyncio
import contextlib
import gc
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wherry_service.engines import endpoint
from wherry_service.engines.docker import DockerEngine
from wherry_service.engines.docker_connection import DockerConnection
from wherry_service.engines.endpoint import DEFAULT, Endpoint, OneEngine, find
from wherry_service.errors import Unready


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home, on a machine where Docker's own socket is not there."""
    monkeypatch.setattr(endpoint, "DEFAULT", f"unix://{tmp_path}/no-docker.sock")
    (tmp_path / ".docker").mkdir()
    return tmp_path


def context(home: Path, name: str, settings: Any, *, certificates: tuple[str, ...] = ()) -> str:
    """Write a context as `docker context create` does; return its key."""
    key = hashlib.sha256(name.encode()).hexdigest()
    folder = home / ".docker" / "contexts"
    (folder / "meta" / key).mkdir(parents=True)
    meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": settings}}
    (folder / "meta" / key / "meta.json").write_text(json.dumps(meta))
    for file in certificates:
        (folder / "tls" / key / "docker").mkdir(parents=True, exist_ok=True)
        (folder / "tls" / key / "docker" / file).write_text("")
    return key


def chosen(home: Path, name: Any) -> None:
    (home / ".docker" / "config.json").write_text(json.dumps({"auths": {}, "currentContext": name}))


@pytest.fixture
def listen() -> Iterator[Callable[[Path], str]]:
    opened: list[socket.socket] = []

    def at(path: Path) -> str:
        path.parent.mkdir(parents=True, exist_ok=True)
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
        opened.append(sock)
        return f"unix://{path}"

    yield at
    for sock in opened:
        sock.close()


def test_what_is_named_goes_before_what_is_chosen_and_that_before_what_is_found(home: Path) -> None:
    environ = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}
    assert find(environ).origin == "Docker's own socket"
    context(home, "colima", {"Host": "unix:///colima.sock", "SkipTLSVerify": False})
    context(home, "other", {"Host": "tcp://other:2375"})
    chosen(home, "colima")
    assert find(environ) == Endpoint("unix:///colima.sock", "the docker context 'colima'")
    environ["DOCKER_CONTEXT"] = "other"
    assert find(environ) == Endpoint("tcp://other:2375", "DOCKER_CONTEXT=other")
    # As the docker CLI has it.
    environ["DOCKER_HOST"] = "tcp://named:2375"
    assert find(environ) == Endpoint("tcp://named:2375", "DOCKER_HOST")
    assert find(environ).variables() == {"DOCKER_HOST": "tcp://named:2375"}


def test_the_default_context_is_what_is_found_whatever_is_chosen(home: Path) -> None:
    context(home, "colima", {"Host": "unix:///colima.sock"})
    chosen(home, "colima")
    environ = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run"), "DOCKER_CONTEXT": "default"}
    assert not find(environ).is_named
    chosen(home, "default")
    del environ["DOCKER_CONTEXT"]
    assert not find(environ).is_named


def test_docker_config_is_another_folder(home: Path, tmp_path: Path) -> None:
    context(home, "colima", {"Host": "unix:///colima.sock"})
    chosen(home, "colima")
    assert find({"HOME": "/nowhere", "DOCKER_CONFIG": str(home / ".docker")}).address == "unix:///colima.sock"


@pytest.mark.parametrize(
    ("skip", "tls", "verify"), [(False, "", "1"), (True, "1", "")], ids=["verified", "not verified"]
)
def test_a_context_brings_its_certificates(home: Path, skip: bool, tls: str, verify: str) -> None:
    key = context(
        home, "far", {"Host": "tcp://far:2376", "SkipTLSVerify": skip}, certificates=("ca.pem", "cert.pem", "key.pem")
    )
    found = find({"HOME": str(home), "DOCKER_CONTEXT": "far"})
    assert found.variables() == {
        "DOCKER_HOST": "tcp://far:2376",
        "DOCKER_CONTEXT": "",
        "DOCKER_CERT_PATH": f"{home}/.docker/contexts/tls/{key}/docker",
        "DOCKER_TLS": tls,
        "DOCKER_TLS_VERIFY": verify,
    }


def test_a_context_without_certificates_has_none_of_the_variables(home: Path) -> None:
    context(home, "colima", {"Host": "unix:///colima.sock"})
    variables = find({"HOME": str(home), "DOCKER_CONTEXT": "colima", "DOCKER_TLS_VERIFY": "1"}).variables()
    assert (variables["DOCKER_TLS_VERIFY"], variables["DOCKER_CERT_PATH"]) == ("", "")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "has no address of a Docker engine: look at it with `docker context inspect odd`"),
        ({"Host": 7}, "has no address of a Docker engine"),
        ("text", "has no address of a Docker engine"),
    ],
)
def test_a_context_that_makes_no_sense_is_told(home: Path, settings: Any, told: str) -> None:
    context(home, "odd", settings)
    with pytest.raises(Unready, match=told):
        find({"HOME": str(home), "DOCKER_CONTEXT": "odd"})


def test_a_configuration_that_makes_no_sense_is_told(home: Path) -> None:
    environ = {"HOME": str(home)}
    chosen(home, "gone")
    with pytest.raises(Unready, match=r"'gone' names no context that is there .*: `docker context ls` lists them"):
        find(environ)
    chosen(home, 7)
    with pytest.raises(Unready, match="has a currentContext that is no text"):
        find(environ)
    for text, told in (("{", "can't be read"), ("[]", "holds no JSON object")):
        (home / ".docker" / "config.json").write_text(text)
        with pytest.raises(Unready, match=told):
            find(environ)


def test_the_sockets_of_a_user_are_found(home: Path, listen: Callable[[Path], str]) -> None:
    environ = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}
    podman = listen(home / "run" / "podman" / "podman.sock")
    assert find(environ) == Endpoint(podman, "Podman's socket", is_named=False)
    rootless = listen(home / "run" / "docker.sock")
    assert find(environ) == Endpoint(rootless, "the socket of Docker without root", is_named=False)
    docker = listen(home / "no-docker.sock")
    assert find(environ).address == docker


def test_a_socket_that_refuses_this_user_gives_way(
    home: Path, listen: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}
    docker = listen(home / "no-docker.sock")
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).endswith("no-docker.sock"))
    assert find(environ).address == docker
    rootless = listen(home / "run" / "docker.sock")
    assert find(environ).address == rootless


def test_the_environment_has_what_was_found_once_it_is_there(home: Path, listen: Callable[[Path], str]) -> None:
    environ = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home / "run")}
    engine = OneEngine(environ)
    assert not engine().is_there
    assert "DOCKER_HOST" not in environ
    rootless = listen(home / "run" / "docker.sock")
    assert engine().address == environ["DOCKER_HOST"] == rootless
    # From then on it is that one, also where another comes up, and it is known where it came from.
    listen(home / "no-docker.sock")
    assert (engine().address, engine().origin) == (rootless, "the socket of Docker without root")


def test_what_docker_does_not_answer_is_told_with_where(home: Path) -> None:
    async def told(found: Endpoint) -> str:
        engine = DockerEngine(connection=DockerConnection(lambda: found))
        try:
            status = await engine.status()
        finally:
            await engine.close()
        assert not status.reachable
        assert status.address == found.address
        return status.error

    named = Endpoint(f"unix://{home}/colima.sock", "the docker context 'colima'")
    assert asyncio.run(told(named)) == (
        f"Docker does not answer at unix://{home}/colima.sock (the docker context 'colima'): start that engine, or "
        "choose another: DOCKER_HOST, DOCKER_CONTEXT and `docker context use` say which"
    )
    searched = Endpoint(f"unix://{home}/docker.sock", "Docker's own socket", is_named=False)
    assert "start it (`systemctl start docker`" in asyncio.run(told(searched))
    # One that hangs up is told as it is, and nobody is asked to start what runs.
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up() -> None:
            with contextlib.suppress(OSError):  # it is shut down
                while True:
                    listening.accept()[0].close()

        closing = threading.Thread(target=hang_up)
        closing.start()
        rude = Endpoint(f"tcp://127.0.0.1:{listening.getsockname()[1]}", "the docker context 'rude'")
        said = asyncio.run(told(rude))
        listening.shutdown(socket.SHUT_RDWR)
        closing.join(30)
    assert said.startswith(f"Docker broke off at {rude}: ")
    assert "start" not in said
    far = Endpoint("ssh://me@far", "DOCKER_HOST")
    assert "is on another machine: run the service there, and point WHERRY_SERVER_URL at it" in asyncio.run(told(far))
    gc.collect()  # no socket was left open, of which pytest would say so


def test_a_context_that_is_gone_is_what_the_status_says(home: Path) -> None:
    async def told() -> str:
        engine = DockerEngine(connection=DockerConnection(lambda: find({"HOME": str(home), "DOCKER_CONTEXT": "gone"})))
        try:
            return (await engine.status()).error
        finally:
            await engine.close()

    assert asyncio.run(told()).startswith("DOCKER_CONTEXT=gone names no context that is there")


def test_the_program_prints_it(home: Path) -> None:
    environ = {**os.environ, "HOME": str(home), "DOCKER_HOST": f"unix://{home}/none.sock"}
    for arguments, code in ((), 0), (("--answers",), 1):
        done = subprocess.run(
            [sys.executable, "-m", endpoint.__name__, *arguments], env=environ, capture_output=True, check=False
        )
        assert done.returncode == code
        assert json.loads(done.stdout) == {
            "address": f"unix://{home}/none.sock", "origin": "DOCKER_HOST", "is_named": True, "error": "",
        }  # fmt: skip


def test_the_default_is_dockers() -> None:
    assert DEFAULT == "unix:///var/run/docker.sock"


def test_a_service_does_not_start_with_a_context_that_is_gone(home: Path) -> None:
    environ = {**os.environ, "HOME": str(home), "DOCKER_CONTEXT": "gone", "DOCKER_HOST": ""}
    # Sockets leave room for a short path alone.
    with tempfile.TemporaryDirectory() as short:
        command = [sys.executable, "-m", "wherry_service", "--state-dir", short]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("wherry: DOCKER_CONTEXT=gone names no context that is there")
    assert "Traceback" not in done.stderr


def test_the_commands_say_which_engine_a_service_would_have(home: Path) -> None:
    environ = {**os.environ, "HOME": str(home), "DOCKER_HOST": f"unix://{home}/none.sock"}
    done = subprocess.run(
        [sys.executable, "-m", "wherry", "config", "show", "--json"], env=environ, capture_output=True, check=False
    )
    assert json.loads(done.stdout)["engine"] == f"unix://{home}/none.sock (DOCKER_HOST)"
