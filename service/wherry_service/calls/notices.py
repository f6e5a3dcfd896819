"""What whoever runs an app is told of its functions, and no more often than helps."""

import asyncio
import logging

from wherry_proto.messages import Notice
from wherry_service.calls.client import Clients
from wherry_service.calls.queue import FunctionQueue

log = logging.getLogger(__name__)

# The same notice is shown again after this many seconds at the earliest.
NOTICE_EVERY_S = 10.0
# Notices of a function that are remembered for it, before the older ones are looked for.
MAX_NOTICED = 256


class Notices:
    """Tells clients, and the log."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def tell(self, queue: FunctionQueue, name: str, text: str) -> None:
        """Tell the client that runs a function's app; `name` is the function's."""
        now = asyncio.get_running_loop().time()
        if now - queue.noticed.get(text, -NOTICE_EVERY_S) < NOTICE_EVERY_S:
            return
        if len(queue.noticed) >= MAX_NOTICED:
            queue.noticed = {said: at for said, at in queue.noticed.items() if now - at < NOTICE_EVERY_S}
        queue.noticed[text] = now
        log.warning("%s: %s", name, text)
        client = self._clients.get(queue.client_id)
        if client is not None:
            client.notice(Notice(app_id=queue.app_id, function_id=queue.function_id, text=text, warning=True))
