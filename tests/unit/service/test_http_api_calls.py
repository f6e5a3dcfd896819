"""Calls over HTTP: what becomes of them, and of their sessions, where the service does not answer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from wherry_proto.messages import FunctionInfo, SessionDown, Welcome
from wherry_service.http_api import calls
from wherry_service.http_api.bodies import Room
from wherry_service.http_api.calls import CallRoutes
from wherry_service.http_api.payloads import Payloads
from wherry_service.http_api.problems import Problem
from wherry_service.http_api.routes import Request
from wherry_service.http_api.sessions import CallSession
from wherry_service.http_api.targets import find


class Silent:
    """A caller whose sessions say at most that they have begun."""

    def __init__(self, greets: bool) -> None:
        self.greets = greets
        self.open = 0

    def handler(self, name: str) -> Any:
        return {"Calls.Session": self._session, "Functions.Lookup": self._look_up}[name]

    async def _look_up(self, request: Any) -> FunctionInfo:
        return FunctionInfo(function_id="fu-1", name=request.name)

    async def _session(self, said: AsyncIterator[Any]) -> AsyncIterator[SessionDown]:
        self.open += 1
        try:
            if self.greets:
                yield SessionDown(welcome=Welcome())
            async for _ in said:
                pass
        finally:
            self.open -= 1


async def request_of(caller: Any, room: Room) -> Request:
    body = room.body()
    body.add(b'{"args": [1]}')
    request = Request(caller, {"app": "shop", "name": "price"}, {}, body)
    request.found = await find(request)
    return request


def test_a_spawn_that_nobody_confirms_names_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        caller = Silent(greets=True)
        with pytest.raises(Problem) as caught:
            await CallRoutes(Payloads()).spawn(await request_of(caller, Room()))
        error = caught.value.error
        assert (caught.value.status, error["code"], error["call_id"][:3]) == (503, "unconfirmed", "fc-")
        assert f"GET /v1/calls/{error['call_id']}" in error["message"]
        assert caller.open == 0

    monkeypatch.setattr(calls, "_SOON_S", 0.01)
    asyncio.run(main())


def test_a_session_that_is_given_up_before_it_has_begun_ends() -> None:
    async def main() -> None:
        caller = Silent(greets=False)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), CallSession(caller):
                raise AssertionError("it has begun")
        assert caller.open == 0
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_a_call_that_waits_holds_no_body() -> None:
    async def main() -> None:
        room = Room()
        caller = Silent(greets=True)
        request = await request_of(caller, room)
        assert room.taken > 0
        calling = asyncio.ensure_future(CallRoutes(Payloads()).call(request))
        async with asyncio.timeout(10):
            while not caller.open:
                await asyncio.sleep(0)
        assert room.taken == 0
        assert request.body() == b""
        calling.cancel()
        await asyncio.wait([calling])

    asyncio.run(main())
