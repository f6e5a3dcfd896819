"""Sandboxes on a real engine: any command, its streams and end, what it may not do, and what survives a restart."""

import asyncio
import json
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import wherry
from tests.acceptance.service import OwnService
from tests.engine_host import bridge_gateway
from tests.waiting import wait_until
from wherry import Sandbox
from wherry.exception import (
    AlreadyExistsError,
    ExecutionError,
    InvalidError,
    NotFoundError,
    SandboxTerminatedError,
    SandboxTimeoutError,
)

# Of the engine's default set: CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, NET_BIND_SERVICE.
ALLOWED = {0, 1, 3, 4, 5, 6, 7, 10}
# Run under gVisor by tests/cluster/test_gvisor.py; docs/sandboxes.md lists what it does not do.
GVISOR = os.environ.get("WHERRY_SANDBOX_RUNTIME") == "runsc"
not_under_gvisor = pytest.mark.skipif(GVISOR, reason="gVisor does not do it: docs/sandboxes.md says why")


@pytest.fixture(scope="module")
def box(service: OwnService) -> Iterator[Sandbox]:
    """One sandbox for all that needs no other, without network."""
    with Sandbox.create(block_network=True, timeout=300, name="box", tags={"suite": "yes"}) as sandbox:
        yield sandbox


@pytest.fixture
def run(service: OwnService) -> Iterator[Callable[..., Sandbox]]:
    """Make a sandbox that is gone after the test."""
    made: list[Sandbox] = []

    def create(*command: str, **options: object) -> Sandbox:
        made.append(Sandbox.create(*command, **{"block_network": True, **options}))
        return made[-1]

    yield create
    for sandbox in made:
        sandbox.terminate()


# Its command


def test_streams_and_exit_code_of_its_command(run: Callable[..., Sandbox]) -> None:
    sandbox = run("sh", "-c", "echo héllo; echo oops >&2; cat; exit 7", env={"A": "b"}, workdir="/tmp")
    assert sandbox.poll() is None
    assert next(sandbox.stdout) == "héllo\n"
    sandbox.stdin.write("typed\n")
    sandbox.stdin.drain()
    assert next(sandbox.stdout) == "typed\n"
    sandbox.stdin.write(b"last")
    sandbox.stdin.write_eof()
    assert sandbox.stdout.read() == "last"
    assert sandbox.stderr.read() == "oops\n"
    assert sandbox.wait() == 7
    assert (sandbox.returncode, sandbox.poll()) == (7, 7)
    # What it printed is there for whoever comes later.
    assert list(Sandbox.from_id(sandbox.object_id).stdout) == ["héllo\n", "typed\n", "last"]


def test_a_terminal_prints_much(run: Callable[..., Sandbox]) -> None:
    sandbox = run("sh", "-c", "test -t 1 && head -c 2000000 /dev/zero | tr '\\0' x", pty=True)
    assert sandbox.stdout.read() == "x" * 2_000_000
    assert sandbox.stderr.read() == ""
    assert sandbox.wait() == 0


def test_b60_terminate_gives_137(run: Callable[..., Sandbox]) -> None:
    sandbox = run("sleep", "100")
    sandbox.terminate()
    assert sandbox.returncode == 137
    with pytest.raises(SandboxTerminatedError, match="was terminated"):
        sandbox.wait()
    assert sandbox.wait(raise_on_termination=False) == 137
    with pytest.raises(NotFoundError, match="has ended"):
        sandbox.exec("true")


def test_b60_timeout_gives_124_without_its_client(service: OwnService, environment: dict[str, str]) -> None:
    source = "import wherry; print(wherry.Sandbox.create('sleep', '100', timeout=1).object_id)"
    ended = subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, text=True, check=True)
    sandbox = Sandbox.from_id(ended.stdout.strip())
    with pytest.raises(SandboxTimeoutError, match="lived longer than its timeout of 1 s"):
        sandbox.wait()
    assert sandbox.returncode == 124


def test_any_image_without_python(service: OwnService, run: Callable[..., Sandbox], busybox: wherry.Image) -> None:
    sandbox = run("sh", "-c", "ls /bin | wc -l; sleep 100", image=busybox)
    assert int(next(sandbox.stdout)) > 10
    process = sandbox.exec("cat")
    process.stdin.write("x" * 200_000)
    process.stdin.write_eof()
    assert len(process.stdout.read()) == 200_000
    files = sandbox.filesystem
    files.write("/tmp/a", "text")
    assert files.read_text("/tmp/a") == "text"
    assert files.ls("/tmp") == ["a"]
    assert sandbox.exec("python3").wait() == 127


@pytest.fixture(scope="module")
def busybox(service: OwnService, tmp_path_factory: pytest.TempPathFactory) -> wherry.Image:
    """An image of one statically linked program."""
    found = shutil.which("busybox")
    if found is None:
        pytest.skip("./dev setup installs busybox where it is root; other images are tested anyway")
    tmp_path = tmp_path_factory.mktemp("busybox")
    linked = subprocess.run(["ldd", found], capture_output=True, text=True, check=False)
    if linked.returncode == 0:
        pytest.skip(
            "this host's busybox needs a C library, which the image without any is to lack; Debian's needs none"
        )
    (tmp_path / "busybox").write_bytes(Path(found).read_bytes())
    (tmp_path / "busybox").chmod(0o755)
    return (
        wherry.Image.from_scratch()
        .add_local_file(tmp_path / "busybox", "/bin/busybox", copy=True)
        .dockerfile_commands(
            'RUN ["/bin/busybox", "--install", "-s", "/bin"]',
            'RUN ["/bin/busybox", "mkdir", "-p", "/tmp", "/root"]',
        )
    )


# Execs


def test_exec_has_streams_exit_code_env_and_workdir(box: Sandbox) -> None:
    process = box.exec("sh", "-c", 'echo "$A $(pwd)"; echo bad >&2; exit 3', env={"A": "b"}, workdir="/tmp")
    assert process.stdout.read() == "b /tmp\n"
    assert process.stderr.read() == "bad\n"
    assert (process.wait(), process.returncode, process.poll()) == (3, 3, 3)


def test_exec_reads_and_writes_bytes_both_ways(box: Sandbox) -> None:
    data = bytes(range(256)) * 4096
    process = box.exec("cat", text=False)
    process.stdin.write(data)
    process.stdin.write_eof()
    assert process.stdout.read() == data
    assert process.wait() == 0


def test_exec_line_by_line_while_it_runs(box: Sandbox) -> None:
    process = box.exec("sh", "-c", "while read line; do echo got $line; done")
    for word in ("one", "two"):
        process.stdin.write(f"{word}\n")
        assert next(process.stdout) == f"got {word}\n"
        assert process.poll() is None
    process.stdin.write_eof()
    assert process.wait() == 0


def test_b60_exec_timeout_gives_124_and_ends_what_it_started(box: Sandbox) -> None:
    process = box.exec("sh", "-c", "sleep 4711 & echo begun; wait", timeout=1)
    assert process.stdout.read() == "begun\n"
    assert process.wait() == 124
    listed = box.exec("sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '").stdout.read()
    assert "sleep 4711 " not in listed.replace("sh -c", "")


def test_exec_killed_gives_137(box: Sandbox) -> None:
    process = box.exec("sh", "-c", "echo begun; sleep 100")
    assert next(process.stdout) == "begun\n"
    process.kill()
    assert process.wait() == 137


def test_exec_of_what_is_not_there_says_so(box: Sandbox) -> None:
    process = box.exec("no-such-program")
    assert process.wait() == 127
    assert process.stdout.read() == ""
    assert process.stderr.read().startswith("no-such-program could not be run: ")
    with pytest.raises(InvalidError, match="exec needs a command"):
        box.exec()
    with pytest.raises(InvalidError, match="must be strings, got 5"):
        box.exec("sleep", 5)  # type: ignore[arg-type]


def test_exec_with_a_terminal(box: Sandbox) -> None:
    process = box.exec("sh", "-c", "test -t 0 && test -t 1 && echo terminal", pty=True)
    assert process.stdout.read() == "terminal\r\n"
    assert process.wait() == 0


def test_one_that_reads_nothing_holds_up_nobody(box: Sandbox) -> None:
    stuck = [box.exec("sleep", "60") for _ in range(8)]
    for process in stuck:
        process.stdin.write(b"x" * (1 << 20))
        process.stdin.drain()
    assert box.exec("echo", "fine").stdout.read() == "fine\n"
    for process in stuck:
        process.kill()
    assert [process.wait() for process in stuck] == [137] * 8


def test_asynchronous_forms(service: OwnService) -> None:
    async def main() -> None:
        async with await Sandbox.create.aio(block_network=True, timeout=60) as sandbox:
            processes = await asyncio.gather(*(sandbox.exec.aio("sh", "-c", f"echo {n}; exit {n}") for n in range(4)))
            assert await asyncio.gather(*(process.wait.aio() for process in processes)) == [0, 1, 2, 3]
            assert [line async for line in processes[2].stdout] == ["2\n"]
            await sandbox.filesystem.write.aio("/tmp/a", b"1")
            assert await sandbox.filesystem.read.aio("/tmp/a") == b"1"
            assert sandbox in [item async for item in Sandbox.list.aio()]
            assert await sandbox.poll.aio() is None
        assert sandbox.returncode == 137

    asyncio.run(main())


# What it may not do


def test_capabilities_are_few_and_privileges_can_not_be_gained(box: Sandbox) -> None:
    status = dict(line.split(":", 1) for line in box.exec("cat", "/proc/1/status", "/proc/self/status").stdout)
    for name in ("CapPrm", "CapEff", "CapBnd"):
        held = int(status[name].strip(), 16)
        assert {bit for bit in range(64) if held >> bit & 1} <= ALLOWED, name
    if not GVISOR:  # it does not show this line
        assert status["NoNewPrivs"].strip() == "1"


@not_under_gvisor
def test_number_of_processes_is_limited(box: Sandbox) -> None:
    source = (
        "import os, signal\nn = 0\n"
        "try:\n"
        "    while n < 3000:\n"
        "        if os.fork() == 0:\n"
        "            signal.pause()\n"
        "        n += 1\n"
        "except OSError:\n"
        "    pass\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(n)\n"
        "os.killpg(0, signal.SIGTERM)\n"
    )
    process = box.exec("python3", "-c", source)
    forked = int(process.stdout.read())
    assert 900 < forked < 1024


def test_block_network_has_no_way_out(run: Callable[..., Sandbox], box: Sandbox) -> None:
    source = (
        "import socket, sys\n"
        "print(sorted(name for _, name in socket.if_nameindex()))\n"
        "try:\n"
        "    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5).recv(1)\n"
        "except OSError as error:\n"
        "    print(error.errno)\n"
        "else:\n"
        "    print('reached')\n"
    )
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = str(server.getsockname()[1])
        gateway = bridge_gateway()
        blocked = box.exec("python3", "-c", source, gateway, port).stdout.read().splitlines()
        # ENETUNREACH, or EHOSTUNREACH in gVisor: there is no way to any address.
        assert blocked[0] == "['lo']"
        assert blocked[1] in ("101", "113")
        if GVISOR:  # all of its sandboxes are without network here
            return
        # Where the network is not blocked, there is a way to this host.
        process = run(block_network=False).exec("cat", "/proc/net/route")
        routes = [line.split() for line in process.stdout.read().splitlines() if line.split()[1:2] == ["00000000"]]
        gateway = socket.inet_ntoa(bytes.fromhex(routes[0][2])[::-1])
        connected = run("python3", "-c", source, gateway, port, block_network=False)
        # ECONNREFUSED: there is a way, and the host's own addresses are out of reach.
        assert connected.stdout.read().splitlines()[-1] == "111"


def test_ports_without_network_are_refused(service: OwnService) -> None:
    with pytest.raises(InvalidError, match="leave out block_network=True, or the ports"):
        Sandbox.create(block_network=True, unencrypted_ports=[80])


# Its files


def test_files(box: Sandbox) -> None:
    files = box.filesystem
    files.mkdir("/tmp/d/e", parents=True)
    files.write("/tmp/d/a b", "zwölf\n")
    assert files.read("/tmp/d/a b") == "zwölf\n".encode()
    assert files.ls("/tmp/d") == ["a b", "e"]
    with files.open("/tmp/d/f", "w") as file:
        file.write("one\n")
        file.write("two\n")
    with files.open("/tmp/d/f", "a") as file:
        file.write("three\n")
    with files.open("/tmp/d/f") as file:
        assert file.readlines() == ["one\n", "two\n", "three\n"]
    with files.open("/tmp/d/f", "rb") as file:
        file.seek(4)
        assert file.read(3) == b"two"
    data = os.urandom(3 << 20)
    files.write("/tmp/d/big", data)
    assert files.read("/tmp/d/big") == data
    files.rm("/tmp/d/f")
    files.rm("/tmp/d", recursive=True)
    assert "d" not in files.ls("/tmp")


def test_files_that_are_not_there_are_errors_as_here(box: Sandbox) -> None:
    files = box.filesystem
    with pytest.raises(FileNotFoundError, match="/nope"):
        files.read("/nope")
    with pytest.raises(FileNotFoundError):
        files.open("/nope/x", "w")
    with pytest.raises(FileNotFoundError):
        files.ls("/nope")
    with pytest.raises(IsADirectoryError):
        files.rm("/tmp")
    with pytest.raises(IsADirectoryError):
        files.read("/tmp")
    with pytest.raises(FileExistsError):
        files.mkdir("/tmp")
    with pytest.raises(FileExistsError):
        files.open("/etc/passwd", "x")
    with pytest.raises(InvalidError, match="mode is 'z'"):
        files.open("/etc/passwd", "z")


@pytest.fixture
def remove_image() -> Iterator[Callable[[wherry.Image], None]]:
    """Have an image, and what was made of it, removed after the test."""
    images: list[wherry.Image] = []
    yield images.append
    for image in images:
        wanted = f"label=wherry.image={image.object_id}"
        listed = subprocess.run(["docker", "image", "ls", "-q", "--filter", wanted], capture_output=True, check=True)
        subprocess.run(
            ["docker", "image", "rm", "-f", *listed.stdout.decode().split()], capture_output=True, check=True
        )


def test_snapshot_is_an_image_for_sandboxes(
    remove_image: Callable[[wherry.Image], None], run: Callable[..., Sandbox]
) -> None:
    sandbox = run(secrets=[wherry.Secret.from_dict({"TOKEN": "hidden"})])
    assert sandbox.exec("sh", "-c", "echo $TOKEN").stdout.read() == "hidden\n"
    sandbox.filesystem.write("/opt/mark", "kept")
    image = sandbox.snapshot_filesystem()
    remove_image(image)
    assert image.object_id.startswith("im-")
    sandbox.filesystem.write("/opt/mark", "changed")
    other = run("sh", "-c", 'cat /opt/mark; echo "[$TOKEN]"', image=image)
    assert other.stdout.read() == "kept[]\n"
    again = run("cat", "/opt/mark", image=wherry.Image.from_id(image.object_id))
    assert again.stdout.read() == "kept"


@pytest.mark.skipif(GVISOR, reason="its engine is on another machine, and functions need their directory there")
def test_snapshot_is_an_image_for_functions(box: Sandbox, remove_image: Callable[[wherry.Image], None]) -> None:
    box.filesystem.write("/opt/mark", "kept")
    image = box.snapshot_filesystem()
    remove_image(image)
    app = wherry.App("snapshots")

    @app.function(image=image, serialized=True)
    def mark() -> str:
        with open("/opt/mark") as file:
            return file.read()

    with app.run():
        assert mark.remote() == "kept"


# Tunnels


@not_under_gvisor
def test_tunnels_carry_http_and_plain_tcp(run: Callable[..., Sandbox]) -> None:
    echo = (
        "import socket\ns = socket.create_server(('', 9000))\nc, _ = s.accept()\nc.sendall(c.recv(9)[::-1])\nc.close()"
    )
    sandbox = run(
        "sh", "-c", f'python3 -c "{echo}" & exec python3 -m http.server 8000 --directory /etc',
        block_network=False, encrypted_ports=[8000], unencrypted_ports=[9000],
    )  # fmt: skip
    tunnels = sandbox.tunnels()

    def fetch() -> bytes:
        try:
            with urllib.request.urlopen(f"{tunnels[8000].url}/hostname", timeout=5) as answer:
                found: bytes = answer.read()
                return found
        except OSError:
            return b""

    assert wait_until(fetch, "the server in the sandbox answers").strip()

    def echoed() -> bytes:
        with socket.create_connection(tunnels[9000].tcp_socket, timeout=5) as connection:
            try:
                connection.sendall(b"123456789")
                return connection.recv(9)
            except OSError:
                return b""

    assert wait_until(echoed, "the other server answers") == b"987654321"
    sandbox.terminate()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(tunnels[8000].tcp_socket, timeout=5)
    assert sandbox.tunnels() == {}


# Volumes


@pytest.mark.skipif(GVISOR, reason="its engine is on another machine, which has not the volumes' directories")
def test_volumes_are_shared_with_sandboxes(run: Callable[..., Sandbox], environment: dict[str, str]) -> None:
    name = f"of-sandboxes-{os.getpid()}"
    volume = wherry.Volume.from_name(name, create_if_missing=True)
    writer = run("sh", "-c", "echo from a sandbox >/data/line", volumes={"/data": volume})
    assert writer.wait() == 0
    assert b"".join(volume.read_file("line")) == b"from a sandbox\n"
    line = "sh -c 'cat /mnt/line; rm /mnt/line'"
    command = [sys.executable, "-m", "wherry.cli.main", "shell", "--volume", f"{name}:/mnt", "--no-pty", "--cmd", line]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (shown.stdout, shown.returncode) == ("from a sandbox\n", 0), shown.stderr
    assert list(volume.listdir("/")) == []
    wherry.Volume.delete(name)
    with pytest.raises(NotFoundError, match=name):
        Sandbox.create("true", volumes={"/data": wherry.Volume.from_name(name)})


# Found


def test_found_by_id_name_and_tags(box: Sandbox) -> None:
    assert Sandbox.from_id(box.object_id) == box
    assert Sandbox.from_name(None, "box") == box
    assert list(Sandbox.list(tags={"suite": "yes"})) == [box]
    assert list(Sandbox.list(tags={"suite": "no"})) == []
    box.set_tags({"suite": "yes", "more": "1"})
    assert box.get_tags() == {"suite": "yes", "more": "1"}
    assert pickle.loads(pickle.dumps(box)) == box
    with pytest.raises(NotFoundError, match=r"no sandbox named 'boks' runs in .*box"):
        Sandbox.from_name(None, "boks")
    with pytest.raises(AlreadyExistsError, match=f"{box.object_id} runs under the name 'box'"):
        Sandbox.create(name="box")
    with pytest.raises(NotFoundError, match="does not exist"):
        Sandbox.from_id("sb-" + "0" * 26)
    with pytest.raises(InvalidError, match="is not the id of a sandbox"):
        Sandbox.from_id("co-1")


def test_a_sandbox_ends_with_its_app(service: OwnService) -> None:
    app = wherry.Stub("owner")
    with pytest.raises(ExecutionError, match=r"is not running: create its sandboxes within `with app.run\(\)"):
        Sandbox.create(app=app)
    with app.run():
        sandbox = app.spawn_sandbox("sleep", "100", block_network=True, name="owned")
        assert Sandbox.from_name("owner", "owned") == sandbox
        assert list(Sandbox.list(app_id=app.app_id)) == [sandbox]
        app_id = app.app_id
    assert app_id is not None
    assert service.containers(app=app_id) == []
    assert sandbox.poll() == 137


def test_values_out_of_range_are_refused_here(service: OwnService) -> None:
    with pytest.raises(InvalidError, match="timeout is 0: it must be a number from 1 to 86400 s"):
        Sandbox.create(timeout=0)
    with pytest.raises(InvalidError, match="must be strings, got 100"):
        Sandbox.create("sleep", 100)  # type: ignore[arg-type]
    with pytest.raises(InvalidError, match="which containers need themselves"):
        Sandbox.create(volumes={"/proc": wherry.Volume.from_name("data", create_if_missing=True)})


# The command line


def wherry_command(environment: dict[str, str], *arguments: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "wherry.cli.main", "sandbox", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, input=given, check=False)


def test_b60_commands(box: Sandbox, run: Callable[..., Sandbox], environment: dict[str, str]) -> None:
    shown = json.loads(wherry_command(environment, "list", "--json", "--tag", "suite=yes").stdout)
    assert [(item["sandbox_id"], item["state"], item["name"]) for item in shown] == [(box.object_id, "running", "box")]
    ended = wherry_command(environment, "exec", "box", "sh", "-c", "cat; echo bad >&2; exit 5", given="typed")
    assert (ended.returncode, ended.stdout, ended.stderr) == (5, "typed", "bad\n")
    assert wherry_command(environment, "exec", "--timeout", "0.5", "box", "sleep", "50").returncode == 124
    other = run("sh", "-c", "echo out; echo err >&2; sleep 100")
    assert next(other.stdout) == "out\n"
    assert next(other.stderr) == "err\n"
    logs = wherry_command(environment, "logs", other.object_id)
    assert (logs.stdout, logs.stderr) == ("out\n", "err\n")
    said = wherry_command(environment, "terminate", other.object_id)
    assert said.stdout == f"Sandbox {other.object_id} was terminated.\n"
    logs = wherry_command(environment, "logs", "--json", other.object_id)
    assert json.loads(logs.stdout)["stdout"] == "out\n"
    for code, wrong, told in (
        (1, ("exec", "nobody", "ls"), "no sandbox named 'nobody' runs in environment"),
        (1, ("logs", "sb-x"), "no sandbox has an id that begins with sb-x"),
        (2, ("list", "--tag", "x"), "write NAME=VALUE"),
    ):
        refused = wherry_command(environment, *wrong)
        assert refused.returncode == code
        assert told in refused.stderr
        assert "Traceback" not in refused.stderr


# Another life of the service


def test_sandboxes_survive_the_service_and_end_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = OwnService(Path("/tmp") / f"wsb-{os.getpid()}")
    source = (
        "import os, sys, wherry\n"
        "box = wherry.Sandbox.create('sh', '-c', 'echo before; read line; echo after; exit 6', name='kept')\n"
        "late = wherry.Sandbox.create(timeout=3)\n"
        "running = box.exec('sleep', '50')\n"
        "print(next(box.stdout).strip(), box.object_id, late.object_id, flush=True)\n"
        "sys.stdin.readline()\n"
        "assert box.exec('echo', 'still').stdout.read() == 'still\\n'\n"
        "assert wherry.Sandbox.from_name(None, 'kept') == box\n"
        "try:\n"
        "    running.wait()\n"
        "except wherry.exception.ConnectionError:\n"
        "    print('lost its exec', flush=True)\n"
        "try:\n"
        "    late.wait()\n"
        "except wherry.exception.SandboxTimeoutError:\n"
        "    print('timed out', flush=True)\n"
        "box.stdin.write('x\\n')\n"
        "print(box.stdout.read().strip(), box.wait(), flush=True)\n"
        "wherry.Sandbox.create('sleep', '100')\n"
    )
    try:
        own.start()
        environment = dict(os.environ, WHERRY_STATE_DIR=str(own.state_dir), PYTHONWARNINGS="error")
        command = [sys.executable, "-c", source]
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            first = client.stdout.readline().split()
            assert first[:1] == ["before"]
            own.signal(signal.SIGKILL)
            wait_until(lambda: not own.is_running, "the service is dead")
            own.start()
            client.stdin.write("go\n")
            client.stdin.flush()
            assert client.stdout.read().splitlines() == ["lost its exec", "timed out", "after 6"]
        assert client.returncode == 0
    finally:
        # It checks that no container is left.
        own.stop()
        shutil.rmtree(own.state_dir)


def test_a_client_that_is_killed_leaves_its_exec_running(box: Sandbox, environment: dict[str, str]) -> None:
    source = (
        "import sys, wherry\n"
        "box = wherry.Sandbox.from_id(sys.argv[1])\n"
        "box.exec('sh', '-c', 'sleep 1; echo done > /tmp/left')\n"
        "print('begun', flush=True)\n"
    )
    command = [sys.executable, "-c", source, box.object_id]
    began = time.monotonic()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    assert time.monotonic() - began < 30
    wait_until(lambda: "left" in box.filesystem.ls("/tmp"), "the command has run on to its end", 10)
