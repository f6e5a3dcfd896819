"""Reading what containers printed, from the service."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from wherry.exception import ConnectionError
from wherry_proto.messages import LogLine, LogLines, LogReadRequest

if TYPE_CHECKING:
    from wherry._connection.client import Client


def read_logs(client: "Client", request: LogReadRequest) -> Iterator[list[LogLine]]:
    """Yield lines in chunks, the oldest first; with `follow`, as they come until the app or container has ended.

    When the connection breaks it waits for the service, and goes on behind the last line that came.
    """
    began_ms = int(time.time() * 1000)
    while True:
        stream = client.stream("Logs.Read", request)
        try:
            for message in stream:
                assert isinstance(message, LogLines)
                if message.lines:
                    request.after = message.lines[-1].position
                    request.only_new = False
                    request.tail = 0
                    yield message.lines
            return
        except ConnectionError:
            if not client.await_service():
                return
        if request.only_new:
            # What came while the service was away is new as well.
            request.only_new, request.since_ms = False, max(request.since_ms, began_ms)
