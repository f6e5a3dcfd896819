"""What messages look like as JSON: what is written as in a program reads back."""

import pytest

from wherry._calling.records import times_of
from wherry.schedule import Cron, Period, Schedule, from_message
from wherry_proto import views
from wherry_proto.messages import CallKind, ObjectInfo, Record, RecordState, ScheduleSpec


@pytest.mark.parametrize(
    "schedule",
    [
        Cron("0 9 * * 1-5"),
        Cron("0 9 * * 1", timezone="Europe/Berlin"),
        Period(hours=4),
        Period(days=1, seconds=1.5),
        Period(years=1, months=2, weeks=3, days=4, hours=5, minutes=6, seconds=7),
    ],
    ids=repr,
)
def test_a_schedule_is_shown_as_it_is_written(schedule: Schedule) -> None:
    assert views.schedule_text(schedule.message()) == repr(schedule) == repr(from_message(schedule.message()))


def test_an_empty_schedule_is_shown_as_well() -> None:
    assert views.schedule_text(ScheduleSpec()) == "Period()"


def test_objects_say_how_much_they_hold_where_that_is_counted() -> None:
    info = ObjectInfo(object_id="di-1", name="d", environment="main", num_items=3)
    assert views.shared_object(info, "dict", "entries")["entries"] == 3
    assert views.shared_object(info, "volume") == {
        "volume_id": "di-1",
        "name": "d",
        "environment": "main",
        "created_at": None,
    }


@pytest.mark.parametrize(
    "record",
    [
        Record(),
        Record(
            input_id="in-1", call_id="fc-1", queued_ms=1_000, started_ms=1_500, ended_ms=4_000,
            state=RecordState.FAILED, kind=CallKind.SPAWN, error="ValueError: no", retries=2,
            kept=True, method="m", version=3,
        ),
        Record(queued_ms=1_000, ended_ms=3_000, state=RecordState.CANCELLED),
        Record(queued_ms=1_000, started_ms=2_000, state=RecordState.RUNNING),
    ],
)  # fmt: skip
def test_a_record_says_of_its_times_what_the_command_s_table_says(record: Record) -> None:
    shown = views.record(record)
    times = times_of(record)
    assert (shown["queue_seconds"], shown["run_seconds"]) == (times.queue, times.run)
