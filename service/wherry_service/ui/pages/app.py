"""One app: its functions, where it answers, its versions."""

from collections.abc import Mapping

from wherry_proto.messages import (
    AppShowRequest,
    AppStopRequest,
    Deployment,
    DeploymentListRequest,
    DeploymentListResponse,
    DeploymentOrigin,
    DeploymentRollbackRequest,
    DeploymentState,
    FunctionStatus,
)
from wherry_service.api.callers import follow
from wherry_service.errors import NotFound
from wherry_service.ui import words
from wherry_service.ui.page import Action, Asked, Data, Done, Page
from wherry_service.ui.pages.apps import app_word
from wherry_service.ui.rows import Row, Table, code, long, number, state, text, when
from wherry_service.ui.web import WebError

VERSIONS = 50
VERSION_TITLES = ("Version", "State", "Deployed", "Commit", "Tag", "By", "What changed")
_STATES = {DeploymentState.LIVE: "live", DeploymentState.SUPERSEDED: "superseded", DeploymentState.FAILED: "failed"}
# Seconds that versions are shown again: they rarely change.
SLOWLY_S = 2.0


def change_between(older: Deployment | None, newer: Deployment) -> str:
    """Return how the functions of two versions differ, in words."""

    def images(one: Deployment | None) -> dict[str, str]:
        functions = one.functions if one is not None else []
        return {item.spec.name: item.spec.image_id for item in functions if item.spec is not None}

    before, after = images(older), images(newer)
    said = [f"+ {name}" for name in sorted(after.keys() - before.keys())]
    said += [f"− {name}" for name in sorted(before.keys() - after.keys())]
    said += [f"{name}: another image" for name in sorted(before.keys() & after.keys()) if before[name] != after[name]]
    return ", ".join(said) or "the same functions and images"


def function_table(functions: list[FunctionStatus]) -> Table:
    """Return a table of functions."""
    rows = []
    for one in functions:
        assert one.function is not None
        rows.append(
            Row(
                one.function.function_id,
                (
                    text(one.function.name, f"/functions/{one.function.function_id}"),
                    number(one.num_containers),
                    number(one.num_running),
                    number(one.backlog),
                    number(one.num_succeeded),
                    number(one.num_failed),
                    long(words.short(one.last_error, 160) or "–"),
                ),
            )
        )
    titles = ("Function", "Containers#", "Running#", "Waiting#", "Succeeded#", "Failed#", "Last error")
    return Table(titles, rows, "This app has no functions.")


def _version_row(one: Deployment, older: Deployment | None) -> Row:
    origin = one.origin or DeploymentOrigin()
    commit = origin.commit[:12] + (" + changes" if origin.dirty else "")
    changed = f"as v{one.rollback_of}" if one.rollback_of else change_between(older, one)
    return Row(
        f"v{one.version}",
        (
            text(f"v{one.version}"),
            state(_STATES.get(one.state, "unknown")),
            when(one.created_at_ms),
            code(commit if origin.commit else "–"),
            text(origin.tag or "–"),
            text(origin.token_name or "this machine's user"),
            long(one.error or changed),
        ),
    )


async def data(asked: Asked) -> Data:
    """Return what the page shows."""
    app_id = asked.parts["app"]
    try:
        shown = await asked.ask("Apps.Show", AppShowRequest(app_id=app_id))
        app, functions = shown.app, list(shown.functions)
    except NotFound:
        # It has stopped: its versions and its log are there.
        app, functions = None, []
    listed: DeploymentListResponse = await asked.known.get(
        asked.session.token_id, f"versions of {app_id}", SLOWLY_S,
        lambda: asked.ask("Deployments.List", DeploymentListRequest(app_id=app_id)),
    )  # fmt: skip
    deployments = listed.deployments
    before: list[Deployment | None] = [*deployments[1:], None]
    rows = [_version_row(one, older) for one, older in zip(deployments, before, strict=False)][:VERSIONS]
    known = [one.function for one in functions if one.function is not None]
    return {
        "app": app,
        "app_id": app_id,
        "name": app.name if app is not None else listed.app_name or app_id,
        "word": app_word(app) if app is not None else "stopped",
        "functions": function_table(functions),
        "urls": [(one.name, one.web_url) for one in known if one.web_url],
        "versions": Table(VERSION_TITLES, rows, "It was never deployed."),
        "earlier": [one.version for one in deployments if one.state == DeploymentState.SUPERSEDED][:20],
    }


async def roll_back(asked: Asked, form: Mapping[str, str]) -> Done:
    """Have an earlier version serve."""
    version = form.get("version", "")
    if not version.isascii() or not version.isdigit():
        raise WebError(400, "Say which version.")
    app_id, last = asked.parts["app"], ""
    request = DeploymentRollbackRequest(app_id=app_id, version=int(version))
    async for event in follow(asked.caller, "Deployments.Rollback", request):
        last = event.text or last
    return Done(f"/apps/{app_id}", f"The functions of version {version} serve now.")


async def stop(asked: Asked, form: Mapping[str, str]) -> Done:
    """Stop the app."""
    app_id = asked.parts["app"]
    answer = await asked.ask("Apps.Stop", AppStopRequest(app_id=app_id))
    return Done("/apps", f"The app has stopped, with {words.counted(answer.num_containers_stopped, 'container')}.")


PAGE = Page("/apps/{app}", "app.html", data, live=("head", "functions", "versions"), section="Apps")
ACTIONS = (Action("/apps/{app}/rollback", roll_back), Action("/apps/{app}/stop", stop))
