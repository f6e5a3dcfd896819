"""Logs: an app's or a container's lines, searched and followed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from wherry_proto.messages import AppListRequest, LogLine, LogReadRequest, Stream
from wherry_service.api.callers import follow as follow_rpc
from wherry_service.errors import InvalidRequest, NotFound, ServiceError
from wherry_service.ui.page import Asked, Data, Follow, Page
from wherry_service.ui.pages.apps import app_word
from wherry_service.ui.pages.calls import SINCE
from wherry_service.ui.stream import HEARTBEAT_S, lines_event

LINES = 500
# Lines that a browser is sent in one piece.
PIECE = 400
STREAMS = {"stdout": Stream.STDOUT, "stderr": Stream.STDERR, "system": Stream.SYSTEM}
NAMES = ("app", "function", "container", "call", "stream", "search", "within")


def request_of(asked: Asked) -> LogReadRequest | None:
    """Return which lines are meant; None if nothing is chosen."""
    query = {name: asked.query.get(name, "")[:256] for name in NAMES}
    app = query["app"]
    if not app and not query["container"]:
        return None
    within = SINCE.get(query["within"], 0)
    is_id = app.startswith("ap-")
    return LogReadRequest(
        app_id=app if is_id else "",
        app_name="" if is_id else app,
        environment=asked.environment,
        container_id=query["container"],
        function=query["function"] if app else "",
        call_id=query["call"],
        stream=STREAMS.get(query["stream"], Stream.UNSPECIFIED),
        search=query["search"],
        since_ms=asked.now_ms - within * 1000 if within else 0,
    )


async def data(asked: Asked) -> Data:
    """Return what the page shows."""
    answer = await asked.ask("Apps.List", AppListRequest(environment=asked.environment, include_stopped=True))
    apps = sorted(answer.apps, key=lambda app: (app_word(app) == "stopped", app.name, -app.created_at_ms))
    request = request_of(asked)
    if request is None and apps:
        asked.query = {**asked.query, "app": apps[0].app_id}
        request = request_of(asked)
    lines: list[LogLine] = []
    problem = ""
    if request is not None:
        request.tail = LINES
        try:
            async for chunk in follow_rpc(asked.caller, "Logs.Read", request):
                lines += chunk.lines
        except (NotFound, InvalidRequest) as error:
            problem = str(error)
    filters = {name: asked.query.get(name, "") for name in NAMES}
    return {
        "apps": [(app.app_id, app.name, app_word(app)) for app in apps[:200]],
        "filters": filters,
        "streams": list(STREAMS),
        "times": list(SINCE),
        "lines": lines[-LINES:],
        "problem": problem,
        "last": lines[-1].position if lines else 0,
        "is_live": request is not None and not problem,
    }


async def follow(asked: Asked) -> AsyncIterator[bytes]:
    """Yield the lines that come from where the browser is, with the position of the last as the event's id."""
    request = request_of(asked)
    if request is None:
        return
    last = asked.request.header(b"last-event-id")
    after = last if last.isascii() and last.isdigit() and len(last) < 19 else asked.query.get("after", "")
    request.after = int(after) if after.isascii() and after.isdigit() and len(after) < 19 else 0
    request.follow, request.tail, request.since_ms = True, 0 if request.after else 1, 0
    yield b"retry: 500\n\n"
    chunks = follow_rpc(asked.caller, "Logs.Read", request)
    coming: asyncio.Future[object] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(chunks))
            done, _ = await asyncio.wait((coming,), timeout=HEARTBEAT_S)
            if not done:
                yield b": still here\n\n"
                continue
            found, coming = coming.result(), None
            lines: list[LogLine] = list(getattr(found, "lines", ()))
            for begin in range(0, len(lines), PIECE):
                yield lines_event(lines[begin : begin + PIECE])
    except StopAsyncIteration:
        yield b"event: gone\ndata: This is the end: the app has stopped.\n\n"
    except ServiceError as error:
        yield f"event: gone\ndata: {str(error).splitlines()[0]}\n\n".encode()
    finally:
        if coming is not None:
            coming.cancel()
            with contextlib.suppress(asyncio.CancelledError, StopAsyncIteration, ServiceError):
                await coming
        await chunks.aclose()


async def text(asked: Asked) -> AsyncIterator[bytes]:
    """Yield all lines that are kept, as a file."""
    request = request_of(asked)
    if request is None:
        return
    async for chunk in follow_rpc(asked.caller, "Logs.Read", request):
        yield "".join(f"{line.text}\n" for line in chunk.lines).encode("utf-8", "replace")


PAGE = Page("/logs", "logs.html", data, section="Logs")
FOLLOWS = (
    Follow("/logs/follow", follow),
    Follow("/logs/file.txt", text, "text/plain; charset=utf-8", "log.txt"),
)
