"""`wherry app logs`, `wherry container logs` and `wherry app stop`, on a fake service."""

import datetime
import json
import sys
from collections.abc import Callable

import pytest

from tests.fakes.service import FakeService
from wherry._connection.client import Client
from wherry.cli import main as cli
from wherry.cli._logs import read_logs
from wherry.cli._times import read_time
from wherry.cli._usage import UsageError
from wherry.exception import ConnectionError
from wherry_proto.messages import AppStopRequest, AppStopResponse, FunctionSpec, LogLine, LogReadRequest, Stream

Run = Callable[..., int]
# Whole ids: what is shorter is looked for.
APP, CONTAINER, FUNCTION = (f"{prefix}-01KB8ZQ4M3AAAAAAAAAAAAAAAA" for prefix in ("ap", "co", "fu"))
NOW = datetime.datetime(2026, 3, 4, 12, 0, 0).timestamp()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process: `run("app", "logs", …)` → exit code."""

    def run(*words: str) -> int:
        monkeypatch.setattr("sys.argv", ["wherry", *words])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return int(caught.value.code or 0)

    return run


def line(text: str, stream: int = Stream.STDOUT, position: int = 1, **fields: object) -> LogLine:
    return LogLine(text=text, stream=stream, position=position, container_id="co-1", at_ms=1000, **fields)  # type: ignore[arg-type]


def asked(service: FakeService) -> LogReadRequest:
    (request,) = [request for method, request in service.requests if method == "Logs.Read"]
    assert isinstance(request, LogReadRequest)
    return request


def test_each_line_goes_to_the_stream_it_was_printed_on(
    run: Run, service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.logs = [[[line("out"), line("err", Stream.STDERR)], [line("container ended", Stream.SYSTEM), line("more")]]]
    assert run("app", "logs", "demo") == 0
    assert capsys.readouterr() == ("out\nmore\n", "err\ncontainer ended\n")
    request = asked(service)
    assert (request.app_name, request.environment, request.follow, request.tail) == ("demo", "main", False, 0)


def test_lines_do_not_steer_a_terminal_and_are_as_they_came_elsewhere(
    run: Run, service: FakeService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "\x1b]52;c;eA==\x07a\x1b[31mb\x1b[0m\x1bc"
    service.logs = [[[line(text), line(text, Stream.STDERR)]]]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run("app", "logs", "demo") == 0
    assert capsys.readouterr() == (f"{text}\n", "\x1b[33ma\x1b[31mb\x1b[0m\x1b[0m\n")


def test_options_become_the_request(run: Run, service: FakeService) -> None:
    service.logs = [[]]
    words = "-n 5 --search x --function f --call fc-1 --stream stderr --since 1970-01-02 -e prod --container"
    assert (
        run("app", "logs", "demo", *words.split(), f"wherry-{CONTAINER}", "--until", "2026-01-01T00:00:00+00:00") == 0
    )
    request = asked(service)
    assert (request.tail, request.search, request.function, request.call_id) == (5, "x", "f", "fc-1")
    assert (request.container_id, request.stream, request.environment) == (CONTAINER, Stream.STDERR, "prod")
    assert 0 < request.since_ms < 3 * 86_400_000
    assert request.until_ms == 1_767_225_600_000


def test_an_app_and_a_container_by_id(run: Run, service: FakeService) -> None:
    service.logs = [[], []]
    assert run("app", "logs", APP, "-f", "-n", "0") == 0
    request = asked(service)
    assert (request.app_id, request.app_name, request.follow, request.only_new) == (APP, "", True, True)
    service.requests.clear()
    assert run("container", "logs", CONTAINER, "--follow") == 0
    request = asked(service)
    assert (request.container_id, request.app_id, request.follow, request.only_new) == (CONTAINER, "", True, False)


def test_json_is_one_object_a_line(run: Run, service: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    service.logs = [[[line("a \x1b[31m", call_id="fc-1"), line("b", Stream.STDERR, goes_on=True)]]]
    assert run("app", "logs", "demo", "--json") == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["text"], first["stream"], first["call_id"], first["input_id"]) == (
        "a \x1b[31m",
        "stdout",
        "fc-1",
        None,
    )
    assert datetime.datetime.fromisoformat(first["at"]).timestamp() == 1
    assert second["goes_on"] is True


def test_pieces_of_a_line_are_one_line_again(
    run: Run, service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    pieces = [line("one", goes_on=True), line("two", goes_on=True), line("three")]
    service.logs = [[[*pieces, line("cut", goes_on=True), line("err", Stream.STDERR), line("open", goes_on=True)]]]
    assert run("app", "logs", "demo") == 0
    assert capsys.readouterr() == ("onetwothree\ncut\nopen\n", "err\n")


def test_timestamps(run: Run, service: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    service.logs = [[[line("x")]]]
    assert run("app", "logs", "demo", "-t") == 0
    at, text = capsys.readouterr().out.split()
    assert datetime.datetime.fromisoformat(at).timestamp() == 1
    assert text == "x"


def test_lines_may_begin_with_ids(run: Run, service: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    service.logs = [[[line("x", function_id="fu-1", call_id="fc-1"), line("y")]]]
    assert run("app", "logs", "demo", "--show-function-id", "--show-function-call-id") == 0
    assert capsys.readouterr().out == "fu-1 fc-1 x\n- y\n"
    service.logs = [[[line("50%\r100%")]]]
    assert run("function", "logs", "demo/f", "--show-container-id", "-s", "stdout", "--function-call", "fc-1") == 0
    assert capsys.readouterr().out == "co-1 50%\rco-1 100%\n"
    request = next(request for name, request in reversed(service.requests) if name == "Logs.Read")
    assert isinstance(request, LogReadRequest)
    assert (request.app_name, request.function, request.call_id) == ("demo", "f", "fc-1")
    service.logs = [[], []]
    service.specs[FUNCTION] = FunctionSpec(name="f")
    for words, named in (((), FUNCTION), (("--all-variants",), "f")):
        assert run("function", "logs", FUNCTION, *words) == 0
        request = service.requests[-1][1]
        assert isinstance(request, LogReadRequest)
        assert (request.app_id, request.function) == ("ap-1", named)
    assert run("function", "logs", "demo") == 2
    assert "neither an id (fu-…) nor APP/FUNCTION" in capsys.readouterr().err
    assert run("container", "logs", CONTAINER, "--all", "-n", "5") == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--since", "yesterday"], "--since 'yesterday' is no time: give how long ago (90s, 10m, 2h, 1d)"),
        (["--since", "5"], "--since '5' is no time"),
        (["--until", "25:00"], "--until '25:00' is no time"),
        (["--stream", "out"], "--source 'out' is none of stdout, stderr, system"),
        (["-f", "--until", "1m"], "can't go with --until"),
        (["-n", "0"], "--tail 0 shows nothing without --follow"),
    ],
)
def test_wrong_options_are_said(
    run: Run, service: FakeService, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert run("app", "logs", "demo", *words) == 2
    assert said in capsys.readouterr().err
    assert not service.requests


@pytest.mark.parametrize(
    ("text", "ago_s"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("2d", 172_800),
        ("11:59", 60),
        ("2026-03-04T11:00", 3600),
    ],
)
def test_times(text: str, ago_s: int) -> None:
    assert read_time(text, "--since", NOW) == int((NOW - ago_s) * 1000)


def test_a_time_out_of_range_is_no_time() -> None:
    with pytest.raises(UsageError, match="is no time"):
        read_time("99999-01-01", "--since", NOW)
    assert read_time("9999999d", "--since", NOW) == 0


def test_following_goes_on_behind_the_last_line_when_the_connection_breaks(
    client: Client, service: FakeService
) -> None:
    service.logs = [
        [[line("1", position=7)], [line("2", position=9)], ConnectionError("broken")],
        [ConnectionError("broken again")],
        [[line("3", position=12)]],
    ]
    request = LogReadRequest(app_name="demo", tail=2, follow=True)
    assert [item.text for lines in read_logs(client, request) for item in lines] == ["1", "2", "3"]
    reads = [request for method, request in service.requests if method == "Logs.Read"]
    assert [(r.after, r.tail) for r in reads if isinstance(r, LogReadRequest)] == [(0, 2), (9, 0), (9, 0)]


def test_one_who_wants_only_new_lines_gets_those_of_the_time_without_a_connection(
    client: Client, service: FakeService
) -> None:
    service.logs = [[ConnectionError("broken")], [[line("new")]]]
    request = LogReadRequest(app_name="demo", only_new=True, follow=True)
    assert [item.text for lines in read_logs(client, request) for item in lines] == ["new"]
    *_, last = [request for method, request in service.requests if method == "Logs.Read"]
    assert isinstance(last, LogReadRequest)
    assert not last.only_new
    assert last.since_ms > 0


def test_app_stop(run: Run, service: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    service.app_stopped = AppStopResponse(num_containers_stopped=2)
    assert run("app", "stop", APP, "--timeout", "5") == 0
    assert capsys.readouterr().out == f"Stopped {APP} and 2 containers.\n"
    _, request = service.requests[-1]
    assert isinstance(request, AppStopRequest)
    assert request.deadline_s == 5


def test_app_stop_names_what_is_left(run: Run, service: FakeService, capsys: pytest.CaptureFixture[str]) -> None:
    service.app_stopped = AppStopResponse(left_over=["wherry-co-1", "wherry-co-2"])
    assert run("app", "stop", APP) == 1
    err = capsys.readouterr().err
    assert "2 containers that are still there: wherry-co-1, wherry-co-2" in err
    assert "docker ps -a" in err
    assert run("app", "stop", APP, "--json") == 1
    assert json.loads(capsys.readouterr().out)["left_over"] == ["wherry-co-1", "wherry-co-2"]
