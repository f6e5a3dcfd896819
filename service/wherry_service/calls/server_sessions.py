"""Sessions of servers: all requests of one go to one container, which stays as long as it has any."""

import asyncio
import contextlib
import secrets
from collections.abc import Iterator

from wherry_service.calls.call import Input
from wherry_service.calls.dispatcher import Dispatcher
from wherry_service.errors import Exhausted, InvalidRequest, NotFound
from wherry_service.ids import new_id
from wherry_service.pools import rooms
from wherry_service.pools.container import Container, State
from wherry_service.pools.pool import Pool

DEFAULT_IDLE_S = 600.0
MAX_IDLE_S = 24 * 3600.0
# Seconds that a session waits for a container with room for it, and between looking.
ROOM_WITHIN_S = 300.0
LOOK_EVERY_S = 0.1
# Sessions that may wait for one server.
MOST_WAITING = 1000


class ServerSession:
    """One session; `token` is what its requests carry."""

    def __init__(self, function_id: str, pool: Pool[Input], container: Container[Input], idle_s: float) -> None:
        self.session_id = new_id("sd")
        self.token = secrets.token_urlsafe(32)
        self.function_id = function_id
        self.container = container
        self.idle_s = idle_s
        self.pool = pool
        self.num_requests = 0
        self.timer: asyncio.TimerHandle | None = None

    @property
    def is_alive(self) -> bool:
        """Whether its container takes requests."""
        return self.container.state not in (State.DRAINING, State.STOPPED)


class ServerSessions:
    """All sessions of all servers, by their tokens. They end with the service."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._sessions: dict[str, ServerSession] = {}

    async def start(self, function_id: str, idle_s: float) -> ServerSession:
        """Return a session when a container has room for it; it ends after so many seconds without a request.

        Raises `NotFound` or `InvalidRequest` for what has no sessions, `Exhausted` where no container has room in time.
        """
        if not 0 < idle_s <= MAX_IDLE_S:
            raise InvalidRequest(f"a session's idle_timeout is {idle_s:g}: it is above 0, and at most {MAX_IDLE_S:g} s")
        queue = self._dispatcher.queue(function_id)
        if queue is None:
            raise NotFound(f"server {function_id[:64]} does not exist, or its app has stopped")
        name = queue.pool.plan.name
        if not queue.pool.plan.max_sessions:
            raise InvalidRequest(f"{name!r} has no sessions: put @wherry.sessioned() below its @app.server()")
        if queue.pool.waiting_sessions >= MOST_WAITING:
            raise Exhausted(f"{MOST_WAITING} sessions of {name!r} wait for a container already")
        try:
            async with asyncio.timeout(ROOM_WITHIN_S):
                pool, container = await self._room(function_id)
        except TimeoutError:
            raise Exhausted(
                f"no container of server {name!r} has had room for a session for {ROOM_WITHIN_S:g} s: "
                "its log says whether one starts; or raise max_concurrency or max_containers"
            ) from None
        session = ServerSession(function_id, pool, container, idle_s)
        container.num_sessions += 1
        self._sessions[session.token] = session
        self._wait(session)
        pool.scale()
        return session

    async def _room(self, function_id: str) -> tuple[Pool[Input], Container[Input]]:
        asked: Pool[Input] | None = None
        try:
            while True:
                queue = self._dispatcher.queue(function_id)
                if queue is None:
                    raise NotFound("the server's app has stopped while a session waited for a container")
                pool = queue.pool
                if not pool.paused and (found := rooms.with_fewest_sessions(pool.containers.values(), pool.plan)):
                    return pool, found
                if asked is not pool:
                    # A new version may have taken over.
                    if asked is not None:
                        asked.waiting_sessions -= 1
                    asked = pool
                    pool.waiting_sessions += 1
                    pool.starts.retry_now()
                    pool.scale()
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            if asked is not None:
                asked.waiting_sessions -= 1

    def find(self, token: str, function_id: str) -> ServerSession | None:
        """Return a server's session that lives."""
        session = self._sessions.get(token)
        if session is None or session.function_id != function_id:
            return None
        if not session.is_alive:
            self._end(session)
            return None
        return session

    def end(self, token: str, function_id: str) -> None:
        """End a session, if it is one of that server: no request of it is taken any more, those that run end."""
        session = self._sessions.get(token)
        if session is not None and session.function_id == function_id:
            self._end(session)

    @contextlib.contextmanager
    def used(self, session: ServerSession) -> Iterator[None]:
        """Keep a session from ending while one of its requests runs."""
        session.num_requests += 1
        if session.timer is not None:
            session.timer.cancel()
            session.timer = None
        try:
            yield
        finally:
            session.num_requests -= 1
            if not session.num_requests and session.token in self._sessions:
                self._wait(session)

    def _wait(self, session: ServerSession) -> None:
        session.timer = asyncio.get_running_loop().call_later(session.idle_s, self._end, session)

    def _end(self, session: ServerSession) -> None:
        if self._sessions.pop(session.token, None) is None:
            return
        if session.timer is not None:
            session.timer.cancel()
        session.pool.left_session(session.container)
