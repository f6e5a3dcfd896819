"""When a schedule is due. Moments are milliseconds since 1970."""

import datetime
import math
import zoneinfo
from collections.abc import Iterator
from typing import Protocol

from cronsim import CronSim, CronSimError
from dateutil.relativedelta import relativedelta

from wherry_proto.messages import FunctionSpec, ScheduleSpec
from wherry_service.errors import InvalidRequest

MIN_PERIOD_S = 1.0
MAX_PERIOD_S = 100 * 366 * 86_400.0
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MONTH_S = 365.2425 / 12 * 86_400
_HOUR_MS = 3_600_000
# How far back the newest tick is looked for, step by step: a schedule that is often due is found in the first.
_BACK_MS = tuple(hours * _HOUR_MS for hours in (1, 24, 32 * 24, 366 * 24, 60 * 366 * 24))


class Ticks(Protocol):
    """The moments of one schedule."""

    def after(self, ms: int) -> int | None:
        """Return the first tick later than that; None: there is none any more."""

    def newest(self, after_ms: int, until_ms: int) -> int | None:
        """Return the last tick later than `after_ms` and not later than `until_ms`; None: there is none."""


class CronTicks:
    """The ticks of a cron expression, in its time zone, as Debian's cron has them."""

    def __init__(self, cron: str, timezone: str = "") -> None:
        self._cron = cron
        # CronSim knows this very object, and reckons faster with it.
        self._zone = datetime.UTC if timezone in ("", "UTC") else zoneinfo.ZoneInfo(timezone)

    def after(self, ms: int) -> int | None:
        return next(self._all(ms), None)

    def newest(self, after_ms: int, until_ms: int) -> int | None:
        for back in _BACK_MS:
            start = max(after_ms, until_ms - back)
            found = None
            for tick in self._all(start):
                if tick > until_ms:
                    break
                found = tick
            if found is not None or start == after_ms:
                return found
        return None

    def _all(self, ms: int) -> Iterator[int]:
        moment = (_EPOCH + datetime.timedelta(milliseconds=ms)).astimezone(self._zone)
        last = ms
        # Where clocks go forward it may give one moment twice; where they go back, one that is over.
        try:
            for found in CronSim(self._cron, moment):
                tick = round(found.timestamp()) * 1000
                if tick > last:
                    last = tick
                    yield tick
        except OverflowError:
            # The end of the calendar.
            return


class PeriodTicks:
    """The ticks of a period: the n-th is n periods after the anchor, so that months of any length add up."""

    def __init__(self, spec: ScheduleSpec, anchor_ms: int) -> None:
        self._anchor_ms = anchor_ms
        self._months = spec.years * 12 + spec.months
        self._ms = _exact_s(spec) * 1000
        self._about_ms = self._months * _MONTH_S * 1000 + self._ms

    def after(self, ms: int) -> int | None:
        number = self._number_after(ms)
        return self._at(number) if number is not None else None

    def newest(self, after_ms: int, until_ms: int) -> int | None:
        number = self._number_after(until_ms)
        last = self._at(number - 1) if number is not None and number > 1 else None
        return last if last is not None and last > after_ms else None

    def _number_after(self, ms: int) -> int | None:
        """Return the number, from 1, of the first tick later than that."""
        number = max(1, int((ms - self._anchor_ms) / self._about_ms))
        try:
            while number > 1 and self._at(number - 1) > ms:
                number -= 1
            while self._at(number) <= ms:
                number += 1
        except (OverflowError, ValueError):
            # The end of the calendar.
            return None
        return number

    def _at(self, number: int) -> int:
        start_ms = self._anchor_ms
        if self._months:
            anchor = _EPOCH + datetime.timedelta(milliseconds=self._anchor_ms)
            moved = anchor + relativedelta(months=self._months * number)
            start_ms = (moved - _EPOCH) // datetime.timedelta(milliseconds=1)
        return start_ms + round(self._ms * number)


def ticks_of(spec: ScheduleSpec, anchor_ms: int) -> Ticks:
    """Return the ticks of a schedule that began at `anchor_ms`, which is no tick itself."""
    return CronTicks(spec.cron, spec.timezone) if spec.cron else PeriodTicks(spec, anchor_ms)


def check_scheduled(function: FunctionSpec) -> None:
    """Raise `InvalidRequest` where a function has a schedule that it can't have."""
    if function.schedule is None:
        return
    if function.methods or function.web is not None:
        what = "a class" if function.methods else "a web endpoint"
        raise InvalidRequest(f"{function.name!r} is {what}: schedule= belongs on a plain function")
    check(function.schedule)


def check(spec: ScheduleSpec) -> None:
    """Raise `InvalidRequest` unless it is a schedule that comes to be due."""
    about_s = (spec.years * 12 + spec.months) * _MONTH_S + _exact_s(spec)
    if not spec.cron:
        if spec.seconds < 0 or not MIN_PERIOD_S <= about_s <= MAX_PERIOD_S:
            raise InvalidRequest(f"a period is of {about_s:g} s: it must be from 1 s to 100 years")
        return
    if about_s:
        raise InvalidRequest("a schedule is either a cron expression or a period, not both")
    if len(spec.cron) > 1000 or len(spec.cron.split()) != 5:
        raise InvalidRequest(
            f"the cron expression {spec.cron[:80]!r} must have five fields: minute, hour, day of month, month, weekday"
        )
    try:
        ticks = CronTicks(spec.cron, spec.timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidRequest(
            f"there is no time zone {spec.timezone[:64]!r}: it is named as in 'Europe/Berlin'"
        ) from None
    try:
        first = ticks.after(0)
    except CronSimError as error:
        raise InvalidRequest(f"the cron expression {spec.cron[:80]!r} can't be read: {error}") from None
    if first is None:
        raise InvalidRequest(f"the cron expression {spec.cron[:80]!r} is never due: no date is like that")


def _exact_s(spec: ScheduleSpec) -> float:
    """Return the part of a period whose length is the same at any date, in seconds."""
    whole = ((spec.weeks * 7 + spec.days) * 24 + spec.hours) * 3600 + spec.minutes * 60
    return whole + (spec.seconds if math.isfinite(spec.seconds) else -1.0)
