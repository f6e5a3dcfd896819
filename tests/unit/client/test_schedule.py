"""Schedules as functions are given them."""

import subprocess
import sys
import zoneinfo

import pytest

import wherry
from wherry import schedule
from wherry._publish.spec import function_spec
from wherry.cli import _schedules
from wherry.exception import InvalidError
from wherry_proto import views
from wherry_proto.messages import ScheduledRun, ScheduledState, ScheduleInfo, ScheduleSpec
from wherry_proto.times import iso


def test_the_service_is_told_of_a_function_s_schedule() -> None:
    app = wherry.App("a")

    @app.function(serialized=True, schedule=wherry.Cron("0 9 * * 1-5", timezone="Europe/Berlin"))
    def weekly(day: str = "today", *rest: str, more: int = 1, **options: int) -> None: ...

    @app.function(serialized=True, schedule=wherry.Period(hours=4, seconds=0.5))
    def often() -> None: ...

    @app.function(serialized=True)
    def never(day: str) -> None: ...

    specs = [function_spec(one.definition, "im-1", "") for one in (weekly, often, never) if one.definition is not None]
    assert [spec.schedule for spec in specs] == [
        ScheduleSpec(cron="0 9 * * 1-5", timezone="Europe/Berlin"),
        ScheduleSpec(hours=4, seconds=0.5),
        None,
    ]
    shown = [repr(schedule.from_message(spec.schedule)) for spec in specs if spec.schedule is not None]
    assert shown == ["Cron('0 9 * * 1-5', timezone='Europe/Berlin')", "Period(hours=4, seconds=0.5)"]


def test_equal_schedules_are_equal() -> None:
    assert wherry.Cron("* * * * *") == wherry.Cron("* * * * *", "UTC")
    assert wherry.Cron("* * * * *") != wherry.Cron("* * * * *", "Asia/Tokyo")
    assert wherry.Period(hours=1) != wherry.Period(minutes=60)
    assert (
        len({wherry.Period(days=1), wherry.Period(days=1), wherry.Cron("@daily".replace("@daily", "0 0 * * *"))}) == 2
    )


@pytest.mark.parametrize("cron", ["5 4 * * sun", "0 0 L * *", "0 22 * * 1-5", "23 0-20/2 * * *", "0 0 1,15 * FRI#2"])
def test_what_cron_reads_is_read(cron: str) -> None:
    assert wherry.Cron(cron).cron_string == cron


def test_a_function_in_the_middle_of_decorators_is_looked_at_itself() -> None:
    import functools
    from collections.abc import Callable

    def logged(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def inner(*args: object, **kwargs: object) -> None:
            function(*args, **kwargs)

        return inner

    app = wherry.App("a")
    with pytest.raises(InvalidError, match="needs path: a schedule passes nothing, so give it a default"):

        @app.function(serialized=True, schedule=wherry.Period(days=1))
        @logged
        def clean(path: str) -> None: ...


def test_a_container_needs_neither_the_library_nor_time_zones() -> None:
    program = (
        "import sys; sys.modules['cronsim'] = None; sys.modules['zoneinfo'] = None\n"
        "import wherry, wherry.schedule\n"
        "wherry.schedule.is_local = lambda: False\n"
        "app = wherry.App('a')\n"
        "@app.function(serialized=True, schedule=wherry.Cron('0 9 * * *', timezone='Europe/Berlin'))\n"
        "def f(): ...\n"
        "print(f.definition.options.schedule)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "Cron('0 9 * * *', timezone='Europe/Berlin')\n"


def test_importing_wherry_loads_none_of_it() -> None:
    names = "('cronsim', 'zoneinfo', 'wherry.schedule')"
    program = f"import sys, wherry; print([name for name in {names} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_machine_without_time_zones_leaves_them_to_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(key: str) -> zoneinfo.ZoneInfo:
        raise zoneinfo.ZoneInfoNotFoundError(key)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", none)
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    assert wherry.Cron("0 9 * * *", timezone="Europe/Berlin").timezone == "Europe/Berlin"
    with pytest.raises(InvalidError, match="'61' is no minute"):
        wherry.Cron("61 9 * * *", timezone="Europe/Berlin")


def test_next_and_last_runs_read_well() -> None:
    now = 1_800_000_000_000
    info = ScheduleInfo(schedule=ScheduleSpec(hours=1), next_ms=[now + 90_500])
    assert _schedules.next_text(info, now) == f"{_schedules.clock(now + 90_500)} (in 1 minute)"
    assert _schedules.next_text(ScheduleInfo(paused=True), now) == "paused"
    assert _schedules.next_text(ScheduleInfo(), now) == "never"
    for ms, text in ((7_200_000, "in 2 hours"), (7_199_000, "in 1 hour"), (3 * 86_400_000, "in 3 days"), (-5, "now")):
        assert f"({text})" in _schedules.next_text(ScheduleInfo(next_ms=[now + ms]), now)
    assert _schedules.last_text(info) == ""
    info.last = ScheduledRun(tick_ms=now, state=ScheduledState.RUNNING)
    assert _schedules.last_text(info) == "running"
    info.last_ended = ScheduledRun(
        tick_ms=now - 1000, state=ScheduledState.FAILED, error="ValueError: a\nb", manual=True
    )
    assert _schedules.last_text(info) == "running; before that failed (manual): ValueError: a"
    assert views.schedule(info)["last_ended"] == {
        "due_at": iso(now - 1000),
        "call_id": None,
        "state": "failed",
        "finished_at": None,
        "error": "ValueError: a\nb",
        "asked_for": True,
    }
