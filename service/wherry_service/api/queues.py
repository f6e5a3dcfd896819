"""Queues."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator

from wherry_proto.messages import (
    QueueAcknowledged,
    QueueAcknowledgeRequest,
    QueueCancelled,
    QueueCancelRequest,
    QueueClearRequest,
    QueueCount,
    QueueCountRequest,
    QueueGetRequest,
    QueueItems,
    QueuePage,
    QueuePutRequest,
    QueuePutResponse,
    QueueScanRequest,
)
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import INVOKE, Inside
from wherry_service.errors import InvalidRequest
from wherry_service.ids import check_id, own_id
from wherry_service.objects.queues import Queues

# Seconds that a getter has to say that items have arrived; its end, when it is seen, gives them back at once.
LOAN_S = 300.0
# More seconds than this count as no limit: event loops know no later time.
LONGEST_WAIT_S = 1e7


class QueueApi:
    """Serves the items of queues."""

    def __init__(self, queues: Queues, loan_s: float = LOAN_S) -> None:
        self._queues = queues
        self._loan_s = loan_s

    @rpc("Queues.Put", INVOKE, ("queue_id",), inside=Inside.ENVIRONMENT)
    async def put(self, request: QueuePutRequest) -> QueuePutResponse:
        done = await self._queues.put(
            request.queue_id,
            _own(request.operation_id, request.queue_id),
            request.partition,
            request.values,
            request.partition_ttl_s,
            _limit(request.wait_s),
        )
        return QueuePutResponse(done=done)

    @rpc("Queues.Get", INVOKE, ("queue_id",), inside=Inside.ENVIRONMENT)
    async def get(self, request: QueueGetRequest) -> AsyncIterator[QueueItems]:
        lease_id = _own(request.lease_id, request.queue_id)
        getter, values = await self._queues.get(
            request.queue_id, lease_id, request.partition, request.count, _limit(request.wait_s)
        )
        try:
            yield QueueItems(values=values, positions=[item.position for item in getter.items])
            if values:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._loan_s):
                        await getter.settled.wait()
        finally:
            self._queues.give_back(request.queue_id, request.partition, getter)

    @rpc("Queues.Acknowledge", INVOKE, ("queue_id",), inside=Inside.ENVIRONMENT)
    async def acknowledge(self, request: QueueAcknowledgeRequest) -> QueueAcknowledged:
        lease_id = _own(request.lease_id, request.queue_id)
        accepted = await self._queues.acknowledge(request.queue_id, lease_id, request.partition, request.positions)
        return QueueAcknowledged(accepted=accepted)

    @rpc("Queues.Cancel", INVOKE, ("queue_id",), inside=Inside.ENVIRONMENT)
    async def cancel(self, request: QueueCancelRequest) -> QueueCancelled:
        await self._queues.cancel(request.queue_id, _own(request.lease_id, request.queue_id))
        return QueueCancelled()

    @rpc("Queues.Count", INVOKE, ("queue_id",), inside=Inside.ENVIRONMENT)
    async def count(self, request: QueueCountRequest) -> QueueCount:
        return QueueCount(count=await self._queues.count(request.queue_id, request.partition, request.total))

    @rpc("Queues.Clear", INVOKE, ("queue_id",), inside=Inside.ENVIRONMENT)
    async def clear(self, request: QueueClearRequest) -> QueueCount:
        operation_id = _own(request.operation_id, request.queue_id)
        count = await self._queues.clear(request.queue_id, operation_id, request.partition, request.all)
        return QueueCount(count=count)

    @rpc("Queues.Scan", INVOKE, ("queue_id",), inside=Inside.ENVIRONMENT)
    async def scan(self, request: QueueScanRequest) -> QueuePage:
        values, after = await self._queues.page(
            request.queue_id, request.partition, request.after, _limit(request.wait_s)
        )
        return QueuePage(values=values, after=after)


def _limit(wait_s: float) -> float | None:
    """Return the seconds to wait, None for no limit; raise `InvalidRequest` for what is no number."""
    if math.isnan(wait_s):
        raise InvalidRequest("the seconds to wait are no number")
    return wait_s if 0 <= wait_s <= LONGEST_WAIT_S else None


def _own(operation_id: str, queue_id: str) -> str:
    """Return what an operation, or a lease, is called; of another queue it is another one."""
    return own_id(check_id(operation_id, "op", "operation id"), queue_id)
