"""Execs: commands run inside running containers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from wherry_proto.messages import ExecReply, ExecRequest, ExecStart
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import DEVELOP, Inside
from wherry_service.engines.engine import EngineError
from wherry_service.errors import InvalidRequest, Unready
from wherry_service.node.execs import Execs, WithSocket

# How often, and after how many seconds each, a container that the engine says is not running is asked how it ended.
_ASK_TIMES = 50
_ASK_EVERY_S = 0.02

EngineId = Callable[[str], Awaitable[str]]
"""From a container's id to the engine's for it; raises `NotFound`."""
SecretEnv = Callable[[str, Sequence[str]], Awaitable[Mapping[str, str]]]
"""From a sandbox's id and those of secrets to the variables that its execs are given; raises `NotFound`."""


class ExecApi:
    """Serves execs. `engine_ids` finds the container, by the prefix of its id; `secret_env` is asked of sandboxes."""

    def __init__(self, execs: Execs, engine_ids: dict[str, EngineId], secret_env: SecretEnv) -> None:
        self._execs = execs
        self._engine_ids = engine_ids
        self._secret_env = secret_env

    # Of functions' containers, and of sandboxes.
    @rpc("Execs.Run", DEVELOP, ("start.container_id",), audited=True, inside=Inside.SANDBOX)
    def run(self, requests: AsyncIterator[ExecRequest]) -> AsyncIterator[ExecReply | WithSocket]:
        """Run a command for a client that may be anywhere."""
        return self._run(requests, can_hand_over=False)

    def run_here(self, requests: AsyncIterator[ExecRequest]) -> AsyncIterator[ExecReply | WithSocket]:
        """Run a command for a client on this machine, which may be sent a `WithSocket`."""
        return self._run(requests, can_hand_over=True)

    async def _run(
        self, requests: AsyncIterator[ExecRequest], *, can_hand_over: bool
    ) -> AsyncIterator[ExecReply | WithSocket]:
        first = await anext(aiter(requests), None)
        if first is None or first.start is None:
            raise InvalidRequest("an exec begins with what is to be run")
        find = self._engine_ids.get(first.start.container_id[:2])
        if find is None:
            known = " or ".join(f"{prefix}-…" for prefix in self._engine_ids)
            raise InvalidRequest(f"{first.start.container_id[:64]!r} is not the id of a container: those are {known}")
        engine_id = await find(first.start.container_id)
        await self._give_secrets(first.start)
        try:
            async for reply in self._execs.run(engine_id, first.start, requests, can_hand_over=can_hand_over):
                yield reply
        except EngineError as error:
            if "is not running" in str(error):
                await self._say_how_it_ended(find, first.start.container_id)
            raise Unready(str(error)) from error

    async def _give_secrets(self, start: ExecStart) -> None:
        """Write the values of secrets among the variables of an exec: the engine shows those to nobody."""
        if start.container_id.startswith("sb-"):
            stored = await self._secret_env(start.container_id, start.secret_ids)
            start.env = {**stored, **start.secret_env, **start.env}
        elif start.secret_ids or start.secret_env:
            raise InvalidRequest("only execs in sandboxes are given secrets: give them to the function")

    async def _say_how_it_ended(self, find: EngineId, container_id: str) -> None:
        """Raise what says how a container ended; return if that does not become known."""
        for _ in range(_ASK_TIMES):
            await find(container_id)
            await asyncio.sleep(_ASK_EVERY_S)
