"""Home: how much goes on, the apps, what runs next, and this machine."""

import asyncio

from wherry_proto.messages import (
    AppInfo,
    AppListRequest,
    AppShowRequest,
    ScheduleListRequest,
    ServerInfoRequest,
)
from wherry_service.ui.page import Asked, Data, Page

# Apps whose functions are counted.
COUNTED = 200
LISTED = 50
# Seconds that what the engine says is shown again.
INFO_S = 5.0

_STATES = ("unknown", "ephemeral", "detached", "deployed", "stopped")


def app_state(app: AppInfo) -> str:
    """Return an app's state in a word."""
    return _STATES[app.state] if 0 <= app.state < len(_STATES) else "unknown"


async def data(asked: Asked) -> Data:
    """Return what the page shows."""
    environment = asked.environment
    listed, scheduled, info = await asyncio.gather(
        asked.ask("Apps.List", AppListRequest(environment=environment)),
        asked.ask("Schedules.List", ScheduleListRequest(environment=environment)),
        asked.kept("Server.Info", ServerInfoRequest(with_engine=True), INFO_S),
    )
    apps = sorted(listed.apps, key=lambda app: app.name)
    shown = [await asked.ask("Apps.Show", AppShowRequest(app_id=app.app_id)) for app in apps[:COUNTED]]
    functions = [function for one in shown for function in one.functions]
    due = sorted(((one.next_ms[0], one) for one in scheduled.schedules if one.next_ms), key=lambda row: row[0])
    return {
        "apps": apps[:LISTED],
        "app_state": app_state,
        "totals": {
            "containers": sum(one.num_containers for one in functions),
            "running": sum(one.num_running for one in functions),
            "waiting": sum(one.backlog for one in functions),
            "succeeded": sum(one.num_succeeded for one in functions),
            "failed": sum(one.num_failed for one in functions),
        },
        "due": due[:6],
        "load": info.load,
        "disks": info.disks,
        "engine": info.engine,
    }


PAGE = Page("/", "home.html", data, live=("counters", "apps", "next", "machine"), section="Home")
