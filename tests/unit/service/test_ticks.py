"""When schedules are due: cron in time zones, where clocks are changed, and periods of any length."""

import datetime
import zoneinfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wherry_proto.messages import FunctionSpec, MethodSpec, ScheduleSpec, WebSpec
from wherry_service.errors import InvalidRequest
from wherry_service.schedules.ticks import CronTicks, Ticks, check, check_scheduled, ticks_of

CRONS = [
    "* * * * *",
    "*/7 * * * *",
    "0 * * * *",
    "30 2 * * *",
    "0,30 1-3 * * *",
    "15 3 L * *",
    "0 0 29 2 *",
    "5 4 * * MON#1",
]
ZONES = ["", "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]


def ms(text: str) -> int:
    """Milliseconds of a moment, for example "2026-03-29T02:30+01:00"."""
    return round(datetime.datetime.fromisoformat(text).timestamp() * 1000)


def from_on(ticks: Ticks, start: str, count: int, zone: str = "UTC") -> list[str]:
    """The next ticks, as clocks of the zone show them."""
    at = ms(start) - 1
    found = []
    for _ in range(count):
        tick = ticks.after(at)
        assert tick is not None
        assert tick > at
        found.append(
            datetime.datetime.fromtimestamp(tick / 1000, zoneinfo.ZoneInfo(zone)).isoformat(timespec="minutes")
        )
        at = tick
    return found


def test_a_time_of_day_that_a_spring_day_lacks_is_due_right_after_the_gap() -> None:
    ticks = CronTicks("30 2 * * *", "Europe/Berlin")
    assert from_on(ticks, "2026-03-28T00:00+01:00", 3, "Europe/Berlin") == [
        "2026-03-28T02:30+01:00",
        "2026-03-29T03:00+02:00",
        "2026-03-30T02:30+02:00",
    ]


def test_several_that_fall_into_the_gap_are_one() -> None:
    ticks = CronTicks("0,30 2-3 * * *", "Europe/Berlin")
    assert from_on(ticks, "2026-03-29T00:00+01:00", 3, "Europe/Berlin") == [
        "2026-03-29T03:00+02:00",
        "2026-03-29T03:30+02:00",
        "2026-03-30T02:00+02:00",
    ]


def test_a_time_of_day_that_comes_twice_in_autumn_is_due_once() -> None:
    ticks = CronTicks("30 2 * * *", "Europe/Berlin")
    expected = ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"]
    assert from_on(ticks, "2026-10-25T00:00+02:00", 2, "Europe/Berlin") == expected
    # Asked between the two: the first is over, the second is none.
    assert from_on(ticks, "2026-10-25T02:31+02:00", 1, "Europe/Berlin") == expected[1:]
    assert from_on(ticks, "2026-10-25T02:15+01:00", 1, "Europe/Berlin") == expected[1:]


def test_what_is_due_every_hour_goes_by_hours_that_pass() -> None:
    ticks = CronTicks("0 * * * *", "Europe/Berlin")
    assert from_on(ticks, "2026-03-29T01:00+01:00", 3, "Europe/Berlin") == [
        "2026-03-29T01:00+01:00",
        "2026-03-29T03:00+02:00",
        "2026-03-29T04:00+02:00",
    ]
    assert from_on(ticks, "2026-10-25T01:00+02:00", 4, "Europe/Berlin") == [
        "2026-10-25T01:00+02:00",
        "2026-10-25T02:00+02:00",
        "2026-10-25T02:00+01:00",
        "2026-10-25T03:00+01:00",
    ]


def test_clocks_may_change_by_half_an_hour() -> None:
    ticks = CronTicks("15 2 * * *", "Australia/Lord_Howe")
    assert from_on(ticks, "2026-10-03T02:00+10:30", 2, "Australia/Lord_Howe") == [
        "2026-10-03T02:15+10:30",
        "2026-10-04T02:30+11:00",
    ]


def test_months_count_from_the_beginning_so_that_short_ones_change_nothing() -> None:
    ticks = ticks_of(ScheduleSpec(months=1), ms("2026-01-31T12:00Z"))
    assert from_on(ticks, "2026-01-31T12:00Z", 4) == [
        "2026-02-28T12:00+00:00",
        "2026-03-31T12:00+00:00",
        "2026-04-30T12:00+00:00",
        "2026-05-31T12:00+00:00",
    ]
    leap = ticks_of(ScheduleSpec(years=1), ms("2024-02-29T00:00Z"))
    assert from_on(leap, "2024-03-01T00:00Z", 4)[2:] == ["2027-02-28T00:00+00:00", "2028-02-29T00:00+00:00"]


def test_parts_of_a_period_add_up_and_fractions_do_not_drift() -> None:
    both = ticks_of(ScheduleSpec(weeks=1, days=1, hours=1, minutes=1, seconds=1.5), 0)
    assert both.after(0) == ((8 * 24 + 1) * 3600 + 61) * 1000 + 500
    third = ticks_of(ScheduleSpec(seconds=10 / 3), 0)
    assert third.after(3_600_000_000 - 1) == 3_600_000_000


@given(st.sampled_from(CRONS), st.sampled_from(ZONES), st.integers(0, 4_000_000_000_000), st.integers(0, 90_000_000))
@settings(max_examples=200, deadline=None)
def test_the_newest_is_the_last_of_those_that_come(cron: str, zone: str, start: int, span: int) -> None:
    ticks = CronTicks(cron, zone)
    last, tick = None, ticks.after(start)
    while tick is not None and tick <= start + span:
        last, tick = tick, ticks.after(tick)
        assert tick is None or tick > last
    assert ticks.newest(start, start + span) == last
    assert last is None or ticks.after(last - 1) == last


PERIODS = st.builds(
    ScheduleSpec,
    months=st.integers(0, 30),
    weeks=st.integers(0, 9),
    hours=st.integers(0, 50),
    seconds=st.floats(1, 1e6, allow_nan=False),
)


@given(PERIODS, st.integers(0, 4_000_000_000_000), st.integers(0, 10**12))
@settings(max_examples=200, deadline=None)
def test_a_period_comes_again_and_again(spec: ScheduleSpec, anchor: int, later: int) -> None:
    check(spec)
    ticks = ticks_of(spec, anchor)
    first = ticks.after(anchor)
    assert first is not None
    assert first > anchor
    assert ticks.newest(anchor, first - 1) is None
    tick = ticks.after(anchor + later)
    assert tick is not None
    assert tick > anchor + later
    newest = ticks.newest(anchor, anchor + later)
    assert newest is None or (newest <= anchor + later and ticks.after(newest) == tick)
    assert (newest is None) == (tick == first)


def test_what_is_far_away_is_found_and_what_is_beyond_the_calendar_is_not() -> None:
    assert from_on(CronTicks("0 0 * 2 MON#5"), "2026-01-01T00:00Z", 1) == ["2044-02-29T00:00+00:00"]
    assert ticks_of(ScheduleSpec(years=100), ms("9950-01-01T00:00Z")).after(ms("9950-01-02T00:00Z")) is None


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (ScheduleSpec(), "a period is of 0 s: it must be from 1 s to 100 years"),
        (ScheduleSpec(seconds=0.5), "a period is of 0.5 s"),
        (ScheduleSpec(hours=1, seconds=-1.0), "a period is of 3599 s"),
        (ScheduleSpec(seconds=float("nan")), "a period is of -1 s"),
        (ScheduleSpec(seconds=float("inf")), "a period is of -1 s"),
        (ScheduleSpec(years=101), "it must be from 1 s to 100 years"),
        (ScheduleSpec(cron="* * * * *", seconds=1), "either a cron expression or a period"),
        (ScheduleSpec(cron="* * * *"), "must have five fields"),
        (ScheduleSpec(cron="* " * 9000), "must have five fields"),
        (ScheduleSpec(cron="* * * * 8"), "'\\* \\* \\* \\* 8' can't be read: Bad day-of-week"),
        (ScheduleSpec(cron="0 0 30 2 *"), "can't be read"),
        (ScheduleSpec(cron="* * * * *", timezone="Mars/Olympus"), "there is no time zone 'Mars/Olympus'"),
        (ScheduleSpec(cron="* * * * *", timezone="../../etc/passwd"), "there is no time zone"),
        (ScheduleSpec(cron="* * * * *", timezone="\0"), "there is no time zone"),
        (ScheduleSpec(cron="* * * * *", timezone="Europe"), "there is no time zone"),
    ],
)
def test_the_service_refuses_what_is_no_schedule(spec: ScheduleSpec, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        check_scheduled(FunctionSpec(name="f", schedule=spec))


def test_only_plain_functions_have_schedules() -> None:
    hourly = ScheduleSpec(cron="0 * * * *", timezone="Europe/Berlin")
    check_scheduled(FunctionSpec(name="f", schedule=hourly))
    check_scheduled(FunctionSpec(name="f"))
    with pytest.raises(InvalidRequest, match="'f' is a web endpoint"):
        check_scheduled(FunctionSpec(name="f", schedule=hourly, web=WebSpec()))
    with pytest.raises(InvalidRequest, match="'C' is a class"):
        check_scheduled(FunctionSpec(name="C", schedule=hourly, methods=[MethodSpec(name="m")]))
