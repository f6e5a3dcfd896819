"""What goes in and out of sandboxes: what their commands print, and what is written to them."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

from wherry_service.engines.engine import EngineError
from wherry_service.errors import InvalidRequest, Unready
from wherry_service.logs.stream_mask import StreamMask
from wherry_service.node.sandbox import SandboxNode
from wherry_service.sandboxes.output import STREAMS, SavedOutput
from wherry_service.sandboxes.register import SandboxRegister


class SandboxStreams:
    """Reads from the container while it is there, and from what was kept of it afterwards."""

    def __init__(
        self,
        register: SandboxRegister,
        node: SandboxNode,
        saved: SavedOutput,
        secrets_of: Callable[[str], Awaitable[Iterable[str]]],
    ) -> None:
        self._secrets_of = secrets_of
        self._register = register
        self._node = node
        self._saved = saved

    async def output(
        self, sandbox_id: str, stream: int, offset: int, follow: bool, masked: bool = False
    ) -> AsyncIterator[bytes]:
        """Yield what its command has printed on a stream, from an offset on; if followed, until it ends.

        `masked`: with the values of its secrets masked, which is also done where the sandbox masks its output.
        """
        if not masked and not await self._register.masks_output(sandbox_id):
            async for data in self._output(sandbox_id, stream, offset, follow):
                yield data
            return
        mask = StreamMask(await self._secrets_of(sandbox_id))
        async for data in self._output(sandbox_id, stream, 0, follow):
            shown = mask.feed(data)
            if shown[offset:]:
                yield shown[offset:]
            offset = max(0, offset - len(shown))
        if rest := mask.rest()[offset:]:
            yield rest

    async def _output(self, sandbox_id: str, stream: int, offset: int, follow: bool) -> AsyncIterator[bytes]:
        if stream not in STREAMS:
            raise InvalidRequest("a sandbox's output is read from stream 1 (stdout) or 2 (stderr)")
        sandbox = self._register.find(sandbox_id)
        if sandbox is None:
            await self._register.get(sandbox_id)
        elif not sandbox.saved.is_set():
            await sandbox.wait_begun()
            position = 0
            try:
                async for data in self._node.output(sandbox_id, stream, follow):
                    position += len(data)
                    if position > offset:
                        yield data[offset - position :]
                        offset = position
            except EngineError as error:
                # Its container went while it was read: the rest has been kept.
                if not sandbox.ended.is_set() and not sandbox.is_ending:
                    raise Unready(str(error)) from error
            if not (follow or sandbox.ended.is_set()):
                return
            await sandbox.saved.wait()
        async for data in self._saved.read(sandbox_id, stream, offset):
            yield data

    async def write(self, sandbox_id: str, writer_id: str, offset: int, data: bytes, eof: bool) -> None:
        """Write to its command's input what this writer has not written yet."""
        sandbox = self._register.alive(sandbox_id)
        await sandbox.wait_begun()
        with sandbox.used():
            async with sandbox.input_lock:
                if offset > sandbox.written.get(writer_id, 0):
                    raise Unready(f"the input of sandbox {sandbox_id} was closed when the service was started again")
                data = data[sandbox.written.get(writer_id, 0) - offset :]
                try:
                    await self._node.write(sandbox_id, data, eof)
                except EngineError as error:
                    raise Unready(f"sandbox {sandbox_id} does not read its input: {error}") from error
                sandbox.written[writer_id] = sandbox.written.get(writer_id, 0) + len(data)
