"""A system that boots: systemd as the first process of its own namespaces, on this host's kernel and engine."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from tests.cluster.machine import image_of
from tests.waiting import wait_until

_NAMESPACES = ("--mount", "--pid", "--uts", "--ipc", "--net")
_SOCKET = Path("/var/run/docker.sock")
# Nothing of this host's can be changed by it: /proc/sys and /sys can only be read, /dev and /run are its own.
_BOOT = """
set -e
mount --bind {root} {root}
mount -t proc proc {root}/proc
mount --bind {root}/proc/sys {root}/proc/sys
mount -o remount,bind,ro {root}/proc/sys
for place in run tmp dev; do mount -t tmpfs tmpfs {root}/$place; done
mkdir {root}/run/lock {root}/dev/shm {root}/dev/pts
for node in null:3 zero:5 full:7 random:8 urandom:9; do mknod -m 666 {root}/dev/${{node%:*}} c 1 ${{node#*:}}; done
mount -t devpts -o newinstance,ptmxmode=0666 devpts {root}/dev/pts
ln -s pts/ptmx {root}/dev/ptmx
ln -s /proc/self/fd {root}/dev/fd
touch {root}/dev/console {root}/run/docker.sock
mount --bind {socket} {root}/run/docker.sock
mount -t sysfs -o ro sysfs {root}/sys
mount -t cgroup2 none {root}/sys/fs/cgroup
for place in {lent}; do mkdir -p {root}$place; mount --rbind $place {root}$place; done
exec env -i container=docker PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot {root} /lib/systemd/systemd
"""
# In a cgroup of its own, which it takes for the whole tree.
_ENTER = """
mount -t cgroup2 none {tree}
mkdir -p {tree}/{name}
echo $$ >{tree}/{name}/cgroup.procs
umount {tree}
exec unshare --mount --propagation private --pid --fork --kill-child --uts --ipc --net --cgroup sh -c "$BOOT"
"""


class Booted:
    """Debian with systemd; `lent`: directories of this host that are there at the same place."""

    def __init__(self, *lent: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="booted-"))
        self._root = self._folder / "root"
        self._tree = self._folder / "cgroup"
        self._lent = [Path(sys.base_prefix), *lent]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Booted":
        self._root.mkdir()
        self._tree.mkdir()
        image = image_of("bookworm", ["systemd", "systemd-sysv", "dbus", "libpam-systemd", "python3"])
        create = ["docker", "create", image, "true"]
        made = subprocess.run(create, check=True, capture_output=True, text=True).stdout.strip()
        try:
            with subprocess.Popen(["docker", "export", made], stdout=subprocess.PIPE) as exported:
                subprocess.run(["tar", "-x", "-C", str(self._root)], check=True, stdin=exported.stdout)
        finally:
            subprocess.run(["docker", "rm", made], check=True, capture_output=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.power_off()
        cgroup = self._tree / self._folder.name
        script = f"mount -t cgroup2 none {self._tree} && find {cgroup} -depth -type d -exec rmdir {{}} +"
        subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script], check=False)
        shutil.rmtree(self._folder)

    def boot(self) -> None:
        """Start it, and wait until all of its services have started."""
        lent = " ".join(map(str, self._lent))
        boot = _BOOT.format(root=self._root, socket=_SOCKET.resolve(), lent=lent)
        enter = _ENTER.format(tree=self._tree, name=self._folder.name)
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", enter],
            env={"PATH": os.environ["PATH"], "BOOT": boot}, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        # A getty has no console there, which makes it "degraded".
        wait_until(lambda: self._state() in ("running", "degraded"), "it has booted", 60)

    def _state(self) -> str:
        return self.run("systemctl", "is-system-running").stdout.strip()

    def power_off(self) -> None:
        """Shut it down in order, as a reboot begins; its disk stays."""
        process, self._process = self._process, None
        if process is None:
            return
        self._enter(process, "systemctl", "poweroff")
        try:
            process.wait(100)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def run(self, *line: str) -> subprocess.CompletedProcess[str]:
        """Run a command as root."""
        assert self._process is not None
        return self._enter(self._process, *line)

    def _enter(self, process: "subprocess.Popen[bytes]", *line: str) -> subprocess.CompletedProcess[str]:
        first = self._first(process)
        if not first:
            return subprocess.CompletedProcess(line, 1, "", "it has not begun to boot, or is off")
        words = ["nsenter", f"--target={first}", *_NAMESPACES, "--root", "--wd", "env", "-i"]
        words += ["HOME=/root", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *line]
        return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)

    def _first(self, process: "subprocess.Popen[bytes]") -> str:
        """Return the id of its first process, once that has its own root: nothing is to be run on this host instead."""
        with contextlib.suppress(OSError):
            for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                if os.readlink(f"/proc/{child}/root") == str(self._root):
                    return child
        return ""
