"""One request of a holder of a token: what of it is let through."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

from wherry_proto.messages import (
    AppPublishRequest,
    BlobChunk,
    BlobGetRequest,
    BlobMissingRequest,
    BlobMissingResponse,
    DeploymentCreateRequest,
    DeploymentEvent,
    DeploymentOrigin,
    DeploymentRollbackRequest,
    EnvironmentListRequest,
    EnvironmentListResponse,
    FunctionBindRequest,
    FunctionSpec,
    ImageEnsureRequest,
    ImageEvent,
    ImageInfo,
    ImageListRequest,
    ImageListResponse,
    ImagePublishRequest,
    ImageShowRequest,
    RecordShowRequest,
    RecordShowResponse,
    SandboxCreateRequest,
    SandboxMountRequest,
    SandboxSpec,
    SecretCreateRequest,
    ServerInfo,
    SessionUp,
    SourceFile,
    SourceTree,
    TokenInfo,
)
from wherry_service.api.places import Places
from wherry_service.api.rpc import checks, checks_of, instead, insteads_of
from wherry_service.api.rules import DEPLOY, DEVELOP, SHALLOW, Rule
from wherry_service.api.session_rules import SessionRules
from wherry_service.api.tokens import EVERYWHERE, allows, reaches
from wherry_service.apps.register import AppRegister
from wherry_service.calls.client import Client, Clients
from wherry_service.calls.journal import Journal
from wherry_service.errors import Denied, InvalidRequest, NotFound
from wherry_service.store.sources import SourceStore

_CONTENT = "sha256:"
MAX_CLAIMS = 10_000


@dataclass(slots=True)
class RequestContext:
    """What a request is checked against."""

    apps: AppRegister
    journal: Journal
    clients: Clients
    sources: SourceStore
    # Which token a client process has come with.
    claims: dict[str, str] = field(default_factory=dict)


# large: a check of its own for each rpc that needs one.
class Member:
    """Checks what a token's holder asks (implements `reach.Asker` and `sessions.SessionGuard`)."""

    # It is in no container.
    container_id = ""

    def __init__(
        self,
        token: TokenInfo,
        surroundings: RequestContext,
        places: Places,
        sent: dict[tuple[str, ...], set[str]],
    ) -> None:
        self._token = token
        self._around = surroundings
        self._places = places
        self._sent = sent.setdefault(tuple(token.environments), set())
        # Those whose tokens are for the same environments are one.
        self._sender = " ".join(token.environments)
        self._rules: SessionRules | None = None
        self._client_id = ""

    # Who it is (reach.Asker)

    def allows(self, scopes: Iterable[str], environment: str) -> bool:
        """Whether the token has one of these scopes in that environment."""
        return allows(self._token, scopes, environment)

    def reaches(self, environment: str) -> bool:
        """Whether the token is for that environment."""
        return reaches(self._token, environment)

    def home(self, environment: str) -> str:
        """Return the environment that is meant: "main" where none is named."""
        return environment or "main"

    def denied(self, name: str, environment: str) -> Denied:
        """Return why the token does not allow something."""
        return Denied(refusal(self._token, name, environment))

    def missing(self, kind: str, object_id: str) -> NotFound:
        """Return the error of what is not there, or is in an environment that is not the token's."""
        return NotFound(f"{kind} {object_id[:64]!r} does not exist in the environments of this token")

    def check_anywhere(self, name: str, rule: Rule) -> None:
        """Raise `Denied` unless the token has the scope in some environment."""
        if not any(allows(self._token, rule.scopes, environment) for environment in self._token.environments):
            scopes = " or ".join((*rule.scopes, "admin"))
            raise Denied(f"token {self._token.name!r} does not allow {name}: that takes the scope {scopes}")

    # Clients

    def claim(self, client_id: str) -> None:
        """Note that a client process is this token's; raise `Denied` if it is another's."""
        claims, clients = self._around.claims, self._around.clients
        client = clients.get(client_id)
        owner = claims.get(client_id) if client is not None else None
        # Claims do not outlive the service; what the client has called does.
        stranger = owner is None and client is not None and (client.connected or self._calls_elsewhere(client))
        if stranger or (owner is not None and owner != self._token.token_id):
            raise Denied(f"client {client_id[:64]!r} belongs to somebody else")
        if len(claims) >= MAX_CLAIMS:
            for known in [known for known in claims if clients.get(known) is None]:
                del claims[known]
        claims[client_id] = self._token.token_id

    def _calls_elsewhere(self, client: Client) -> bool:
        """Whether a client has called functions of environments that the token is not for."""
        for function_id in {call.function_id for call in self._around.journal.calls_of(client)}:
            with contextlib.suppress(NotFound):
                if not self.reaches(self._around.apps.function(function_id).environment):
                    return True
        return False

    async def claiming(self, requests: AsyncIterator[SessionUp]) -> AsyncIterator[SessionUp]:
        """Claim the client that says hello, before its session begins."""
        async for message in requests:
            if message.hello is not None:
                if self._client_id:
                    raise InvalidRequest("a session says hello once")
                self.claim(message.hello.client_id)
                self._client_id = message.hello.client_id
            yield message

    # The session

    def restrict(self, client: Client, message: SessionUp) -> None:
        """Take out of a message of its session what this token may not ask."""
        if self._rules is None:
            around = self._around
            self._rules = SessionRules(self, around.apps, around.journal, self._places)
        self._rules.restrict(client, message)

    # Handlers that get or give something else over TCP

    def own_handler(self, name: str, handler: Any, environment: str) -> Any:
        """Return the handler as it is for this token, for a request of that environment."""
        if attribute := _INSTEADS.get(name):
            return functools.partial(getattr(self, attribute), handler)
        if not (attribute := _CHECKS.get(name, "")):
            return handler

        async def serve(request: Any) -> Any:
            await getattr(self, attribute)(request, environment)
            return await handler(request)

        return serve

    @checks("Apps.Publish")
    async def _check_publish(self, request: AppPublishRequest, environment: str) -> None:
        for spec in request.functions:
            await self._check_image(spec.image_id)
            await self._check_sources(spec)

    @checks("Functions.Bind")
    async def _check_bind(self, request: FunctionBindRequest, environment: str) -> None:
        """Who may only call a function may scale a variant of it, and not put other code or secrets into it."""
        if request.changes is None:
            return
        deep = [name for name in request.fields if name not in SHALLOW and not name.startswith("pool.")]
        if deep and not allows(self._token, DEPLOY, environment):
            raise Denied(refusal(self._token, f"Functions.Bind with another {deep[0][:64]}", environment))
        if request.changes.image_id:
            await self._check_image(request.changes.image_id)
        await self._check_sources(request.changes)

    @checks("Sandboxes.Create")
    async def _check_sandbox(self, request: SandboxCreateRequest, environment: str) -> None:
        places = await self._places.of("sandbox", request.sandbox_id)
        if any(not reaches(self._token, place) for place in places):
            raise Denied(f"sandbox {request.sandbox_id[:64]!r} belongs to somebody else")
        if request.spec is not None:
            await self._check_image(request.spec.image_id)
            await self._check_sources(request.spec)

    @checks("Sandboxes.Mount")
    async def _check_mount(self, request: SandboxMountRequest, environment: str) -> None:
        if request.image_id:
            await self._check_image(request.image_id)

    @checks("Secrets.Create")
    async def _check_secret(self, request: SecretCreateRequest, environment: str) -> None:
        if request.name and not allows(self._token, DEVELOP, environment):
            raise Denied(refusal(self._token, "Secrets.Create with a name", environment))

    @checks("Images.Publish")
    async def _check_published(self, request: ImagePublishRequest, environment: str) -> None:
        await self._check_image(request.image_id)

    async def _check_image(self, image_id: str) -> None:
        if not any(reaches(self._token, place) for place in await self._places.of("image", image_id)):
            raise self.missing("image", image_id)

    @instead("Images.Ensure")
    async def _ensure(self, handler: Any, request: ImageEnsureRequest) -> AsyncIterator[ImageEvent]:
        for definition in request.images:
            for step in definition.steps:
                self._check_files(step.files)
                if step.kind == "from_id" and step.args:
                    await self._check_image(step.args[0])
                if step.function is not None:
                    await self._check_sources(step.function)
        async for event in handler(request):
            yield event

    @instead("Deployments.Create")
    async def _deploy(self, handler: Any, request: DeploymentCreateRequest) -> AsyncIterator[DeploymentEvent]:
        for spec in request.functions:
            # Of a dry run, images need not be there yet; source was sent.
            if not request.dry_run:
                await self._check_image(spec.image_id)
            await self._check_sources(spec)
        async with contextlib.aclosing(self._roll_back(handler, request)) as events:
            async for event in events:
                yield event

    @instead("Deployments.Rollback")
    async def _roll_back(
        self, handler: Any, request: DeploymentCreateRequest | DeploymentRollbackRequest
    ) -> AsyncGenerator[DeploymentEvent, None]:
        request.origin = request.origin or DeploymentOrigin()
        request.origin.token_name = self._token.name
        async with contextlib.aclosing(handler(request)) as events:
            async for event in events:
                yield event

    @instead("Images.Show")
    async def _show(self, handler: Any, request: ImageShowRequest) -> ImageInfo:
        """Show an image of another environment as one that nobody has built."""
        if request.definition is None:
            await self._check_image(request.image_id)
        info: ImageInfo = await handler(request)
        if any(reaches(self._token, place) for place in await self._places.of("image", info.image_id)):
            info.apps = []
            return info
        return ImageInfo(image_id=info.image_id, summary=info.summary, dockerfile=info.dockerfile)

    @instead("Images.List")
    async def _list_images(self, handler: Any, request: ImageListRequest) -> ImageListResponse:
        answer: ImageListResponse = await handler(request)
        if not reaches(self._token, EVERYWHERE):
            own = await self._places.images(frozenset(self._token.environments))
            answer.images = [image for image in answer.images if image.image_id in own]
            for image in answer.images:
                image.apps = []
        return answer

    @instead("Records.Show")
    async def _show_record(self, handler: Any, request: RecordShowRequest) -> RecordShowResponse:
        """Leave out what only who may read logs may see, and what came to have an id that was another's before."""
        answer: RecordShowResponse = await handler(request)
        for detail in answer.records:
            if detail.record is None or not reaches(self._token, detail.record.environment):
                raise self.missing("record", request.record_id)
            if not allows(self._token, DEPLOY, detail.record.environment):
                detail.traceback = ""
        return answer

    @instead("Environments.List")
    async def _list_environments(self, handler: Any, request: EnvironmentListRequest) -> EnvironmentListResponse:
        answer: EnvironmentListResponse = await handler(request)
        answer.environments = [one for one in answer.environments if reaches(self._token, one.name)]
        return answer

    @instead("Server.Info")
    async def _info(self, handler: Any, request: Any) -> ServerInfo:
        """Leave out what is of the service's machine: files can't be handed over from another."""
        info: ServerInfo = await handler(request)
        everywhere = allows(self._token, (), "*")
        return ServerInfo(
            version=info.version,
            protocol=info.protocol,
            instance_id=info.instance_id,
            started_at_ms=info.started_at_ms,
            engine=info.engine if everywhere else None,
            isolation=info.isolation if everywhere else None,
            disks=info.disks if everywhere else [],
            load=info.load if everywhere else None,
            num_apps=info.num_apps if everywhere else 0,
            num_containers=info.num_containers if everywhere else 0,
        )

    @instead("Blobs.Missing")
    async def _missing(self, handler: Any, request: BlobMissingRequest) -> BlobMissingResponse:
        """Say that a file is there only to those who have sent it: who has not must not learn that others have."""
        lacking = set((await handler(request)).blob_ids)
        return BlobMissingResponse(
            blob_ids=[blob_id for blob_id in request.blob_ids if blob_id in lacking or blob_id not in self._sent]
        )

    @instead("Blobs.Put")
    async def _put(self, handler: Any, chunks: AsyncIterator[BlobChunk]) -> Any:
        info = await handler(chunks)
        if info.blob_id.startswith(_CONTENT):
            self._sent.add(info.blob_id)
        return info

    @instead("Blobs.PutSource")
    async def _put_source(self, handler: Any, request: SourceTree) -> Any:
        self._check_files(request.files)
        info = await handler(request)
        await asyncio.to_thread(self._around.sources.note_sent, info.source_id, self._sender)
        return info

    async def _check_sources(self, spec: FunctionSpec | SandboxSpec) -> None:
        """Raise `NotFound` for source that tokens of these environments have not sent, whoever else has."""
        for source_id in {spec.source_id, *(mount.source_id for mount in spec.local_mounts)} - {""}:
            if not await asyncio.to_thread(self._around.sources.was_sent, source_id, self._sender):
                raise self.missing("source tree", source_id)

    def _check_files(self, files: Iterable[SourceFile]) -> None:
        for file in files:
            if file.blob_id and file.blob_id not in self._sent:
                raise NotFound(f"the content of {file.path[:200]!r} was not sent: send it first")

    @instead("Blobs.Get")
    async def _get(self, handler: Any, request: BlobGetRequest) -> AsyncIterator[BlobChunk]:
        if request.blob_id.startswith(_CONTENT):
            raise Denied("source files can't be read back over TCP")
        async for chunk in handler(request):
            yield chunk


_INSTEADS, _CHECKS = insteads_of(Member), checks_of(Member)


def refusal(token: TokenInfo, name: str, environment: str) -> str:
    """Return why a token may not do something."""
    where = "all environments" if environment == EVERYWHERE else f"environment {environment[:64]!r}"
    return (
        f"token {token.name!r} ({', '.join(token.scopes)} in {', '.join(token.environments)}) does not allow {name} "
        f"in {where}: use another token, or ask an admin for one"
    )
