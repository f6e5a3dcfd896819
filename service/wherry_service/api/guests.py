"""What code inside a container may ask of the service, over the socket in the container's own directory.

The socket says which container asks, and so which app and environment. A container is treated as a stranger: it
reaches what a token with the scope `invoke` in its app's environment would (rules.py says which methods), of its own
app a little more, and nothing else. Of secrets it has what its functions were given, and no method tells it more.
"""

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator, Iterable
from typing import Any

from wherry_proto import services
from wherry_proto.messages import (
    AppShowRequest,
    AppShowResponse,
    BlobChunk,
    BlobGetRequest,
    BucketMount,
    CallStart,
    ContainerForward,
    ContainerForwardRequest,
    ExecRequest,
    FunctionBindRequest,
    FunctionInfo,
    FunctionLookupRequest,
    FunctionStatus,
    ImageEnsureRequest,
    ImageEvent,
    ObjectOpenRequest,
    RecordShowRequest,
    RecordShowResponse,
    ReplayRunRequest,
    SandboxCreateRequest,
    SandboxGetRequest,
    SandboxListRequest,
    SandboxMountRequest,
    SecretInfo,
    SecretLookupRequest,
    ServerInfo,
    ServerInfoRequest,
    SessionUp,
    TerminalAsk,
    TerminalAskResponse,
)
from wherry_service.api.budget import Budget
from wherry_service.api.chain import before, chained
from wherry_service.api.guest_sandboxes import Asking, GuestSandboxes
from wherry_service.api.local import LocalApi
from wherry_service.api.places import Places
from wherry_service.api.reach import Reach
from wherry_service.api.rpc import Handler, instead, insteads_of
from wherry_service.api.rules import INVOKE, SHALLOW, Inside, Rule, Where
from wherry_service.api.session_rules import SessionRules
from wherry_service.api.sessions import SessionApi
from wherry_service.api.table import RULES
from wherry_service.api.terminals import Terminals
from wherry_service.apps.register import AppRegister
from wherry_service.calls.client import Client
from wherry_service.calls.journal import Journal
from wherry_service.errors import Denied, InvalidRequest, NotFound
from wherry_service.ids import check_id
from wherry_service.store.secrets import secrets_named

log = logging.getLogger(__name__)

MAX_FRAME = 16 << 20
MAX_CONNECTIONS = 256
# Bytes of requests, begun or being answered: of one container's connections, and of all containers'.
MAX_BYTES = 64 << 20
MAX_ALL_BYTES = 512 << 20


class Guests:
    """Makes the connections of containers."""

    def __init__(
        self,
        handlers: dict[str, Handler],
        sessions: SessionApi,
        apps: AppRegister,
        journal: Journal,
        places: Places,
        terminals: Terminals,
        sandboxes: GuestSandboxes,
    ) -> None:
        self.sandboxes = sandboxes
        self.handlers = handlers
        self.places = places
        self.terminals = terminals
        self.sessions = sessions
        self.apps = apps
        self.journal = journal
        self._apis: dict[str, LocalApi] = {}
        self._budget = Budget(MAX_ALL_BYTES, on_full=self._relieve)

    def connect(self, container_id: str, app_id: str) -> asyncio.Protocol:
        """Return the protocol of one more connection of that container."""
        api = self._apis.get(container_id)
        if api is None:
            # Those that nobody uses at the moment are made again when they are needed.
            self._apis = {known_id: known for known_id, known in self._apis.items() if known.connections}
            guest = Guest(self, container_id, app_id)
            api = LocalApi(
                guest.handlers(),
                self.sessions,
                guest,
                MAX_FRAME,
                MAX_CONNECTIONS,
                Budget(MAX_BYTES, self._budget),
                f"container {container_id}",
            )
            self._apis[container_id] = api
        return api()

    async def may_reach(self, container_id: str, app_id: str, owner_id: str) -> bool:
        """Whether a container's code may use the ports of a sandbox or container, if it knows their names."""
        environment = self.apps.running(app_id).record.environment
        return await self.sandboxes.may_reach(Asking(container_id, app_id, environment), owner_id)

    def _relieve(self) -> None:
        """Drop the requests of the container that has the most of them open."""
        container_id, api = max(self._apis.items(), key=lambda item: item[1].budget.used)
        log.warning("container %s has the most of %d MiB of requests: dropped", container_id, MAX_ALL_BYTES >> 20)
        api.drop_unfinished()


# large: a method for each rpc that is otherwise from inside
class Guest:
    """One container that asks (implements `reach.Asker`, `sessions.SessionGuard` and `chain.Interceptor`)."""

    def __init__(self, guests: Guests, container_id: str, app_id: str) -> None:
        self.container_id = container_id
        self._guests = guests
        self._app_id = app_id
        self._reach = Reach(self, guests.places)
        self._rules = SessionRules(self, guests.apps, guests.journal, guests.places, self._parent_of)

    def handlers(self) -> dict[str, Handler]:
        """Return the methods that it may call."""
        inside = {name: handler for name, handler in self._guests.handlers.items() if _is_inside(RULES[name])}
        return chained(inside, self)

    def restrict(self, client: Client, message: SessionUp) -> None:
        """Take out of a message of its session what it may not ask."""
        self._rules.restrict(client, message)

    # Who it is (reach.Asker)

    def allows(self, scopes: Iterable[str], environment: str) -> bool:
        """Whether these are a caller's scopes, and the environment is its app's."""
        return "invoke" in scopes and self.reaches(environment)

    def reaches(self, environment: str) -> bool:
        """Whether that is its app's environment."""
        try:
            return environment == self._environment
        except NotFound:
            return False

    def home(self, environment: str) -> str:
        """Return its own environment; raise `InvalidRequest` where another is named."""
        own = self._environment
        if environment and environment != own:
            raise InvalidRequest(f"this container belongs to environment {own!r} and can't reach {environment[:64]!r}")
        return own

    def denied(self, name: str, environment: str) -> Denied:
        """Return the error of what containers don't do."""
        return Denied(f"code inside a container can't call {name}")

    def missing(self, kind: str, object_id: str) -> NotFound:
        """Return the error of what is not there, or is another environment's."""
        return NotFound(f"{kind} {object_id[:64]!r} does not exist in this container's environment")

    @property
    def _environment(self) -> str:
        return self._guests.apps.running(self._app_id).record.environment

    def _parent_of(self, start: CallStart) -> str:
        item = self._guests.journal.open_input(start.parent_input_id)
        if item is not None and item.container is not None and item.container.container_id == self.container_id:
            return start.parent_input_id
        log.warning("container %s named a parent that it does not run", self.container_id)
        return ""

    # Methods

    def around(self, name: str, handler: Any) -> Any:
        """Return a method as it is for this container: what a request names is checked first."""
        serve, rule = self._own_handler(name, handler), RULES[name]
        if rule.where is Where.ANYWHERE or rule.where is Where.NOWHERE:
            return serve
        # Whether it is its own app's is looked at below; scopes are about environments.
        rule = rule._replace(scopes=INVOKE)
        if services.METHODS[name].client_stream:
            return lambda messages: serve(self._reach.checked(name, rule, messages))

        async def check(request: Any) -> Any:
            await self._check(name, rule, request)
            return serve

        return before(name, check)

    async def _check(self, name: str, rule: Rule, request: Any) -> None:
        if isinstance(request, ObjectOpenRequest) and not request.object_id:
            if request.app_id or not request.name:
                # Its app's own, whatever it says; one without a name goes with the app too.
                request.app_id, request.client_id = self._app_id, ""
            request.environment = self.home(request.environment)
        if isinstance(request, ReplayRunRequest):
            # What hears of a failure may do it each time, and round it goes.
            request.once = True
        named = await self._reach.check(name, rule, request)
        if not named.object_id:
            request.environment = named.environment
        if rule.inside is Inside.APP and not self._is_own(request.function_id):
            raise Denied(f"code inside a container can call {name} for functions of its own app alone")
        if rule.inside is Inside.SANDBOX and named.object_id.startswith("sb-"):
            await self._guests.sandboxes.check_use(self._asking, named.object_id)

    def _is_own(self, function_id: str) -> bool:
        return self._guests.apps.function(function_id).app_id == self._app_id

    def _own_handler(self, name: str, handler: Any) -> Any:
        """Return the handler itself, or what stands before it inside containers."""
        attribute = _INSTEADS.get(name)
        return handler if attribute is None else functools.partial(getattr(self, attribute), handler)

    @instead("Functions.Lookup")
    async def _lookup(self, handler: Any, request: FunctionLookupRequest) -> FunctionInfo:
        """Find a function; without an app's name, in its own app."""
        apps = self._guests.apps
        own = apps.running(self._app_id).record
        names = {"", own.name}
        if request.is_own:
            names |= {spec.app_name for spec in apps.specs_of(self._app_id)}
        if not request.function_id and not request.version and request.app_name in names:
            # Several apps may be called so: its own one is meant.
            return apps.function_of(self._app_id, request.name)
        request.app_name = request.app_name or own.name
        found: FunctionInfo = await handler(request)
        return found

    @instead("Functions.Bind")
    async def _bind(self, handler: Any, request: FunctionBindRequest) -> FunctionInfo:
        """Refuse variants that run its code with what is another app's, or that tell it what its app does not have."""
        changes = request.changes
        if changes is not None:
            deep = [name for name in request.fields if name not in SHALLOW and not name.startswith("pool.")]
            if deep and not self._is_own(request.function_id):
                raise Denied(
                    f"code inside a container can't give functions of another app another {deep[0][:64]}: only its own"
                )
            specs = self._guests.apps.specs_of(self._app_id)
            _, base = self._guests.apps.find(request.function_id)
            if "block_network" in request.fields and base.spec.block_network and not changes.block_network:
                raise Denied(
                    "code inside a container can't give a network to a function that has block_network=True: do it in "
                    "the program that runs the app"
                )
            if set(secrets_named(changes)) - self._guests.apps.secret_ids_of(self._app_id):
                raise InvalidRequest(
                    "code inside a container can't give secrets to functions that its app does not have: do it in the "
                    "program that runs the app"
                )
            buckets = [mount for spec in specs for mount in spec.bucket_mounts]
            for bucket in changes.bucket_mounts:
                # The node reaches it with its own network, not with the container's.
                if not any(is_part(bucket, known) for known in buckets):
                    raise InvalidRequest(
                        f"code inside a container can't give functions bucket {bucket.bucket[:64]!r}, which its app "
                        "does not have: do it in the program that runs the app"
                    )
            if changes.image_id and changes.image_id not in {spec.image_id for spec in specs}:
                raise self.missing("image", changes.image_id)
            trees = {mount.source_id for spec in specs for mount in spec.local_mounts}
            for mount in changes.local_mounts:
                if mount.source_id not in trees:
                    raise self.missing("source tree", mount.source_id)
        found: FunctionInfo = await handler(request)
        return found

    @instead("Apps.Show")
    async def _show_app(self, handler: Any, request: AppShowRequest) -> AppShowResponse:
        """Tell of an app what its functions' ids and names would; without a name, of its own app."""
        own = self._guests.apps.running(self._app_id).record
        if not request.app_id and request.app_name in ("", own.name):
            # Several apps may be called so: its own one is meant.
            request.app_id = self._app_id
        shown: AppShowResponse = await handler(request)
        functions = [FunctionStatus(function=status.function) for status in shown.functions]
        return AppShowResponse(app=shown.app, functions=functions)

    # Sandboxes

    @property
    def _asking(self) -> Asking:
        return Asking(self.container_id, self._app_id, self._environment)

    @instead("Sandboxes.Create")
    async def _create_sandbox(self, handler: Any, request: SandboxCreateRequest) -> Any:
        await self._guests.sandboxes.check_new(self._asking, request)
        return await handler(request)

    @instead("Sandboxes.Mount")
    async def _mount_image(self, handler: Any, request: SandboxMountRequest) -> Any:
        if request.image_id:
            await self._guests.sandboxes.check_image(self._asking, request.image_id)
        return await handler(request)

    @instead("Sandboxes.Get")
    async def _get_sandbox(self, handler: Any, request: SandboxGetRequest) -> Any:
        return await self._guests.sandboxes.get(self._asking, handler, request)

    @instead("Sandboxes.List")
    async def _list_sandboxes(self, handler: Any, request: SandboxListRequest) -> Any:
        return await self._guests.sandboxes.list(self._asking, handler, request)

    @instead("Execs.Run")
    def _exec(self, handler: Any, requests: AsyncIterator[ExecRequest]) -> Any:
        return handler(self._guests.sandboxes.exec(self._asking, requests))

    @instead("Containers.Forward")
    async def _forward(self, handler: Any, request: ContainerForwardRequest) -> AsyncIterator[ContainerForward]:
        """Open a port of its own, whosever it names."""
        request.container_id = self.container_id
        async with contextlib.aclosing(handler(request)) as answers:
            async for answer in answers:
                yield answer

    @instead("Images.Ensure")
    async def _ensure(self, handler: Any, request: ImageEnsureRequest) -> AsyncIterator[ImageEvent]:
        """Name images that exist; none is built from inside."""
        events: Any = self._guests.sandboxes.images(self._asking, handler, request)
        async with contextlib.aclosing(events):
            async for event in events:
                yield event

    @instead("Records.Show")
    async def _show_record(self, handler: Any, request: RecordShowRequest) -> RecordShowResponse:
        """Leave out tracebacks, since no container reads logs; what is of another environment is not there."""
        answer: RecordShowResponse = await handler(request)
        for detail in answer.records:
            if detail.record is None or detail.record.environment != self._environment:
                raise self.missing("record", request.record_id)
            detail.traceback = ""
        return answer

    @instead("Secrets.Lookup")
    async def _look_up_secret(self, handler: Any, request: SecretLookupRequest) -> SecretInfo:
        """Name a secret that its app's functions were given, for a sandbox; of others it learns nothing."""
        missing = self.missing("secret", request.secret_id or request.name)
        keys, request.required_keys = request.required_keys, []
        try:
            found: SecretInfo = await handler(request)
        except NotFound:
            raise missing from None
        if found.secret_id not in self._guests.apps.secret_ids_of(self._app_id):
            raise missing
        request.required_keys = keys
        found = await handler(request)
        return found

    @instead("Blobs.Put")
    async def _put(self, handler: Any, chunks: AsyncIterator[BlobChunk]) -> Any:
        async def payloads() -> AsyncIterator[BlobChunk]:
            first = True
            async for chunk in chunks:
                if first:
                    check_id(chunk.blob_id, "bl", "blob id")
                    first = False
                yield chunk

        return await handler(payloads())

    @instead("Blobs.Get")
    async def _get(self, handler: Any, request: BlobGetRequest) -> AsyncIterator[BlobChunk]:
        """Read a payload: whoever knows its id, 80 random bits, was told it; source files are for nobody to read."""
        check_id(request.blob_id, "bl", "blob id")
        async with contextlib.aclosing(handler(request)) as found:
            async for chunk in found:
                yield chunk

    @instead("Server.Info")
    async def _info(self, handler: Any, request: ServerInfoRequest) -> ServerInfo:
        """Say what a container needs to know of the service, and nothing of its host."""
        info: ServerInfo = await handler(ServerInfoRequest())
        return ServerInfo(version=info.version, protocol=info.protocol, instance_id=info.instance_id)

    @instead("Terminals.Ask")
    async def _ask_for_terminal(self, handler: Any, request: TerminalAsk) -> TerminalAskResponse:
        """Pass on that its code asks for the terminal of who runs its app."""
        return self._guests.terminals.ask(self.container_id, self._app_id, request.socket)


def is_part(mount: BucketMount, known: BucketMount) -> bool:
    """Whether what is mounted is a part of what another mount has, with no more rights."""
    same = all(
        getattr(mount, name) == getattr(known, name)
        for name in ("bucket", "endpoint_url", "secret_id", "requester_pays")
    )
    return same and mount.key_prefix.startswith(known.key_prefix) and (mount.read_only or not known.read_only)


_INSTEADS = insteads_of(Guest)


def _is_inside(rule: Rule) -> bool:
    # A session is begun by its connection, not by a handler.
    return rule.inside is not Inside.NOTHING and rule.where is not Where.SESSION
