"""What containers print, as it is kept and as it comes."""

import contextlib
from collections.abc import AsyncIterator

from wherry_proto import views
from wherry_proto.messages import LogReadRequest
from wherry_service.api.callers import follow
from wherry_service.http_api.problems import invalid
from wherry_service.http_api.routes import Event, Request


async def read(request: Request) -> AsyncIterator[Event]:
    """Pass on lines as `wherry logs --json` prints them."""
    streams = {word: number for number, word in views.STREAMS.items()}
    stream = request.text("stream")
    if stream and stream not in streams:
        raise invalid(f"stream is {stream[:64]!r}: it must be one of {', '.join(streams)}")
    app, container = request.text("app"), request.text("container")
    if not app and not container:
        raise invalid("say whose lines: app=NAME_OR_ID or container=ID")
    last = request.last_id or request.text("after")
    if last and not (last.isascii() and last.isdigit() and len(last) < 20):
        raise invalid(f"after is {last[:64]!r}: it must be the position of the last line that you have")
    by_id = app.startswith("ap-")
    asked = LogReadRequest(
        app_id=app if by_id else "",
        app_name="" if by_id else app,
        environment=request.environment,
        container_id=container,
        function=request.text("function"),
        call_id=request.text("call"),
        since_ms=request.whole("since_ms"),
        until_ms=request.whole("until_ms"),
        tail=request.whole("tail"),
        search=request.text("search"),
        follow=request.flag("follow"),
        after=int(last or 0),
    )
    if stream:
        asked.stream = streams[stream]
    async with contextlib.aclosing(follow(request.caller, "Logs.Read", asked)) as chunks:
        async for chunk in chunks:
            for line in chunk.lines:
                yield Event(views.log_line(line), "line", str(line.position))
