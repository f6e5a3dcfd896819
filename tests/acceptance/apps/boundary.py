"""A function whose code wants out: each attack is tried as root in its container."""

import ctypes
import errno
import mmap
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import wherry

MOUNTED = "/mounted/common.py"
OWN = "/run/wherry"
_AT_FDCWD = -100
_EXCHANGE = 2
# Numbers of system calls and flags on x86-64 and, where they differ, on arm64.
_ON_ARM = os.uname().machine == "aarch64"
_RENAMEAT2 = 276 if _ON_ARM else 316
_PIVOT_ROOT = 41 if _ON_ARM else 155
_OPEN_BY_HANDLE = 265 if _ON_ARM else 304
_OPEN_TREE = 428
_NEW_MOUNTS, _NEW_USER = 0x20000, 0x10000000
_REMOUNT, _BIND, _READ_ONLY = 32, 4096, 1

app = wherry.App("boundary")
image = wherry.Image.debian_slim().add_local_file(__file__, MOUNTED)


def _system(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)


def _listen(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as own:
        own.bind(path)


def _through_descriptor(path: str) -> None:
    with open(path, "rb") as file:
        open(f"/proc/self/fd/{file.fileno()}", "r+b").close()


def _map(path: str) -> None:
    with open(path, "rb") as file:
        mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_WRITE)


def _exchange(one: str, other: str) -> None:
    os.makedirs(other, exist_ok=True)
    _system("syscall", _RENAMEAT2, _AT_FDCWD, one.encode(), _AT_FDCWD, other.encode(), _EXCHANGE)


def _raw_disk() -> None:
    os.mknod("/tmp/disk", stat.S_IFBLK | 0o600, os.stat(MOUNTED).st_dev)


ATTACKS: dict[str, Callable[[], object]] = {
    "rename in": lambda: os.rename(f"{OWN}/in", f"{OWN}/in.orig"),
    "rename in to elsewhere": lambda: os.rename(f"{OWN}/in", "/tmp/in"),
    "exchange in": lambda: _exchange(f"{OWN}/in", "/tmp/evil"),
    "exchange the mount": lambda: _exchange(OWN, "/run/evil"),
    "rename the mount": lambda: os.rename(OWN, "/run/moved"),
    "a link in": lambda: os.symlink("/etc", f"{OWN}/in/bl-00000000000000000000000000"),
    "a link out": lambda: os.symlink("/etc", f"{OWN}/out"),
    "a directory out": lambda: os.mkdir(f"{OWN}/out"),
    "a file": lambda: open(f"{OWN}/file", "w").close(),
    "a file without a name": lambda: os.open(OWN, os.O_TMPFILE | os.O_WRONLY),
    "a pipe": lambda: os.mkfifo(f"{OWN}/pipe"),
    "a device": lambda: os.mknod(f"{OWN}/device", stat.S_IFCHR | 0o600, os.makedev(1, 3)),
    "the disk itself": _raw_disk,
    "a socket": lambda: _listen(f"{OWN}/socket"),
    "a hard link": lambda: os.link("/etc/passwd", f"{OWN}/passwd"),
    "a hard link of a mounted file": lambda: os.link(MOUNTED, "/tmp/linked.py"),
    "unlink the runner's socket": lambda: os.unlink(f"{OWN}/runner.sock"),
    "unlink the values' socket": lambda: os.unlink(f"{OWN}/values.sock"),
    "remove in": lambda: os.rmdir(f"{OWN}/in"),
    "chmod of a socket": lambda: os.chmod(f"{OWN}/api.sock", 0o600),
    "chmod of a directory": lambda: os.chmod(OWN, 0o1777),
    "chown": lambda: os.chown(OWN, 1000, 1000),
    "write source": lambda: open(f"{OWN}/source/new.py", "w").close(),
    "write a mounted file": lambda: open(MOUNTED, "r+b").close(),
    "write through a descriptor": lambda: _through_descriptor(MOUNTED),
    "write through the first process": lambda: open(f"/proc/1/root{MOUNTED}", "r+b").close(),
    "write through its directory": lambda: open(f"/proc/self/cwd/../{MOUNTED}", "r+b").close(),
    "map a mounted file": lambda: _map(MOUNTED),
    "truncate a mounted file": lambda: os.truncate(MOUNTED, 0),
    "chmod of a mounted file": lambda: os.chmod(MOUNTED, 0o777),
    "the time of a mounted file": lambda: os.utime(MOUNTED, (1, 1)),
    "an attribute of a mounted file": lambda: os.setxattr(MOUNTED, "user.x", b"x"),
    "remount": lambda: _system("mount", b"none", OWN.encode(), None, _REMOUNT | _BIND, None),
    "mount over it": lambda: _system("mount", b"/tmp", OWN.encode(), None, _BIND, None),
    "unmount": lambda: _system("umount2", OWN.encode(), 2),
    "mounts of its own": lambda: _system("unshare", _NEW_MOUNTS),
    "users of its own": lambda: _system("unshare", _NEW_USER),
    "another root": lambda: _system("syscall", _PIVOT_ROOT, b"/tmp", b"/tmp"),
    "a file by its handle": lambda: _system("syscall", _OPEN_BY_HANDLE, _AT_FDCWD, ctypes.create_string_buffer(64), 0),
    "a clone of a mount": lambda: _system("syscall", _OPEN_TREE, _AT_FDCWD, OWN.encode(), 1),
}


@app.function(image=image, max_containers=1)
def attack(name: str) -> str:
    """Try one; return the error that it met, "" if none."""
    try:
        ATTACKS[name]()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return ""


@app.function(image=image)
def reads() -> str:
    """What a container has of the mounted file."""
    return Path(MOUNTED).read_text()
