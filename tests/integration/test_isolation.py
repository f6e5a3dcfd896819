"""Every rpc over TCP with the token of another environment: it sees nothing, and changes nothing."""

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.fakes.engine import FakeEngine
from wherry._connection.settings import Remote
from wherry._connection.transport.grpc import GrpcTransport, remote_transport
from wherry.exception import AuthError, Error, NotFoundError, PermissionDeniedError, ResourceExhaustedError
from wherry_proto import messages, services
from wherry_proto.messages import (
    AppOpenRequest,
    AppPublishRequest,
    AppPublishResponse,
    AuditListRequest,
    AuditListResponse,
    BlobChunk,
    BlobGetRequest,
    BlobMissingRequest,
    BlobMissingResponse,
    CallKind,
    CallStart,
    CallWatch,
    EnvironmentCreateRequest,
    ExecStart,
    FunctionSpec,
    Hello,
    Input,
    ObjectOpenRequest,
    Payload,
    PoolSettings,
    SandboxSpec,
    SandboxState,
    SecretCreateRequest,
    ServerInfo,
    ServerInfoRequest,
    SessionUp,
    SourceFile,
    SourceTree,
    TokenCreated,
    TokenCreateRequest,
    TokenInfo,
    TokenListRequest,
    TokenListResponse,
    TokenRevokeRequest,
    TokenWhoRequest,
)
from wherry_service.api.rules import Where
from wherry_service.api.table import RULES
from wherry_service.engines.engine import ContainerSpec, EngineError
from wherry_service.ids import new_id
from wherry_service.server import Service
from wherry_service.settings import Settings
from wherry_service.store.sandboxes import SandboxRecord, SandboxStore

# Streams without an end: their first message tells whether they were let in.
LASTING = {"Terminals.Offer"}
SECRET_FILE = "sha256:" + "0" * 64


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory with a short path, for its sockets: 107 characters are the most."""
    with tempfile.TemporaryDirectory(prefix="wherry-") as directory:
        yield Path(directory)


class World:
    """A service with an app in `main`, and clients of it."""

    def __init__(self, service: Service, engine: "SlowEngine", state_dir: Path) -> None:
        self.service = service
        self.engine = engine
        self.local = GrpcTransport(f"unix:{state_dir / 'wherry.sock'}")
        self._open: list[GrpcTransport] = [self.local]
        # Of each kind one in `main`, by the name of the field that names it.
        self.ids: dict[str, str] = {}
        self._over = threading.Event()

    @property
    def app_id(self) -> str:
        return self.ids["app_id"]

    @property
    def function_id(self) -> str:
        return self.ids["function_id"]

    async def fill(self) -> None:
        """Make one of everything in `main`."""
        request = AppOpenRequest(name="app", environment="main", client_id=new_id("cl"))
        app_id = (await self.ask(self.local, "Apps.Open", request)).app_id
        image_id = "im-" + "a" * 26
        await self.service.parts.machine.builder.adopt(image_id, "main")
        # Nothing is to be built for it.
        self.service.parts.machine.builder._ready[image_id] = "ready"
        specs = [
            FunctionSpec(
                name="f",
                module_name="m",
                qualname="f",
                image_id=image_id,
                pool=PoolSettings(max_concurrent_inputs=1),
                timeout_s=60,
            )
        ]
        publish = AppPublishRequest(app_id=app_id, functions=specs)
        published: AppPublishResponse = await self.ask(self.local, "Apps.Publish", publish)
        function_id = published.functions[0].function_id
        opened = {}
        for group in ("Dicts", "Queues", "Volumes", "NetworkFileSystems"):
            asked = ObjectOpenRequest(name="named", environment="main", create=True)
            opened[group] = (await self.ask(self.local, f"{group}.Open", asked)).object_id
        secret = SecretCreateRequest(name="named", environment="main", values={"A": "b"})
        container_id, sandbox_id = new_id("co"), new_id("sb")
        rows = [(1, "", 1, "a line of main's", False)]
        self.service.parts.stores.logs.append(app_id, function_id, container_id, rows, {})
        record = SandboxRecord(
            sandbox_id, "", "", "main", "box", {}, SandboxSpec(image_id=image_id), 1, SandboxState.EXITED, ended_at_ms=2
        )
        await SandboxStore(self.service.parts.stores.database).add(record)
        self.ids = {
            "app_id": app_id,
            "function_id": function_id,
            "image_id": image_id,
            "dict_id": opened["Dicts"],
            "queue_id": opened["Queues"],
            "volume_id": opened["Volumes"],
            "file_system_id": opened["NetworkFileSystems"],
            "secret_id": (await self.ask(self.local, "Secrets.Create", secret)).secret_id,
            "container_id": container_id,
            "sandbox_id": sandbox_id,
            "call_id": await self._call(function_id),
        }
        self.ids["record_id"] = self.ids["call_id"]

    async def _call(self, function_id: str) -> str:
        """Begin a durable call."""
        start = CallStart(call_id=new_id("fc"), function_id=function_id, kind=CallKind.SPAWN)
        item = Input(input_id=new_id("in"), call_id=start.call_id, payload=Payload(data=b"x"))
        said = SessionUp(hello=Hello(client_id=new_id("cl"), protocol=1), calls=[start], inputs=[item])
        session = await self.session(self.local, said)
        answers = iter(session)
        while item.input_id not in (await asyncio.to_thread(next, answers)).accepted:
            pass
        session.cancel()
        return start.call_id

    async def listed(self) -> list[Any]:
        """Return what the service's own user sees of `main`."""
        found = []
        for group in ("Apps", "Dicts", "Queues", "Volumes", "NetworkFileSystems", "Secrets"):
            request: Any = getattr(messages, services.METHODS[f"{group}.List"].request)(environment="main")
            answer = await self.ask(self.local, f"{group}.List", request)
            for app in getattr(answer, "apps", ()):
                app.num_containers = 0  # comes and goes
            found.append(answer)
        tokens: TokenListResponse = await self.ask(self.local, "Tokens.List", TokenListRequest())
        return [*found, [token.token_id for token in tokens.tokens]]

    async def ask(self, transport: GrpcTransport, method: str, request: Any) -> Any:
        """Call a method of any kind but the session; of a stream the list of what it says."""
        kind = services.METHODS[method]
        if kind.client_stream:
            return await asyncio.to_thread(transport.upload, method, [request])
        if method in LASTING:
            with contextlib.closing(transport.stream(method, request)) as answers:
                return [await asyncio.to_thread(next, answers)]
        if kind.server_stream:
            return await asyncio.to_thread(lambda: list(transport.stream(method, request)))
        return await asyncio.to_thread(transport.call, method, request, 10)

    async def token(self, scopes: list[str], environments: list[str]) -> TokenCreated:
        for environment in set(environments) - {"*"}:
            await self.ask(self.local, "Environments.Create", EnvironmentCreateRequest(name=environment))
        request = TokenCreateRequest(name="test", scopes=scopes, environments=environments)
        made: TokenCreated = await self.ask(self.local, "Tokens.Create", request)
        return made

    def connect(self, token_id: str, secret: str, certificate: str) -> GrpcTransport:
        tcp = self.service.parts.entrances.door.tcp
        assert tcp is not None
        remote = Remote(f"https://127.0.0.1:{tcp.port}", token_id, secret, certificate=certificate)
        transport = remote_transport(remote)
        self._open.append(transport)
        return transport

    async def member(self, scopes: list[str], environments: list[str]) -> GrpcTransport:
        made = await self.token(scopes, environments)
        assert made.token is not None
        return self.connect(made.token.token_id, made.secret, made.certificate)

    async def session(self, transport: GrpcTransport, *sent: SessionUp) -> Any:
        """Open a session; return its iterator and the function that ends it."""
        session = transport.session(Said(sent, self._over))
        return session

    def close(self) -> None:
        self._over.set()
        for transport in self._open:
            transport.close()


class Said:
    """What a session says (implements `transport.Outgoing`): these messages, and nothing more."""

    has_acknowledgements = False

    def __init__(self, sent: tuple[SessionUp, ...], over: threading.Event) -> None:
        self._sent = sent
        self._over = over

    def __iter__(self) -> Any:
        yield from self._sent
        # A session lasts until its client ends it.
        self._over.wait()

    def attach(self, send: Any, break_off: Any) -> None:
        raise AssertionError

    def flush(self) -> None:
        raise AssertionError


class SlowEngine(FakeEngine):
    """Makes no container for as long as a test lasts: calls wait."""

    def __init__(self) -> None:
        super().__init__({})
        self.over = asyncio.Event()

    async def create(self, spec: ContainerSpec) -> str:
        await self.over.wait()
        raise EngineError("the test is over")


@contextlib.asynccontextmanager
async def running(state_dir: Path) -> AsyncIterator[World]:
    settings = Settings(listen="127.0.0.1:0", tls="dev", failed_logins=3)
    engine = SlowEngine()
    service = Service(state_dir, settings, lambda driver, network: engine)
    serving = asyncio.ensure_future(service.run())
    world: World | None = None
    try:
        async with asyncio.timeout(20):
            while not (state_dir / "local.sock").exists():
                assert not serving.done(), serving.exception()
                await asyncio.sleep(0.01)
        world = World(service, engine, state_dir)
        await world.fill()
        yield world
    finally:
        if world is not None:
            await asyncio.to_thread(world.close)
        engine.over.set()
        service.request_stop(True)
        await serving


def run(tmp_path: Path, scenario: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        state_dir = tmp_path / "s"
        state_dir.mkdir()
        async with running(state_dir) as world:
            await scenario(world)

    asyncio.run(main())


def test_every_rpc_has_a_rule() -> None:
    assert set(RULES) == set(services.METHODS)


# What belongs to no single environment, and is looked at in the other tests.
OF_NO_ENVIRONMENT = {
    "Blobs.Get",
    "Blobs.Missing",
    "Blobs.Put",
    "Blobs.PutSource",
    "Calls.Session",
    "Dashboard.Link",
    "Environments.List",
    "Images.List",
    "Images.Show",
    "Server.Info",
    "Tokens.Create",
    "Tokens.List",
    "Tokens.Revoke",
    "Tokens.Who",
}


def test_what_belongs_to_no_environment_is_known() -> None:
    special = (Where.ANYWHERE, Where.TOKEN, Where.SESSION)
    assert {name for name, rule in RULES.items() if rule.where in special} == OF_NO_ENVIRONMENT


def requests_for(world: World, method: str, ids: dict[str, str]) -> list[tuple[str, Any]]:
    """Name the other environment in every way that the method has; return each with what it names it by."""
    where = RULES[method].where
    found = []
    for field in where if isinstance(where, tuple) else ("",):
        request = getattr(messages, services.METHODS[method].request)()
        for name, value in {"client_id": new_id("cl"), "name": "named", "lease_id": new_id("op")}.items():
            if hasattr(request, name):
                setattr(request, name, value)
        if method == "Images.Publish":
            request.image_id = ids["image_id"]
        if method == "Functions.Lookup":
            request.app_name, request.name = "app", "f"
        value = named_by(method, field, ids)
        if field.startswith("start."):
            request.start = ExecStart(args=["true"], **{field.removeprefix("start."): value})
        elif field:
            setattr(request, field, value)
        if field == "app_name":
            request.environment = "main"
        found.append((value, request))
    return found


def named_by(method: str, field: str, ids: dict[str, str]) -> str:
    kinds = {"Dicts": "dict_id", "Queues": "queue_id", "Volumes": "volume_id", "NetworkFileSystems": "file_system_id"}
    if field in ("environment", "app_name"):
        return {"environment": "main", "app_name": "app"}[field]
    if field == "object_id" or method.startswith("NetworkFileSystems."):
        return ids["app_id"] if field == "app_id" else ids[kinds[method.partition(".")[0]]]
    return ids.get(field.removeprefix("start."), "")


def unknown(ids: dict[str, str]) -> dict[str, str]:
    """Return ids of the same kinds that nobody has made."""
    return {name: "im-" + "b" * 26 if name == "image_id" else new_id(known[:2]) for name, known in ids.items()}


@pytest.mark.parametrize("scopes", [["deploy", "invoke"], ["admin"]])
def test_a_foreign_token_is_refused_by_every_rpc(tmp_path: Path, scopes: list[str]) -> None:
    async def scenario(world: World) -> None:
        foreign = await world.member(scopes, ["dev"])
        before = await world.listed()
        for method in sorted(set(services.METHODS) - OF_NO_ENVIRONMENT):
            for (named, request), (other, like_it) in zip(
                requests_for(world, method, world.ids),
                requests_for(world, method, unknown(world.ids)),
                strict=True,
            ):
                told = await refused(world, foreign, method, request)
                if not named.startswith(("main", "app")) and named:
                    # As one that is not there: nobody learns what there is elsewhere.
                    assert told[0] is NotFoundError, (method, told)
                    missing = await refused(world, foreign, method, like_it)
                    assert (missing[0], missing[1].replace(other, named)) == told, method
                else:
                    assert told[0] is PermissionDeniedError, (method, told)
        assert await world.listed() == before

    run(tmp_path, scenario)


async def refused(world: World, member: GrpcTransport, method: str, request: Any) -> tuple[type[Exception], str]:
    try:
        answer = await world.ask(member, method, request)
    except (PermissionDeniedError, NotFoundError) as error:
        return type(error), str(error)
    raise AssertionError(f"{method} answered {answer}")


def test_its_own_token_is_refused_by_nothing(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        own = await world.member(["deploy", "invoke"], ["main"])
        world.engine.over.set()
        whole = {name for name, rule in RULES.items() if rule.where in (Where.EVERYWHERE, Where.NOWHERE)}
        order = sorted(set(services.METHODS) - OF_NO_ENVIRONMENT - whole)
        # Last what ends what the others need.
        order.sort(key=lambda name: name.endswith((".Delete", ".Stop")))
        told: dict[str, str] = {}
        for method in order:
            for _, request in requests_for(world, method, world.ids):
                try:
                    await asyncio.wait_for(world.ask(own, method, request), 10)
                except PermissionDeniedError as error:
                    raise AssertionError(f"{method}: {error}") from None
                except Error as error:
                    told[method] = str(error)
        assert [method for method, text in told.items() if "in the environments of this token" in text] == []

    run(tmp_path, scenario)


def test_what_belongs_to_another_environment_looks_as_if_it_were_not_there(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        foreign = await world.member(["deploy", "invoke"], ["dev"])
        own = await world.member(["deploy", "invoke"], ["main"])
        told = []
        for app_id in (world.app_id, new_id("ap")):
            with pytest.raises(NotFoundError) as caught:
                await world.ask(foreign, "Apps.Stop", messages.AppStopRequest(app_id=app_id))
            told.append(str(caught.value).replace(app_id, "ID"))
        assert told[0] == told[1]
        stats = messages.FunctionStatsRequest(function_id=world.function_id)
        assert (await world.ask(own, "Functions.Stats", stats)).backlog == 1
        asked = messages.FunctionDescribeRequest(function_id=world.function_id)
        described: messages.FunctionDescription = await world.ask(own, "Functions.Describe", asked)
        assert described.spec is not None
        # How it runs, and neither what it is made of nor what its variables are.
        assert (described.spec.name, described.spec.serialized, described.spec.env) == ("f", None, {})
        for member in (foreign, await world.member(["invoke"], ["main"])):
            with pytest.raises((NotFoundError, PermissionDeniedError)):
                await world.ask(member, "Functions.Describe", asked)

        info: ServerInfo = await world.ask(foreign, "Server.Info", ServerInfoRequest(with_engine=True))
        assert (info.state_dir, info.handover_dir, info.num_apps, info.pid, info.engine) == ("", "", 0, 0, None)
        tokens: TokenListResponse = await world.ask(
            await world.member(["admin"], ["dev"]), "Tokens.List", TokenListRequest()
        )
        assert {tuple(token.environments) for token in tokens.tokens} == {("dev",)}

    run(tmp_path, scenario)


def test_whether_others_have_sent_a_file_is_not_told(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        foreign = await world.member(["deploy"], ["dev"])
        own = await world.member(["deploy"], ["main"])
        blob_id = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
        await world.ask(own, "Blobs.Put", BlobChunk(blob_id=blob_id, data=b"foo"))
        request = BlobMissingRequest(blob_ids=[blob_id])
        there: BlobMissingResponse = await world.ask(own, "Blobs.Missing", request)
        elsewhere: BlobMissingResponse = await world.ask(foreign, "Blobs.Missing", request)
        assert (there.blob_ids, elsewhere.blob_ids) == ([], [blob_id])
        tree = SourceTree(files=[SourceFile(path="a.py", blob_id=blob_id, size=3)])
        with pytest.raises(NotFoundError, match="was not sent"):
            await world.ask(foreign, "Blobs.PutSource", tree)
        assert (await world.ask(own, "Blobs.PutSource", tree)).source_id
        with pytest.raises(PermissionDeniedError):
            await world.ask(own, "Blobs.Get", BlobGetRequest(blob_id=blob_id))

    run(tmp_path, scenario)


def test_a_foreign_session_calls_cancels_and_watches_nothing(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        foreign = await world.member(["invoke"], ["dev"])
        own = await world.member(["invoke"], ["main"])
        client_id, call_id, input_id = new_id("cl"), new_id("fc"), new_id("in")
        start = CallStart(call_id=call_id, function_id=world.function_id, kind=CallKind.SPAWN)
        item = Input(input_id=input_id, call_id=call_id, payload=Payload(data=b"x"))

        def hello(client_id: str) -> SessionUp:
            return SessionUp(hello=Hello(client_id=client_id, protocol=1))

        said = hello(client_id)
        said.calls, said.inputs = [start], [item]
        session = await world.session(own, said)
        messages_of = iter(session)
        while input_id not in (await asyncio.to_thread(next, messages_of)).accepted:
            pass

        # The same, by a stranger: the call is not his to join, watch or cancel, and the function not his to call.
        other_call, other_input = new_id("fc"), new_id("in")
        said = hello(new_id("cl"))
        said.calls = [
            start,
            CallStart(call_id=other_call, function_id=world.function_id, kind=CallKind.REMOTE),
        ]
        said.inputs = [Input(input_id=other_input, call_id=other_call, payload=Payload(data=b"x"))]
        said.watches = [CallWatch(call_id=call_id)]
        said.cancels = [messages.CallCancel(call_id=call_id)]
        stranger = await world.session(foreign, said)
        states, outputs = [], []
        heard = iter(stranger)
        while not (states and outputs):
            message = await asyncio.to_thread(next, heard)
            states += message.states
            outputs += message.outputs
        assert [(state.call_id, state.known) for state in states] == [(call_id, False)]
        assert [output.input_id for output in outputs] == [other_input]
        assert outputs[0].failure is not None
        known = world.service.parts.work.journal.open_input(input_id)
        assert known is not None
        assert not known.done

        # Nor can he take over the client.
        with pytest.raises(PermissionDeniedError, match="belongs to somebody else"):
            await asyncio.to_thread(next, iter(await world.session(foreign, hello(client_id))))
        stranger.cancel()
        session.cancel()

    run(tmp_path, scenario)


def test_a_revoked_token_ends_its_open_session_at_once(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        made = await world.token(["invoke"], ["main"])
        assert made.token is not None
        member = world.connect(made.token.token_id, made.secret, made.certificate)
        session = await world.session(member, SessionUp(hello=Hello(client_id=new_id("cl"), protocol=1)))
        answers = iter(session)
        assert (await asyncio.to_thread(next, answers)).welcome is not None
        revoked: TokenInfo = await world.ask(
            world.local, "Tokens.Revoke", TokenRevokeRequest(token_id=made.token.token_id)
        )
        assert revoked.revoked_at_ms
        with pytest.raises(AuthError, match="was revoked"):
            await asyncio.to_thread(lambda: list(answers))
        with pytest.raises(AuthError, match="not valid"):
            await world.ask(member, "Tokens.Who", TokenWhoRequest())

    run(tmp_path, scenario)


def test_failed_log_ins_are_limited_noted_and_tell_nothing(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        made = await world.token(["invoke"], ["main"])
        assert made.token is not None
        told = set()
        for token_id in (made.token.token_id, new_id("tk"), made.token.token_id):
            with pytest.raises(AuthError) as caught:
                await world.ask(world.connect(token_id, "ws-wrong", made.certificate), "Tokens.Who", TokenWhoRequest())
            told.add(str(caught.value))
        assert len(told) == 1
        right = world.connect(made.token.token_id, made.secret, made.certificate)
        with pytest.raises(ResourceExhaustedError, match="too many failed log-ins"):
            await world.ask(right, "Tokens.Who", TokenWhoRequest())
        await world.service.parts.entrances.door.access.close()
        entries: AuditListResponse = await world.ask(world.local, "Audit.List", AuditListRequest())
        assert [(entry.action, entry.outcome) for entry in entries.entries].count(("login", "UNAUTHENTICATED")) == 3
        assert "Tokens.Create" in {entry.action for entry in entries.entries}

    run(tmp_path, scenario)


def test_a_deploy_token_deploys_to_one_environment_and_does_nothing_else(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        deployer = await world.member(["deploy"], ["main"])
        request = AppOpenRequest(name="mine", environment="main", client_id=new_id("cl"))
        assert (await world.ask(deployer, "Apps.Open", request)).app_id
        request.environment, request.client_id = "dev", new_id("cl")
        with pytest.raises(PermissionDeniedError, match=r"does not allow Apps\.Open in environment 'dev'"):
            await world.ask(deployer, "Apps.Open", request)
        for method in ("Server.Stop", "Tokens.Create", "Tokens.List", "Audit.List"):
            _, request = requests_for(world, method, world.ids)[0]
            assert (await refused(world, deployer, method, request))[0] is PermissionDeniedError
        said = SessionUp(hello=Hello(client_id=new_id("cl"), protocol=1))
        said.calls = [CallStart(call_id=new_id("fc"), function_id=world.function_id, kind=CallKind.REMOTE)]
        said.inputs = [Input(input_id=new_id("in"), call_id=said.calls[0].call_id, payload=Payload(data=b"x"))]
        session = await world.session(deployer, said)
        answers = (output for message in session for output in message.outputs)
        output = await asyncio.to_thread(next, answers)
        assert output.failure is not None
        session.cancel()

    run(tmp_path, scenario)


def test_health_and_reflection_are_for_everyone(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        tcp = world.service.parts.entrances.door.tcp
        assert tcp is not None

        def look() -> tuple[int, set[str]]:
            credentials = grpc.ssl_channel_credentials(tcp.certificate.encode())
            with grpc.secure_channel(f"localhost:{tcp.port}", credentials) as channel:
                health = health_pb2_grpc.HealthStub(channel)
                status = health.Check(health_pb2.HealthCheckRequest(service="wherry.v1.Apps")).status
                listing = reflection_pb2.ServerReflectionRequest(list_services="")
                reflected = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([listing]))
                return status, {item.name for item in next(reflected).list_services_response.service}

        status, names = await asyncio.to_thread(look)
        assert status == health_pb2.HealthCheckResponse.SERVING
        assert {"wherry.v1.Tokens", "grpc.health.v1.Health"} <= names

    run(tmp_path, scenario)
