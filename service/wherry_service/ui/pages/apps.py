"""Apps: those of the environment, running or not."""

from wherry_proto.messages import AppInfo, AppListRequest
from wherry_service.ui import words
from wherry_service.ui.page import Asked, Data, Page
from wherry_service.ui.rows import Row, Table, long, number, state, text, when

MOST = 300
_STATES = ("unknown", "ephemeral", "detached", "deployed", "stopped")


def app_word(app: AppInfo) -> str:
    """Return an app's state in a word."""
    return _STATES[app.state] if 0 <= app.state < len(_STATES) else "unknown"


async def data(asked: Asked) -> Data:
    """Return what the page shows."""
    answer = await asked.ask("Apps.List", AppListRequest(environment=asked.environment, include_stopped=True))
    found = sorted(answer.apps, key=lambda app: (app_word(app) == "stopped", -app.created_at_ms))
    rows = [
        Row(
            app.app_id,
            (
                text(app.name, f"/apps/{app.app_id}"),
                state(app_word(app)),
                text(f"v{app.version}" if app.version else "–"),
                number(app.num_functions),
                number(app.num_containers),
                long(words.short(app.last_error, 160) or "–"),
                when(app.created_at_ms),
            ),
        )
        for app in found[:MOST]
    ]
    titles = ("App", "State", "Version", "Functions#", "Containers#", "Last error", "Created")
    more = f"The first {MOST} of {len(found):,}." if len(found) > MOST else ""
    table = Table(titles, rows, "There is no app here.", "wherry deploy FILE.py", more)
    return {"heading": "Apps", "about": "", "trail": None, "table": table}


PAGE = Page("/apps", "apps.html", data, live=("rows",), section="Apps")
