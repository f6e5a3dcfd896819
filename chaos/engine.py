"""A Docker engine of the campaign's own, that may be killed: in network and mounts of its own, on a disk of its own."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from chaos.processes import Process, commands, until

_BASE = "wherry/base:bookworm"
_DEADLINE_S = 90.0
_GVISOR = ["--platform=ptrace", "--ignore-cgroups", "--network=none", "--overlay2=none", "--host-uds=all"]


class Engine:
    """One dockerd. An engine takes another's bridge and rules away, so it never runs in this machine's network."""

    def __init__(self, *, gvisor: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="chaos-en-"))
        self.address = f"unix://{self.folder}/docker.sock"
        runtimes = {"runsc": {"path": shutil.which("runsc") or "runsc", "runtimeArgs": _GVISOR}} if gvisor else {}
        (self.folder / "daemon.json").write_text(json.dumps({"runtimes": runtimes}))
        self._outer: subprocess.Popen[bytes] | None = None
        self.start()
        self._load_base()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        here = self.folder
        (here / "pid").unlink(missing_ok=True)
        dockerd = [
            "dockerd", f"--data-root={here}/disk", f"--exec-root={here}/run", f"--pidfile={here}/pid",
            f"--config-file={here}/daemon.json", f"--host={self.address}", "--bridge=none", "--iptables=false",
        ]  # fmt: skip
        if self._outer is None:
            # Its network and mounts last as long as this process: an engine that is killed finds them again.
            script = "ip link set lo up && exec sleep infinity"
            self._outer = self._started(["unshare", "--net", "sh", "-c", script])
            # Until then it is in this machine's network, where an engine without a bridge takes the other's away.
            until(self._is_apart, "the campaign's own engine has a network of its own", _DEADLINE_S)
        enter = ["nsenter", f"--net=/proc/{self._outer.pid}/ns/net"]
        self._server = self._started([*enter, "sh", "-c", f"exec {shlex.join(dockerd)}"])
        until(self._answers, "the campaign's own engine answers", _DEADLINE_S)

    def kill(self) -> None:
        """End it at once, with its containerd. Containers run on, and the next one finds them."""
        self._server.kill()
        self._server.wait(_DEADLINE_S)
        containerd = f"{self.folder}/run/containerd/containerd.toml"
        self._kill(lambda words: "shim" not in words[0] and containerd in words)
        # Where nobody takes note of its end, the next one would take it for alive.
        Path(f"{self.folder}/run/containerd/containerd.pid").unlink(missing_ok=True)

    def close(self) -> None:
        """End it with all its containers, and leave nothing."""
        self._server.send_signal(signal.SIGTERM)
        try:
            self._server.wait(_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait(_DEADLINE_S)
        self._kill(lambda words: any(word.startswith(f"{self.folder}/") for word in words))
        if self._outer is not None:
            self._outer.kill()
            self._outer.wait(_DEADLINE_S)
        for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            if (place := line.split()[1]).startswith(f"{self.folder}/"):
                subprocess.run(["umount", "--lazy", place], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    @staticmethod
    def _kill(which: Callable[[list[str]], bool]) -> None:
        for pid, words in commands():
            if which(words):
                with contextlib.suppress(ProcessLookupError):
                    Process(pid).send(signal.SIGKILL)

    def _started(self, command: list[str]) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
        with open(self.folder / "log", "ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )

    def _is_apart(self) -> bool:
        assert self._outer is not None
        if self._outer.poll() is not None:
            raise RuntimeError(f"no network could be made:\n{(self.folder / 'log').read_text()[-3000:]}")
        return os.readlink(f"/proc/{self._outer.pid}/ns/net") != os.readlink("/proc/self/ns/net")

    def _answers(self) -> bool:
        if self._server.poll() is not None:
            raise RuntimeError(f"the campaign's own engine ended:\n{(self.folder / 'log').read_text()[-3000:]}")
        return self._docker("version").returncode == 0

    def _load_base(self) -> None:
        """Take the base image over from this machine's engine, if it has it: making it takes a minute."""
        if subprocess.run(["docker", "image", "inspect", _BASE], capture_output=True, check=False).returncode == 0:
            with subprocess.Popen(["docker", "save", _BASE], stdout=subprocess.PIPE) as saved:
                self._docker("load", stdin=saved.stdout)

    def _docker(self, *arguments: str, stdin: object = subprocess.DEVNULL) -> "subprocess.CompletedProcess[bytes]":
        command = ["docker", "-H", self.address, *arguments]
        return subprocess.run(command, stdin=stdin, capture_output=True, check=False)  # type: ignore[call-overload,no-any-return]
