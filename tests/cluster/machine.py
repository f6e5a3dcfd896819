"""A machine to try things on: a container with a system of its own, in which an engine can run."""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from wherry_service.images import host

# All that an engine needs, short of `--privileged`: that is refused where the machine below lacks a capability too.
_RUN_FLAGS = (
    "--cap-add=ALL", "--cap-drop=SYS_RESOURCE", "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined", "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw", "--volume=/var/lib/docker",
)  # fmt: skip
_CA_BUNDLE = "/run/host/ca.crt"
_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT")


class Machine:
    """A running machine with a Debian system; gone with its disk at the end of the block.

    What this host needs to reach its package registries (CA bundle, pip's index, proxies) is lent by mounts and
    variables at run time: nothing of it gets into an image.
    """

    def __init__(self, suite: str, packages: Sequence[str], volumes: Sequence[str] = ()) -> None:
        self._image = image_of(suite, packages)
        # Directories of this host: "HERE:THERE".
        self._volumes = volumes
        self._id = ""

    def __enter__(self) -> "Machine":
        flags = [*_RUN_FLAGS, *(f"--volume={volume}" for volume in self._volumes)]
        if bundle := host.ca_bundle():
            flags.append(f"--volume={bundle.resolve()}:{_CA_BUNDLE}:ro")
            flags += [f"--env={name}={_CA_BUNDLE}" for name in _CA_VARIABLES]
        flags += [f"--env=PIP_{key.upper().replace('-', '_')}={value}" for key, value in host.pip_settings().items()]
        flags += [argument.replace("--build-arg=", "--env=") for argument in host.proxy_arguments()]
        # An engine turns on forwarding under /proc/sys.
        boot = "mount -o remount,rw /proc/sys; exec sleep infinity"
        self._id = _docker("run", "--detach", "--init", *flags, self._image, "sh", "-c", boot).strip()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _docker("rm", "--force", "--volumes", self._id)

    def run(self, *command: str, cwd: str = "/root", user: str = "root") -> subprocess.CompletedProcess[str]:
        """Run a command without a terminal or input; its output and errors are one text."""
        return subprocess.run(
            self.line(*command, cwd=cwd, user=user),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            check=False,
        )

    def line(self, *command: str, cwd: str = "/root", user: str = "root", options: Sequence[str] = ()) -> list[str]:
        """Return the command of this host that runs one in the machine; `-it` among the options: at a terminal."""
        return ["docker", "exec", f"--workdir={cwd}", f"--user={user}", *options, self._id, *command]

    def copy_in(self, source: Path, target: str) -> None:
        """Copy a file of this host into the machine."""
        _docker("cp", str(source), f"{self._id}:{target}")


def image_of(suite: str, packages: Sequence[str]) -> str:
    """Return a local image of the smallest Debian system with these packages, bootstrapped when it is not there."""
    # A tag has 128 characters at most.
    contents = hashlib.sha256(" ".join(sorted(packages)).encode()).hexdigest()[:12]
    tag = f"wherry-tests/machine:{suite}-{contents}"
    if _docker("image", "ls", "--quiet", tag):
        return tag
    scratch = Path(tempfile.mkdtemp(prefix="machine-"))
    root = scratch / "root"
    try:
        command = [host.debootstrap(), "--variant=minbase", f"--include={','.join(packages)}", suite, str(root)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with subprocess.Popen(["tar", "-C", str(root), "--numeric-owner", "-c", "."], stdout=subprocess.PIPE) as tar:
            subprocess.run(["docker", "import", "-", tag], check=True, stdin=tar.stdout, stdout=subprocess.DEVNULL)
    finally:
        shutil.rmtree(scratch)
    return tag


def _docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout
