"""What code inside a container may ask of the service, over the socket in the container's own directory.

The socket says which container asks, and so which app and environment. A container is treated as a stranger: it
reaches the functions, dicts and queues of its own environment, its own calls, and blobs whose ids it knows; nothing
else. Of secrets it has what its functions were given, and no method tells it more.
"""

import asyncio
import logging

from wherry_proto.messages import (
    FunctionBindRequest,
    FunctionInfo,
    FunctionLookupRequest,
    ServerInfo,
    ServerInfoRequest,
    SessionUp,
    TerminalAsk,
    TerminalAskResponse,
)
from wherry_service.api.guest_objects import OF_OBJECTS, GuestObjects
from wherry_service.api.local import Handler, LocalApi
from wherry_service.api.sessions import SessionApi
from wherry_service.api.terminals import Terminals
from wherry_service.apps.apps import Apps
from wherry_service.calls.journal import Journal
from wherry_service.errors import InvalidRequest, NotFound
from wherry_service.objects.registry import Registry

log = logging.getLogger(__name__)

MAX_FRAME = 16 << 20
MAX_CONNECTIONS = 256
# Methods that a container uses as a client outside does; those that name a function are restricted by `Guest`.
_SHARED = ("Blobs.Put", "Blobs.Get", "Calls.Graph", "Calls.Values")
_OF_FUNCTIONS = ("Functions.Stats", "Functions.Bind", "Functions.Update")


class Guests:
    """Makes the connections of containers."""

    def __init__(
        self,
        handlers: dict[str, Handler],
        sessions: SessionApi,
        apps: Apps,
        journal: Journal,
        objects: Registry | None = None,
        terminals: Terminals | None = None,
    ) -> None:
        self.handlers = handlers
        self.objects = objects
        self.terminals = terminals
        self.sessions = sessions
        self.apps = apps
        self.journal = journal
        self._apis: dict[str, LocalApi] = {}

    def connect(self, container_id: str, app_id: str) -> asyncio.Protocol:
        """Return the protocol of one more connection of that container."""
        api = self._apis.get(container_id)
        if api is None:
            # Those that nobody uses at the moment are made again when they are needed.
            self._apis = {known_id: known for known_id, known in self._apis.items() if known.connections}
            guest = Guest(self, container_id, app_id)
            api = LocalApi(guest.handlers(), self.sessions, guest, MAX_FRAME, MAX_CONNECTIONS)
            self._apis[container_id] = api
        return api()


class Guest:
    """One container that asks (implements `sessions.Guest`)."""

    def __init__(self, guests: Guests, container_id: str, app_id: str) -> None:
        self.container_id = container_id
        self._guests = guests
        self._app_id = app_id
        self._reachable: dict[str, bool] = {}

    def handlers(self) -> dict[str, Handler]:
        """Return the methods that it may call."""
        known = self._guests.handlers
        found: dict[str, Handler] = {name: known[name] for name in _SHARED if name in known}
        for name in _OF_FUNCTIONS:
            if name in known:
                found[name] = self._of_function(known[name])
        objects = self._guests.objects
        if objects is not None:
            for name in OF_OBJECTS:
                if name in known:
                    own = GuestObjects(objects, self._guests.apps, self._app_id)
                    found[name] = own.restricted(name, known[name])
        if "Functions.Bind" in found:
            found["Functions.Bind"] = self._with_own_secrets(found["Functions.Bind"])
        found["Functions.Lookup"] = self.lookup
        found["Server.Info"] = self.info
        if self._guests.terminals is not None:
            found["Terminals.Ask"] = self.ask_for_terminal
        return found

    # Methods

    async def lookup(self, request: FunctionLookupRequest) -> FunctionInfo:
        """Find a function in its own environment; without an app's name, in its own app."""
        apps = self._guests.apps
        if request.function_id:
            self._check(request.function_id)
            return apps.function(request.function_id)
        own = apps.info(self._app_id)
        if request.environment and request.environment != own.environment:
            raise InvalidRequest(
                f"this container belongs to environment {own.environment!r} and can't reach {request.environment!r}"
            )
        if request.version:
            request.app_name, request.environment = request.app_name or own.name, own.environment
            found: FunctionInfo = await self._guests.handlers["Functions.Lookup"](request)
            return found
        if request.app_name in ("", own.name):
            return apps.function_of(self._app_id, request.name)
        return apps.lookup(request.app_name, request.name, own.environment)

    async def ask_for_terminal(self, request: TerminalAsk) -> TerminalAskResponse:
        """Pass on that its code asks for the terminal of who runs its app."""
        assert self._guests.terminals is not None
        return self._guests.terminals.ask(self.container_id, self._app_id, request.socket)

    async def info(self, request: ServerInfoRequest) -> ServerInfo:
        """Say what a container needs to know of the service, and nothing of its host."""
        info: ServerInfo = await self._guests.handlers["Server.Info"](ServerInfoRequest())
        return ServerInfo(version=info.version, protocol=info.protocol, instance_id=info.instance_id)

    def _of_function(self, handler: Handler) -> Handler:
        def serve(request: "object") -> object:
            self._check(getattr(request, "function_id", ""))
            return handler(request)

        return serve

    def _with_own_secrets(self, handler: Handler) -> Handler:
        """Refuse variants with secrets that its app does not have: their containers would tell them."""

        def serve(request: FunctionBindRequest) -> object:
            asked = set(request.changes.secret_ids) if request.changes is not None else set()
            if asked - self._guests.apps.secret_ids(self._app_id):
                raise InvalidRequest(
                    "code inside a container can't give secrets to functions that its app does not have: do it in the "
                    "program that runs the app"
                )
            return handler(request)

        return serve

    def _check(self, function_id: str) -> None:
        if not self._reaches(function_id):
            raise NotFound(f"function {function_id[:64]} does not exist, or its app has stopped")

    # The session

    def restrict(self, message: SessionUp) -> None:
        """Take out of a message what a container may not ask."""
        for start in message.calls:
            if not self._reaches(start.function_id):
                # Its inputs are answered as those of any unknown function.
                start.function_id = "fu-out-of-reach"
            if start.parent_input_id and not self._holds(start.parent_input_id):
                log.warning("container %s named a parent that it does not run", self.container_id)
                start.parent_input_id = ""

    def _holds(self, input_id: str) -> bool:
        item = self._guests.journal.open_input(input_id)
        return item is not None and item.container is not None and item.container.container_id == self.container_id

    def _reaches(self, function_id: str) -> bool:
        known = self._reachable.get(function_id)
        if known is None:
            apps = self._guests.apps
            try:
                known = apps.function(function_id).environment == apps.info(self._app_id).environment
            except NotFound:
                return False
            if len(self._reachable) < 10_000:
                self._reachable[function_id] = known
        return known
