"""One container: what it does, what it uses, its log, and its place in time."""

import contextlib
from collections.abc import Mapping

from wherry_proto.messages import (
    ContainerHistoryRequest,
    ContainerInfo,
    ContainerListRequest,
    ContainerStopRequest,
    LogReadRequest,
    RecordListRequest,
)
from wherry_service.api.callers import follow
from wherry_service.errors import InvalidRequest, NotFound
from wherry_service.ui.page import Action, Asked, Data, Done, Page
from wherry_service.ui.pages.calls import record_table
from wherry_service.ui.pages.containers import SPANS, USAGE_S, span_of

LINES = 200
LATEST = 20


async def _now(asked: Asked, container_id: str) -> ContainerInfo | None:
    answer = await asked.known.get(
        asked.session.token_id,
        f"containers {asked.environment} ",
        USAGE_S,
        lambda: asked.ask("Containers.List", ContainerListRequest(environment=asked.environment, with_usage=True)),
    )
    measured = next((one for one in answer.containers if one.container_id == container_id), None)
    listed = await asked.ask("Containers.List", ContainerListRequest(environment=asked.environment))
    found: ContainerInfo | None = next((one for one in listed.containers if one.container_id == container_id), None)
    if found is not None and measured is not None:
        found.memory_bytes, found.cpu_ns = measured.memory_bytes, measured.cpu_ns
    return found


async def data(asked: Asked) -> Data:
    """Return what the page shows."""
    container_id = asked.parts["container"]
    found = await _now(asked, container_id)
    history = await asked.ask(
        "Records.Containers", ContainerHistoryRequest(environment=asked.environment, container_id=container_id)
    )
    lane = history.containers[0] if history.containers else None
    lines: list[object] = []
    known = await asked.may_read_logs(asked.environment)
    try:
        request = LogReadRequest(container_id=container_id, environment=asked.environment, tail=LINES)
        if known:
            async for chunk in follow(asked.caller, "Logs.Read", request):
                lines += chunk.lines
    except (NotFound, InvalidRequest):
        known = False
    if found is None and lane is None and not known:
        raise NotFound(
            f"there is no container {container_id} in environment {asked.environment}, and nothing is kept of it"
        )
    latest = []
    with contextlib.suppress(NotFound):
        request_records = RecordListRequest(environment=asked.environment, container_id=container_id, limit=LATEST)
        latest = (await asked.ask("Records.List", request_records)).records
    return {
        "container_id": container_id,
        "now": found,
        "lane": lane,
        "whose": found or lane,
        "latest": record_table(latest),
        "lines": lines[-LINES:],
        "span": span_of(asked),
        "spans": SPANS,
    }


async def stop(asked: Asked, form: Mapping[str, str]) -> Done:
    """End the container: after its inputs, or at once."""
    container_id = asked.parts["container"]
    is_graceful = form.get("how") == "graceful"
    await asked.ask(
        "Containers.Stop",
        ContainerStopRequest(container_id=container_id, environment=asked.environment, graceful=is_graceful),
    )
    said = "It stops once its inputs have ended." if is_graceful else "It has stopped. Its inputs run again elsewhere."
    return Done(f"/containers/{container_id}", said)


PAGE = Page("/containers/{container}", "container.html", data, live=("head", "latest", "log"), section="Containers")
ACTIONS = (Action("/containers/{container}/stop", stop),)
