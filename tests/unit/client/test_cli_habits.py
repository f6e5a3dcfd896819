"""The command line as people expect it who know other ones, on a fake service."""

import io
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.service import FakeService
from wherry._connection.client import Client
from wherry._screen.stamps import Stamped
from wherry.cli import main as cli
from wherry_proto.messages import (
    AppOpenRequest,
    LogLine,
    SandboxGetRequest,
    SandboxInfo,
    SandboxPauseRequest,
    SessionDown,
    Stream,
)

Run = Callable[..., int]

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d"


def _leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    subcommands = getattr(command, "commands", None)
    # Those that are hidden only say why there is no such command.
    if subcommands is None and not command.hidden:
        yield words, command
    for name, one in (subcommands or {}).items():
        yield from _leaves(one, (*words, name))


def _opened(service: FakeService) -> AppOpenRequest:
    request = next(request for name, request in reversed(service.requests) if name == "Apps.Open")
    assert isinstance(request, AppOpenRequest)
    return request


def test_each_command_takes_h_and_a_profile(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    whole = cli.commands()
    for words, command in _leaves(whole):
        assert any("--profile" in option.opts for option in command.params), words
        with pytest.raises(SystemExit) as caught:
            whole([*words, "-h"])
        assert not caught.value.code
        assert "-h, --help" in capsys.readouterr().out, words
    assert run("", "-h") == 0
    assert run("", "app", "-h") == 0
    capsys.readouterr()
    assert run("", "run", "SCRIPT::double", "-h") == 0
    assert "--n" in capsys.readouterr().out


def test_an_unknown_option_is_named_as_one(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    whole = cli.commands()
    for words, _ in _leaves(whole):
        with pytest.raises(SystemExit) as caught:
            whole([*words, "--no-such-option", "x", "y"])
        assert caught.value.code == 2
        assert "No such option: --no-such-option" in capsys.readouterr().err, words
    assert run("", "run", "SCRIPT::double", "--no-such-option") == 2
    assert "No such option: --no-such-option" in capsys.readouterr().err


def test_a_command_uses_the_profile_that_it_is_given(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WHERRY_PROFILE", "")  # so that the test's end takes away what the command sets
    monkeypatch.setenv("WHERRY_CONFIG_PATH", str(tmp_path / "profiles"))
    (tmp_path / "profiles").write_text('[work]\nenvironment = "dev"\n')
    assert run("", "config", "show", "--profile", "work") == 0
    assert "environment: dev\nprofile: work\n" in capsys.readouterr().out
    assert run("", "config", "show", "--profile", "play") == 1
    assert "has no profile 'play'; it has: work" in capsys.readouterr().err


def test_profiles_are_activated_and_keep_an_environment(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WHERRY_PROFILE", "")
    monkeypatch.setenv("WHERRY_CONFIG_PATH", str(tmp_path / "profiles"))
    profiles = '["a"]\nserver_url = "https://h:1"\ntoken_id = "tk-1"\ntoken_secret = "ws-s"\n\n["b"]\n'
    (tmp_path / "profiles").write_text(profiles)
    assert run("", "profile", "current") == 0
    assert capsys.readouterr().out == ""
    assert run("", "config", "set-environment", "dev") == 1
    assert "no profile is in use that could keep it: set WHERRY_ENVIRONMENT=dev" in capsys.readouterr().err
    assert run("", "profile", "activate", "a") == 0
    assert run("", "profile", "current") == 0
    assert capsys.readouterr().out == "Profile 'a' is in use.\na\n"
    for option, shown in ((), "***"), (("--no-redact",), "ws-s"):
        assert run("", "config", "show", *option) == 0
        assert capsys.readouterr().out.endswith(f"token_id: tk-1\ntoken_secret: {shown}\n")
    # Another command's profile is not the one in use.
    assert run("", "profile", "current", "--profile", "b") == 0
    assert capsys.readouterr().out == "b\n"


def test_one_setting_of_the_profile_in_use_is_changed(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "profiles"
    monkeypatch.setenv("WHERRY_PROFILE", "")
    monkeypatch.setenv("WHERRY_CONFIG_PATH", str(path))
    assert run("", "config", "set", "server_url", "https://h:2") == 1
    assert "no profile is in use" in capsys.readouterr().err
    path.write_text(
        'active = "b"\n["a"]\nserver_url = "https://h:1"\ntoken_id = "tk-1"\ntoken_secret = "ws-s"\n["b"]\n'
    )
    monkeypatch.setenv("WHERRY_PROFILE", "a")
    assert run("", "config", "set", "server_url", "https://h:2") == 0
    text = path.read_text()
    assert 'active = "b"' in text
    assert 'server_url = "https://h:2"' in text
    assert 'token_secret = "ws-s"' in text
    assert run("", "config", "set", "server_url", "nonsense") != 0
    assert path.read_text() == text
    assert run("", "config", "set", "servr_url", "x") == 2
    assert "did you mean 'server_url'?" in capsys.readouterr().err


def test_a_run_may_have_a_name_of_its_own(run: Run, service: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("", "run", "SCRIPT::double", "--n", "1") == 0
    assert _opened(service).name == "demo"
    for option in ("-n", "--name"):
        assert run("", "run", option, "other", "SCRIPT::double", "--n", "1") == 0
        assert _opened(service).name == "other"
    assert run("", "run", "--name", "", "SCRIPT::double", "--n", "1") == 1
    assert run("", "serve", "--name", "ap-x", "SCRIPT") == 1
    assert "ids begin with ap-" in capsys.readouterr().err


def test_lines_may_have_their_times(run: Run, service: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    def printing(n: int) -> int:
        lines = [LogLine(text="one", stream=Stream.STDOUT, at_ms=1), LogLine(text="two", stream=Stream.STDERR)]
        service.send(SessionDown(logs=lines))
        return n

    service.functions["double"] = printing
    assert run("", "run", "-q", "--timestamps", "SCRIPT::double", "--n", "7") == 0
    out, err = capsys.readouterr()
    assert re.fullmatch(f"{STAMP} one\n7\n", out)
    assert re.fullmatch(f"{STAMP} two\n", err)


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (["a", "b\n"], "T ab"),
        (["10%\r", "20%\r", "30%\n"], "T 10%\rT 20%\rT 30%"),
        (["\r10%", "\r20%", "\n"], "\rT 10%\rT 20%"),
        (["\n", "a\n"], "T T a"),
    ],
)
def test_a_line_in_pieces_has_its_time_once_and_again_where_it_starts_over(pieces: list[str], shown: str) -> None:
    class Kept(list[LogLine]):
        log = list.extend

    kept: Any = Kept()
    stamped = Stamped(kept)
    for piece in pieces:
        stamped.log([LogLine(text=piece.removesuffix("\n"), goes_on=not piece.endswith("\n"))])
    assert re.sub(STAMP, "T", "".join(line.text for line in kept)) == shown


def test_modules_and_files_may_have_any_name(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "05_x"
    folder.mkdir()
    text = "import wherry\napp = wherry.App()\n@app.local_entrypoint()\ndef main(): print(__name__)\n"
    for name in ("__init__", "mod", "my-script"):
        (folder / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    for words, name in (
        (["-m", "05_x"], "05_x"),
        (["-m", "05_x.mod"], "05_x.mod"),
        (["05_x.my-script::app.main"], "05_x.my-script"),
        (["05_x/my-script.py"], "my-script"),
    ):
        assert run("", "run", "-q", *words) == 0
        assert capsys.readouterr().out == f"{name}\n"
    assert run("", "run", "-m", "05_y") == 2
    assert "there is no module 05_y" in capsys.readouterr().err


STDIN = """
import wherry
app = wherry.App("from-stdin")

@app.function()
def double(n: int): return 2 * n

if __name__ == "__main__":
    print("this is run by python -")

@app.local_entrypoint()
def main(n: int = 4):
    if not n:
        1 / n
    print(double.remote(n))
"""


def _without_app(
    monkeypatch: pytest.MonkeyPatch, run: Run, capsys: pytest.CaptureFixture[str], text: str, *words: str
) -> str:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert run("", "run", "-q", *words) == 2
    return capsys.readouterr().err


def test_a_program_may_come_from_standard_input(
    run: Run, service: FakeService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def piped(*words: str) -> int:
        monkeypatch.setattr("sys.stdin", io.StringIO(STDIN))
        return run("", *words)

    assert piped("run", "-q", "-") == 0
    assert capsys.readouterr().out == "8\n"
    assert piped("run", "-q", "-", "--n", "5") == 0
    assert piped("run", "-q", "--", "-::double", "--n", "6") == 0
    assert capsys.readouterr().out == "10\n12\n"
    # The function itself is sent: no file has it.
    specs = [spec for name, request in service.requests if name == "Apps.Publish" for spec in request.functions]
    assert all(spec.serialized is not None and not spec.source_id for spec in specs)
    assert piped("run", "-q", "-", "--n", "0") == 1
    assert 'File "<stdin>", line 14, in main\n    1 / n\n' in capsys.readouterr().err
    assert piped("run", "-q", "--", "-::nope") == 2
    assert "\n  -- -::double\n" in capsys.readouterr().err
    err = _without_app(monkeypatch, run, capsys, "import wherry\n", "-")
    assert "the script on stdin has no app: make one with `app = wherry.App()`" in err
    err = _without_app(monkeypatch, run, capsys, STDIN.partition("@app.func")[0], "-")
    assert "the script on stdin has an app without functions" in err
    err = _without_app(monkeypatch, run, capsys, STDIN, "--", "-::nope")
    assert "the script on stdin has no entrypoint or function 'nope'; there are:\n  -- -::main\n" in err
    assert piped("serve", "-") == 2
    assert "only `wherry run` reads a program from standard input" in capsys.readouterr().err


class Sandboxes(FakeService):
    """Has one sandbox, by name."""

    def _sandboxes_get(self, request: SandboxGetRequest) -> SandboxInfo:
        return SandboxInfo(sandbox_id=SANDBOX_ID, name="box")

    def _sandboxes_pause(self, request: SandboxPauseRequest) -> SandboxInfo:
        return SandboxInfo(sandbox_id=request.sandbox_id)

    _sandboxes_resume = _sandboxes_pause


SANDBOX_ID = "sb-" + "0" * 26


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_sandboxes_are_paused_and_resumed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    service = Sandboxes()
    client = Client(service, "main", give_up_s=5)
    monkeypatch.setattr("wherry._connection.client._client_of", lambda _pid: client)

    def said(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["wherry", "sandbox", verb, *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code in (0, None)
        return capsys.readouterr().out

    assert said("app/box", SANDBOX_ID) == f"Sandbox {SANDBOX_ID} is {verb.removesuffix('e')}{'ed'}.\n" * 2
    assert json.loads(said("app/box", "--json")) == [{"sandbox_id": SANDBOX_ID}]
    asked = [request for method, request in service.requests if method == f"Sandboxes.{verb.capitalize()}"]
    assert [request.sandbox_id for request in asked] == [SANDBOX_ID] * 3
    client.close()
