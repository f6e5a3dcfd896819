"""The command line, on a fake service."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.service import FakeService
from wherry._base.misuse import near
from wherry._publish.shell import shell_command
from wherry._screen import terminal
from wherry.cli import main as cli
from wherry.cli._exec import execute
from wherry_proto.messages import ExecStart, LogLine, Notice, SessionDown, Stream

Run = Callable[..., int]

ENTRYPOINT = """
@app.local_entrypoint()
def main(n: int = 1):
    print("got", double.remote(n))
"""


def test_single_entrypoint_is_run(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ENTRYPOINT, "run", "SCRIPT", "--n", "4") == 0
    out, err = capsys.readouterr()
    assert out == "got 8\n"
    assert "Created function double" in err


def test_quiet_shows_only_what_functions_print(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ENTRYPOINT, "run", "-q", "SCRIPT") == 0
    assert capsys.readouterr() == ("got 2\n", "")


def test_verbose_lists_the_source(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ENTRYPOINT, "run", "-v", "SCRIPT") == 0
    assert re.search(r"source script_\w+\.py \(\d+ bytes\)", capsys.readouterr().err)


def test_async_entrypoint(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    script = "@app.local_entrypoint()\nasync def main():\n    print(await double.remote.aio(5))\n"
    assert run(script, "run", "-q", "SCRIPT") == 0
    assert capsys.readouterr().out == "10\n"


def test_function_is_run_directly_and_its_value_shown(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("", "run", "-q", "SCRIPT::double", "--n", "21") == 0
    assert capsys.readouterr().out == "42\n"


def test_generator_is_run_directly(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("", "run", "-q", "SCRIPT::count", "--n", "3") == 0
    assert capsys.readouterr().out == "0\n1\n2\n"


def test_b60_ambiguous_target_lists_candidates(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("", "run", "SCRIPT") == 2
    err = capsys.readouterr().err
    assert "::double" in err
    assert "::fail" in err


def test_unknown_target_lists_candidates(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("", "run", "SCRIPT::nope") == 2
    assert "::double" in capsys.readouterr().err


def test_b60_exception_ends_in_1_with_a_trimmed_traceback(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    script = "@app.local_entrypoint()\ndef main():\n    fail.remote(3)\n"
    assert run(script, "run", "SCRIPT") == 1
    err = capsys.readouterr().err
    assert "fail.remote(3)" in err
    assert "LookupError: ('bad', 3)" in err
    assert "client/wherry/" not in err


def test_exception_while_importing(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("1 / 0\n", "run", "SCRIPT") == 1
    err = capsys.readouterr().err
    assert "ZeroDivisionError" in err
    assert "importlib" not in err


def test_ctrl_c(run: Run, capsys: pytest.CaptureFixture[str], service: FakeService) -> None:
    script = "@app.local_entrypoint()\ndef main():\n    raise KeyboardInterrupt\n"
    assert run(script, "run", "SCRIPT") == 130
    assert capsys.readouterr().err.endswith("Stopped.\n")
    assert service.requests[-1][0] == "Apps.Stop"


@pytest.mark.parametrize(
    ("ref", "said"),
    [
        ("nope.py", "no file"),
        ("no_such_module_w", "no module"),
        ("json::loads", "has no app"),
        ("::f", "neither a module nor a file"),
        ("..::f", "neither a module nor a file"),
    ],
)
def test_refs_that_name_nothing(run: Run, capsys: pytest.CaptureFixture[str], ref: str, said: str) -> None:
    assert run("", "run", ref) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_a_ref_may_begin_with_the_variable_of_an_app(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    script = "other = wherry.App('other')\n@other.local_entrypoint()\ndef main(): print('here')\n"
    for ref in ("other", "other.main"):
        assert run(script, "run", "-q", f"SCRIPT::{ref}") == 0
        assert capsys.readouterr().out == "here\n"
    assert run(script, "run", "-q", "SCRIPT::app.count", "--n", "3") == 0
    assert capsys.readouterr().out == "0\n1\n2\n"


def test_a_ref_to_nothing_of_an_app_lists_what_the_app_has(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("other = wherry.App('other')\n", "run", "SCRIPT::app.nope") == 2
    assert "::double" in capsys.readouterr().err
    assert run("other = wherry.App('other')\n", "run", "SCRIPT::other.double") == 2
    assert "has no entrypoint or function 'double'" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "shell"])
@pytest.mark.parametrize("wrong", ["Thing.wrong", "Nope.right", "Thing.right.more", "g"])
def test_a_ref_to_nothing_lists_what_there_is(
    run: Run, capsys: pytest.CaptureFixture[str], command: str, wrong: str
) -> None:
    script = (
        "@app.cls()\nclass Thing:\n    @wherry.method()\n    def right(self): ...\n"
        "    @wherry.method()\n    def other(self): ...\n"
        "@app.function()\ndef f(): ...\n"
    )
    assert run(script, command, f"SCRIPT::{wrong}") == 2
    err = capsys.readouterr().err
    assert f"no {'entrypoint or ' if command == 'run' else ''}function {wrong!r}" in err
    assert "::Thing.right\n" in err
    assert "::Thing.other\n" in err
    assert "Traceback" not in err


def test_failed_build_is_a_message_not_a_traceback(
    run: Run, service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.image_error = "E: no such package"
    assert run(ENTRYPOINT, "run", "SCRIPT") == 5
    err = capsys.readouterr().err
    assert "E: no such package" in err
    assert "Traceback" not in err


def test_logs_come_before_the_result_each_on_its_stream(
    run: Run, service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    def printing(n: int) -> int:
        lines = [
            LogLine(text="to stdout", stream=Stream.STDOUT),
            LogLine(text="to stderr", stream=Stream.STDERR),
        ]
        service.send(SessionDown(logs=lines, notices=[Notice(text="no room", warning=True)]))
        return n

    service.functions["double"] = printing
    assert run(ENTRYPOINT, "run", "-q", "SCRIPT") == 0
    assert capsys.readouterr() == ("to stdout\ngot 1\n", "to stderr\nwherry: warning: no room\n")


def test_write_result(run: Run, tmp_path: Path, service: FakeService) -> None:
    service.functions["double"] = lambda n: "text"
    target = tmp_path / "out"
    assert run("", "run", "-q", "-w", str(target), "SCRIPT::double", "--n", "1") == 0
    assert target.read_text() == "text"


def test_interactive_is_refused_without_a_terminal(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(ENTRYPOINT, "run", "-i", "SCRIPT") == 2
    assert "-i needs a terminal" in capsys.readouterr().err
    assert run(ENTRYPOINT, "run", "-i", "-d", "SCRIPT") == 2
    assert "use one of them" in capsys.readouterr().err


def test_config_and_status(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WHERRY_STATE_DIR", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["wherry", "config", "show", "--json"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    assert json.loads(capsys.readouterr().out)["state_dir"] == str(tmp_path)
    monkeypatch.setattr("sys.argv", ["wherry", "server", "status", "--json"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 1
    assert json.loads(capsys.readouterr().out)["running"] is False


CLASSES = """
@app.cls()
class Greeter:
    greeting: str = wherry.parameter(default="hello")
    times: int = wherry.parameter(default=1)

    @wherry.method()
    def greet(self, name: str, *, loud: bool = False) -> str: ...

    @wherry.method()
    def spell(self, *words: str):
        yield

@app.cls()
class Old:
    def __init__(self, start: int, step: int = 1): ...

    @wherry.method()
    def add(self, n: int) -> int: ...
"""


class _Greeter:
    def __init__(self, greeting: str = "hello", times: int = 1) -> None:
        self.text = greeting * times

    def __getitem__(self, method: str) -> Callable[..., object]:
        return {"greet": self.greet, "spell": lambda *words: (word for word in words)}[method]

    def greet(self, name: str, loud: bool) -> str:
        return f"{self.text} {name}{'!' if loud else ''}"


def _old(start: int, step: int) -> dict[str, Callable[..., object]]:
    return {"add": lambda n: start + n * step}


def test_b60_methods_of_classes_take_the_class_s_arguments_as_options(
    run: Run, service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.functions |= {"Greeter": _Greeter, "Old": _old}
    for args, said in (
        (["::Greeter.greet", "--name", "you"], "hello you\n"),
        (["::Greeter.greet", "--name", "you", "--greeting", "hi", "--times=2", "--loud"], "hihi you!\n"),
        (["::Greeter.spell", "a", "b"], "a\nb\n"),
        (["::Old.add", "--start", "5", "--n", "1"], "6\n"),
        (["::Old", "--start", "5", "--n", "2", "--step", "10"], "25\n"),
    ):
        assert run(CLASSES, "run", "-q", f"SCRIPT{args[0]}", *args[1:]) == 0
        assert capsys.readouterr().out == said


def test_a_method_without_its_class_s_argument_is_a_usage_error(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(CLASSES, "run", "SCRIPT::Old.add", "--n", "1") == 2
    assert "Missing option '--start'" in capsys.readouterr().err
    assert run(CLASSES, "run", "SCRIPT::Greeter.shout") == 2
    err = capsys.readouterr().err
    assert "has no entrypoint or function 'Greeter.shout'" in err
    assert "::Greeter.greet" in err


def test_one_name_for_two_parameters_is_refused(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    script = """
@app.cls()
class Twice:
    n: int = wherry.parameter(default=1)

    @wherry.method()
    def f(self, n: int): ...
"""
    assert run(script, "run", "SCRIPT::Twice.f", "--n", "1") == 1
    assert "Twice.f and its class both have a parameter 'n'" in capsys.readouterr().err
    assert run(script, "run", "-q", "SCRIPT::double", "--n", "1") == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["shell", "--no-pty", "--cmd", "echo 'a"],
            '--cmd "echo \'a" is no command line of a shell: no closing quotation',
        ),
        (["shell", "--no-pty", "--cmd", "a\\"], "is no command line of a shell: no escaped character"),
        (["shell", "--env", "A=B"], "a variable is given as --variable A=B"),
        (["shell", "-m", "SCRIPT::double"], "-m takes the name of a module"),
        (["shell", "--variable", "A"], "--variable 'A': write NAME=VALUE"),
        (["deploy", "SCRIPT", "--stream-logs", "--json"], "--stream-logs goes neither with --json nor with --dry-run"),
        (["deploy", "SCRIPT", "--strategy", "rollling"], "--strategy is 'rollling': it is one of rolling, recreate"),
        (["sandbox", "list", "--tag", "x"], "--tag 'x': write NAME=VALUE"),
        (["secret", "create", "s"], "a secret holds something: wherry secret create s KEY=VALUE"),
        (["secret", "create", "s", "A"], "'A' has no value: write KEY=VALUE"),
        (["shell", "--add-local", "no-such-file"], "--add-local 'no-such-file': no-such-file does not exist"),
        (["function", "stats", "f"], "'f' is neither an id (fu-…) nor APP/FUNCTION"),
        (["serve", "no-such.py"], "there is no file"),
        (["volume", "cp", "v", "a"], "cp takes at least two paths"),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_says_what_is_wrong(
    run: Run, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert run("", *words) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_a_file_that_is_not_there_brings_up_those_near_it(
    run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "hello.py").write_text("")
    for command in ("run", "deploy", "serve", "shell"):
        assert run("", command, str(tmp_path / "helo.py")) == 2
        assert re.search(r"there is no file .*helo\.py; did you mean 'hello\.py'\?", capsys.readouterr().err)


def test_names_that_are_not_near_are_listed_and_not_suggested() -> None:
    assert near("h", ["f", "g", "f"]) == "; there are 'f', 'g'"
    assert near("h", {"long": 1}) == "; there is 'long'"
    assert near("h", []) == ""
    assert near("zzz", list("gfedcba")) == "; there are 'a', 'b', 'c', 'd', 'e' and 2 more"
    assert near("lnog", ["long", "g"]) == "; did you mean 'long'?"


def test_a_shell_without_a_terminal_runs_what_is_piped_in_and_says_nothing() -> None:
    command = shell_command(with_terminal=False, from_root=True)
    ran = subprocess.run(command, input="echo $((6 * 7))\nexit 3\n", capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr, ran.returncode) == ("42\n", "", 3)


def test_a_shell_begins_in_root_where_the_image_names_no_directory(tmp_path: Path) -> None:
    root = "/root" if os.access("/root", os.X_OK) else "/"
    for cwd, from_root, place in (("/", True, root), ("/", False, "/"), (str(tmp_path), True, str(tmp_path))):
        command = shell_command(with_terminal=False, from_root=from_root)
        ran = subprocess.run(command, input="pwd", capture_output=True, text=True, check=True, cwd=cwd)
        assert (ran.stdout, ran.stderr) == (f"{place}\n", "")


def test_an_exec_with_a_terminal_has_its_directory_user_and_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[ExecStart] = []
    monkeypatch.setattr(terminal, "is_terminal", lambda: True)
    monkeypatch.setattr(terminal, "run_in_terminal", lambda _client, start: started.append(start) or 0)
    client: Any = None
    assert execute(client, "co-1", ["ls"], pty=True, workdir="/srv", timeout=3, user="www", env={"A": "b"}) == 0
    (start,) = started
    assert (start.container_id, start.args, start.workdir, start.timeout_s) == ("co-1", ["ls"], "/srv", 3)
    assert (start.user, start.env) == ("www", {"A": "b"})
