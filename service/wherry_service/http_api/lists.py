"""Lists of what there is, as `--json` of the commands prints them."""

import contextlib
from collections.abc import Mapping
from typing import Any

from wherry_proto import views
from wherry_proto.messages import (
    AppInfo,
    AppListRequest,
    AppListResponse,
    AppShowRequest,
    AppShowResponse,
    AuditListRequest,
    ContainerListRequest,
    DeploymentListRequest,
    EnvironmentListRequest,
    ImageListRequest,
    ObjectListRequest,
    RecordListRequest,
    RecordListResponse,
    SandboxListRequest,
    ScheduleListRequest,
    SecretListRequest,
    TokenListRequest,
    TokenWhoRequest,
)
from wherry_service.api.callers import ask
from wherry_service.errors import NotFound
from wherry_service.http_api.problems import invalid
from wherry_service.http_api.routes import Reply, Request
from wherry_service.http_api.targets import look_up

MAX_RECORDS = 1000


async def apps(request: Request) -> Reply:
    return Reply([views.app(one) for one in await _apps(request, request.flag("all"))])


async def _apps(request: Request, stopped: bool) -> list[AppInfo]:
    asked = AppListRequest(environment=request.environment, include_stopped=stopped)
    answer: AppListResponse = await ask(request.caller, "Apps.List", asked)
    return answer.apps


async def _app_id(request: Request, named: str, stopped: bool = False) -> str:
    """Return the id of an app by its id or name; raise `NotFound`. Of several the one that is deployed, or the latest.

    "" for "".
    """
    if not named or named.startswith("ap-"):
        return named
    found = [one for one in await _apps(request, stopped) if one.name == named]
    if not found:
        raise NotFound(f"there is no app {named[:64]!r} in environment {request.environment or 'main'!r}")
    # In the list the latest is the first.
    return next((one.app_id for one in found if views.APP_STATES.get(one.state) == "deployed"), found[0].app_id)


async def functions(request: Request) -> Reply:
    chosen = await _app_id(request, request.text("app"))
    found: list[dict[str, Any]] = []
    for app_id in [chosen] if chosen else [one.app_id for one in await _apps(request, False)]:
        # One may have stopped just now.
        with contextlib.suppress(NotFound) if not chosen else contextlib.nullcontext():
            shown: AppShowResponse = await ask(request.caller, "Apps.Show", AppShowRequest(app_id=app_id))
            found += [views.listed_function(one) for one in shown.functions]
    return Reply(found)


async def function(request: Request) -> Reply:
    """Show one function as `wherry function info --json` does."""
    info = await look_up(request)
    shown: AppShowResponse = await ask(request.caller, "Apps.Show", AppShowRequest(app_id=info.app_id))
    schedules = await ask(request.caller, "Schedules.List", ScheduleListRequest(app_id=info.app_id))
    next_runs = {one.function_id: [views.time_of(ms) for ms in one.next_ms] for one in schedules.schedules}
    for status in shown.functions:
        if status.function is not None and status.function.function_id == info.function_id:
            own = {"app_id": info.app_id, "app_name": info.app_name, "environment": info.environment}
            return Reply({**views.function(status, next_runs), **own})
    raise NotFound(f"{info.app_name}/{info.name} is not served now")


async def containers(request: Request) -> Reply:
    asked = ContainerListRequest(environment=request.environment, app_id=await _app_id(request, request.text("app")))
    answer = await ask(request.caller, "Containers.List", asked)
    return Reply([views.container(one) for one in answer.containers])


async def images(request: Request) -> Reply:
    answer = await ask(request.caller, "Images.List", ImageListRequest())
    return Reply([views.image(one) for one in answer.images])


async def sandboxes(request: Request) -> Reply:
    asked = SandboxListRequest(
        environment=request.environment,
        app_id=await _app_id(request, request.text("app")),
        include_ended=request.flag("all"),
    )
    answer = await ask(request.caller, "Sandboxes.List", asked)
    return Reply([views.sandbox(one) for one in answer.sandboxes])


async def schedules(request: Request) -> Reply:
    asked = ScheduleListRequest(environment=request.environment, app_id=await _app_id(request, request.text("app")))
    answer = await ask(request.caller, "Schedules.List", asked)
    return Reply([views.schedule(one) for one in answer.schedules])


async def secrets(request: Request) -> Reply:
    answer = await ask(request.caller, "Secrets.List", SecretListRequest(environment=request.environment))
    return Reply([views.secret(one) for one in answer.secrets])


async def dicts(request: Request) -> Reply:
    return await _objects(request, "Dicts", "dict", "entries")


async def queues(request: Request) -> Reply:
    return await _objects(request, "Queues", "queue", "items")


async def volumes(request: Request) -> Reply:
    return await _objects(request, "Volumes", "volume")


async def _objects(request: Request, group: str, kind: str, counted: str = "") -> Reply:
    answer = await ask(request.caller, f"{group}.List", ObjectListRequest(environment=request.environment))
    return Reply([views.shared_object(one, kind, counted) for one in answer.objects])


async def versions(request: Request) -> Reply:
    named = request.places["app"]
    by_id = named.startswith("ap-")
    asked = DeploymentListRequest(
        app_id=named if by_id else "", app_name="" if by_id else named, environment=request.environment
    )
    answer = await ask(request.caller, "Deployments.List", asked)
    return Reply([views.deployment(one) for one in answer.deployments])


async def environments(request: Request) -> Reply:
    answer = await ask(request.caller, "Environments.List", EnvironmentListRequest())
    return Reply([views.environment(one) for one in answer.environments])


async def tokens(request: Request) -> Reply:
    answer = await ask(request.caller, "Tokens.List", TokenListRequest(include_revoked=request.flag("all")))
    return Reply([views.token(one) for one in answer.tokens])


async def who(request: Request) -> Reply:
    return Reply(views.token(await ask(request.caller, "Tokens.Who", TokenWhoRequest())))


async def audit(request: Request) -> Reply:
    answer = await ask(request.caller, "Audit.List", AuditListRequest(limit=request.whole("limit")))
    return Reply([views.audit_entry(one) for one in answer.entries])


async def calls(request: Request) -> Reply:
    asked = RecordListRequest(
        environment=request.environment,
        app=request.text("app"),
        function=request.text("function"),
        call_id=request.text("call"),
        container_id=request.text("container"),
        states=_numbers(request, "state", views.RECORD_STATES),
        kinds=_numbers(request, "kind", views.CALL_KINDS),
        since_ms=request.whole("since_ms"),
        until_ms=request.whole("until_ms"),
        search=request.text("search"),
        limit=min(request.whole("limit"), MAX_RECORDS),
        after=request.text("after"),
    )
    answer: RecordListResponse = await ask(request.caller, "Records.List", asked)
    return Reply([views.record(one) for one in answer.records], next=answer.next)


def _numbers(request: Request, name: str, words: Mapping[Any, str]) -> list[Any]:
    """Return the numbers of the words that a parameter lists, with commas between them."""
    numbers = {word: number for number, word in words.items()}
    chosen = [word.strip() for word in request.text(name).split(",") if word.strip()]
    if unknown := [word for word in chosen if word not in numbers]:
        raise invalid(f"{name} is {unknown[0][:64]!r}: it must be one of {', '.join(numbers)}")
    return [numbers[word] for word in chosen]
