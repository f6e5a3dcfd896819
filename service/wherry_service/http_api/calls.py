"""Calls: made and waited for, spawned and asked about, streamed, ended."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from wherry_proto.messages import (
    CallKind,
    CallStart,
    CallState,
    CallValuesRequest,
    CallWatch,
    Input,
    InputsEnd,
    Output,
    SessionUp,
    YieldsTaken,
)
from wherry_service.api.callers import follow
from wherry_service.errors import Exhausted, NotFound
from wherry_service.http_api.payloads import Payloads
from wherry_service.http_api.problems import Problem, invalid, of_failure
from wherry_service.http_api.routes import Event, Reply, Request
from wherry_service.http_api.sessions import CallSession
from wherry_service.http_api.targets import Target, bind
from wherry_service.ids import check_id, input_of_call, new_id

# Seconds that a request waits for a call's end, unless it says otherwise; and at most.
WAIT_S = 150.0
MOST_WAIT_S = 3600
# Seconds in which a spawned input is on disk, and a call's state is told.
_SOON_S = 30.0


class CallRoutes:
    """Serves what is about calls."""

    def __init__(self, payloads: Payloads) -> None:
        self._payloads = payloads

    async def call(self, request: Request) -> Reply:
        """Call a function and wait for its value."""
        found: Target = request.found
        if found.yields:
            raise invalid(f"{found.name} yields values: use /stream instead of /call")
        wait_s = request.number("wait", WAIT_S)
        call_id, message = await self._begun(request, found, CallKind.REMOTE)
        async with CallSession(request.caller) as session:
            session.send(message)
            # It has the arguments.
            del message
            try:
                async with asyncio.timeout(wait_s):
                    output = await _output(session)
            except TimeoutError:
                session.cancel(call_id)
                text = (
                    f"{found.name} has not ended within {wait_s:g} s, and was cancelled: give it more time with "
                    "?wait=SECONDS, or use /spawn and ask for the result later"
                )
                raise Problem(504, "wait", text, call_id=call_id) from None
            except BaseException:
                session.cancel(call_id)
                raise
            try:
                return Reply({"call_id": call_id, "result": await self._value(request, output, call_id)})
            finally:
                session.send(SessionUp(taken=[output.input_id]))

    async def spawn(self, request: Request) -> Reply:
        """Begin a call that is kept until it has ended, and its result for as long as results are."""
        found: Target = request.found
        call_id, message = await self._begun(request, found, CallKind.SPAWN)
        async with CallSession(request.caller) as session:
            session.send(message)
            # It has the arguments.
            del message
            try:
                async with asyncio.timeout(_SOON_S):
                    await _taken(session, call_id)
            except TimeoutError:
                text = (
                    f"the service has not said in time that it keeps call {call_id}, which may run all the same: ask "
                    f"for it with GET /v1/calls/{call_id}, and spawn again only if there is no such call"
                )
                raise Problem(503, "unconfirmed", text, call_id=call_id) from None
        return Reply({"call_id": call_id}, 202)

    async def stream(self, request: Request) -> AsyncIterator[Event]:
        """Call a function that yields values, and pass each on as it comes."""
        found: Target = request.found
        if not found.yields:
            raise invalid(f"{found.name} returns one value: use /call instead of /stream")
        call_id, message = await self._begun(request, found, CallKind.GENERATOR)
        async with CallSession(request.caller) as session:
            session.send(message)
            # It has the arguments.
            del message
            has_ended = False
            try:
                while not has_ended:
                    heard = await session.next()
                    for value in heard.yields:
                        result = await self._payloads.get(request.caller, value.payload, call_id)
                        yield Event(result, id=str(value.index))
                        taken = YieldsTaken(input_id=value.input_id, index=value.index + 1)
                        session.send(SessionUp(yields_taken=[taken]))
                    for output in heard.outputs:
                        has_ended = True
                        session.send(SessionUp(taken=[output.input_id]))
                        if output.failure is not None:
                            raise of_failure(output.failure, call_id)
                        yield Event({"call_id": call_id, "values": output.num_yields}, "end")
            finally:
                if not has_ended:
                    session.cancel(call_id)

    # By their ids

    async def show(self, request: Request) -> Reply:
        """Say how a call stands, and its result."""
        call_id = _call_id(request)
        async with CallSession(request.caller) as session:
            state, output = await _watched(session, call_id, request.whole("index"), request.number("wait"))
            told: dict[str, Any] = {
                "call_id": call_id,
                "state": "running",
                "function_id": state.function_id,
                "inputs": state.num_inputs,
                "done": state.num_done,
            }
            if output is None:
                return Reply(told, 202)
            told["done"] = max(1, state.num_done)
            if output.failure is not None:
                error = of_failure(output.failure, call_id).error
                cancelled = error["code"] == "cancelled"
                return Reply({**told, "state": "cancelled" if cancelled else "failed", "error": error})
            result = await self._payloads.get(request.caller, output.payload, call_id)
            if output.num_yields:
                return Reply({**told, "state": "succeeded", "values": output.num_yields})
            return Reply({**told, "state": "succeeded", "result": result})

    async def values(self, request: Request) -> AsyncIterator[Event]:
        """Pass on what a spawned generator has yielded, and what it yields until it ends."""
        call_id = _call_id(request)
        last = request.last_id or request.text("after")
        if last and not (last.isascii() and last.isdigit() and len(last) < 10):
            raise invalid(f"after is {last[:64]!r}: it must be the number of the last value that you have")
        asked = CallValuesRequest(call_id=call_id, index=int(last) + 1 if last else 0)
        async with contextlib.aclosing(follow(request.caller, "Calls.Values", asked)) as values:
            async for value in values:
                result = await self._payloads.get(request.caller, value.payload, call_id)
                yield Event(result, id=str(value.index))
        async with CallSession(request.caller) as session:
            _, output = await _watched(session, call_id, 0, _SOON_S)
            if output is not None and output.failure is not None:
                raise of_failure(output.failure, call_id)
            yield Event({"call_id": call_id, "values": output.num_yields if output is not None else None}, "end")

    async def cancel(self, request: Request) -> Reply:
        """End a call: what waits of it is dropped, what runs is interrupted."""
        call_id = _call_id(request)
        async with CallSession(request.caller) as session:
            await _watched(session, call_id, 0, 0.0)
            session.cancel(call_id)
        return Reply({"call_id": call_id}, 202)

    # Parts of these

    async def _begun(self, request: Request, found: Target, kind: int) -> tuple[str, SessionUp]:
        """Return a call's id, and what begins it: the body is not needed from then on, and is forgotten."""
        arguments = await self._payloads.arguments(request.body())
        found = await bind(request, found, arguments.parameters)
        payload = await self._payloads.put(request.caller, arguments.data)
        request.drop_body()
        call_id = new_id("fc")
        item = Input(input_id=input_of_call(call_id), call_id=call_id, payload=payload, method=found.method)
        return call_id, SessionUp(
            calls=[CallStart(call_id=call_id, function_id=found.function_id, kind=kind)],
            inputs=[item],
            ends=[InputsEnd(call_id=call_id, num_inputs=1)],
        )

    async def _value(self, request: Request, output: Output, call_id: str) -> Any:
        if output.failure is not None:
            raise of_failure(output.failure, call_id)
        return await self._payloads.get(request.caller, output.payload, call_id)


def _call_id(request: Request) -> str:
    return check_id(request.places["call_id"], "fc", "call id")


async def _output(session: CallSession) -> Output:
    """Return the one output of a session's one call."""
    while True:
        heard = await session.next()
        if heard.outputs:
            return heard.outputs[0]


async def _taken(session: CallSession, call_id: str) -> None:
    """Return as soon as a spawned call is kept; raise `Problem` where it is not taken."""
    while True:
        heard = await session.next()
        for output in heard.outputs:
            # It ended at once, or it was not taken.
            if output.failure is not None and not heard.accepted:
                raise of_failure(output.failure, call_id)
        if heard.accepted or heard.outputs:
            return


async def _watched(session: CallSession, call_id: str, index: int, wait_s: float) -> tuple[CallState, Output | None]:
    """Return how a call stands, and one of its outputs, for which this waits so many seconds.

    Raises `NotFound`, and `Problem` for a call whose result is no longer kept or that has no such input.
    """
    session.send(SessionUp(watches=[CallWatch(call_id=call_id, only=index + 1)]))
    state: CallState | None = None
    output: Output | None = None
    deadline = asyncio.get_running_loop().time() + wait_s
    while state is None or output is None:
        # What there is already is told at once, whatever the caller waits for.
        left = _SOON_S if state is None else deadline - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(max(0.0, left)):
                heard = await session.next()
        except TimeoutError:
            if state is None:
                raise Exhausted("the service has not found the call in time: ask again") from None
            return state, None
        for one in heard.outputs:
            if one.call_id == call_id and one.index == index:
                output = one
        for one_state in heard.states:
            state = one_state
            if not state.known:
                raise NotFound(f"there is no call {call_id}, or it was cancelled or forgotten long ago")
            if state.expired:
                raise Problem(410, "expired", f"the result of {call_id} is no longer kept", call_id=call_id)
            if index >= max(1, state.num_inputs):
                raise NotFound(f"{call_id} has {state.num_inputs} inputs: index={index} is none of them")
    return state, output
