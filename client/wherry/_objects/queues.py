"""Putting and getting: what waits in the service, until it is done, over, or cancelled."""

import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from wherry._base.ids import new_id
from wherry._connection.values import payload_of, value_of
from wherry.exception import DeserializationError
from wherry_proto.messages import (
    Payload,
    QueueAcknowledged,
    QueueAcknowledgeRequest,
    QueueCancelRequest,
    QueueGetRequest,
    QueueItems,
    QueuePutRequest,
    QueuePutResponse,
)

if TYPE_CHECKING:
    from wherry._connection.client import Client

Reach = Callable[[], "tuple[Client, str]"]
"""Returns the client that asks, and the queue's id; asked when it is needed, as it may have to be looked for."""

# Items and bytes that one message takes. As many items as a partition holds: they are put all or none.
MOST = 5000
_BYTES = 4 << 20


class Cancelled(Exception):
    """It was cancelled from elsewhere; nobody waits for its result."""


class Getting:
    """One get: call it to wait for items.

    The service lends them; they are ours once it has confirmed that we have them. What ends before leaves them there.
    """

    def __init__(self, reach: Reach, count: int, wait_s: float | None, partition: str, raises: bool) -> None:
        self._reach = reach
        self._count = count
        self._deadline = None if wait_s is None else time.monotonic() + wait_s
        self._partition = partition
        self._raises = raises
        self._lease_id = ""
        self._lock = threading.Lock()
        self._cancelled = False
        self._values: list[Any] = []

    def __call__(self) -> list[Any]:
        """Return the items; raise `queue.Empty` when there were none in time."""
        client, queue_id = self._reach()
        while True:
            found = client.persist(lambda: self._attempt(client, queue_id))
            if found is not _REFUSED:
                break
        if isinstance(found, DeserializationError):
            raise found
        if not found and self._raises:
            raise queue.Empty
        return cast("list[Any]", found)

    def cancel(self) -> None:
        """Wait no longer. What has arrived in this very moment, and nobody will see, is put back, at the end."""
        with self._lock:
            self._cancelled = True
            lease_id, values = self._lease_id, self._values
        if values:
            self._put_back(values)
        elif lease_id:
            client, queue_id = self._reach()
            client.tell("Queues.Cancel", QueueCancelRequest(queue_id=queue_id, lease_id=lease_id))

    def _put_back(self, values: list[Any]) -> None:
        Putting(self._reach, values, None, self._partition, 0.0)()

    def _attempt(self, client: "Client", queue_id: str) -> Any:
        lease_id = new_id("op")
        with self._lock:
            if self._cancelled:
                raise Cancelled
            self._lease_id = lease_id
        wait_s = -1.0 if self._deadline is None else max(0.0, self._deadline - time.monotonic())
        request = QueueGetRequest(
            queue_id=queue_id, lease_id=lease_id, partition=self._partition, count=self._count, wait_s=wait_s
        )
        stream = client.stream("Queues.Get", request)
        try:
            items = cast("QueueItems", next(stream))
            if not items.values:
                return []
            # Before they are acknowledged: a value whose blob can't be fetched now stays in the queue.
            values = self._loaded(client, items.values)
            acknowledge = QueueAcknowledgeRequest(
                queue_id=queue_id, lease_id=lease_id, partition=self._partition, positions=items.positions
            )
            if not client.call("Queues.Acknowledge", acknowledge, QueueAcknowledged).accepted:
                return _REFUSED
        finally:
            stream.close()  # type: ignore[attr-defined]  # a generator in every transport
        with self._lock:
            if isinstance(values, list):
                self._values = values
            if not self._cancelled:
                return values
        if isinstance(values, list):
            self._put_back(values)
        raise Cancelled

    def _loaded(self, client: "Client", payloads: list[Payload]) -> "list[Any] | DeserializationError":
        try:
            return [value_of(client, payload) for payload in payloads]
        except DeserializationError as error:
            # It would fail whoever gets it: it is taken, and told.
            return error


class Putting:
    """One put: call it to wait for room."""

    def __init__(self, reach: Reach, values: list[Any], wait_s: float | None, partition: str, ttl_s: float) -> None:
        self._reach = reach
        self._values = values
        self._deadline = None if wait_s is None else time.monotonic() + wait_s
        self._partition = partition
        self._ttl_s = ttl_s
        self._operation_id = ""
        self._lock = threading.Lock()
        self._cancelled = False

    def __call__(self) -> None:
        """Put the items, in as many messages as they need; raise `queue.Full` where there was no room in time."""
        client, _ = self._reach()
        payloads: list[Payload] = []
        size = 0
        for number, value in enumerate(self._values, 1):
            payload = payload_of(client, value, f"item {number}" if len(self._values) > 1 else "the item")
            if payloads and (len(payloads) == MOST or size + len(payload.data) > _BYTES):
                self._send(payloads)
                payloads, size = [], 0
            payloads.append(payload)
            size += len(payload.data)
        if payloads:
            self._send(payloads)

    def cancel(self) -> None:
        """Wait no longer; what is put already stays."""
        with self._lock:
            self._cancelled = True
            operation_id = self._operation_id
        if operation_id:
            client, queue_id = self._reach()
            client.tell("Queues.Cancel", QueueCancelRequest(queue_id=queue_id, lease_id=operation_id))

    def _send(self, payloads: list[Payload]) -> None:
        client, queue_id = self._reach()
        request = QueuePutRequest(
            queue_id=queue_id,
            operation_id=new_id("op"),
            partition=self._partition,
            values=payloads,
            partition_ttl_s=self._ttl_s,
            wait_s=-1.0 if self._deadline is None else max(0.0, self._deadline - time.monotonic()),
        )
        with self._lock:
            if self._cancelled:
                raise Cancelled
            self._operation_id = request.operation_id
        if not client.call("Queues.Put", request, QueuePutResponse).done:
            raise queue.Full


_REFUSED = object()
