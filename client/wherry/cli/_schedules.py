"""The schedules of deployed apps, as the service tells them."""

import datetime

from wherry._base.ids import new_id
from wherry._base.misuse import near
from wherry._connection.client import Client
from wherry._screen.moments import relative
from wherry.exception import InvalidError, NotFoundError
from wherry_proto.messages import (
    ScheduledRun,
    ScheduledState,
    ScheduleInfo,
    ScheduleListRequest,
    ScheduleListResponse,
    SchedulePauseRequest,
    ScheduleRunRequest,
)
from wherry_proto.views import RUN_STATES


def schedules(client: Client, environment: str | None = None, app_id: str = "") -> list[ScheduleInfo]:
    """Return the schedules of an environment, or of one app, by app and function."""
    request = ScheduleListRequest(environment=environment or client.environment, app_id=app_id)
    return client.call("Schedules.List", request, ScheduleListResponse).schedules


def find(client: Client, wanted: str, environment: str | None) -> ScheduleInfo:
    """Return the schedule of a function by its id, name, or APP/FUNCTION; raise NotFoundError naming near ones."""
    known = schedules(client, environment)
    names = {f"{info.app_name}/{info.function_name}": info for info in known}
    found = [info for info in known if wanted in (info.function_id, info.function_name)]
    if wanted in names:
        found = [names[wanted]]
    if len(found) == 1:
        return found[0]
    if found:
        which = ", ".join(f"{info.app_name}/{info.function_name}" for info in found)
        raise InvalidError(f"{len(found)} apps have a function {wanted!r} with a schedule: say which: {which}")
    hint = near(wanted, names) or "; no deployed app has one"
    raise NotFoundError(
        f"no function {wanted!r} with a schedule in environment {environment or client.environment!r}{hint}"
    )


def run_now(client: Client, info: ScheduleInfo) -> ScheduleInfo:
    """Run a function now, once, beside its schedule."""
    request = ScheduleRunRequest(function_id=info.function_id, operation_id=new_id("op"))
    return client.call("Schedules.Run", request, ScheduleInfo)


def set_paused(client: Client, info: ScheduleInfo, paused: bool) -> ScheduleInfo:
    """Have no tick run a function, or have them run it again."""
    method = "Schedules.Pause" if paused else "Schedules.Resume"
    return client.call(method, SchedulePauseRequest(function_id=info.function_id), ScheduleInfo)


def next_of(info: ScheduleInfo) -> int | str:
    """Return when a function runs next, in milliseconds since 1970; "paused" or "never" where it does not."""
    if info.paused:
        return "paused"
    return info.next_ms[0] if info.next_ms else "never"


def next_text(info: ScheduleInfo, now_ms: int) -> str:
    """Return when a function runs next: "paused", or the time and how soon that is."""
    at = next_of(info)
    return f"{clock(at)} ({relative(at, now_ms)})" if isinstance(at, int) else at


def last_text(info: ScheduleInfo) -> str:
    """Return how a function's last run went, and of one that runs how it went before; "" if it never ran."""
    if info.last is None:
        return ""
    before = info.last_ended if info.last.state == ScheduledState.RUNNING else None
    return _went(info.last) + (f"; before that {_went(before)}" if before is not None else "")


def clock(ms: int) -> str:
    """Return local time as people read it."""
    return datetime.datetime.fromtimestamp(ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _went(run: ScheduledRun) -> str:
    manual = " (manual)" if run.manual else ""
    error = f": {run.error.splitlines()[0][:80]}" if run.error else ""
    return f"{RUN_STATES.get(run.state, '')}{manual}{error}"
