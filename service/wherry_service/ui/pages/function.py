"""One function: what goes on in it, how it ran, its settings, its latest calls."""

import time

from wherry_proto.messages import (
    AppShowRequest,
    FunctionLookupRequest,
    FunctionStatus,
    RecordListRequest,
    StatsRequest,
)
from wherry_service.errors import NotFound
from wherry_service.ui import words
from wherry_service.ui.page import Asked, Data, Page
from wherry_service.ui.pages.calls import record_table

LATEST = 20
HOUR_MS = 3_600_000
# Seconds that what is counted over an hour is shown again.
SLOWLY_S = 1.0


def settings_of(status: FunctionStatus) -> list[tuple[str, str]]:
    """Return a function's settings, in words."""
    found: list[tuple[str, str]] = [("Image", status.image_id)]
    if (pool := status.pool) is not None:
        limit = str(pool.max_containers) if pool.max_containers else "no limit"
        found.append(("Containers", f"{pool.min_containers} to {limit}, {pool.buffer_containers} more in reserve"))
        found.append(("Idle containers are kept", words.seconds(pool.scaledown_window_s)))
        if pool.max_concurrent_inputs > 1:
            found.append(("Inputs at a time in one", str(pool.max_concurrent_inputs)))
        if pool.max_batch_size:
            found.append(("Batches", f"up to {pool.max_batch_size}, waiting {pool.batch_wait_ms} ms"))
    if (limits := status.resources) is not None:
        found.append(("Processors", f"{limits.cpu_request:g} asked for" if limits.cpu_request else "as there are"))
        memory = limits.memory_request_mib or limits.memory_limit_mib
        found.append(("Memory", words.size(memory << 20) if memory else "no limit of its own"))
    if status.gpus:
        found.append(("GPUs", " or ".join(f"{one.count} {one.type}" for one in status.gpus)))
    found.append(("Timeout", words.seconds(status.timeout_s)))
    if status.retry is not None and status.retry.max_retries:
        found.append(("Retries", str(status.retry.max_retries)))
    return found


async def data(asked: Asked) -> Data:
    """Return what the page shows."""
    function_id = asked.parts["function"]
    info = await asked.ask("Functions.Lookup", FunctionLookupRequest(function_id=function_id))
    shown = await asked.ask("Apps.Show", AppShowRequest(app_id=info.app_id))
    status = next((one for one in shown.functions if one.function.function_id == function_id), None)
    if status is None:
        raise NotFound(f"the app has no function {function_id} any more")
    since_ms = int(time.time() * 1000) - HOUR_MS
    stats = await asked.known.get(
        asked.session.token_id, f"stats of {function_id}", SLOWLY_S,
        lambda: asked.ask(
            "Records.Stats", StatsRequest(environment=info.environment, function=function_id, since_ms=since_ms)
        ),
    )  # fmt: skip
    latest = await asked.ask(
        "Records.List", RecordListRequest(environment=info.environment, function=function_id, limit=LATEST)
    )
    return {
        "info": info,
        "app": shown.app,
        "status": status,
        "settings": settings_of(status),
        "stats": stats.total,
        "latest": record_table(latest.records, with_function=False),
    }


PAGE = Page("/functions/{function}", "function.html", data, live=("counters", "head", "latest"), section="Apps")
