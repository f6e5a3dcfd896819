"""What `wherry run` says of itself: what began, how it ended, what Ctrl-C does."""

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes.service import FakeService
from wherry._publish import running
from wherry._publish.opening import STOPPING

Run = Callable[..., int]
Told = pytest.CaptureFixture[str]

ENTRYPOINT = "@app.local_entrypoint()\ndef main(n: int = 1):\n    print(list(double.map(range(n))))\n"


def test_a_run_begins_with_the_app_and_ends_with_a_summary(run: Run, capsys: Told) -> None:
    assert run(ENTRYPOINT, "run", "SCRIPT", "--n", "3") == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "wherry: App demo (ap-1)"
    assert re.fullmatch(r"wherry: Done in \d\.\d s, 3 calls", lines[-2]), lines
    assert lines[-1] == "wherry: Log: wherry app logs ap-1"


def test_a_run_that_fails_says_after_how_long(run: Run, capsys: Told, service: FakeService) -> None:
    assert run("", "run", "SCRIPT::fail", "--n", "1") == 1
    err = capsys.readouterr().err
    assert re.search(
        r"LookupError: \('bad', 1\)\nwherry: Failed after \d\.\d s, 1 call\n"
        rf"wherry: The call that failed: wherry call show {service.offered[-1]}\nwherry: Log: wherry app logs ap-1",
        err,
    )


ONE_OF_MANY = """
@app.local_entrypoint()
def main(where: str):
    double.remote(1)
    try:
        if where == "caught":
            fail.remote(2)
    except LookupError:
        return
    if where == "as a cause":
        try:
            fail.remote(3)
        except LookupError as error:
            raise ValueError("no") from error
    if where == "of a map":
        list(fail.map([4]))
    if where == "in a group":
        raise ExceptionGroup("all", list(fail.map([5], return_exceptions=True)))
    fail.spawn(6).get()
"""


@pytest.mark.parametrize("where", ["as a cause", "of a map", "in a group", "spawned"])
def test_a_run_that_fails_names_the_call_whose_failure_ended_it(
    run: Run, capsys: Told, service: FakeService, where: str
) -> None:
    assert run(ONE_OF_MANY, "run", "SCRIPT", "--where", where) == 1
    *_, how, which, log = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"wherry: Failed after \d\.\d s, [12] calls?, 1 failed", how) or where == "spawned"
    assert which == f"wherry: The call that failed: wherry call show {service.offered[-1]}"
    assert log == "wherry: Log: wherry app logs ap-1"


def test_a_run_that_bore_failures_says_how_to_see_them(run: Run, capsys: Told) -> None:
    assert run(ONE_OF_MANY, "run", "SCRIPT", "--where", "caught") == 0
    *_, how, which, log = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"wherry: Done in \d\.\d s, 2 calls, 1 failed", how)
    assert which == "wherry: What failed: wherry call list --app ap-1 --failed"
    assert log == "wherry: Log: wherry app logs ap-1"


@pytest.mark.parametrize(("environment", "where"), [("prod", " -e prod"), ("main", "")])
def test_the_command_it_suggests_names_another_environment(
    run: Run, capsys: Told, environment: str, where: str
) -> None:
    assert run(ONE_OF_MANY, "run", "-e", environment, "SCRIPT", "--where", "caught") == 0
    assert f"wherry call list --app ap-1 --failed{where}\n" in capsys.readouterr().err


def test_a_run_that_fails_by_itself_names_no_call(run: Run, capsys: Told) -> None:
    assert run("@app.local_entrypoint()\ndef main():\n    1 / 0\n", "run", "SCRIPT") == 1
    assert "wherry call" not in capsys.readouterr().err


def test_quiet_says_none_of_it(run: Run, capsys: Told) -> None:
    assert run(ENTRYPOINT, "run", "-q", "SCRIPT") == 0
    assert capsys.readouterr().err == ""


def test_a_detached_run_says_how_to_stop_it(run: Run, capsys: Told) -> None:
    assert run(ENTRYPOINT, "run", "-d", "SCRIPT") == 0
    assert capsys.readouterr().err.endswith(
        "wherry: The app runs on until its last call ends\nwherry: Stop it: wherry app stop ap-1\n"
        "wherry: Log: wherry app logs ap-1\n"
    )


CTRL_C = "@app.local_entrypoint()\ndef main():\n    raise KeyboardInterrupt\n"


def test_ctrl_c_is_answered_at_once(run: Run, capsys: Told) -> None:
    assert run(CTRL_C, "run", "SCRIPT") == 130
    assert capsys.readouterr().err.endswith(f"wherry: {STOPPING}\nStopped.\n")


def test_a_detached_app_is_not_called_stopped(run: Run, capsys: Told, service: FakeService) -> None:
    assert run(CTRL_C, "run", "-d", "SCRIPT") == 130
    err = capsys.readouterr().err
    assert "Stopp" not in err
    assert err.endswith("Stop it: wherry app stop ap-1\nLog: wherry app logs ap-1\n")
    assert "Apps.Stop" not in [name for name, _ in service.requests]


def test_ctrl_c_while_the_app_comes_up_is_answered_and_stops_it(
    run: Run, capsys: Told, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "publish", interrupted)
    for options in ((), ("-d",)):
        assert run(ENTRYPOINT, "run", *options, "SCRIPT") == 130
        assert capsys.readouterr().err == f"wherry: App demo (ap-1)\nwherry: {STOPPING}\nStopped.\n"
        assert service.requests[-1][0] == "Apps.Stop"


def test_ctrl_c_while_the_command_is_loaded_is_no_traceback(tmp_path: Path) -> None:
    # It takes the place of what takes long to load.
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nprint('goes on')\n")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "wherry", "--version"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGINT, "", "")


SCRIPT = "import wherry\napp = wherry.App()\n@app.local_entrypoint()\ndef main(): ...\n"


@pytest.mark.parametrize(
    ("more", "reminds"),
    [
        ("", True),
        ("@app.local_entrypoint()\ndef other(): ...\n", True),
        ("main()\n", False),
        ("1 / 0\n", False),
        ("app.__wherry_owner__.was_used = True\n", False),
    ],
)
def test_a_script_that_only_defines_an_app_says_how_it_is_run(tmp_path: Path, more: str, reminds: bool) -> None:
    file = tmp_path / "hello.py"
    file.write_text(SCRIPT + more)
    terminal, other_end = pty.openpty()
    with os.fdopen(terminal, "rb", buffering=0) as shown:
        subprocess.run([sys.executable, str(file)], stderr=other_end, check=False)
        os.write(other_end, b"end\n")
        said = b""
        while b"end\r\n" not in said:
            said += shown.read(1000)
        os.close(other_end)
    told = f"Nothing has run: this file defines an app. Run it with: wherry run {file}\r\n".encode()
    assert (said.removesuffix(b"end\r\n") == told) is reminds
    piped = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, check=False)
    assert "Nothing has run" not in piped.stderr
