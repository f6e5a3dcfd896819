"""What a sandbox's command reads and prints, from here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry._base.ids import new_id
from wherry.exception import ConnectionError
from wherry.io_streams import StreamReader, StreamWriter
from wherry_proto import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wherry._connection.client import Client

# Bytes of input in one message.
_PIECE = 1 << 20


class SandboxStreams:
    """The streams of a sandbox's command. Both directions go on where they were when the service comes back."""

    def __init__(self, sandbox_id: str, client: Callable[[], Client]) -> None:
        self._sandbox_id = sandbox_id
        self._client = client
        self._writer_id = new_id("cl")
        self._written = 0
        self.stdin = StreamWriter(self._write)
        self.stdout = self._reader(1)
        self.stderr = self._reader(2)

    def _reader(self, stream: int) -> StreamReader[str]:
        return StreamReader(lambda: self._output(stream), True, before=self.stdin.drain, file_descriptor=stream)

    def _output(self, stream: int) -> Iterator[bytes]:
        """Yield what comes on a stream, to its end."""
        offset = 0
        while True:
            request = messages.SandboxOutputRequest(
                sandbox_id=self._sandbox_id, stream=stream, offset=offset, follow=True
            )
            try:
                for message in self._client().stream("Sandboxes.Output", request):
                    data: bytes = message.data  # type: ignore[attr-defined]
                    offset += len(data)
                    yield data
                return
            except ConnectionError:
                # Waits until the service is back, or gives up with this error.
                known = messages.SandboxGetRequest(sandbox_id=self._sandbox_id)
                self._client().call("Sandboxes.Get", known, messages.SandboxInfo)

    def _write(self, data: bytes, eof: bool) -> None:
        for start in range(0, max(1, len(data)), _PIECE):
            piece = data[start : start + _PIECE]
            request = messages.SandboxInputRequest(
                sandbox_id=self._sandbox_id,
                writer_id=self._writer_id,
                offset=self._written,
                data=piece,
                eof=eof and start + _PIECE >= len(data),
            )
            self._client().call("Sandboxes.Input", request, messages.SandboxInputResponse)
            self._written += len(piece)
