"""What calls have led to, and what generators have yielded."""

from collections.abc import AsyncIterator

from wherry_proto.messages import CallGraph, CallGraphRequest, CallValuesRequest, Yield
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import CALL, INVOKE, Inside
from wherry_service.calls.journal import Journal
from wherry_service.calls.values import Values
from wherry_service.ids import check_id


class CallApi:
    """Serves what is asked of single calls, also after their end."""

    def __init__(self, journal: Journal, values: Values) -> None:
        self._journal = journal
        self._values = values

    @rpc("Calls.Graph", INVOKE, CALL, inside=Inside.ENVIRONMENT)
    async def graph(self, request: CallGraphRequest) -> CallGraph:
        return await self._journal.graph(check_id(request.call_id, "fc", "call id"))

    @rpc("Calls.Values", INVOKE, CALL, inside=Inside.ENVIRONMENT)
    def values(self, request: CallValuesRequest) -> AsyncIterator[Yield]:
        return self._values.serve(request)
