"""What root in a container may not do to the kernel that it shares with the host."""

import pytest

from tests.hostile.places import Got, Place

# Each is a program of its own: what it wants is refused with an error, wherever it runs.
REFUSED = {
    "mount a file system": "mount('tmpfs', '/mnt', 'tmpfs')",
    "mount the cgroups writable": "mount('cgroup', '/mnt', 'cgroup')",
    "bind a directory over another": "mount('/etc', '/mnt', None, MS_BIND)",
    "make /proc/sys writable": "mount('proc', '/proc/sys', None, MS_REMOUNT | MS_BIND)",
    "make a device": "os.mknod('/tmp/disk', 0o600 | stat.S_IFBLK, os.makedev(8, 0))",
    "make a name space of mounts": "syscall('unshare', 0x00020000)",
    "make a name space of users": "syscall('unshare', 0x10000000)",
    "load a module": "syscall('finit_module', os.open('/dev/null', os.O_RDONLY), '', 0)",
    "write to the kernel's settings": "open('/proc/sys/kernel/core_pattern', 'w').write('|/tmp/x')",
    "press the magic key": "open('/proc/sysrq-trigger', 'w').write('h')",
    "write to the kernel's objects": "open('/sys/kernel/uevent_helper', 'w').write('/tmp/x')",
}

_TOOLS = """
import ctypes, os, platform, socket, stat

MS_BIND, MS_REMOUNT = 0x1000, 0x20
NAMES = "getpid", "ptrace", "keyctl", "unshare", "finit_module", "bpf", "userfaultfd"
NUMBERS = dict(zip(NAMES, {
    "x86_64": (39, 101, 250, 272, 313, 321, 323),
    "aarch64": (172, 117, 219, 97, 273, 280, 282),
}[platform.machine()]))
libc = ctypes.CDLL(None, use_errno=True)

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def text(value):
    return value.encode() if isinstance(value, str) else value

def mount(source, place, kind, flags=0):
    checked(libc.mount(text(source), text(place), text(kind), flags, None))

def syscall(name, *arguments):
    return checked(libc.syscall(NUMBERS[name], *map(text, arguments)))
"""


def try_it(tools: str, program: str) -> None:
    exec(tools + program, {})


@pytest.mark.parametrize("program", [pytest.param(program, id=name) for name, program in REFUSED.items()])
def test_is_refused(place: Place, program: str) -> None:
    got = place.attack(try_it, _TOOLS, program)
    assert got.error in ("OSError", "PermissionError", "FileNotFoundError"), got


def test_each_place_has_the_runtime_that_was_asked_for(place: Place, runtime: str) -> None:
    said = place.attack("dmesg").value[1]
    assert ("Starting gVisor" in said) == (runtime == "runsc"), said[-500:]


def test_tools_work(place: Place) -> None:
    # An attack that fails by a slip of its own would be taken as refused.
    assert (
        place.attack(try_it, _TOOLS, "assert syscall('getpid') == os.getpid(); os.stat('/mnt'); text('x'); libc.mount")
        == Got()
    )
