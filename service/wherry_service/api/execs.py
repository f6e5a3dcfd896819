"""Execs: commands run inside running containers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Protocol

from wherry_proto.messages import ExecReply, ExecRequest, ExecStart
from wherry_service.api.rpc import rpc
from wherry_service.api.rules import DEVELOP, Inside
from wherry_service.engines.engine import EngineError
from wherry_service.errors import InvalidRequest, Unready
from wherry_service.logs.stream_mask import StreamMask
from wherry_service.node.execs import Execs, WithSocket

# How often, and after how many seconds each, a container that the engine says is not running is asked how it ended.
_ASK_TIMES = 50
_ASK_EVERY_S = 0.02

EngineId = Callable[[str], Awaitable[str]]
"""From a container's id to the engine's for it; raises `NotFound`."""


class SecretsOf(Protocol):
    """What sandboxes know of their secrets."""

    async def secret_env(self, sandbox_id: str, secret_ids: Sequence[str]) -> Mapping[str, str]:
        """Return the variables that an exec in it is given, of its secrets and of these; raise `NotFound`."""

    def masks_output(self, sandbox_id: str) -> bool:
        """Whether the values of secrets are masked in what its commands print."""


class ExecApi:
    """Serves execs. `engine_ids` finds the container, by the prefix of its id; `sandboxes` know their secrets."""

    def __init__(self, execs: Execs, engine_ids: dict[str, EngineId], sandboxes: SecretsOf) -> None:
        self._execs = execs
        self._engine_ids = engine_ids
        self._sandboxes = sandboxes

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
        masks = await self._give_secrets(first.start)
        try:
            replies = self._execs.run(engine_id, first.start, requests, can_hand_over=can_hand_over and masks is None)
            async for reply in replies:
                for shown in (reply,) if masks is None or isinstance(reply, WithSocket) else _masked(reply, *masks):
                    yield shown
        except EngineError as error:
            if "is not running" in str(error):
                await self._say_how_it_ended(find, first.start.container_id)
            raise Unready(str(error)) from error

    async def _give_secrets(self, start: ExecStart) -> tuple[StreamMask, StreamMask] | None:
        """Write the values of secrets among the variables of an exec: the engine shows those to nobody.

        Return what masks them in its output, if it is to be masked.
        """
        if start.container_id.startswith("sb-"):
            stored = await self._sandboxes.secret_env(start.container_id, start.secret_ids)
            given = {**stored, **start.secret_env}
            start.env = {**given, **start.env}
            if self._sandboxes.masks_output(start.container_id) and not start.is_content:
                return StreamMask(given.values()), StreamMask(given.values())
            return None
        if start.secret_ids or start.secret_env:
            raise InvalidRequest("only execs in sandboxes are given secrets: give them to the function")
        return None

    async def _say_how_it_ended(self, find: EngineId, container_id: str) -> None:
        """Raise what says how a container ended; return if that does not become known."""
        for _ in range(_ASK_TIMES):
            await find(container_id)
            await asyncio.sleep(_ASK_EVERY_S)


def _masked(reply: ExecReply, out: StreamMask, err: StreamMask) -> Iterator[ExecReply]:
    """Yield a reply with its output masked; before the last one, what was kept back."""
    if reply.stdout or reply.stderr:
        mask, data = (out, reply.stdout) if reply.stdout else (err, reply.stderr)
        if shown := mask.feed(data):
            yield ExecReply(stdout=shown) if mask is out else ExecReply(stderr=shown)
        return
    if reply.exit is not None or reply.error:
        if rest := out.rest():
            yield ExecReply(stdout=rest)
        if rest := err.rest():
            yield ExecReply(stderr=rest)
    yield reply
