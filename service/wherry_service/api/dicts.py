"""Dicts."""

import asyncio

from wherry_proto.messages import (
    DictClearRequest,
    DictCount,
    DictCountRequest,
    DictGetRequest,
    DictPage,
    DictPopRequest,
    DictPutRequest,
    DictPutResponse,
    DictScanRequest,
    DictValue,
)
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import INVOKE, Inside
from wherry_service.ids import check_id, own_id
from wherry_service.objects.dicts import Dicts


class DictApi:
    """Serves the entries of dicts. A change that has begun is finished, whether or not its client waits."""

    def __init__(self, dicts: Dicts) -> None:
        self._dicts = dicts

    @rpc("Dicts.Get", INVOKE, ("dict_id",), inside=Inside.ENVIRONMENT)
    async def get(self, request: DictGetRequest) -> DictValue:
        value = await self._dicts.get(request.dict_id, request.key)
        return DictValue(found=value is not None, value=None if request.without_value else value)

    @rpc("Dicts.Put", INVOKE, ("dict_id",), inside=Inside.ENVIRONMENT)
    async def put(self, request: DictPutRequest) -> DictPutResponse:
        operation_id = _own(request, "put")
        put = self._dicts.put(request.dict_id, operation_id, request.entries, request.skip_if_exists, request.ttl_s)
        return DictPutResponse(num_written=await asyncio.shield(asyncio.ensure_future(put)))

    @rpc("Dicts.Pop", INVOKE, ("dict_id",), inside=Inside.ENVIRONMENT)
    async def pop(self, request: DictPopRequest) -> DictValue:
        return await self._dicts.pop(request.dict_id, _own(request, "pop"), request.key)

    @rpc("Dicts.Count", INVOKE, ("dict_id",), inside=Inside.ENVIRONMENT)
    async def count(self, request: DictCountRequest) -> DictCount:
        return DictCount(count=await self._dicts.count(request.dict_id))

    @rpc("Dicts.Clear", INVOKE, ("dict_id",), inside=Inside.ENVIRONMENT)
    async def clear(self, request: DictClearRequest) -> DictCount:
        clear = self._dicts.clear(request.dict_id, _own(request, "clear"))
        return DictCount(count=await asyncio.shield(asyncio.ensure_future(clear)))

    @rpc("Dicts.Scan", INVOKE, ("dict_id",), inside=Inside.ENVIRONMENT)
    async def scan(self, request: DictScanRequest) -> DictPage:
        page = await self._dicts.page(request.dict_id, request.after, request.until, request.with_values)
        return DictPage(entries=page.entries, after=page.after, until=page.until, is_last=page.is_last)


def _own(request: DictPutRequest | DictPopRequest | DictClearRequest, verb: str) -> str:
    """Return what an operation is called; of another dict, or another kind, it is another one."""
    check_id(request.operation_id, "op", "operation id")
    return own_id(request.operation_id, f"{verb} {request.dict_id}")
