"""Client processes: what waits to be sent to each, and when one counts as gone."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator

from wherry_proto.messages import CallState, LogLine, Notice, Output, SessionDown, Yield
from wherry_service.errors import InvalidRequest
from wherry_service.node.node import NodeContainer

# Seconds without a session after which a client counts as gone.
GONE_AFTER_S = 15.0
# The same for one in a container, whose socket breaks only with one side's end.
GUEST_GONE_AFTER_S = 3.0
# One message carries at most about this many payload bytes.
MESSAGE_BYTES = 4 << 20
# A container whose client lags behind by more than this many bytes of log or yields is read no further.
LAG_BYTES = 4 << 20
# Calls that one client has open, and what may wait to be told to one that does not read.
MAX_CALLS = 200_000
MAX_GUEST_CALLS = 20_000
MAX_UNREAD = 1_000_000
MAX_GUEST_UNREAD = 100_000
# Calls whose results it has asked for, and that are being looked up.
MAX_LOOKUPS = 10_000


# large: the queues of all that waits to be told to one client, and what bounds them.
class Client:
    """One client process. Everything for it waits here until its session's stream can take it."""

    def __init__(self, client_id: str, container_id: str) -> None:
        self.client_id = client_id
        # The container it runs in; "" outside.
        self.container_id = container_id
        # Counts sessions: only the latest one is served.
        self.session = 0
        self.connected = False
        self.calls: set[str] = set()
        # Calls that are being looked up on disk for it.
        self.num_lookups = 0
        self.gone_timer: asyncio.TimerHandle | None = None
        self._event = asyncio.Event()
        self._wake: Callable[[], None] = self._event.set
        self._outputs: deque[Output] = deque()
        self._yields: deque[Yield] = deque()
        self._logs: deque[LogLine] = deque()
        self._accepted: list[str] = []
        self._states: list[CallState] = []
        self._notices: list[Notice] = []
        self._lag = 0
        self._paused: dict[int, NodeContainer] = {}

    @property
    def is_full(self) -> bool:
        """Whether it has as many calls open as it may."""
        return len(self.calls) >= (MAX_GUEST_CALLS if self.container_id else MAX_CALLS)

    @property
    def is_deaf(self) -> bool:
        """Whether it has asked for so much and read so little that nothing more is taken from it."""
        waiting = len(self._outputs) + len(self._states) + len(self._accepted) + len(self._notices)
        return waiting > (MAX_GUEST_UNREAD if self.container_id else MAX_UNREAD) or self.num_lookups > MAX_LOOKUPS

    # Putting

    def output(self, output: Output) -> None:
        self._outputs.append(output)
        self._wake()

    def yielded(self, value: Yield, source: NodeContainer | None) -> None:
        self._yields.append(value)
        self._lagged(len(value.payload.data) if value.payload is not None else 0, source)
        self._wake()

    def log(self, lines: list[LogLine], source: NodeContainer | None) -> None:
        if self.connected:
            self._logs.extend(lines)
            self._lagged(sum(len(line.text) + 64 for line in lines), source)
            self._wake()

    def accepted(self, input_ids: list[str]) -> None:
        self._accepted.extend(input_ids)
        self._wake()

    def state(self, state: CallState) -> None:
        self._states.append(state)
        self._wake()

    def notice(self, notice: Notice) -> None:
        self._notices.append(notice)
        self._wake()

    def _lagged(self, size: int, source: NodeContainer | None) -> None:
        self._lag += size
        if self._lag > LAG_BYTES and source is not None and id(source) not in self._paused:
            self._paused[id(source)] = source
            source.pause()

    # Taking

    def wake(self) -> None:
        """Have whoever takes look, though nothing may be there."""
        self._wake()

    def attach(self, wake: Callable[[], None]) -> None:
        """Have `wake` called whenever something is there to `take`, until the next session begins."""
        self._wake = wake
        wake()

    def detach(self) -> None:
        """Go back to `next_message`."""
        self._wake = self._event.set

    async def next_message(self, session: int) -> SessionDown | None:
        """Wait until something is there, and take it; None when woken for nothing."""
        await self._event.wait()
        self._event.clear()
        return self.take() if session == self.session else None

    def take(self) -> SessionDown | None:
        """Return what fits one message, None where nothing is there; the rest wakes again."""
        message = SessionDown()
        if self._accepted:
            message.accepted, self._accepted = self._accepted, []
        if self._notices:
            message.notices, self._notices = self._notices, []
        room = MESSAGE_BYTES
        # Logs and yields go before the outputs that came after them.
        logs = message.logs
        while self._logs and room > 0:
            line = self._logs.popleft()
            room -= len(line.text) + 64
            logs.append(line)
        while self._yields and room > 0:
            value = self._yields.popleft()
            room -= _size(value) + 32
            message.yields.append(value)
        outputs = message.outputs
        pending = self._outputs
        while pending and room > 0:
            output = pending.popleft()
            room -= _size(output) + 32
            outputs.append(output)
        if not self._logs and not self._yields:
            self._caught_up()
            if not pending:
                # A call's state is told after the outputs that are there already.
                message.states, self._states = self._states, []
        if self._logs or self._yields or pending:
            self._wake()
        if outputs or logs or message.yields or message.accepted or message.states or message.notices:
            return message
        return None

    def _caught_up(self) -> None:
        self._lag = 0
        if self._paused:
            paused, self._paused = self._paused, {}
            for container in paused.values():
                container.resume()

    def drop_pending(self) -> None:
        """Forget what waits: the stream broke, and what matters is offered again when the client is back."""
        for queue in (self._outputs, self._yields, self._logs):
            queue.clear()
        self._caught_up()


def _size(item: Output | Yield) -> int:
    return len(item.payload.data) if item.payload is not None else 0


class Clients:
    """All clients; tells when one has been away too long."""

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        # Who hears of one that is gone.
        self.on_gone: list[Callable[[Client], None]] = []
        self._closed = False

    def __iter__(self) -> Iterator[Client]:
        return iter(list(self._clients.values()))

    def get(self, client_id: str) -> Client | None:
        return self._clients.get(client_id)

    def expect(self, client_id: str, within_s: float = GONE_AFTER_S, container_id: str = "") -> Client:
        """Return the client of that id, known or new; a new one is gone if it has no session `within_s`.

        Raises `InvalidRequest` when somebody else has that id.
        """
        client = self._clients.get(client_id)
        if client is None:
            client = self._clients[client_id] = Client(client_id, container_id)
            self._start_timer(client, within_s)
        elif client.container_id != container_id:
            raise InvalidRequest(f"client {client_id} belongs to somebody else")
        return client

    def connect(self, client_id: str, container_id: str = "") -> Client:
        """Note that a session of this client has begun."""
        client = self.expect(client_id, container_id=container_id)
        client.session += 1
        client.connected = True
        client.drop_pending()
        # An earlier session's taker looks once more, and finds that it is over.
        client.wake()
        client.detach()
        if client.gone_timer is not None:
            client.gone_timer.cancel()
            client.gone_timer = None
        return client

    def disconnect(self, client: Client, session: int) -> None:
        """Note that a session of this client has ended."""
        if session == client.session:
            client.connected = False
            client.drop_pending()
            self._start_timer(client, GUEST_GONE_AFTER_S if client.container_id else GONE_AFTER_S)

    def close(self) -> None:
        """Tell nothing any more: the service ends, and the next life sees who comes back."""
        self._closed = True
        for client in self:
            if client.gone_timer is not None:
                client.gone_timer.cancel()

    def _start_timer(self, client: Client, seconds: float) -> None:
        if self._closed:
            return
        client.gone_timer = asyncio.get_running_loop().call_later(seconds, self._gone, client)

    def _gone(self, client: Client) -> None:
        if not client.connected:
            del self._clients[client.client_id]
            client.drop_pending()
            for hear in self.on_gone:
                hear(client)
