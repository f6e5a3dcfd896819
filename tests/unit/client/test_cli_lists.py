"""Commands that list, and ids that are cut: on a fake service."""

import io
import json
import re
import sys
import time
from collections.abc import Callable

import pytest

from tests.fakes.service import FakeService
from wherry import exception
from wherry.cli import _common, main
from wherry.cli._common import confirm
from wherry_proto.messages import (
    AppInfo,
    AppListRequest,
    AppListResponse,
    AppShowRequest,
    AppShowResponse,
    AppState,
    ContainerInfo,
    ContainerListRequest,
    ContainerListResponse,
    ContainerStopRequest,
    ContainerStopResponse,
    FunctionLookupRequest,
    ObjectInfo,
    ObjectListRequest,
    ObjectListResponse,
    SandboxGetRequest,
    SandboxInfo,
    SandboxListRequest,
    SandboxListResponse,
    SandboxTerminateRequest,
)

Run = Callable[..., int]

FIRST = "ap-01KB8ZQ4M3AAAAAAAAAAAAAAAA"
SECOND = "ap-01KB8ZQ4M3ABBBBBBBBBBBBBBB"
STOPPED = "ap-01KA0000000000000000000000"
BUSY = "co-01KB8ZQ4M3AAAAAAAAAAAAAAAA"
IDLE = "co-01KB8ZQ4M3BBBBBBBBBBBBBBBB"
CREATED_MS = 1_790_000_000_000


class Lists(FakeService):
    """A fake with apps, containers and dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.apps = [
            AppInfo(app_id=FIRST, name="shop", state=AppState.DEPLOYED, created_at_ms=CREATED_MS + 1, num_containers=2),
            AppInfo(app_id=SECOND, name="hello", state=AppState.EPHEMERAL, created_at_ms=CREATED_MS),
        ]
        self.stopped = [AppInfo(app_id=STOPPED, name="old", state=AppState.STOPPED, created_at_ms=1)]
        self.containers = [
            ContainerInfo(container_id=BUSY, app_id=FIRST, app_name="shop", function_name="price", state="busy"),
            ContainerInfo(container_id=IDLE, app_id=FIRST, app_name="shop", function_name="price", state="idle"),
        ]
        self.sandboxes: list[SandboxInfo] = []
        self.objects = [ObjectInfo(object_id="di-1", name="seen", num_items=3, created_at_ms=CREATED_MS)]

    def _apps_list(self, request: AppListRequest) -> AppListResponse:
        return AppListResponse(apps=[*self.apps, *(self.stopped if request.include_stopped else [])])

    def _apps_show(self, request: AppShowRequest) -> AppShowResponse:
        for app in self.apps:
            if request.app_id == app.app_id or (not request.app_id and request.app_name == app.name):
                return AppShowResponse(app=app)
        raise exception.NotFoundError(f"no app named {request.app_name!r} runs")

    def _containers_list(self, request: ContainerListRequest) -> ContainerListResponse:
        found = [one for one in self.containers if request.app_id in ("", one.app_id)]
        return ContainerListResponse(containers=found)

    def _containers_stop(self, request: ContainerStopRequest) -> ContainerStopResponse:
        return ContainerStopResponse()

    def _sandboxes_list(self, request: SandboxListRequest) -> SandboxListResponse:
        return SandboxListResponse(sandboxes=self.sandboxes)

    def _sandboxes_get(self, request: SandboxGetRequest) -> SandboxInfo:
        return SandboxInfo(sandbox_id=request.sandbox_id)

    def _sandboxes_terminate(self, request: SandboxTerminateRequest) -> SandboxInfo:
        return SandboxInfo(sandbox_id=request.sandbox_id)

    def _dicts_list(self, request: ObjectListRequest) -> ObjectListResponse:
        return ObjectListResponse(objects=self.objects)


@pytest.fixture
def service() -> Lists:
    return Lists()


def on_terminal(monkeypatch: pytest.MonkeyPatch, width: int = 60) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


def test_a_pipe_gets_whole_ids_and_no_colour(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("", "app", "list") == 0
    heading, first, second = capsys.readouterr().out.splitlines()
    assert heading.split()[:3] == ["name", "id", "state"]
    assert first.split()[:3] == ["shop", FIRST, "deployed"]
    assert second.split()[:3] == ["hello", SECOND, "ephemeral"]
    assert "\x1b" not in first + second


@pytest.mark.parametrize("width", [60, 120])
def test_a_terminal_gets_what_fits(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    on_terminal(monkeypatch, width)
    assert run("", "app", "list") == 0
    out = capsys.readouterr().out
    assert FIRST[:15] in out
    assert FIRST not in out
    assert "\x1b[32mdeployed\x1b[0m" in out
    for words in (("container", "list"), ("dict", "list")):
        monkeypatch.setenv("NO_COLOR", "1")
        assert run("", *words) == 0
        text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
        assert all(len(line) <= width for line in text.splitlines())


def test_scripts_get_ids_or_names_alone(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("", "app", "list", "-q") == 0
    assert capsys.readouterr().out == f"{FIRST}\n{SECOND}\n"
    assert run("", "dict", "list", "--quiet") == 0
    assert capsys.readouterr().out == "seen\n"


def test_lists_are_sorted_and_limited(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("", "app", "list", "--sort", "name", "--limit", "1", "-q") == 0
    assert capsys.readouterr().out == f"{SECOND}\n"
    assert run("", "app", "list", "--sort", "-created", "--json") == 0
    assert [app["name"] for app in json.loads(capsys.readouterr().out)] == ["shop", "hello"]


def test_an_empty_list_says_what_to_do(run: Run, service: Lists, capsys: pytest.CaptureFixture[str]) -> None:
    service.apps = service.containers = service.objects = []  # type: ignore[assignment]
    for words, said in (
        (("app", "list"), "wherry run FILE.py"),
        (("container", "list"), "wherry sandbox list"),
        (("dict", "list"), "wherry dict create NAME"),
    ):
        assert run("", *words) == 0
        out, err = capsys.readouterr()
        assert out == ""
        assert said in err
        assert run("", *words, "-q") == 0
        assert capsys.readouterr() == ("", "")
        assert run("", *words, "--json") == 0
        assert capsys.readouterr() == ("[]\n", "")


def test_a_sentence_ends_its_lines_between_words(
    run: Run, service: Lists, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    service.apps = []
    assert run("", "app", "list") == 0
    (whole,) = capsys.readouterr().err.splitlines()
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run("", "app", "list") == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 1
    assert all(len(line) <= 60 for line in lines)
    assert " ".join(lines) == whole


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["app", "list", "--sort", "colour"], "--sort 'colour': there are the columns name, id, state"),
        (["app", "list", "-q", "--json"], "use one of them"),
        (["app", "list", "--watch"], "--watch is for a terminal"),
    ],
)
def test_what_can_not_be_is_said(run: Run, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert run("", *words) == 2
    assert said in capsys.readouterr().err


def test_a_list_is_watched_until_ctrl_c(
    run: Run, service: Lists, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_terminal(monkeypatch)
    turns: list[float] = []

    def sleep(seconds: float) -> None:
        turns.append(seconds)
        service.apps = []
        if len(turns) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("wherry.cli._listing.time.sleep", sleep)
    assert run("", "app", "list", "--watch") == 130
    out = capsys.readouterr().out
    assert "shop" in out
    assert "No app runs here" in out
    assert turns == [2.0, 2.0]


def test_containers_of_no_app_are_an_error(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("", "container", "list", "--app", "nope") == 1
    assert "no app named 'nope' runs" in capsys.readouterr().err
    assert run("", "container", "list", "--app", "shop", "-q") == 0
    assert capsys.readouterr().out == f"{BUSY}\n{IDLE}\n"
    assert run("", "container", "list", "--app", SECOND, "-q") == 0
    assert capsys.readouterr().out == ""


def stopped(service: Lists) -> list[str]:
    """Return the ids of what was told to stop."""
    found = [request for name, request in service.requests if name.endswith(".Stop")]
    return [str(getattr(one, "container_id", "") or getattr(one, "app_id", "")) for one in found]


@pytest.mark.parametrize("given", [BUSY[:14], BUSY[:14].lower(), BUSY])
def test_the_beginning_of_an_id_does(run: Run, service: Lists, given: str) -> None:
    assert run("", "container", "stop", given) == 0
    assert stopped(service) == [BUSY]


def test_an_id_that_two_begin_with_is_refused_with_both(
    run: Run, service: Lists, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("", "container", "stop", BUSY, BUSY[:12]) == 1
    err = capsys.readouterr().err
    assert BUSY in err
    assert IDLE in err
    assert stopped(service) == []
    assert run("", "app", "stop", FIRST[:14]) == 1
    assert f"{FIRST}, {SECOND}" in capsys.readouterr().err


def test_an_id_that_none_begins_with_is_told(run: Run, service: Lists, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("container", "exec", "co-7", "ls"), ("container", "stop", "co-"), ("app", "info", "ap-7")):
        assert run("", *words) == 1
        assert f"has an id that begins with {words[2]}; `wherry {words[0]} list" in capsys.readouterr().err
    assert stopped(service) == []


@pytest.mark.parametrize(
    "words",
    [
        ("container", "stop", BUSY[:10]),
        ("app", "stop", STOPPED[:10]),
        ("token", "revoke", "tk-0"),
        ("sandbox", "terminate", "sb-01"),
    ],
)
def test_what_ends_something_unasked_needs_more_than_a_few_digits(
    run: Run, service: Lists, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    service.sandboxes = [SandboxInfo(sandbox_id=FIRST.replace("ap-", "sb-"), name="box")]
    assert run("", *words) == 1
    assert f"{words[-1]} is too short for a command that asks nothing: give at least 8" in capsys.readouterr().err
    assert not any(name.endswith((".Stop", ".Revoke", ".Terminate")) for name, _ in service.requests)


def test_an_app_that_is_stopped_by_the_beginning_of_its_id_is_told_whole(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("", "app", "stop", STOPPED[:11]) == 0
    assert STOPPED in capsys.readouterr().out


def test_the_name_of_a_sandbox_may_begin_as_an_id_does(run: Run, service: Lists) -> None:
    other = FIRST.replace("ap-", "sb-")
    named = SECOND.replace("ap-", "sb-")
    service.sandboxes = [SandboxInfo(sandbox_id=other), SandboxInfo(sandbox_id=named, name=other[:13])]
    for given in (other[:13], other):
        assert run("", "sandbox", "terminate", given) == 0
    ended = [r.sandbox_id for _, r in service.requests if isinstance(r, SandboxTerminateRequest)]
    assert ended == [named, other]


def test_names_of_apps_may_begin_as_ids_of_other_things_do(run: Run, service: Lists) -> None:
    for prefix in ("co", "fu", "im", "sb", "tk"):
        name = f"{prefix}-pilot"
        service.apps = [AppInfo(app_id=FIRST, name=name, state=AppState.DEPLOYED)]
        service.logs = [[]]
        service.stopped = [AppInfo(app_id=STOPPED, name=f"{prefix}-old", state=AppState.STOPPED, stopped_at_ms=1)]
        assert run("", "logs", name) == 0
        assert run("", "app", "info", f"{prefix}-old") == 0
        if prefix != "fu":
            run("", "function", "info", f"{name}/f")
            asked = next(r for _, r in reversed(service.requests) if isinstance(r, FunctionLookupRequest))
            assert (asked.app_name, asked.name) == (name, "f")


def test_a_container_of_a_log_is_looked_for_in_the_environment_of_the_command(run: Run, service: Lists) -> None:
    for words in (("logs",), ("app", "logs", "shop"), ("function", "logs", "shop/price")):
        service.requests.clear()
        service.logs = [[], []]
        assert run("", *words, "--container", BUSY[:14], "-e", "prod") == 0
        looked = [r.environment for _, r in service.requests if isinstance(r, ContainerListRequest)]
        assert looked == ["prod"]


def test_a_question_is_beside_what_was_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherry.cli._common.stdin_is_terminal", lambda: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    confirm("Delete it?", yes=False)
    out, err = capsys.readouterr()
    assert "Delete it?" in err
    assert not out.strip()


def test_what_has_stopped_stands_in_no_running_app_s_way(run: Run, service: Lists) -> None:
    service.stopped.append(AppInfo(app_id=FIRST[:16] + "Z" * 13, name="older", state=AppState.STOPPED))
    assert run("", "app", "stop", FIRST[:15]) == 0
    assert run("", "app", "stop", STOPPED[:11]) == 0
    assert stopped(service) == [FIRST, STOPPED]


def test_a_list_shows_ids_that_no_other_begins_with(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, service: Lists
) -> None:
    on_terminal(monkeypatch)
    assert run("", "app", "list", "--limit", "1") == 0
    (row,) = capsys.readouterr().out.splitlines()[1:]
    shown = next(word for word in row.split() if word.startswith("ap-"))
    assert run("", "app", "stop", shown) == 0
    assert stopped(service) == [FIRST]


def test_an_app_that_has_stopped_says_when_it_ran(run: Run, service: Lists, capsys: pytest.CaptureFixture[str]) -> None:
    service.stopped[0].stopped_at_ms = CREATED_MS
    for given in ("old", STOPPED, STOPPED[:9]):
        assert run("", "app", "info", given) == 0
        out = capsys.readouterr().out
        assert f"old ({STOPPED})" in out
        assert f"wherry app logs {STOPPED}" in out
    assert run("", "app", "info", "old", "--json") == 0
    assert json.loads(capsys.readouterr().out)["state"] == "stopped"
    assert run("", "app", "info", "nope") == 1
    assert "no app named 'nope' runs" in capsys.readouterr().err


def test_lines_that_go_on_begin_below_the_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "40")
    line = "✓ Registry: none gives debian:bookworm-slim, so bases are made of Debian's packages"
    shown = _common.in_words(line, _common.ScreenStream(Tty()), hanging=2).splitlines()
    assert [len(one) <= 40 for one in shown] == [True] * 3
    assert all(one.startswith("  ") for one in shown[1:])
    assert _common.in_words(line, _common.ScreenStream(io.StringIO()), hanging=2) == line


def test_an_error_on_a_terminal_ends_its_lines_between_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.argv", ["wherry", "run", "there_is_no_such_file_here.py"])
    monkeypatch.setattr("sys.stderr", err := Tty())
    with pytest.raises(SystemExit):
        main.main()
    told = err.getvalue().partition("Error: ")[2]
    assert "there is no file" in told
    assert all(len(one) <= 40 or " " not in one.strip() for one in told.splitlines())


def test_a_moment_is_relative_on_a_terminal_and_exact_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    ms = int(time.time() * 1000) - 180_500
    assert _common.when(ms) == _common.time_of(ms)
    monkeypatch.setattr("sys.stdout", Tty())
    assert _common.when(ms) == "3 minutes ago"
    assert _common.when(0) == ""
