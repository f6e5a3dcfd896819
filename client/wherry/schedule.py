"""When functions run by themselves."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING, Any
from wherry.context import is_local
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from wherry_proto.messages import ScheduleSpec

_FIELDS = ("minute", "hour", "day of month", "month", "day of week")
# As the library names them.
_THEIR_NAMES = ("minute", "hour", "day-of-month", "month", "day-of-week")
_RANGES = (
    " (0 to 59)",
    " (0 to 23)",
    " that there is then (1 to 31, L)",
    " (1 to 12, JAN to DEC)",
    " (0 to 7, SUN to SAT; 0 and 7 are Sunday)",
)
_SHORT = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_MAX_YEARS = 100
_MAX_DAYS = _MAX_YEARS * 366
_DAYS = {"years": 366.0, "months": 31.0, "weeks": 7.0, "days": 1.0, "hours": 1 / 24, "minutes": 1 / 1440}


class Schedule:
    """What `@app.function(schedule=...)` takes: a `Cron` or a `Period`. (reference: Schedule)"""

    __slots__ = ()

    def message(self) -> ScheduleSpec:
        """Inside wherry: describe it for the service."""
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and repr(other) == repr(self)

    def __hash__(self) -> int:
        return hash(repr(self))


class Cron(Schedule):
    """A schedule written as for cron: minute, hour, day of month, month, day of week.

    `Cron("0 9 * * 1-5", timezone="Europe/Berlin")` is due at nine on working days, whether clocks there have been
    changed or not; without a time zone UTC is meant. Beside numbers, `*`, lists, ranges and steps there are names (MON,
    JAN), `L` for a month's last day, and `FRI#2` and `FRIL` for its second and last Friday. Raises InvalidError, which
    names the field, for what can't be read, for what is never due, and for unknown time zones. (reference: Cron)
    """

    __slots__ = ("cron_string", "timezone")

    def __init__(self, cron_string: str, timezone: str = "UTC") -> None:
        if not isinstance(cron_string, str) or not isinstance(timezone, str):
            raise InvalidError(
                f"Cron got {cron_string!r} and timezone={timezone!r}: both are strings, for example "
                'Cron("0 9 * * 1", timezone="Europe/Berlin")'
            )
        self.cron_string = cron_string
        self.timezone = timezone
        # In a container it was checked before, where it came from.
        if is_local():
            _check(cron_string, timezone)

    def __repr__(self) -> str:
        zone = "" if self.timezone in ("", "UTC") else f", timezone={self.timezone!r}"
        return f"Cron({self.cron_string!r}{zone})"

    def message(self) -> ScheduleSpec:
        """Inside wherry: describe it for the service."""
        from wherry_proto.messages import ScheduleSpec  # noqa: PLC0415 - start-up cost: not needed to import wherry

        return ScheduleSpec(cron=self.cron_string, timezone=self.timezone)


class Period(Schedule):
    """A schedule with the same time between runs: all that is given, added up, at least 1 s and at most 100 years.

    The first run is one period after the app was first deployed with it; from there it counts on, also across deploys
    that leave the schedule as it is. `seconds` may be a fraction, the others are whole numbers. A month ends on the day
    on which it began, or on its last one: from 31 January on, `Period(months=1)` is due on 28 February and on 31 March.
    Days are of 24 hours: use `Cron` for a time of day. Raises InvalidError for other values. (reference: Period)
    """

    __slots__ = ("days", "hours", "minutes", "months", "seconds", "weeks", "years")

    def __init__(
        self,
        *,
        years: int = 0,
        months: int = 0,
        weeks: int = 0,
        days: int = 0,
        hours: int = 0,
        minutes: int = 0,
        seconds: float = 0,
    ) -> None:
        whole = {"years": years, "months": months, "weeks": weeks, "days": days, "hours": hours, "minutes": minutes}
        for name, value in whole.items():
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value * _DAYS[name] <= _MAX_DAYS:
                raise InvalidError(
                    f"Period got {name}={value!r}: it must be a whole number from 0, and at most {_MAX_YEARS} years; "
                    "only seconds= may be a fraction"
                )
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds <= _MAX_DAYS * 86_400:
            raise InvalidError(f"Period got seconds={seconds!r}: it must be a number from 0 to {_MAX_YEARS} years")
        total = sum(value * _DAYS[name] for name, value in whole.items()) * 86_400 + seconds
        if total < 1 or total > _MAX_DAYS * 86_400:
            raise InvalidError(
                f"Period({_shown({**whole, 'seconds': seconds})}) is {total:g} s: a period is of "
                f"at least 1 s and at most {_MAX_YEARS} years, for example Period(hours=4)"
            )
        self.years = years
        self.months = months
        self.weeks = weeks
        self.days = days
        self.hours = hours
        self.minutes = minutes
        self.seconds = seconds

    def __repr__(self) -> str:
        names = (*_DAYS, "seconds")
        return f"Period({_shown({name: getattr(self, name) for name in names})})"

    def message(self) -> ScheduleSpec:
        """Inside wherry: describe it for the service."""
        from wherry_proto.messages import ScheduleSpec  # noqa: PLC0415 - start-up cost: as above

        return ScheduleSpec(
            years=self.years,
            months=self.months,
            weeks=self.weeks,
            days=self.days,
            hours=self.hours,
            minutes=self.minutes,
            seconds=float(self.seconds),
        )


def schedule_of(value: Any) -> Schedule:
    """Return what `schedule=` got; raise InvalidError unless it is a schedule."""
    if isinstance(value, Schedule):
        return value
    near = f": write wherry.Cron({value!r})" if isinstance(value, str) else ""
    raise InvalidError(f"schedule is {value!r}, which is neither a wherry.Cron nor a wherry.Period{near}")


def from_message(spec: ScheduleSpec) -> Schedule:
    """Return the schedule that a message tells, as it was written; unchecked."""
    if spec.cron:
        cron: Cron = object.__new__(Cron)
        cron.cron_string, cron.timezone = spec.cron, spec.timezone
        return cron
    period: Period = object.__new__(Period)
    for name in _DAYS:
        setattr(period, name, getattr(spec, name))
    period.seconds = int(spec.seconds) if spec.seconds.is_integer() else spec.seconds
    return period


def _shown(parts: dict[str, float]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in parts.items() if value)


def _check(cron: str, timezone: str) -> None:
    # Loaded only where there is such a schedule.
    import datetime  # noqa: PLC0415 - start-up cost: only where there is such a schedule
    import zoneinfo  # noqa: PLC0415 - start-up cost: as above

    from cronsim import CronSim, CronSimError  # noqa: PLC0415 - start-up cost: as above

    zone: datetime.tzinfo = datetime.UTC
    try:
        if timezone not in ("", "UTC"):
            zone = zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        # Where a machine knows no zones at all, the service will look.
        if known := zoneinfo.available_timezones():
            raise InvalidError(_no_zone(cron, timezone, known)) from None
    fields = cron.split()
    if len(fields) != len(_FIELDS):
        meant = _SHORT.get(cron.strip().lower())
        raise InvalidError(
            f"Cron({cron!r}) has {len(fields)} field{'' if len(fields) == 1 else 's'}: "
            + (f"write {meant!r}" if meant else f"there are five: {', '.join(_FIELDS)}")
        )
    try:
        first = next(CronSim(cron, datetime.datetime(2024, 1, 1, tzinfo=zone)), None)
    except CronSimError as error:
        their = str(error).removeprefix("Bad ")
        if their not in _THEIR_NAMES:
            raise InvalidError(f"Cron({cron!r}) can't be read: {error}") from None
        place = _THEIR_NAMES.index(their)
        raise InvalidError(f"Cron({cron!r}): {fields[place]!r} is no {_FIELDS[place]}{_RANGES[place]}") from None
    if first is None:
        raise InvalidError(f"Cron({cron!r}) is never due: no date is like that")


def _no_zone(cron: str, timezone: str, known: set[str]) -> str:
    import difflib  # noqa: PLC0415 - start-up cost: only for a message

    near = difflib.get_close_matches(timezone, sorted(known), n=1)
    hint = f"did you mean {near[0]!r}?" if near else "it is named as in 'Europe/Berlin'"
    return f"Cron({cron!r}, timezone={timezone!r}): there is no such time zone; {hint}"
