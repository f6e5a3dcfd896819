"""Shells, as somebody at a terminal has them."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pexpect
import pytest

import wherry
from tests.acceptance.conftest import RunApp
from tests.acceptance.service import OwnService
from tests.waiting import wait_until
from wherry.exception import InvalidError

COMMAND = [sys.executable, "-m", "wherry.cli.main"]
APP = Path(__file__).parent / "apps" / "shell.py"
PROMPT = r"[#$] "


@pytest.fixture(scope="module")
def app(run_app: RunApp) -> Iterator[ModuleType]:
    from tests.acceptance.apps import shell

    with run_app(shell.app):
        yield shell


@pytest.fixture
def container(app: ModuleType) -> str:
    """A container of the busy function, which is there and idle."""
    return wait_until(lambda: next((item["container_id"] for item in listed() if item["state"] == "idle"), ""), "idle")


@contextlib.contextmanager
def terminal(*args: str, rows: int = 30, columns: int = 100) -> Iterator[Any]:
    environment = {**os.environ, "TERM": "xterm-256color"}
    child = pexpect.spawn(
        COMMAND[0], [*COMMAND[1:], *args], env=environment, timeout=30, encoding="utf-8", dimensions=(rows, columns)
    )
    try:
        yield child
    finally:
        child.close(force=True)


def said(*args: str, code: int = 0, given: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    done = subprocess.run([*COMMAND, *args], input=given, capture_output=True, timeout=60, check=False)
    assert done.returncode == code, (done.stdout[-500:], done.stderr[-500:])
    assert b"Traceback" not in done.stderr
    return done


def listed() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(said("container", "list", "--json").stdout)
    return found


def left(child: Any) -> int:
    if not child.flag_eof:
        child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus is not None, child.signalstatus
    return int(child.exitstatus)


def test_a_functions_shell_is_like_its_containers(service: OwnService) -> None:
    with terminal("shell", f"{APP}::entered") as child:
        child.expect(PROMPT)
        child.sendline("echo $HELLO-$TOKEN; stty size")
        child.expect("there-abcdef")
        child.expect("30 100")
        child.sendline("python -c 'import shell; print(shell.entered.local())'")
        child.expect(r"[\r\n]entered\r")
        child.setwinsize(41, 121)
        # The signal passes the client, the service and the engine: asked until it is there.
        child.sendline("until [ \"$(stty size)\" = '41 121' ]; do :; done; echo resized-$((1 + 1))")
        child.expect("resized-2")
        # Said by the process that is to be interrupted: between two commands a shell may lose a Ctrl-C by itself.
        child.sendline("sh -c 'echo begun-$((1 + 2)); exec sleep 1000'")
        child.expect("begun-3")
        child.sendintr()
        child.sendline("echo code-$?")
        child.expect("code-130")
        child.sendline("cat; echo over-$((2 + 2))")
        child.sendline("grüße 漢字 🛶")
        child.expect("grüße 漢字 🛶\r\ngrüße 漢字 🛶")
        child.sendeof()
        child.expect("over-4")
        child.sendline("exit 7")
        assert left(child) == 7
    wait_until(lambda: json.loads(said("sandbox", "list", "--json").stdout) == [], "the fresh container is gone")


def test_full_screen_programs_colours_and_job_control(service: OwnService) -> None:
    busybox = shutil.which("busybox")
    assert busybox is not None, "busybox is not installed on this host: ./dev setup does it"
    with terminal("shell", "--add-local", f"{busybox}:/opt/busybox") as child:
        child.expect(PROMPT)
        child.sendline("echo $TERM; printf '\\033[38;5;208m%s\\033[0m\\n' oran''ge")
        child.expect("xterm-256color")
        child.expect("\x1b\\[38;5;208morange\x1b\\[0m")
        child.sendline("/opt/busybox vi /tmp/note")
        child.expect("/tmp/note.*1/1")
        child.send("ihello")
        child.expect("hello")
        # A key of its own, not the beginning of another's sequence.
        child.send("\x1b")
        child.expect("- /tmp/note")
        child.send(":wq\r")
        child.expect(PROMPT)
        child.sendline("cat /tmp/note")
        child.expect(r"[\r\n]hello\r\n")
        child.sendline("seq 1000 | /opt/busybox less")
        # The terminal's height, less its last line.
        child.expect(r"K29\r\n.*standard input")
        child.send("G")
        child.expect("1000")
        child.send("q")
        child.expect(PROMPT)
        child.sendline("/opt/busybox top")
        child.expect("Mem: .* used")
        child.send("q")
        child.expect(PROMPT)
        child.sendline("sh -c 'echo begun-$((1 + 1)); exec sleep 1000'")
        child.expect("begun-2")
        child.send("\x1a")
        child.expect("Stopped")
        child.sendline("kill %1; echo over-$((2 + 2))")
        child.expect("over-4")


def test_a_shell_from_python_and_one_of_an_image(service: OwnService) -> None:
    code = "from tests.acceptance.apps.shell import entered; entered.shell()"
    with pexpect.spawn(sys.executable, ["-c", code], timeout=30, encoding="utf-8") as child:
        child.expect(PROMPT)
        child.sendline("echo $HELLO-$TOKEN")
        child.expect("there-abcdef")
        child.sendline("exit")
        assert left(child) == 0
    with wherry.Sandbox.create(timeout=60) as sandbox:
        image_id = sandbox.snapshot_filesystem().object_id
    shown = said("shell", image_id, "--no-pty", "--cmd", "sh -c 'echo out; exit 5'", code=5)
    assert shown.stdout == b"out\n"


def test_completion_offers_the_ids_of_what_runs(container: str) -> None:
    asked = {**os.environ, "_WHERRY_COMPLETE": "complete_bash", "COMP_CWORD": "2"}
    command = [str(Path(sys.executable).with_name("wherry"))]
    with wherry.Sandbox.create(timeout=60) as sandbox:
        for start, wanted in (("", container), ("co-", container), ("sb-", sandbox.object_id)):
            variables = {**asked, "COMP_WORDS": f"wherry shell {start}"}
            shown = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=30, check=True)
            assert wanted in shown.stdout.split()
            assert all(line.startswith(start) for line in shown.stdout.split())


def test_several_are_in_one_container_and_its_inputs_go_on(app: ModuleType, container: str) -> None:
    with terminal("shell", container) as one, terminal("container", "exec", container, "sh") as two:
        one.expect(PROMPT)
        two.expect(PROMPT)
        one.sendline("touch /tmp/met; echo made-$((1 + 1))")
        one.expect("made-2")
        two.sendline("ls /tmp/met; echo seen-$((1 + 1))")
        two.expect("/tmp/met\r\n")
        two.expect("seen-2")
        assert app.busy.remote() == "done"
        assert [item["execs"] for item in listed() if item["container_id"] == container] == [2]
        two.sendeof()
        assert left(two) == 0
        one.sendline("exit")
        assert left(one) == 0


def test_bytes_pass_unchanged_and_streams_stay_apart(container: str) -> None:
    data = bytes(range(256)) * 4096
    assert said("container", "exec", "--no-pty", container, "cat", given=data).stdout == data
    line = "sh -c 'echo out; echo err >&2; exit 3'"
    done = said("shell", container, "--no-pty", "--cmd", line, code=3)
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


def test_a_paste_of_a_mebibyte_arrives_whole(container: str) -> None:
    lines = 1 << 14
    with terminal("shell", container, "--cmd", "sh") as child:
        child.expect(PROMPT)
        child.sendline("stty -echo -icanon; echo ready-$((1 + 1)); head -c 1048576 | md5sum")
        child.expect("ready-2")
        for _ in range(lines // 64):
            child.send(("x" * 63 + "\n") * 64)
        child.expect(hashlib.md5((b"x" * 63 + b"\n") * lines).hexdigest())


def test_output_that_does_not_pause_is_shown_whole_and_in_order(container: str) -> None:
    # While it goes on, the client is given the command's own streams.
    program = "stty -onlcr; i=0; while [ $i -lt 60000 ]; do i=$((i + 1)); echo $i; done; read line; echo got-$line"
    with terminal("container", "exec", container, "sh", "-c", program) as child:
        child.expect_exact("59999\n60000\n")
        shown = child.before + child.after
        assert shown == "".join(f"{number}\n" for number in range(1, 60001))
        child.send("typed\n")
        child.expect("got-typed")
        assert left(child) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_put_back_when_the_client_is_ended(container: str, number: int) -> None:
    with terminal("shell", container) as child:
        before = termios.tcgetattr(child.child_fd)
        child.expect(PROMPT)
        child.sendline("echo in-$((1 + 1))")
        child.expect("in-2")
        assert termios.tcgetattr(child.child_fd)[3] != before[3], "it is raw while the shell runs"
        child.kill(number)
        child.expect(pexpect.EOF)
        child.wait()
        assert child.signalstatus == number
    wait_until(lambda: all(item["execs"] == 0 for item in listed()), "the shell is gone from the container")


def test_a_stopped_container_ends_its_shells(app: ModuleType, container: str) -> None:
    with terminal("shell", container) as child:
        child.expect(PROMPT)
        assert json.loads(said("container", "stop", container, "--json").stdout)[0]["container_id"] == container
        assert left(child) == 137
    assert app.busy.remote() == "done"


def test_the_terminal_is_put_back_when_the_service_is_killed(service: OwnService) -> None:
    line = f"{' '.join(COMMAND)} shell; echo code-$?; stty -a"
    with pexpect.spawn("/bin/sh", ["-c", line], timeout=30, encoding="utf-8") as child:
        child.expect(PROMPT)
        service.signal(signal.SIGKILL)
        child.expect("Error: .*service")
        child.expect("code-3")
        child.expect(r"\sicanon\s")
        child.expect(r"\secho\s")
    # Whoever asks next starts the service again.
    wait_until(lambda: json.loads(said("sandbox", "list", "--json").stdout) == [], "its container is gone")


def test_breakpoint_is_a_debugger_at_the_terminal_of_run_i(service: OwnService) -> None:
    line = f"{' '.join(COMMAND)} run -i {APP}::stopped; echo code-$?; stty -a"
    with pexpect.spawn("/bin/sh", ["-c", line], timeout=60, encoding="utf-8") as child:
        child.expect("before the debugger")
        child.expect(r"\(Pdb\) ")
        child.sendline("p 'value', value")
        child.expect(r"\('value', 5\)")
        child.expect(r"\(Pdb\) ")
        child.sendline("value = 41")
        child.expect(r"\(Pdb\) ")
        child.sendline("c")
        child.expect("printed at the terminal")
        child.expect(r"[\r\n]42\r")
        child.expect("code-0")
        child.expect(r"\sicanon\s")


def test_interact_gives_a_function_what_is_typed_and_ctrl_c(service: OwnService) -> None:
    with terminal("run", "-i", f"{APP}::talks") as child:
        child.expect(r"name\? ")
        child.sendline("Grüße")
        child.expect("Grüße waits\r\n")
        child.sendintr()
        child.expect("Grüße was interrupted")
        assert left(child) == 0


def test_code_without_a_terminal_is_told_how_to_get_one(app: ModuleType) -> None:
    with pytest.raises(InvalidError, match="run its app with `wherry run -i`"):
        app.stopped.remote()
    assert b"-i needs a terminal" in said("run", "-i", f"{APP}::stopped", code=2).stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["co-nothere"], b"no running container has an id that begins with co-nothere"),
        (["co-01HZZZZZZZZZZZZZZZZZZZZZZZ", "--cmd", "ls"], b"`wherry container list` shows those that do"),
        ([f"{APP}::enterd"], b"has no function 'enterd'"),
        (["nofile.py::f"], b"there is no file"),
        (["im-nothere"], b"no image has an id that begins with im-nothere"),
        (["--cmd", ""], b"--cmd is empty"),
        (["--no-pty"], b"--no-pty needs --cmd"),
        (["co-x", "--image", "debian:13"], b"leave out --image"),
        (["--add-local", "/nowhere/to/be/found"], b"does not exist"),
        (["--variable", "novalue"], b"write NAME=VALUE"),
        (["--env", "A=B"], b"a variable is given as --variable A=B"),
    ],
)
def test_wrong_words_get_a_sentence(service: OwnService, args: list[str], says: bytes) -> None:
    done = subprocess.run(
        [*COMMAND, "shell", *args], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
    )
    assert done.returncode in (1, 2, 5)
    assert says in done.stdout + done.stderr, done.stderr
    assert b"Traceback" not in done.stderr
