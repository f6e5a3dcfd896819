"""Names of apps and functions that requests choose by."""

from wherry_service.errors import NotFound, near
from wherry_service.store.apps import AppStore


async def check_names(apps: AppStore, environment: str, app: str, function: str) -> None:
    """Raise `NotFound` for names that were never there in an environment; with ids, nothing is just nothing."""
    if not app or app.startswith("ap-"):
        return
    record = await apps.latest(app, environment)
    if record is None:
        names = await apps.names(environment)
        where = f"environment {environment[:64]!r}"
        raise NotFound(f"no app named {app[:64]!r} was ever run in {where}{near(app, names)}")
    known = [name for _, name in await apps.functions_ever(record.app_id)]
    if function and not function.startswith("fu-") and function not in known:
        raise NotFound(f"app {app[:64]!r} has no function {function[:64]!r}{near(function, known)}")
