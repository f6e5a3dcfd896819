"""What runs by a schedule: when next, and how it went last. It can be run now, paused and resumed."""

from collections.abc import Mapping

from wherry_proto import views
from wherry_proto.messages import (
    ScheduleInfo,
    ScheduleListRequest,
    SchedulePauseRequest,
    ScheduleRunRequest,
)
from wherry_service.ids import check_id, new_id
from wherry_service.ui.page import Action, Asked, Data, Done, Page
from wherry_service.ui.table import Button, Cell, Column, state, table, when, word

_PATH = "/schedules"


def _last(one: ScheduleInfo) -> Cell:
    run = one.last
    if run is None:
        return word("")
    text = views.schedule(one)["last"]["state"]
    return Cell(text, f"/calls/{run.call_id}" if run.call_id else "", kind="state")


def _error(one: ScheduleInfo) -> Cell:
    return Cell(one.last.error[:200], kind="bad") if one.last is not None and one.last.error else word("")


_COLUMNS = (
    Column("Function", lambda one: Cell(f"{one.app_name}/{one.function_name}", f"/functions/{one.function_id}")),
    Column("Schedule", lambda one: word(views.schedule_text(one.schedule) if one.schedule is not None else "")),
    Column("Next", lambda one: state("paused") if one.paused else when(one.next_ms[0] if one.next_ms else 0)),
    Column("Last run", lambda one: when(one.last.queued_at_ms or one.last.tick_ms) if one.last else word("never")),
    Column("Ended", _last),
    Column("Error", _error),
)


def _buttons(one: ScheduleInfo) -> list[Button]:
    fields = {"function_id": one.function_id}
    other = Button("Resume", f"{_PATH}/resume", fields) if one.paused else Button("Pause", f"{_PATH}/pause", fields)
    name = f"{one.app_name}/{one.function_name}"
    return [Button("Run now", f"{_PATH}/run", fields, f"Run {name} now?"), other]


async def data(asked: Asked) -> Data:
    """Return what the page shows."""
    listed = await asked.ask("Schedules.List", ScheduleListRequest(environment=asked.environment))
    rows = sorted(listed.schedules, key=lambda one: (one.app_name, one.function_name))

    def row_id(one: ScheduleInfo) -> str:
        return one.function_id

    empty = "No deployed function has a schedule."
    return {"heading": "Schedules", "tables": [table("", _COLUMNS, rows, row_id, empty, buttons=_buttons)]}


async def run(asked: Asked, form: Mapping[str, str]) -> Done:
    """Run one now."""
    request = ScheduleRunRequest(function_id=_function(form), operation_id=new_id("op"))
    one = await asked.ask("Schedules.Run", request)
    return Done(_PATH, f"{one.function_name} runs now.")


async def pause(asked: Asked, form: Mapping[str, str]) -> Done:
    """Let one not run until it is resumed."""
    one = await asked.ask("Schedules.Pause", SchedulePauseRequest(function_id=_function(form)))
    return Done(_PATH, f"{one.function_name} is paused.")


async def resume(asked: Asked, form: Mapping[str, str]) -> Done:
    """Let one run again."""
    one = await asked.ask("Schedules.Resume", SchedulePauseRequest(function_id=_function(form)))
    return Done(_PATH, f"{one.function_name} is resumed.")


def _function(form: Mapping[str, str]) -> str:
    return check_id(form.get("function_id", ""), "fu", "function id")


PAGES = (Page(_PATH, "list.html", data, live=("tables",), section="Schedules"),)
ACTIONS = (Action(f"{_PATH}/run", run), Action(f"{_PATH}/pause", pause), Action(f"{_PATH}/resume", resume))
