"""Servers: classes whose enter hooks start what listens on a port; requests go straight to it."""

from __future__ import annotations

from wherry._base.blocking import blocking
from wherry._base.checks import DAY_S, number
from wherry._base.hints import TYPE_CHECKING, Any
from wherry._base.object import Object
from wherry._calling.callee import own_by_name
from wherry._classes.blueprint import Blueprint
from wherry._classes.server_definition import MOST_REQUESTS, ServerDefinition, ServerOptions
from wherry._define.marks import is_sessioned
from wherry.exception import ExecutionError, InvalidError, NotFoundError
from wherry.function import Function, _imported
from wherry.types import ServerAutoscalerSettings, ServerInfo, ServerSessionCredentials

if TYPE_CHECKING:
    from wherry._app.roster import Roster
    from wherry._connection.client import Client
    from wherry._define.options import FunctionOptions
    from wherry_proto.messages import PoolSettings

__all__ = ["Server", "ServerAutoscalerManager", "ServerSessionsManager"]

# Of a class, by `wherry.experimental.http_server`: what it was given.
MARK = "__wherry_http_server__"
# Said where a value stays as it is, since None has a meaning of its own.
_UNCHANGED = -1


class Server(Object):
    """A handle on a server: made by `@app.server()` or `from_name`. (reference: Server)"""

    def __init__(self, name: str, service: Function[..., Any], blueprint: Blueprint | None = None) -> None:
        self._name = name
        # The function that stands for the server in its app.
        self.service = service
        # None: it was looked up.
        self._of = blueprint
        if blueprint is not None:
            self.__doc__ = blueprint.user_class.__doc__
            self.__name__ = blueprint.user_class.__name__
            self.__module__ = blueprint.user_class.__module__
            self.__wrapped__ = blueprint.user_class

    # Finding

    @classmethod
    def from_name(
        cls, app_name: str, name: str, *, environment_name: str | None = None, client: Client | None = None
    ) -> Server:
        """Return a handle on a server of a running or deployed app; it is looked up when first used.

        (reference: Server.from_name)
        """
        return cls(name, Function.from_name(app_name, name, None, environment_name, None, client))

    @classmethod
    def from_id(cls, server_id: str, *, client: Client | None = None) -> Server:
        """Return the server of that id ("fu-…"), which it is looked up by when first used; raise InvalidError if that
        is no such id. (reference: Server.from_id)
        """
        from wherry._base.ids import check_id  # noqa: PLC0415 - start-up cost: for those who use it
        from wherry._calling.callee import by_id  # noqa: PLC0415 - start-up cost: as above

        check_id(server_id, "fu", "server")
        return cls(server_id, Function(server_id, callee=by_id(server_id, client)))

    @property
    def object_id(self) -> str:
        """The id, "fu-…". Raises ExecutionError before there is one. (reference: Server.object_id)"""
        return self.service.object_id

    # Asking

    @blocking
    def get_url(self) -> str | None:
        """Return where the server answers. Raises NotFoundError if it is none. (reference: Server.get_url)"""
        return self._url()

    @blocking
    def info(self, *, refresh: bool = False) -> ServerInfo:
        """Return what the server asks for: its URL and port, resources, image, volumes, secrets.

        It is fetched each time: `refresh` makes no difference. Raises NotFoundError if it is none.
        (reference: Server.info)
        """
        from wherry._calling.described import server_info  # noqa: PLC0415 - start-up cost: only for those who use it

        self.__wherry_find__(None)
        return server_info(self.service.callee.resolved())

    @blocking
    def get_urls(self) -> dict[str, str]:
        """Return where the server answers, by the region that requests go through: there is one, "local".

        The older form of `get_url`.
        """
        return {"local": self._url()}

    @blocking
    def _experimental_get_flash_urls(self) -> list[str]:
        """Return where the server answers, in a list: the oldest form of `get_url`."""
        return [self._url()]

    def _url(self) -> str:
        self.__wherry_find__(None)
        return self.service.get_web_url() or ""

    # Scaling

    @blocking
    def update_autoscaler(
        self,
        *,
        target_concurrency: float | None = None,
        min_containers: int | None = None,
        max_containers: int | None = None,
        buffer_containers: int | None = None,
        scaleup_window: float | None = None,
        scaledown_window: float | None = None,
    ) -> ServerAutoscalerSettings:
        """Change how the server scales from now on, until its app is published again; None changes nothing.

        `target_concurrency` in requests for each container (0: their number starts none beside the first), counts of
        containers, and windows in seconds. Return what holds now. Raises InvalidError out of range.
        (reference: Server.update_autoscaler)
        """
        given = {
            "target_concurrency": target_concurrency, "min_containers": min_containers,
            "max_containers": max_containers, "buffer_containers": buffer_containers,
            "scaleup_window": scaleup_window, "scaledown_window": scaledown_window,
        }  # fmt: skip
        return _scaled(self, {name: value for name, value in given.items() if value is not None}, is_change=True)

    @property
    def autoscaler(self) -> ServerAutoscalerManager:
        """How it scales: to see, and to change. (reference: Server.autoscaler)"""
        return ServerAutoscalerManager(self)

    @property
    def sessions(self) -> ServerSessionsManager:
        """Begins and ends sessions of a server with `@wherry.sessioned()`. (reference: Server.sessions)"""
        return ServerSessionsManager(self)

    # Inside

    def __wherry_find__(self, client: Any) -> None:
        found = self.service.callee.resolved(client)
        if not found.web_url or found.methods:
            kind, handle = ("class", "Cls") if found.methods else ("function", "Function")
            raise NotFoundError(f"{self._name!r} is a {kind}, and no server: use wherry.{handle}")

    def __wherry_known__(self) -> bool:
        return self.service.is_hydrated

    @property
    def _blueprint(self) -> Blueprint:
        # Containers ask for it by this name.
        if self._of is None:
            raise ExecutionError(f"{self._name} was looked up, so its source is not here")
        return self._of

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raise InvalidError: a server is not called, requests go to its URL."""
        raise InvalidError(
            f"{self._name} is a server, which has no objects and no methods to call: send requests to "
            f"{self._name}.get_url()"
        )

    def __getattr__(self, name: str) -> Any:
        if name in ("remote", "local", "map", "spawn", "starmap", "for_each", "remote_gen", "web_url"):
            raise InvalidError(f"{self._name} is a server: it has get_url(), and no {name}")
        raise AttributeError(f"a server has no attribute {name!r}")

    def __reduce__(self) -> Any:
        definition = self.service.definition
        is_imported = definition is not None and definition.is_global and not definition.sends_itself
        if definition is not None and is_imported and self.service.callee.known() is None:
            return _imported, (definition.module_name, definition.function.__qualname__)
        return Server, (self._name, self.service)

    def __repr__(self) -> str:
        return f"Server({self._name!r})"


class ServerAutoscalerManager:
    """How a server scales. (reference: Server.autoscaler)"""

    def __init__(self, server: Server) -> None:
        self._server = server

    @blocking
    def settings(self) -> ServerAutoscalerSettings:
        """Return how the server scales now. (reference: Server.autoscaler)"""
        return _scaled(self._server, {})

    @blocking
    def update(
        self,
        *,
        target_concurrency: float | None = _UNCHANGED,
        min_containers: int | None = _UNCHANGED,
        max_containers: int | None = _UNCHANGED,
        buffer_containers: int | None = _UNCHANGED,
        scaledown_window: float | None = _UNCHANGED,
        scaleup_window: float | None = _UNCHANGED,
    ) -> ServerAutoscalerSettings:
        """Change how the server scales, by what is given; None is no target, no least, no most, no buffer, no window.

        Return what holds now. Raises InvalidError out of range. (reference: Server.autoscaler)
        """
        given = {
            "target_concurrency": target_concurrency, "min_containers": min_containers,
            "max_containers": max_containers, "buffer_containers": buffer_containers,
            "scaledown_window": scaledown_window, "scaleup_window": scaleup_window,
        }  # fmt: skip
        return _scaled(
            self._server, {name: value for name, value in given.items() if value != _UNCHANGED}, is_change=True
        )


class ServerSessionsManager:
    """Begins and ends sessions of a server. (reference: Server.sessions)"""

    def __init__(self, server: Server) -> None:
        self._server = server

    @blocking
    def start(self, idle_timeout: float = 600) -> ServerSessionCredentials:
        """Begin a session, when a container has room for it, within 5 minutes; return its id and its token.

        It ends after `idle_timeout` seconds (at most a day) without a request. Raises InvalidError where the server has
        no sessions. (reference: Server.sessions)
        """
        from wherry._calling.variants import start_session  # noqa: PLC0415 - start-up cost: loads the messages

        seconds = number("idle_timeout", idle_timeout, 0.1, DAY_S, "s", 600)
        self._server.__wherry_find__(None)
        found = start_session(self._server.service.callee.resolved(), seconds)
        return ServerSessionCredentials(found.session_id, found.token)

    @blocking
    def terminate(self, token: str) -> None:
        """End a session, if it has not ended: no request of it is taken any more; those that run go on.

        (reference: Server.sessions)
        """
        from wherry._calling.variants import end_session  # noqa: PLC0415 - start-up cost: as above

        if not isinstance(token, str) or not token:
            raise InvalidError(f"token is {token!r}: it is the `token` of what sessions.start() returned")
        self._server.__wherry_find__(None)
        end_session(self._server.service.callee.resolved(), token)


def _scaled(server: Server, given: dict[str, Any], *, is_change: bool = False) -> ServerAutoscalerSettings:
    """Return how a server scales, after a change where it is one."""
    from wherry._calling.variants import pool_of, update_server  # noqa: PLC0415 - start-up cost: loads the messages

    server.__wherry_find__(None)
    caller = server.service.callee.resolved()
    pool: PoolSettings = update_server(caller, given) if is_change else pool_of(caller)
    target = pool.target_concurrency or pool.target_concurrent_inputs
    return ServerAutoscalerSettings(
        target_concurrency=target or None,
        min_containers=pool.min_containers,
        max_containers=pool.max_containers or None,
        buffer_containers=pool.buffer_containers,
        scaleup_window=int(pool.scaleup_window_s) or None,
        scaledown_window=int(pool.scaledown_window_s) or None,
    )


def make(
    roster: Roster,
    user_class: Any,
    name: str | None,
    options: FunctionOptions,
    server: ServerOptions,
) -> Server:
    """Return the handle of a server, and its function registered with the app."""
    if isinstance(user_class, Object):
        raise InvalidError(f"{user_class!r} is of an app already: decorate it once")
    if not isinstance(user_class, type):
        raise InvalidError(
            f"@app.server() got {user_class!r}: it goes on a class, whose method with @wherry.enter() starts the "
            "server; a function that starts one has @app.function() and @wherry.web_server()"
        )
    blueprint = Blueprint(user_class, is_server=True)
    filled = server.fill(options, has_sessions=is_sessioned(user_class))
    definition = ServerDefinition(blueprint, name, filled, _SentServer, server.web)
    service = roster.add(definition)
    return Server(definition.name, service, blueprint)


def made_of_class(
    roster: Roster,
    user_class: Any,
    name: str | None,
    options: FunctionOptions,
) -> Server:
    """Return the server that a class with `@app.cls()` and `@wherry.experimental.http_server()` is."""
    from wherry._define.marks import concurrent_mark, unmark_concurrent  # noqa: PLC0415 - start-up cost: only here

    most, target = concurrent_mark(user_class) or (0, 0)
    unmark_concurrent(user_class)
    given = getattr(user_class, MARK)
    # Nobody asked for a token then.
    server = ServerOptions(
        **given, unauthenticated=True, target_concurrency=target or None, max_concurrency=min(most, MOST_REQUESTS)
    )
    return make(roster, user_class, name, options, server)


class _SentServer:
    """Arrives in the container as the server's handle."""

    def __init__(self, user_class: type, name: str) -> None:
        self._user_class = user_class
        self._name = name

    def __reduce__(self) -> Any:
        return _received, (self._user_class, self._name)


def _received(user_class: type, name: str) -> Server:
    """Return the handle of a server whose class was sent itself, in a container."""
    return Server(name, Function(name, callee=own_by_name(name, "")), Blueprint(user_class, is_server=True))
