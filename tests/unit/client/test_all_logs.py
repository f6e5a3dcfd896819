"""`wherry logs`: the lines of all apps of an environment, on a fake service."""

import contextlib
import copy
import json
import queue
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest

from tests.fakes.service import FakeService
from tests.waiting import wait_until
from wherry.cli import _all_logs
from wherry.cli import logs as command
from wherry.cli import main as cli
from wherry.exception import NotFoundError
from wherry_proto.messages import (
    AppInfo,
    AppListRequest,
    AppListResponse,
    AppShowRequest,
    AppShowResponse,
    FunctionInfo,
    FunctionStatus,
    LogLine,
    LogLines,
    LogReadRequest,
    Message,
    Stream,
)

Run = Callable[..., int]
Told = pytest.CaptureFixture[str]
STOPPED = 4


def line(text: str, position: int, app_id: str, function_id: str = "fu-1") -> LogLine:
    return LogLine(
        text=text, position=position, app_id=app_id, function_id=function_id, container_id="co-1", stream=Stream.STDOUT
    )


class Printing(FakeService):
    """A fake with apps, each with lines."""

    def __init__(self) -> None:
        super().__init__()
        self.names = {"ap-1": "shop", "ap-2": "mail"}
        self.stopped = {"ap-3": "old"}
        self.kept = {
            "ap-1": [line("first", 10, "ap-1"), line("third", 30, "ap-1", "fu-2")],
            "ap-2": [line("second", 20, "ap-2"), line("fourth", 40, "ap-2", "")],
            "ap-3": [line("long ago", 5, "ap-3", "fu-9")],
        }
        # Lines to come, by app; None ends an app.
        self.live: dict[str, queue.Queue[LogLine | None]] = {}
        self.asked: list[LogReadRequest] = []

    def _apps_list(self, request: AppListRequest) -> AppListResponse:
        named = {**self.names, **(self.stopped if request.include_stopped else {})}
        return AppListResponse(apps=[AppInfo(app_id=own, name=name) for own, name in named.items()])

    def _apps_show(self, request: AppShowRequest) -> AppShowResponse:
        if request.app_id not in self.names:
            raise NotFoundError("it has stopped")
        own = {"fu-1": "f", "fu-2": "Model"}
        return AppShowResponse(
            functions=[FunctionStatus(function=FunctionInfo(function_id=one, name=name)) for one, name in own.items()]
        )

    def stream(self, method: str, request: Any) -> Iterator[Message]:
        if method != "Logs.Read":
            yield from super().stream(method, request)
            return
        self.asked.append(copy.copy(request))
        lines = [one for one in self.kept.get(request.app_id, []) if one.position > request.after]
        if not request.only_new and lines:
            yield LogLines(lines=lines[-request.tail :] if request.tail else lines)
        live = self.live.setdefault(request.app_id, queue.Queue())
        while request.follow and (one := live.get()) is not None:
            yield LogLines(lines=[one])


@pytest.fixture
def service() -> FakeService:
    return Printing()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["wherry", "logs", *words])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return int(caught.value.code or 0)

    return run


def test_lines_of_all_apps_come_in_their_order_with_whose_they_are(run: Run, service: Printing, capsys: Told) -> None:
    assert run() == 0
    assert capsys.readouterr().out.splitlines() == [
        "shop/f | first",
        "mail/f | second",
        "shop/Model | third",
        "mail | fourth",
    ]


def test_those_of_stopped_apps_when_asked_for(run: Run, service: Printing, capsys: Told) -> None:
    assert run("--all", "-t") == 0
    # Nobody knows the names of its functions any more.
    assert capsys.readouterr().out.splitlines()[0].endswith(" old/fu-9 | long ago")


def test_a_tail_is_one_of_all_lines(run: Run, service: Printing, capsys: Told) -> None:
    assert run("-n", "2") == 0
    assert capsys.readouterr().out.splitlines() == ["shop/Model | third", "mail | fourth"]


def test_of_some_apps(run: Run, service: Printing, capsys: Told) -> None:
    assert run("mail") == 0
    assert capsys.readouterr().out.splitlines() == ["mail/f | second", "mail | fourth"]
    assert run("nope") == 1
    assert "no app named nope is running; --all shows those that have stopped, too" in capsys.readouterr().err


def test_as_json_each_line_says_whose_it_is(run: Run, service: Printing, capsys: Told) -> None:
    assert run("shop", "--json") == 0
    told = [json.loads(one) for one in capsys.readouterr().out.splitlines()]
    assert [(one["of"], one["text"]) for one in told] == [("shop/f", "first"), ("shop/Model", "third")]


def test_too_many_apps_are_refused(run: Run, service: Printing, capsys: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_all_logs, "MOST_APPS", 1)
    assert run() == 2
    assert "2 apps have logs here, and 1 is the most: name those you mean" in capsys.readouterr().err


class _Enough(KeyboardInterrupt):
    """Ctrl-C, once a test has seen what it waits for."""


def test_it_follows_also_apps_that_begin_later(
    run: Run, service: Printing, capsys: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_all_logs, "_LOOK_S", 0.01)
    shown: list[str] = []
    real = command._Plain.show

    def show(self: Any, lines: list[LogLine]) -> None:
        lines = list(lines)
        shown.extend(one.text for one in lines)
        real(self, lines)
        if shown[-1] == "fourth":
            service.live.setdefault("ap-1", queue.Queue()).put(line("fifth", 50, "ap-1"))
        elif shown[-1] == "fifth":
            service.names["ap-5"] = "new"
            service.kept["ap-5"] = [line("sixth", 60, "ap-5")]
        elif shown[-1] == "sixth":
            service.live["ap-5"].put(line("seventh", 70, "ap-5"))
        elif shown[-1] == "seventh":
            raise _Enough

    monkeypatch.setattr(command._Plain, "show", show)
    assert run("-f") == 130
    assert shown == ["first", "second", "third", "fourth", "fifth", "sixth", "seventh"]
    assert capsys.readouterr().out.splitlines()[-3:] == ["shop/f | fifth", "new/f | sixth", "new/f | seventh"]
    for followed in service.live.values():
        followed.put(None)


def test_with_no_tail_only_what_is_new(
    run: Run, service: Printing, capsys: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_all_logs, "_LOOK_S", 0.01)

    def take(self: _all_logs.AllLogs) -> Iterator[list[LogLine]]:
        wait_until(
            lambda: {"ap-1", "ap-2"} <= {one.app_id for one in service.asked if one.follow}, "a stream of each app"
        )
        assert all(one.only_new for one in service.asked)
        raise _Enough
        yield []

    real = _all_logs.AllLogs.to_come

    def to_come(self: _all_logs.AllLogs) -> Generator[list[LogLine], None, None]:
        with contextlib.closing(real(self)) as following:
            service.live.setdefault("ap-1", queue.Queue()).put(line("now", 90, "ap-1"))
            yield next(following)
            yield from take(self)

    monkeypatch.setattr(_all_logs.AllLogs, "to_come", to_come)
    assert run("-f", "-n", "0") == 130
    assert capsys.readouterr().out == "shop/f | now\n"
    for followed in service.live.values():
        followed.put(None)
