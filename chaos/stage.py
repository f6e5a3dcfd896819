"""Where a campaign takes place: a service with a disk, a database, an engine and a network of its own."""

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import docker
from docker.utils import kwargs_from_env

from chaos.engine import Engine
from chaos.postgres import Postgres
from chaos.processes import Process, service_process, until
from chaos.proxy import Proxy

DISK_MIB = 600
_CLI = [sys.executable, "-m", "wherry.cli.main"]
_TOP = Path(__file__).resolve().parents[1]
# Who has set these means another service.
_NOT_OURS = ("WHERRY_SERVER_URL", "WHERRY_TOKEN_ID", "WHERRY_TOKEN_SECRET", "WHERRY_PROFILE", "WHERRY_ENVIRONMENT")


@dataclass(frozen=True)
class Choice:
    """What a campaign is run on."""

    postgres: bool = False
    tcp: bool = False
    engine: bool = False
    gvisor: bool = False


class Stage:
    """All that a campaign makes on this machine; gone at the end of the block."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self._undo = contextlib.ExitStack()
        self.postgres: Postgres | None = None
        self.engine: Engine | None = None
        self.proxy: Proxy | None = None
        self.has_small_disk = False
        self.starts = 0
        """How often this started the service again, which nobody else does where clients are elsewhere."""
        self._ended = threading.Event()
        self._keeping = threading.Lock()
        # Short: the path of a Unix socket has 107 characters at most.
        self.folder = Path(tempfile.mkdtemp(prefix="chaos-"))
        self.state_dir = self.folder / "s"
        self.journals = self.folder / "journals"
        self.environment = {key: value for key, value in os.environ.items() if key not in _NOT_OURS}
        self.environment.update(
            WHERRY_STATE_DIR=str(self.state_dir), WHERRY_CONFIG_PATH=str(self.folder / "profiles.toml"),
            PYTHONPATH=str(_TOP), WHERRY_HTTP_PORT=str(_free_port()),
        )  # fmt: skip

    def __enter__(self) -> "Stage":
        with contextlib.ExitStack() as undo:
            undo.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._make(undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._undo.close()

    # The service

    def service(self) -> Process | None:
        """Return the service's process, if there is one now."""
        return service_process(self.state_dir)

    def command(self, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        """Run `wherry` as a client does."""
        return subprocess.run(
            [*_CLI, *words], env={**self.environment, **environment}, cwd=_TOP, capture_output=True, text=True,
            timeout=180, check=False,
        )  # fmt: skip

    def at_service(self, *words: str) -> str:
        """Run `wherry` as the service's own user does, on its socket. Raises RuntimeError with what it said."""
        said = subprocess.run(
            [*_CLI, *words], env=self._at_home, capture_output=True, text=True, timeout=180, check=False
        )
        if said.returncode != 0:
            raise RuntimeError(
                f"wherry {' '.join(words)} ended with code {said.returncode}: {said.stdout}{said.stderr}"
            )
        return said.stdout

    @property
    def _at_home(self) -> dict[str, str]:
        """What the service's own user has set: no profile."""
        home = {key: value for key, value in self.environment.items() if key not in _NOT_OURS}
        return {**home, "WHERRY_CONFIG_PATH": str(self.folder / "no-profiles.toml")}

    def stop_service(self) -> None:
        """Stop the service in order."""
        self._ended.set()
        with self._keeping:
            self.at_service("server", "stop")

    @property
    def log(self) -> str:
        """What the service has logged."""
        path = self.state_dir / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    # The engine

    @property
    def instance(self) -> str:
        """The label that the service's containers, volumes and networks have."""
        return hashlib.sha256(str((self.state_dir / "run").resolve()).encode()).hexdigest()[:12]

    def engine_client(self) -> docker.APIClient:
        """Return a client of the engine that the service uses."""
        if self.engine is not None:
            return docker.APIClient(base_url=self.engine.address, timeout=30)
        return docker.APIClient(timeout=30, **kwargs_from_env())

    def containers(self) -> list[dict[str, Any]]:
        """Return the running containers of the service, in an order that does not depend on the engine's."""
        client = self.engine_client()
        try:
            found: list[dict[str, Any]] = client.containers(filters={"label": f"wherry.instance={self.instance}"})
        finally:
            client.close()
        return sorted(found, key=lambda row: str(row["Created"]) + str(row["Id"]))

    @property
    def database_url(self) -> str:
        """The service's database, as its owner reaches it."""
        return self.postgres.url if self.postgres is not None else f"sqlite:///{self.state_dir / 'wherry.db'}"

    # How it is made

    def _make(self, undo: contextlib.ExitStack) -> None:
        self.journals.mkdir()
        self.state_dir.mkdir(mode=0o700)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=0700", "chaos", str(self.state_dir)]
        if os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
            self.has_small_disk = True
            undo.callback(subprocess.run, ["umount", "--lazy", str(self.state_dir)], check=False)
        if self.choice.postgres:
            self.postgres = Postgres()
            undo.callback(self.postgres.close)
            self.environment["WHERRY_DATABASE_URL"] = self.postgres.url
        if self.choice.engine or self.choice.gvisor:
            self.engine = Engine(gvisor=self.choice.gvisor)
            undo.callback(self.engine.close)
            self.environment["DOCKER_HOST"] = self.engine.address
        if self.choice.gvisor:
            self.environment["WHERRY_SANDBOX_RUNTIME"] = "runsc"
        undo.callback(self._remove_service)
        if self.choice.tcp:
            self._listen(undo)
        else:
            self.at_service("server", "start")

    def _listen(self, undo: contextlib.ExitStack) -> None:
        """Have the service listen for TCP, behind a network that can break, and be started again when it dies."""
        port = _free_port()
        self._port = port
        self._start()
        until((self.state_dir / "local.sock").exists, f"the service listens\n{self.log}", 30)
        keeper = threading.Thread(target=self._keep)
        keeper.start()
        undo.callback(keeper.join)
        undo.callback(self._ended.set)
        self.proxy = Proxy(port)
        undo.callback(self.proxy.close)
        token = json.loads(self.at_service("token", "new", "chaos", "--scope", "admin", "-e", "*", "--json"))
        url = f"https://127.0.0.1:{self.proxy.port}"
        certificate = str(self.state_dir / "tls" / "certificate.pem")
        self.environment.update(WHERRY_TOKEN_ID=token["token_id"], WHERRY_TOKEN_SECRET=token["token_secret"])
        added = self.command("profile", "add", "chaos", "--url", url, "--certificate", certificate)
        for name in ("WHERRY_TOKEN_ID", "WHERRY_TOKEN_SECRET"):
            del self.environment[name]
        if added.returncode != 0:
            raise RuntimeError(f"wherry profile add: {added.stdout}{added.stderr}")
        self.environment["WHERRY_PROFILE"] = "chaos"

    def _start(self) -> None:
        command = [sys.executable, "-m", "wherry_service", "--state-dir", str(self.state_dir)]
        command += ["--listen", f"127.0.0.1:{self._port}", "--dev-tls"]
        with open(self.state_dir / "server.log", "ab") as log:
            self._served = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._at_home, start_new_session=True
            )

    def _keep(self) -> None:
        """Start the service again whenever it has died, as systemd would."""
        while not self._ended.wait(0.5):
            with self._keeping:
                if self._served.poll() is not None and not self._ended.is_set():
                    self.starts += 1
                    self._start()

    def _remove_service(self) -> None:
        """Take away what is left of the service and its containers, however it ended."""
        self._ended.set()
        if self.service() is not None:
            with contextlib.suppress(RuntimeError, subprocess.TimeoutExpired):
                self.at_service("server", "stop", "--force")
        while (process := self.service()) is not None:
            process.send(9)
            until(lambda: self.service() is None, "the service is gone", 30)
        client = self.engine_client()
        with contextlib.closing(client):
            for row in client.containers(all=True, filters={"label": f"wherry.instance={self.instance}"}):
                with contextlib.suppress(docker.errors.APIError):
                    client.remove_container(row["Id"], force=True, v=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
