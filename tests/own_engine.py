"""An engine of the tests' own, in a network of its own: with another runtime, or with users of its own."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.waiting import wait_until

BASE = "wherry/base:bookworm"
# What gVisor needs below a virtual machine: no cgroups of its own, no network stack of its own.
GVISOR = ["--platform=ptrace", "--overlay2=none", "--ignore-cgroups", "--host-uds=all", "--network=none"]


class OwnEngine:
    """An engine in a network namespace of its own, never in this machine's: there it would take the other's rules.

    Its network has no way to the outside. A service of it runs behind `command_prefix`, in the same network.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="engine-"))
        # An engine with users of its own has to reach what is below.
        self._folder.chmod(0o711)
        (self._folder / "settings.json").write_text(json.dumps(settings))
        self.address = f"unix://{self._folder}/docker.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._network: subprocess.Popen[bytes] | None = None

    @classmethod
    def with_runtime(cls, runtime: str) -> "OwnEngine":
        """Return one that knows gVisor, `runsc`, or whatever is on PATH under that name."""
        program = shutil.which(runtime)
        assert program is not None, f"{runtime} is not installed (on Debian: apt-get install {runtime})"
        arguments = GVISOR if runtime == "runsc" else []
        return cls({"runtimes": {runtime: {"path": program, "runtimeArgs": arguments}}})

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which Docker's clients find it."""
        return {"DOCKER_HOST": self.address}

    @property
    def command_prefix(self) -> tuple[str, ...]:
        """What runs a command in its network."""
        assert self._network is not None
        return ("nsenter", f"--net=/proc/{self._network.pid}/ns/net", "--")

    def __enter__(self) -> "OwnEngine":
        script = "ip link set lo up && echo up && exec sleep infinity"
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        self._network = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", script], stdout=subprocess.PIPE, env={**os.environ, "PATH": path}
        )
        assert self._network.stdout is not None
        assert self._network.stdout.readline() == b"up\n"
        self._network.stdout.close()
        self.start()
        self.load(BASE)
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
        assert self._network is not None
        self._network.terminate()
        self._network.wait()
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        for place in [line.split()[1] for line in mounts if line.split()[1].startswith(f"{self._folder}/")]:
            subprocess.run(["umount", "--lazy", place], check=False, capture_output=True)
        # What a container's file system was mounted on may be busy for a moment.
        wait_until(lambda: shutil.rmtree(self._folder, ignore_errors=True) or not self._folder.exists(), "it is gone")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        folder = self._folder
        command = [
            *self.command_prefix, "dockerd", f"--data-root={folder}/disk", f"--exec-root={folder}/run",
            f"--pidfile={folder}/pid", f"--config-file={folder}/settings.json", f"--host={self.address}",
        ]  # fmt: skip
        with open(folder / "log", "ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment())
        wait_until(self._answers, "the engine answers", 60)

    def stop(self) -> None:
        """End it, and what it runs."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait()

    def load(self, image: str) -> None:
        """Give it an image of this machine's engine, if that has it."""
        if subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False).returncode:
            return
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saved:
            subprocess.run(
                ["docker", f"--host={self.address}", "load"], check=True, stdin=saved.stdout, capture_output=True
            )

    def _environment(self) -> dict[str, str]:
        # Some kernels have only one of the two back ends of iptables; the engine gets the one that works.
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
        found = {**os.environ, "PATH": path}
        probe = [*self.command_prefix, "iptables", "-w", "-t", "nat", "-L", "-n"]
        if subprocess.run(probe, capture_output=True, check=False, env=found).returncode:
            (self._folder / "bin").mkdir(exist_ok=True)
            for name in ("iptables", "ip6tables"):
                link = self._folder / "bin" / name
                link.unlink(missing_ok=True)
                link.symlink_to(shutil.which(f"{name}-legacy", path=path) or name)
            found["PATH"] = f"{self._folder}/bin:{path}"
        return found

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()[-4000:]
        asked = subprocess.run(["docker", f"--host={self.address}", "version"], capture_output=True, check=False)
        return asked.returncode == 0
