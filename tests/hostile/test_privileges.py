"""What root in a container may not do to the kernel that it shares with the host."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.places import Got, Place

# Each is a program of its own: what it wants is refused with an error, wherever it runs.
REFUSED = {
    "mount a file system": "mount('tmpfs', '/mnt', 'tmpfs')",
    "mount another /proc": "mount('proc', '/mnt', 'proc')",
    "mount another /sys": "mount('sysfs', '/mnt', 'sysfs')",
    "mount the kernel's debugging": "mount('debugfs', '/mnt', 'debugfs')",
    "mount one directory over another": "mount('o', '/mnt', 'overlay', 0, 'lowerdir=/etc,upperdir=/tmp,workdir=/mnt')",
    "mount the cgroups writable": "mount('cgroup', '/mnt', 'cgroup')",
    "mount the new cgroups writable": "mount('cgroup2', '/mnt', 'cgroup2')",
    "bind a directory over another": "mount('/etc', '/mnt', None, MS_BIND)",
    "make /proc/sys writable": "mount('proc', '/proc/sys', None, MS_REMOUNT | MS_BIND)",
    "make /sys writable": "mount('sysfs', '/sys', None, MS_REMOUNT | MS_BIND)",
    "take away what hides the kernel's memory": "checked(libc.umount2(b'/proc/kcore', 2))",
    "a mount without a place": "syscall('fsopen', 'tmpfs', 0)",
    "make a device": "os.mknod('/tmp/disk', 0o600 | stat.S_IFBLK, os.makedev(8, 0)); read_device('/tmp/disk')",
    "make the kernel's memory a file": "os.mknod('/tmp/mem', 0o600 | stat.S_IFCHR, os.makedev(1, 1)); "
    "read_device('/tmp/mem')",
    "a disk that is there": "read_device(next(iter(block_devices()), '/dev/sda'))",
    "the kernel's memory": "read_device('/dev/mem')",
    "the kernel's memory as a core": "refused_unless(open('/proc/kcore', 'rb').read(16))",
    "the kernel's log": "os.open('/dev/kmsg', os.O_RDWR)",
    "virtual machines": "os.open('/dev/kvm', os.O_RDWR)",
    "file systems of one's own": "os.open('/dev/fuse', os.O_RDWR)",
    "network cards of one's own": "os.open('/dev/net/tun', os.O_RDWR)",
    "a loop device": "os.open('/dev/loop-control', os.O_RDWR)",
    "a name space of mounts": "syscall('unshare', 0x00020000); mount('tmpfs', '/mnt', 'tmpfs', out_of_here=True)",
    "a name space of users": "syscall('unshare', 0x10000000); mount('tmpfs', '/mnt', 'tmpfs', out_of_here=True)",
    "a name space of networks": "syscall('unshare', 0x40000000); refused_unless(len(socket.if_nameindex()) > 1)",
    "the first process's name spaces": "syscall('setns', os.open('/proc/1/ns/mnt', os.O_RDONLY), 0x00020000)",
    "another root": "syscall('pivot_root', '/tmp', '/tmp')",
    "a file by its handle": "syscall('open_by_handle_at', -100, ctypes.create_string_buffer(64), 0)",
    "load a module": "syscall('finit_module', os.open('/dev/null', os.O_RDONLY), '', 0)",
    "another kernel": "syscall('kexec_load', 0, 0, 0, 0)",
    "a program in the kernel": "syscall('bpf', 5, ctypes.create_string_buffer(72), 72)",
    "counters of the processor": "syscall('perf_event_open', ctypes.create_string_buffer(112), 0, -1, -1, 0)",
    "pages of others": "syscall('userfaultfd', 0)",
    "the kernel's key ring": "syscall('add_key', 'user', 'k', 'v', 1, -3)",
    "swap": "checked(libc.swapon(b'/etc/passwd', 0))",
    "the account of processes": "checked(libc.acct(b'/tmp/acct'))",
    "the machine's name": "socket.sethostname('owned')",
    "the machine's clock": "time.clock_settime(time.CLOCK_REALTIME, 1.0)",
    "the machine's end": "checked(libc.reboot(0x89ABCDEF))",
    "more than its limits": "resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 30, 1 << 30))",
    "to be served first": "os.setpriority(os.PRIO_PROCESS, 0, -20)",
    "to be spared where memory lacks": "open('/proc/self/oom_score_adj', 'w').write('-1000')",
    "a capability for a file": "os.setxattr(shutil.copy('/bin/true', '/tmp/true'), 'security.capability', bytes(20))",
    "write to the kernel's settings": "open('/proc/sys/kernel/core_pattern', 'w').write('|/tmp/x')",
    "what the kernel runs for a module": "open('/proc/sys/kernel/modprobe', 'w').write('/tmp/x')",
    "press the magic key": "open('/proc/sysrq-trigger', 'w').write('h')",
    "write to the kernel's objects": "open('/sys/kernel/uevent_helper', 'w').write('/tmp/x')",
    "a cgroup's last program": "open(next(glob.iglob('/sys/fs/cgroup/**/release_agent', recursive=True), '/none/x'), "
    "'w').write('/tmp/x')",
    "a cgroup of its own": "os.mkdir(next(glob.iglob('/sys/fs/cgroup/*/'), '/none/none/') + 'mine')",
    "its own limit of memory": "open(next(glob.iglob('/sys/fs/cgroup/**/memory*limit_in_bytes', recursive=True), "
    "next(glob.iglob('/sys/fs/cgroup/memory.max'), '/none/x')), 'w').write('-1')",
    "the engine": "reach_socket('/var/run/docker.sock', '/run/docker.sock', '/run/containerd/containerd.sock')",
}
# What gVisor does in a kernel of its own, which the container has to itself: it may succeed and reaches nothing. Its
# devices are its own, its name spaces are within it, and the host is as before (`unharmed`).
OWN_KERNEL = {
    "file systems of one's own",
    "network cards of one's own",
    "a name space of mounts",
    "a name space of users",
    "a name space of networks",
    "another root",
    "the machine's name",
    "to be served first",
    "to be spared where memory lacks",
    "a capability for a file",
    "the account of processes",
    "the first process's name spaces",
}

_TOOLS = """
import ctypes, errno, glob, os, platform, resource, shutil, socket, stat, time

MS_BIND, MS_REMOUNT = 0x1000, 0x20
NAMES = (
    "getpid", "pivot_root", "unshare", "finit_module", "bpf", "userfaultfd", "fsopen", "setns", "open_by_handle_at",
    "kexec_load", "perf_event_open", "add_key",
)
NUMBERS = dict(zip(NAMES, {
    "x86_64": (39, 155, 272, 313, 321, 323, 430, 308, 304, 246, 298, 248),
    "aarch64": (172, 41, 97, 273, 280, 282, 430, 268, 265, 104, 241, 217),
}[platform.machine()]))
libc = ctypes.CDLL(None, use_errno=True)

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def text(value):
    return value.encode() if isinstance(value, str) else value

def mount(source, place, kind, flags=0, options=None, out_of_here=False):
    checked(libc.mount(text(source), text(place), text(kind), flags, text(options)))

def refused_unless(value):
    if not value:
        raise PermissionError(errno.EPERM, "nothing is there")

def read_device(path):
    with open(path, "rb", buffering=0) as file:
        refused_unless(file.read(512))

def block_devices():
    for name in os.listdir("/dev"):
        if stat.S_ISBLK(os.lstat(f"/dev/{name}").st_mode):
            yield f"/dev/{name}"

def reach_socket(*paths):
    for path in paths:
        try:
            socket.socket(socket.AF_UNIX).connect(path)
        except OSError as error:
            failed = error
        else:
            return
    raise failed

def syscall(name, *arguments):
    return checked(libc.syscall(NUMBERS[name], *map(text, arguments)))
"""


def try_it(tools: str, program: str) -> None:
    exec(tools + program, {})


@pytest.fixture(autouse=True)
def unharmed() -> Iterator[None]:
    """The host is as it was: whatever an attacker was told."""
    before = _state_of_the_host()
    yield
    assert _state_of_the_host() == before


def _state_of_the_host() -> dict[str, str]:
    names = ("core_pattern", "hostname", "modprobe", "tainted", "sysrq")
    paths = [Path("/proc/sys/kernel", name) for name in names]
    paths += map(Path, ("/sys/kernel/uevent_helper", "/proc/modules", "/proc/swaps"))
    state = {str(path): path.read_text() for path in paths if path.exists()}
    state["year"] = time.strftime("%Y")
    mounts = (line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines())
    # Of containers there are more or fewer at any time.
    state["mounts"] = str(
        [place for place, kind in mounts if kind not in ("overlay", "nsfs") and "/docker" not in place]
    )
    return state


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(place: Place, runtime: str, name: str) -> None:
    if name == "to be spared where memory lacks" and not _has_capability(24):
        pytest.skip("the engine lacks CAP_SYS_RESOURCE here, with which it holds containers to their score")
    got = place.attack(try_it, _TOOLS, REFUSED[name])
    if runtime == "runsc" and name in OWN_KERNEL:
        return
    assert got.error in ("OSError", "PermissionError", "FileNotFoundError", "ProcessLookupError", "ValueError"), got
    assert got.error != "ValueError" or "not allowed to raise" in got.text, got


def _has_capability(number: int) -> bool:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    return bool(int(line.split()[1], 16) >> number & 1)


def test_a_program_that_is_roots_makes_nobody_root(place: Place) -> None:
    assert place.attack("cp /bin/sh /tmp/rooted && chmod 4755 /tmp/rooted").value[0] == 0
    assert place.attack(_run_as_nobody, "/tmp/rooted").value == "65534"


def _run_as_nobody(shell: str) -> str:
    import os
    import subprocess

    def fall() -> None:
        os.setgid(65534)
        os.setuid(65534)

    command = [shell, "-p", "-c", "id -u"]
    return subprocess.run(command, preexec_fn=fall, capture_output=True, text=True, check=False).stdout.strip()


def test_each_place_has_the_runtime_that_was_asked_for(place: Place, runtime: str) -> None:
    said = place.attack("dmesg").value[1]
    assert ("Starting gVisor" in said) == (runtime == "runsc"), said[-500:]


def test_tools_work(place: Place) -> None:
    # An attack that fails by a slip of its own would be taken as refused.
    assert (
        place.attack(try_it, _TOOLS, "assert syscall('getpid') == os.getpid(); os.stat('/mnt'); text('x'); libc.mount")
        == Got()
    )
