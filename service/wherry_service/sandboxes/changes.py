"""How sandboxes run on: what they may reach, and whether they are paused."""

import logging

from wherry_proto.messages import SandboxInfo, SandboxOutbound
from wherry_service.engines.engine import EngineError
from wherry_service.errors import InvalidRequest, Unready
from wherry_service.node.sandbox import SandboxNode
from wherry_service.sandboxes.orders import outbound_of
from wherry_service.sandboxes.register import SandboxRegister
from wherry_service.sandboxes.sandbox import Sandbox
from wherry_service.store.sandboxes import SandboxStore

log = logging.getLogger(__name__)


class SandboxChanges:
    """Changes sandboxes that run."""

    def __init__(self, register: SandboxRegister, store: SandboxStore, node: SandboxNode) -> None:
        self._register = register
        self._store = store
        self._node = node

    async def pause(self, sandbox_id: str, paused: bool) -> SandboxInfo:
        """Stop its processes where they are, or have them go on; nothing where that is so already."""
        sandbox = self._register.alive(sandbox_id)
        await sandbox.wait_begun()
        async with sandbox.pausing:
            if sandbox.paused != paused:
                try:
                    await (self._node.pause if paused else self._node.resume)(sandbox_id)
                except EngineError as error:
                    raise Unready(str(error)) from error
                sandbox.note_paused(paused)
        return sandbox.info()

    async def set_outbound(self, sandbox_id: str, given: SandboxOutbound) -> SandboxInfo:
        """Replace what one may reach."""
        outbound = outbound_of(given)
        sandbox = self._register.alive(sandbox_id)
        await sandbox.wait_begun()
        if sandbox.record.spec.outbound is None:
            raise InvalidRequest(
                f"sandbox {sandbox_id} was created without a list of what it may reach, which can't be given later: "
                'create it with one; outbound_cidr_allowlist=["0.0.0.0/0"] allows all'
            )
        try:
            await self._node.set_outbound(sandbox_id, outbound)
        except EngineError as error:
            raise Unready(str(error)) from error
        sandbox.record.spec.outbound = given
        await self._store.change(sandbox.record)
        return sandbox.info()

    async def hold_outbound(self, sandbox: Sandbox) -> None:
        """Have the list of one of an earlier life hold. Where that can't be, the kernel's rules of then go on."""
        if (given := sandbox.record.spec.outbound) is not None:
            try:
                await self._node.set_outbound(sandbox.sandbox_id, outbound_of(given))
            except EngineError as error:
                log.warning("sandbox %s reaches less than it may: %s", sandbox.sandbox_id, error)
