"""This process's connection to the service."""

import atexit
import contextlib
import functools
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from wherry._base.blocking import blocking, blocking_classmethod
from wherry._base.ids import new_id
from wherry._base.version import __version__
from wherry._connection.blobs import Blobs, handover_dir
from wherry._connection.failure import Failures
from wherry._connection.localhost import resolve
from wherry._connection.reconnect import Reconnect
from wherry._connection.session import Session
from wherry._connection.settings import Settings
from wherry._connection.watched import Watches
from wherry._screen.output import Output as Screen
from wherry._screen.unasked import Unasked
from wherry.context import container_directory
from wherry.exception import ConnectionError, InvalidError, NotFoundError
from wherry_proto.messages import Hello, LogLine, Message, Notice, Payload, ServerInfo, ServerInfoRequest

if TYPE_CHECKING:
    from wherry._connection.transport.transport import Exchange, Transport
    from wherry._screen.output import Progress, Transfer, Waiting

PROTOCOL = 1
# How long calls wait for a service that has gone.
GIVE_UP_S = 120.0

M = TypeVar("M", bound=Message)
# How often a call is begun anew that the service has broken off and come back from: it may be what ends it.
_MOST_BREAKS = 20
T = TypeVar("T")


class Server(Protocol):
    """Starts the service where that is this client's business."""

    def ensure(self, transport: "Transport") -> bool:
        """Start the service if it does not run; return whether it was started."""

    def revive(self, transport: "Transport") -> None:
        """Start the service again if it has gone."""


class ScreenListener:
    """Passes on what arrives to the output that is enabled at that time."""

    def __init__(self) -> None:
        self.screen: Screen = Unasked()
        self.become_child()

    def become_child(self) -> None:
        """After a fork: another thread may have held the lock."""
        self._lock = threading.Lock()
        # What came while something else has the terminal.
        self._held: list[list[LogLine] | Notice] | None = None

    def log(self, lines: list[LogLine]) -> None:
        """Show lines that containers printed, or keep them while something else has the terminal."""
        if not self._holds(lines):
            self._show(lines)

    def notice(self, notice: Notice) -> None:
        """Show what the service says of an app, or keep it likewise."""
        if not self._holds(notice):
            self._show(notice)

    def _show(self, item: list[LogLine] | Notice) -> None:
        # On the session's thread, which carries all calls: what goes wrong with a line must not end them.
        try:
            if isinstance(item, Notice):
                self.screen.notice(item)
            else:
                self.screen.log(item)
        except Exception:
            # A screen may be anything, and so may what it writes to.
            import logging  # noqa: PLC0415 - start-up cost: takes 6 ms, which importing wherry should not

            logging.getLogger("wherry").debug("wherry: a line can't be shown", exc_info=True)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep within this block what arrives, and pass it on afterwards."""
        with self._lock:
            self._held = []
        try:
            yield
        finally:
            with self._lock:
                held, self._held = self._held or [], None
            for item in held:
                self._show(item)

    def _holds(self, item: list[LogLine] | Notice) -> bool:
        with self._lock:
            if self._held is None:
                return False
            self._held.append(item)
            return True

    def waiting(self, what: str) -> "Waiting":
        """Return what shows that something is waited for."""
        return self.screen.waiting(what)

    def progress(self, name: str, total: int | None) -> "Progress":
        """Return what shows the progress of a map of so many inputs; None: it is not known how many."""
        return self.screen.progress(name, total)


class Client:
    """A connection to a service, made when it is first used. One is enough for a process. (reference: Client)"""

    def __init__(
        self, transport: "Transport", environment: str, server: Server | None = None, give_up_s: float = GIVE_UP_S
    ) -> None:
        self.environment = environment
        self.listener = ScreenListener()
        self.transport = transport
        self._server = server
        self._give_up_s = give_up_s
        # Images that are known to be built, by what they are made of and the environment: sandboxes ask often.
        self.built_images: dict[tuple[object, str], str] = {}
        # Which Python images have, by their ids, as far as that is known; and whether it was told that it is another.
        self.pythons: dict[str, str] = {}
        self.has_told_python = False
        self._begin()
        own = weakref.ref(self)
        if hasattr(os, "register_at_fork"):  # Windows has no fork
            os.register_at_fork(after_in_child=lambda: _become_child(own))

    @blocking_classmethod
    def from_env(cls) -> "Client":
        """Return the client of this process, connected as settings and profile say. (reference: Client.from_env)"""
        return default_client()

    @blocking_classmethod
    def from_credentials(cls, token_id: str, token_secret: str) -> "Client":
        """Return a client of the service that is configured, with another token. (reference: Client.from_credentials)

        Raises InvalidError where that service is on this machine: it needs no token.
        """
        settings = Settings.from_environment(
            {**os.environ, "WHERRY_TOKEN_ID": token_id, "WHERRY_TOKEN_SECRET": token_secret}
        )
        if settings.remote is None:
            raise InvalidError(
                f"Client.from_credentials: the service in use is {settings.server_url}, which needs no token; set "
                "WHERRY_SERVER_URL to that of another one"
            )
        return _connected(settings)

    @blocking_classmethod
    def from_oauth_credentials(
        cls,
        refresh_token: str,
        *,
        oauth_client_id: str,
        oauth_client_secret: str | None = None,
        oauth_jwt_key: str | None = None,
    ) -> "Client":
        """Raise InvalidError: Wherry has tokens of its own. (reference: Client.from_oauth_credentials)"""
        from wherry._base.elsewhere import refusal  # noqa: PLC0415 - start-up cost: only for this

        raise refusal("from_oauth_credentials", "modal.Client.from_oauth_credentials")

    @blocking
    def hello(self) -> None:
        """Ask whether it answers; raise ConnectionError, AuthError or VersionError. (reference: Client.hello)"""
        self.info()

    def is_closed(self) -> bool:
        """Whether `close` was called. (reference: Client.is_closed)"""
        return self._closing.is_set()

    @blocking
    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close.aio()

    def _begin(self) -> None:
        self.client_id = new_id("cl")
        self.watches = Watches()
        self._lock = threading.RLock()
        self._session: Session | None = None
        self._blobs: Blobs | None = None
        # What makes exceptions of failures. What moves large values is asked for when there is one.
        self.failures = Failures(self._load)
        self._closing = threading.Event()

    def become_child(self) -> None:
        """After a fork: the connection and the threads are the parent's, this process is a client of its own."""
        session = self._session
        self.listener.become_child()
        self.transport.become_child()
        self._begin()
        if session is not None:
            session.abandon()

    @property
    def session(self) -> Session:
        """The open session; opened by the first who asks."""
        if self._session is None:
            with self._lock:
                if self._session is None:
                    self._session = self._open_session()
        return self._session

    @property
    def is_connected(self) -> bool:
        """Whether the session is open and large values need no set-up: using it then does not block."""
        return self._session is not None

    def _load(self, payload: Payload) -> Any:
        return self.blobs.load(payload)

    @property
    def blobs(self) -> Blobs:
        """What moves large values."""
        if self._blobs is None:
            with self._lock:
                if self._blobs is None:
                    info = self.info()
                    self._blobs = Blobs(_Retrying(self), handover_dir(info.handover_dir), self._transfer, self.persist)
        return self._blobs

    def _transfer(self, what: str, size: int) -> "Transfer":
        return self.listener.screen.transfer(what, size)

    def info(self) -> ServerInfo:
        """Return what the service says of itself."""
        return self.call("Server.Info", ServerInfoRequest(), ServerInfo)

    def call(self, method: str, request: Message, kind: type[M]) -> M:
        """Call a method of the service, starting or awaiting the service where needed."""
        answer = self.persist(lambda: self.transport.call(method, request))
        assert isinstance(answer, kind)
        return answer

    def tell(self, method: str, request: Message) -> Message | None:
        """Call a method whose failing changes nothing: a service that is away is neither started nor awaited."""
        with contextlib.suppress(ConnectionError, NotFoundError):
            return self.transport.call(method, request)
        return None

    def persist(self, work: Callable[[], T]) -> T:
        """Do something that needs the service; if the service ends and comes back, from the beginning again."""
        if self._server is not None:
            self._server.ensure(self.transport)
        for breaks in range(1, _MOST_BREAKS + 1):
            try:
                return work()
            except ConnectionError as error:
                # How long it is away is counted each time from when it goes: it may be back, and go again.
                if not self.await_service():
                    raise
                told = error
            if self._closing.wait(min(2.0, 0.02 * 2**breaks)):
                break
        raise ConnectionError(f"the service broke this off {breaks} times, and came back each time: {told}") from told

    def stream(self, method: str, request: Message, repeat: bool = False) -> Iterator[Message]:
        """Call a method whose answer is many messages; with `repeat` it is called again if the service has ended."""
        if self._server is not None:
            self._server.ensure(self.transport)
        if repeat:
            return self._repeated(method, request)
        return self.transport.stream(method, request)

    def stream_once_begun(self, method: str, request: Message) -> Iterator[Message]:
        """Like `stream`; called again if the service ends before it has answered anything.

        Raises ConnectionError if it ends later: new messages might not fit the earlier ones.
        """
        while True:
            begun = False
            try:
                for message in self.stream(method, request):
                    begun = True
                    yield message
                return
            except ConnectionError:
                if begun or not self.await_service():
                    raise

    def await_service(self) -> bool:
        """Wait for a service that has ended; return False if this client is closed meanwhile.

        Raises ConnectionError when it does not come back.
        """
        again = Reconnect(self._give_up_s, self._revive)
        again.connected_before()
        ask = functools.partial(self.transport.call, "Server.Info", ServerInfoRequest())
        return again(ask, self._closing, awaited=True) is not None

    def exchange(self, method: str, first: Message) -> "Exchange":
        """Call a method with many messages both ways; it is not repeated if the service ends."""
        if self._server is not None:
            self._server.ensure(self.transport)
        return self.transport.exchange(method, first)

    def _repeated(self, method: str, request: Message) -> Iterator[Message]:
        while True:
            try:
                yield from self.transport.stream(method, request)
            except ConnectionError:
                # Answered when the service is back; raises when it does not come.
                self.info()
            else:
                return

    @blocking
    def close(self) -> None:
        """Close the connection: running ephemeral apps end soon after. (reference: Client.close)"""
        self._closing.set()
        if self._session is not None:
            self._session.close()
        self.transport.close()

    def _open_session(self) -> Session:
        if self._server is not None:
            self._server.ensure(self.transport)
        hello = Hello(
            client_id=self.client_id,
            protocol=PROTOCOL,
            version=__version__,
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
        )
        reconnect = Reconnect(self._give_up_s, self._revive)
        if self._server is not None:
            # It has just answered: one that is killed now is waited for, as later.
            reconnect.connected_before()
        session = Session(hello, self.transport.session, reconnect, self.listener)
        try:
            session.start()
        except BaseException:
            session.close(0)
            raise
        return session

    def _revive(self) -> None:
        if self._server is not None:
            self._server.revive(self.transport)


def _become_child(own: "weakref.ref[Client]") -> None:
    client = own()
    if client is not None:
        client.become_child()


class _Retrying:
    """The transport for blobs: calls wait for a service that has gone."""

    def __init__(self, client: Client) -> None:
        self._client = client
        transport = client.transport
        self.stream = transport.stream
        self.upload = transport.upload
        self.session = transport.session
        self.close = transport.close
        self.become_child = transport.become_child

    def exchange(self, method: str, first: Message) -> "Exchange":
        return self._client.transport.exchange(method, first)

    def call(self, method: str, request: Message, timeout: float | None = None) -> Message:
        return self._client.persist(functools.partial(self._client.transport.call, method, request, timeout))


def default_client() -> Client:
    """Return the client of this process."""
    return _client_of(os.getpid())


@functools.cache
def _client_of(pid: int) -> Client:
    """One per process, kept for its life; handles that were bound before a fork keep theirs, which begins anew."""
    if directory := container_directory():
        from wherry._connection.transport.frames import FramesTransport  # noqa: PLC0415 - start-up cost: the one or the other

        # The service knows which container asks, and so its environment.
        return Client(FramesTransport(f"{directory}/api.sock"), environment="")
    client = _connected(Settings.from_environment())
    atexit.register(client.close)
    return client


def _connected(settings: Settings) -> Client:
    from wherry._connection.server import LocalServer  # noqa: PLC0415 - start-up cost: loaded with the connection
    from wherry._connection.transport import open_transport  # noqa: PLC0415 - start-up cost: as above

    local = LocalServer(settings)
    server: Server = local
    if settings.remote is not None:
        from wherry._connection.remote import RemoteServer  # noqa: PLC0415 - start-up cost: only for services elsewhere

        server = RemoteServer(settings)
    else:
        # URLs of its endpoints and of tunnels, however the program comes by them.
        resolve()
    client = Client(open_transport(settings), settings.environment, server)
    local.waiting = client.listener.waiting
    return client
