"""Sandboxes that run or ended lately. They can be ended, and have a shell."""

from collections.abc import Mapping

from wherry_proto import views
from wherry_proto.messages import SandboxInfo, SandboxListRequest, SandboxState, SandboxTerminateRequest
from wherry_service.ids import check_id
from wherry_service.ui.page import Action, Asked, Data, Done, Page
from wherry_service.ui.table import Button, Cell, Column, identity, state, table, when, word

_PATH = "/sandboxes"


def _state(one: SandboxInfo) -> Cell:
    return state("paused" if one.paused else views.SANDBOX_STATES.get(one.state, "unknown"))


_COLUMNS = (
    Column("Sandbox", lambda one: identity(one.sandbox_id)),
    Column("Name", lambda one: word(one.name)),
    Column("App", lambda one: Cell(one.app_name, f"/apps/{one.app_id}" if one.app_id else "")),
    Column("State", _state),
    Column("Command", lambda one: word(" ".join(one.command)[:120])),
    Column("Begun", lambda one: when(one.created_at_ms)),
)
_OVER = (
    *_COLUMNS,
    Column("Ended", lambda one: when(one.ended_at_ms)),
    Column("Exit code", lambda one: Cell(str(one.returncode)), number=True),
    Column("How", lambda one: word(one.reason[:200])),
)
LATELY = 50


def _shell(one: SandboxInfo) -> Cell:
    return Cell("open", f"{_PATH}/{one.sandbox_id}/shell") if not one.paused else word("")


def _buttons(one: SandboxInfo) -> list[Button]:
    question = f"End {one.name or one.sandbox_id}? What it has written outside of volumes is gone."
    return [Button("End", f"{_PATH}/end", {"sandbox_id": one.sandbox_id}, question)]


async def data(asked: Asked) -> Data:
    """Return what the page shows."""
    request = SandboxListRequest(environment=asked.environment, include_ended=True)
    listed = (await asked.ask("Sandboxes.List", request)).sandboxes
    running = [one for one in listed if one.state == SandboxState.RUNNING]
    over = sorted((one for one in listed if one.state != SandboxState.RUNNING), key=lambda one: -one.ended_at_ms)

    def row_id(one: SandboxInfo) -> str:
        return one.sandbox_id

    now = (*_COLUMNS, Column("Shell", _shell))
    return {
        "heading": "Sandboxes",
        "tables": [
            table("Running", now, running, row_id, "No sandbox runs.", "wherry shell", _buttons),
            table("Ended lately", _OVER, over[:LATELY], row_id, "None has ended lately."),
        ],
    }


async def end(asked: Asked, form: Mapping[str, str]) -> Done:
    """End one."""
    sandbox_id = check_id(form.get("sandbox_id", ""), "sb", "sandbox id")
    await asked.ask("Sandboxes.Terminate", SandboxTerminateRequest(sandbox_id=sandbox_id))
    return Done(_PATH, f"{sandbox_id} is ended.")


PAGES = (Page(_PATH, "list.html", data, live=("tables",), section="Sandboxes"),)
ACTIONS = (Action(f"{_PATH}/end", end),)
