"""`wherry call`: what became of calls, on a fake service."""

import json
import re
import sys
import time
from collections.abc import Callable

import pytest

from tests.fakes.records import APP, CONTAINER, FUNCTION, MADE_MS, SECOND, Recorded, record
from wherry import exception
from wherry_proto.messages import (
    CallKind,
    LogLine,
    LogReadRequest,
    Record,
    RecordAttempt,
    RecordDetail,
    RecordListRequest,
    RecordListResponse,
    RecordState,
    Stream,
)

Run = Callable[..., int]
Told = pytest.CaptureFixture[str]

GOOD = record("A")
BAD = record("B", RecordState.FAILED, error="ValueError: row 17", kept=True, retries=2, losses=1)
MANY = "fc-01KB8ZQ4M3XXXXXXXXXXXXXXXX"


@pytest.fixture
def service() -> Recorded:
    service = Recorded()
    service.records = [
        BAD,
        GOOD,
        record("C", RecordState.TIMEOUT, kind=CallKind.SCHEDULE),
        record("D", container_id="", method="up"),
    ]
    return service


def asked(service: Recorded) -> RecordListRequest:
    """Return what was asked for last."""
    return next(one for _, one in reversed(service.requests) if isinstance(one, RecordListRequest))


def of_many(number: int, state: int = RecordState.SUCCEEDED, **changed: object) -> Record:
    return record(f"M{number}", state, call_id=MANY, index=number, kind=CallKind.MAP, **changed)


# list


def test_a_list_has_all_pages_up_to_its_limit(run: Run, capsys: Told, service: Recorded) -> None:
    assert run("", "call", "list", "-q") == 0
    assert capsys.readouterr().out.split() == [one.input_id for one in service.records]
    assert run("", "call", "list", "-q", "--limit", "3") == 0
    out, err = capsys.readouterr()
    assert len(out.split()) == 3
    assert "--after 3" in err
    assert run("", "call", "list", "-q", "--after", "3") == 0
    assert capsys.readouterr() == (f"{service.records[3].input_id}\n", "")


def test_a_list_shows_what_fits_a_terminal(
    run: Run, capsys: Told, monkeypatch: pytest.MonkeyPatch, service: Recorded
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    for width in (60, 120, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        assert run("", "call", "list") == 0
        lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
        assert all(len(line) <= width for line in lines), lines
        assert {"id", "function", "state", "queued"} <= set(lines[0].split())
        assert "shop/price" in lines[1]
        assert "failed" in lines[1]


def test_a_list_says_how_long_each_waited_and_ran(run: Run, capsys: Told) -> None:
    assert run("", "call", "list") == 0
    heading, first, *_ = capsys.readouterr().out.splitlines()
    assert heading.split()[:6] == ["id", "function", "state", "queued", "waited", "ran"]
    assert "1.0 s" in first
    assert "2.0 s" in first
    assert "ValueError: row 17" in first
    assert run("", "call", "list", "--json", "--failed", "--error", "ROW") == 0
    (described,) = json.loads(capsys.readouterr().out)
    assert described["input_id"] == BAD.input_id
    assert (described["state"], described["kind"], described["retries"]) == ("failed", "spawn", 2)
    assert (described["queue_seconds"], described["run_seconds"]) == (1.0, 2.0)
    assert described["queued_ms"] == MADE_MS


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--state", "failed"], "B"),
        (["--state", "failed,succeeded", "--state", "timeout"], "BACD"),
        (["--failed"], "BC"),
        (["--kind", "schedule"], "C"),
        (["--app", "shop"], "BACD"),
        (["--app", APP[:14]], "BACD"),
        (["--app", "other"], ""),
        (["--function", "shop/price"], "BACD"),
        (["--function", "price", "--app", "shop"], "BACD"),
        (["--function", FUNCTION], "BACD"),
        (["--function", "shop/price.up"], "D"),
        (["--function", "price.up", "-n", "1"], "D"),
        (["--function", "price.*"], "BACD"),
        (["--function", "shop/main.<locals>.f"], "E"),
        (["--function", "Outer.Inner.get"], "F"),
        (["--function", f"{FUNCTION}.up"], "D"),
        (["--container", f"wherry-{CONTAINER}"], "BAC"),
        (["--call", GOOD.call_id], "A"),
        (["--call", GOOD.input_id], "A"),
        (["--since", "2020-01-01", "--until", "2021-01-01"], ""),
        (["-e", "prod"], ""),
    ],
)
def test_calls_are_chosen(
    run: Run, capsys: Told, service: Recorded, words: list[str], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wherry.cli._records.whole", _whole)
    service.records += [
        record(name, app_id="ap-2", app_name="shop", function_id=f"fu-{name}", function_name=function, **more)
        for name, function, more in (("E", "main.<locals>.f", {}), ("F", "Outer.Inner", {"method": "get"}))
        if set(found) & {"E", "F"}
    ]
    assert run("", "call", "list", "-q", *words) == 0
    assert [one[13] for one in capsys.readouterr().out.split()] == list(found)


def test_a_method_is_no_name_of_a_function_that_the_service_misses(
    run: Run, capsys: Told, service: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = service._records_list

    def checked(request: RecordListRequest) -> RecordListResponse:
        if (answer := listed(request)).records:
            return answer
        raise exception.NotFoundError(f"app 'shop' has no function {request.function!r}")

    monkeypatch.setattr(service, "_records_list", checked)
    assert run("", "call", "list", "-q", "--function", "shop/price.up") == 0
    assert capsys.readouterr().out.split() == [service.records[3].input_id]
    assert run("", "call", "list", "-q", "--function", "shop/prize.up") == 1
    assert "app 'shop' has no function 'prize'" in capsys.readouterr().err


def _whole(given: str, environment: str | None = None, *, prefix: str) -> str:
    """Find an app's id, as `_ids.whole` does, which has tests of its own."""
    return APP if given and APP.startswith(given) else given


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--state", "fialed"], "--state 'fialed' is none of queued, running"),
        (["--kind", "cron"], "--kind 'cron' is none of remote, map"),
        (["--failed", "--state", "lost"], "use one of them"),
        (["--since", "yesterday"], "--since 'yesterday' is no time"),
        (["--since", "1m", "--until", "5m"], "no call was queued between them"),
        (["--function", "a/b", "--app", "c"], "is not of --app c"),
        (["--call", "ap-1"], "'ap-1' is no id of a call"),
        (["--sort", "colour"], "--sort 'colour': there are the columns id, function, state"),
        (["--watch"], "--watch is for a terminal"),
    ],
)
def test_what_can_not_be_chosen_is_said(run: Run, capsys: Told, words: list[str], said: str) -> None:
    assert run("", "call", "list", *words) == 2
    assert said in capsys.readouterr().err


def test_a_list_is_sorted_by_how_long_calls_took(run: Run, capsys: Told, service: Recorded) -> None:
    service.records = [record(name, ended_ms=MADE_MS + (1 + s) * SECOND) for name, s in (("A", 9), ("B", 70), ("C", 1))]
    assert run("", "call", "list", "-q", "--sort", "-ran") == 0
    assert [one[13] for one in capsys.readouterr().out.split()] == ["B", "A", "C"]


def test_a_list_of_nothing_says_so(run: Run, capsys: Told, service: Recorded) -> None:
    service.records = []
    assert run("", "call", "list") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "No such call is known" in err
    assert run("", "call", "list", "--json") == 0
    assert capsys.readouterr().out == "[]\n"


# Ids


@pytest.mark.parametrize("given", [GOOD.input_id, GOOD.call_id, GOOD.input_id.lower(), GOOD.input_id[:14]])
def test_a_call_is_found_by_its_ids(run: Run, capsys: Told, service: Recorded, given: str) -> None:
    assert run("", "call", "show", given) == 0
    assert capsys.readouterr().out.startswith(f"{GOOD.input_id}: succeeded\n")


def test_a_call_whose_id_tells_another_time_is_found_by_its_beginning(
    run: Run, capsys: Told, service: Recorded
) -> None:
    # Those of calls from inside containers are made by the service, and tell no time.
    odd = record("A", input_id="in-5ZZZZZZZZZZZZZZZZZZZZZZZZZ")
    service.records = [*service.records, odd]
    assert run("", "call", "show", odd.input_id[:12]) == 0
    assert capsys.readouterr().out.startswith(odd.input_id)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (BAD.input_id[:13], "4 calls have ids that begin with in-01KB8ZQ4M3: give more of it. There are in-"),
        ("in-01KB8ZQ4Z", "no call has an id that begins with in-01KB8ZQ4Z; `wherry call list`"),
        ("in-UUUUUUUUUU", "no call has an id that begins with in-UUUUUUUUUU"),
        ("in-01KB", "in-01KB is too short to find a call by: give at least 8"),
        ("in-01KB8ZQ4M3YYYYYYYYYYYYYYYY", "nothing is known of in-01KB8ZQ4M3YYYYYYYYYYYYYYYY"),
        ("fc-01KB8ZQ4M3YYYYYYYYYYYYYYYY", "nothing is known of fc-01KB8ZQ4M3YYYYYYYYYYYYYYYY"),
    ],
)
def test_an_id_that_is_none_or_of_several_is_told(run: Run, capsys: Told, given: str, said: str) -> None:
    assert run("", "call", "show", given) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", ["cancel", "retry", "debug"])
def test_what_acts_on_a_call_wants_more_of_an_id_than_could_be_looked_through(
    run: Run, capsys: Told, service: Recorded, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    service.records = [record("A", RecordState.RUNNING, ended_ms=0), record("B", RecordState.RUNNING, ended_ms=0)]
    begins = GOOD.input_id[:13]
    monkeypatch.setattr("wherry.cli._records._LOOKED_AT", 1)
    assert run("", "call", command, begins) == 1
    assert f"more than 1 inputs begin near there: give the whole id of {begins}" in capsys.readouterr().err
    assert service.cancelled == []
    assert run("", "call", "show", begins) == 0


# show


def test_a_call_is_shown_with_its_times_error_and_log(run: Run, capsys: Told, service: Recorded) -> None:
    attempts = [
        RecordAttempt(container_id=CONTAINER, started_ms=MADE_MS + 500, ended_ms=MADE_MS + 600,
                      outcome=RecordState.LOST, error="was killed by signal 9"),
        RecordAttempt(container_id=CONTAINER, started_ms=MADE_MS + SECOND, ended_ms=MADE_MS + 3 * SECOND,
                      outcome=RecordState.FAILED, error="ValueError: row 17"),
    ]  # fmt: skip
    traceback = "Traceback (most recent call last):\n  …\nValueError: row 17\n"
    service.details[BAD.input_id] = RecordDetail(record=BAD, attempts=attempts, traceback=traceback)
    service.logs = [[[LogLine(text="reading row 17")]]]
    assert run("", "call", "show", BAD.input_id) == 0
    out = capsys.readouterr().out
    for text in (
        f"{BAD.input_id}: failed\n",
        "function shop/price, environment main\n",
        f"made by spawn, call {BAD.call_id}\n",
        "1.2 kB of arguments",
        f"waited 1.0 s in {CONTAINER}",
        "ran 2.0 s\n",
        "2 retries, 1 container lost\n",
        "was killed by signal 9",
        traceback,
        "It printed:\n  reading row 17\n",
        f"Run it again: wherry call retry {BAD.input_id}\n",
        f"Open it:      wherry call debug {BAD.input_id}\n",
        f"Log:          wherry call logs {BAD.input_id}\n",
    ):
        assert text in out, text
    (request,) = [one for name, one in service.requests if name == "Logs.Read"]
    assert isinstance(request, LogReadRequest)
    assert (request.app_id, request.call_id, request.tail) == (APP, BAD.call_id, 10)


@pytest.mark.parametrize("of", ["one", "many"])
def test_commands_that_are_suggested_name_another_environment(
    run: Run, capsys: Told, service: Recorded, of: str
) -> None:
    bad = record("B", RecordState.FAILED, kept=True, environment="prod")
    if of == "many":
        bad = of_many(1, RecordState.FAILED, kept=True, environment="prod")
    service.records = [bad]
    assert run("", "call", "show", bad.call_id) == 0
    commands = [line for line in capsys.readouterr().out.splitlines() if ": " in line and " wherry call " in line]
    assert len(commands) > 2
    assert all(line.endswith(" -e prod") for line in commands), commands


def test_a_call_is_shown_to_who_may_not_read_logs(run: Run, capsys: Told, service: Recorded) -> None:
    service.logs = [[exception.PermissionDeniedError("this token may not")]]  # type: ignore[list-item]
    assert run("", "call", "show", BAD.input_id) == 0
    out, err = capsys.readouterr()
    assert "ValueError: row 17" in out
    assert "Its log can't be read: this token may not" in err


@pytest.mark.parametrize(
    ("state", "changed", "said"),
    [
        (RecordState.QUEUED, {"started_ms": 0}, "waits for a container, for "),
        (RecordState.RUNNING, {}, "runs for "),
        (RecordState.RETRYING, {"retries": 1}, "failed, and waits for its next attempt"),
    ],
)
def test_a_call_that_has_not_ended_says_what_it_does(
    run: Run, capsys: Told, service: Recorded, state: int, changed: dict[str, int], said: str
) -> None:
    service.records = [record("A", state, ended_ms=0, **changed)]
    service.logs = [[]]
    assert run("", "call", "show", GOOD.input_id) == 0
    out = capsys.readouterr().out
    assert said in out
    assert f"Cancel it: wherry call cancel {GOOD.call_id}" in out
    assert "ended " not in out


def test_a_call_that_never_ran_says_so(run: Run, capsys: Told, service: Recorded) -> None:
    service.records = [record("A", RecordState.REJECTED, started_ms=0, container_id="", error="too many wait")]
    service.logs = [[]]
    assert run("", "call", "show", GOOD.input_id) == 0
    out = capsys.readouterr().out
    assert "waited 3.0 s, never ran" in out
    assert "too many wait" in out


def test_a_call_of_many_shows_which_failed(run: Run, capsys: Told, service: Recorded) -> None:
    service.records = [*(of_many(number) for number in range(3)), of_many(3, RecordState.FAILED, error="KeyError: 3")]
    assert run("", "call", "show", MANY) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{MANY}: 4 inputs of shop/price, made by map\n3 succeeded, 1 failed\n")
    assert "KeyError: 3" in out
    assert service.records[0].input_id not in out
    assert f"wherry call show {service.records[3].input_id}" in out
    assert f"wherry call list --call {MANY} --failed" in out
    service.logs = [[]]
    assert run("", "call", "show", service.records[3].input_id) == 0
    out = capsys.readouterr().out
    assert f"made by map, input 3 of {MANY}" in out
    assert f"The whole call: wherry call show {MANY}" in out


def test_a_call_as_json_has_all_of_it(run: Run, capsys: Told, service: Recorded) -> None:
    attempt = RecordAttempt(container_id=CONTAINER, started_ms=MADE_MS, outcome=RecordState.RUNNING)
    service.details[BAD.input_id] = RecordDetail(record=BAD, attempts=[attempt], traceback="Traceback …")
    assert run("", "call", "show", BAD.input_id, "--json") == 0
    described = json.loads(capsys.readouterr().out)
    assert described["counts"] == {"failed": 1}
    (one,) = described["inputs"]
    assert (one["input_id"], one["traceback"], one["kept"]) == (BAD.input_id, "Traceback …", True)
    assert one["attempts"][0]["outcome"] == "running"
    assert one["attempts"][0]["ended_at"] is None


def test_what_others_wrote_steers_no_terminal(
    run: Run, capsys: Told, service: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    evil = record("B", RecordState.FAILED, error="\x1b[2Jboo", function_name="f\x1b]0;x\x07")
    service.details[BAD.input_id] = RecordDetail(record=evil, traceback="\x1b[31mTraceback\n")
    service.records = [evil]
    service.logs = [[[LogLine(text="\x1b[2Jline")]]]
    assert run("", "call", "show", BAD.input_id) == 0
    assert "\x1b[2J" not in capsys.readouterr().out


# logs


def test_the_log_of_one_input_of_many_is_its_own(run: Run, capsys: Told, service: Recorded) -> None:
    service.records = [of_many(1), of_many(2)]
    service.logs = [[[LogLine(stream=Stream.STDOUT, text="hello", at_ms=MADE_MS)]]]
    assert run("", "call", "logs", service.records[1].input_id, "--search", "h", "-n", "5") == 0
    assert capsys.readouterr().out == "hello\n"
    (request,) = [one for name, one in service.requests if name == "Logs.Read"]
    assert isinstance(request, LogReadRequest)
    assert request.call_id == f"fc-{service.records[1].input_id[3:]}"
    assert (request.app_id, request.search, request.tail) == (APP, "h", 5)


def test_a_log_is_followed_until_the_call_has_ended(
    run: Run, capsys: Told, service: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = record("A", RecordState.RUNNING, ended_ms=0)
    service.records = [running]
    service.logs = [
        [[LogLine(stream=Stream.STDOUT, text="one", position=1)]],
        [[LogLine(stream=Stream.STDOUT, text="two", position=2)]],
        [[]],
    ]

    def sleep(seconds: float) -> None:
        if len(service.logs) == 1:
            running.state, running.ended_ms = RecordState.SUCCEEDED, MADE_MS

    monkeypatch.setattr("wherry.cli.logs.time.sleep", sleep)
    assert run("", "call", "logs", "-f", running.call_id) == 0
    assert capsys.readouterr().out == "one\ntwo\n"
    after = [one.after for name, one in service.requests if name == "Logs.Read" and isinstance(one, LogReadRequest)]
    assert after == [0, 1, 2]


def test_only_new_lines_of_a_call_come_with_each_look(
    run: Run, capsys: Told, service: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = record("A", RecordState.RUNNING, ended_ms=0)
    service.records = [running]
    service.logs = [[[]], [[LogLine(stream=Stream.STDOUT, text="new", position=2)]], [[]]]
    began_ms = int(time.time() * 1000)

    def sleep(seconds: float) -> None:
        if len(service.logs) == 1:
            running.state, running.ended_ms = RecordState.SUCCEEDED, MADE_MS

    monkeypatch.setattr("wherry.cli.logs.time.sleep", sleep)
    assert run("", "call", "logs", "-f", "-n", "0", running.call_id) == 0
    assert capsys.readouterr().out == "new\n"
    asked_for = [one for _, one in service.requests if isinstance(one, LogReadRequest)]
    assert [one.only_new for one in asked_for] == [False] * 3
    assert len({one.since_ms for one in asked_for}) == 1
    assert asked_for[0].since_ms >= began_ms


# cancel


def test_calls_are_cancelled_and_awaited(run: Run, capsys: Told, service: Recorded) -> None:
    service.records = [
        record("A", RecordState.RUNNING, ended_ms=0),
        of_many(1),
        of_many(2, RecordState.QUEUED, ended_ms=0),
    ]
    assert run("", "call", "cancel", GOOD.input_id, MANY) == 0
    assert capsys.readouterr().out == f"Cancelled {GOOD.call_id}: 1 input.\nCancelled {MANY}: 1 input.\n"
    assert service.cancelled == [GOOD.call_id, MANY]


def test_one_input_of_a_spawned_map_is_cancelled_alone_and_one_of_a_map_is_not(
    run: Run, capsys: Told, service: Recorded
) -> None:
    one = of_many(1, RecordState.RUNNING, ended_ms=0)
    service.records = [one]
    for given in (one.input_id, f"fc-{one.input_id[3:]}"):
        assert run("", "call", "cancel", given) == 1
        whole = f"{given} is one input of {MANY}, which is cancelled as a whole: wherry call cancel {MANY}"
        assert whole in capsys.readouterr().err
    assert service.cancelled == []
    one.kind = CallKind.SPAWN_MAP
    assert run("", "call", "cancel", one.input_id) == 0
    own = f"fc-{one.input_id[3:]}"
    assert capsys.readouterr().out == f"Cancelled {own}: 1 input.\n"
    assert service.cancelled == [own]


def test_what_has_ended_is_not_cancelled(run: Run, capsys: Told, service: Recorded) -> None:
    assert run("", "call", "cancel", BAD.call_id) == 0
    assert capsys.readouterr().out == f"{BAD.call_id} had ended: 1 failed.\n"
    assert service.cancelled == []


def test_what_goes_on_is_told(run: Run, capsys: Told, service: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wherry.cli.call.CANCELLED_WITHIN_S", 0.0)
    service.obeys = False
    service.records = [record("A", RecordState.RUNNING, ended_ms=0)]
    assert run("", "call", "cancel", GOOD.call_id) == 1
    assert f"{GOOD.call_id}: 1 of 1 input go on; --terminate-containers" in capsys.readouterr().err
    assert run("", "call", "cancel", GOOD.call_id, "--json") == 1
    assert json.loads(capsys.readouterr().out) == [{"call_id": GOOD.call_id, "cancelled": 0, "left": 1}]


def test_an_id_that_is_wrong_cancels_nothing(run: Run, capsys: Told, service: Recorded) -> None:
    service.records = [record("A", RecordState.RUNNING, ended_ms=0)]
    assert run("", "call", "cancel", GOOD.call_id, "fc-01K") == 1
    assert "fc-01K is too short for a command that asks nothing" in capsys.readouterr().err
    assert service.cancelled == []


def test_times_of_an_open_call_grow(run: Run, capsys: Told, service: Recorded) -> None:
    now_ms = int(time.time() * 1000)
    service.records = [
        record("A", RecordState.RUNNING, queued_ms=now_ms - 90_000, started_ms=now_ms - 80_000, ended_ms=0)
    ]
    assert run("", "call", "list") == 0
    assert re.search(r"10\.0 s +1 min 2\d s", capsys.readouterr().out)
