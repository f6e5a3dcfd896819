"""Sandboxes that code in a container asks for: those of its own app, with nothing that the app does not have itself.

Whoever uses a sandbox has all that is in it. So what a container may make, and what it may use once it is there, is
judged alike: by what the sandbox is made of.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from wherry_proto.messages import (
    ExecRequest,
    ImageDefinition,
    ImageEnsureRequest,
    ImageEvent,
    SandboxCreateRequest,
    SandboxGetRequest,
    SandboxInfo,
    SandboxListRequest,
    SandboxSpec,
)
from wherry_service.api.places import Places
from wherry_service.api.sandboxes import Ready, TunnelUrls
from wherry_service.apps.register import AppRegister
from wherry_service.calls.call import Input
from wherry_service.errors import Denied, Exhausted, NotFound
from wherry_service.images.definition import image_id
from wherry_service.pools.pools import Pools
from wherry_service.sandboxes.register import SandboxRegister

# An image of Wherry's own, whose making nobody can influence.
_PLAIN = "debian_slim"


class Sandboxes(Protocol):
    """The service's sandboxes."""

    register: SandboxRegister

    @property
    def most_from_functions(self) -> int:
        """How many of one app may run when a container asks for one more."""


@dataclass(frozen=True, slots=True)
class Asking:
    """The container that asks."""

    container_id: str
    app_id: str
    environment: str


class GuestSandboxes:
    """Judges what containers ask of sandboxes."""

    def __init__(
        self,
        sandboxes: Sandboxes,
        apps: AppRegister,
        pools: Pools[Input],
        places: Places,
        settle: Callable[[ImageDefinition], ImageDefinition],
        urls: TunnelUrls,
        ready: Ready,
    ) -> None:
        self._urls = urls
        # Has the ingress listen.
        self._ready = ready
        # Says which Python a definition's base gets.
        self._settle = settle
        self._sandboxes = sandboxes
        self._apps = apps
        self._pools = pools
        self._places = places

    async def check_new(self, asking: Asking, request: SandboxCreateRequest) -> None:
        """Make a request for a sandbox one of the caller's own app; raise `ServiceError` for what it may not have."""
        if request.app_id not in ("", asking.app_id):
            raise Denied("code inside a container can create sandboxes of its own app only: leave out app=")
        request.app_id = asking.app_id
        if await self._places.of("sandbox", request.sandbox_id):
            # Asked for again, by the one who made it: what it is gets told.
            try:
                await self.check_use(asking, request.sandbox_id)
            except NotFound:
                raise Denied(f"sandbox {request.sandbox_id[:64]!r} belongs to somebody else") from None
            return
        spec = request.spec or SandboxSpec()
        await self.check_image(asking, spec.image_id)
        if lacks := self._lacks(asking, spec):
            raise Denied(f"code inside a container can't create this sandbox: {lacks}")
        most = self._sandboxes.most_from_functions
        if sum(1 for one in self._sandboxes.register.of_app(asking.app_id) if not one.ended.is_set()) >= most:
            raise Exhausted(
                f"this app has {most} sandboxes, the most that its functions may create: terminate others first, or "
                "raise sandbox.from_functions on the server"
            )

    async def check_image(self, asking: Asking, wanted: str) -> None:
        """Raise `NotFound` for an image that is not the environment's."""
        if asking.environment not in await self._places.of("image", wanted):
            raise NotFound(f"image {wanted[:64]!r} does not exist in this container's environment")

    async def check_use(self, asking: Asking, sandbox_id: str) -> None:
        """Raise `NotFound` for a sandbox of another app, `Denied` for one that has what the caller's app has not."""
        record = await self._sandboxes.register.record(sandbox_id)
        if record is None or record.app_id != asking.app_id:
            raise NotFound(f"sandbox {sandbox_id[:64]!r} does not exist in this container's app")
        if lacks := self._lacks(asking, record.spec):
            raise Denied(f"code inside a container can't use sandbox {sandbox_id}: {lacks}")

    async def may_reach(self, asking: Asking, owner_id: str) -> bool:
        """Whether it may use a port of a sandbox or container whose name it knows: of its environment, with a network.

        Without a network of its own it reaches none: what is there could pass on what it is told.
        """
        kind = "sandbox" if owner_id.startswith("sb-") else "container"
        return not self._is_blocked(asking.container_id) and asking.environment in await self._places.of(kind, owner_id)

    async def get(self, asking: Asking, handler: Any, request: SandboxGetRequest) -> Any:
        """Find one by id or name: of its own app, whichever is named, since that has all that containers make."""
        if request.sandbox_id:
            await self.check_use(asking, request.sandbox_id)
            return await self._told(await handler(request))
        own = self._apps.running(asking.app_id).record.name
        request.app_name, request.environment = request.app_name or own, asking.environment
        missing = NotFound(f"no sandbox of app {request.app_name[:64]!r} named {request.name[:64]!r} runs")
        for sandbox in self._sandboxes.register.of_app(asking.app_id):
            if sandbox.record.name == request.name and request.name and not sandbox.ended.is_set():
                await self.check_use(asking, sandbox.sandbox_id)
                return sandbox.info()
        raise missing

    async def _told(self, info: SandboxInfo) -> SandboxInfo:
        """Return a sandbox with where its ports answer in containers."""
        for tunnel in info.tunnels:
            tunnel.local_url = self._urls.local_url(info.sandbox_id, tunnel.port, tunnel.host)
        if any(tunnel.local_url for tunnel in info.tunnels):
            await self._ready()
        return info

    async def list(self, asking: Asking, handler: Any, request: SandboxListRequest) -> Any:
        """List its app's."""
        if request.app_id not in ("", asking.app_id):
            raise NotFound(f"app {request.app_id[:64]!r} is not this container's own")
        request.app_id, request.environment = asking.app_id, asking.environment
        return await handler(request)

    async def exec(self, asking: Asking, requests: AsyncIterator[ExecRequest]) -> AsyncIterator[ExecRequest]:
        """Pass on what an exec is asked, if it is in such a sandbox; functions' containers are not for execs."""
        begun = False
        async for request in requests:
            # Of a stream the first counts; another would be another exec, which there can't be.
            if request.start is not None:
                if begun:
                    raise Denied("an exec was begun twice")
                begun = True
                if not request.start.container_id.startswith("sb-"):
                    raise Denied("code inside a container can run commands in sandboxes only")
                await self.check_use(asking, request.start.container_id)
                if set(request.start.secret_ids) - self._apps.secret_ids_of(asking.app_id):
                    raise Denied("code inside a container can give a command only secrets that its app has")
            yield request

    async def images(self, asking: Asking, handler: Any, request: ImageEnsureRequest) -> AsyncIterator[ImageEvent]:
        """Say which images of a request there are in its environment. Nothing is built but what is Wherry's own.

        Steps of a build reach the host, and more than a container does (docs/security.md).
        """
        plain: list[int] = []
        request.images = [self._settle(definition) for definition in request.images]
        for index, definition in enumerate(request.images):
            wanted = image_id(definition)
            if asking.environment in await self._places.of("image", wanted):
                yield ImageEvent(index=index, image_id=wanted)
            elif _is_plain(definition):
                plain.append(index)
            else:
                yield ImageEvent(
                    index=index,
                    error="code inside a container builds no images, and this one was not built before: build it in "
                    "the program that runs or deploys the app, with image.build(), or give it to one of its functions",
                )
        if not plain:
            return
        asked = ImageEnsureRequest(
            images=[request.images[index] for index in plain], environment=asking.environment, bare=True
        )
        async for event in handler(asked):
            event.index = plain[event.index]
            yield event

    def _lacks(self, asking: Asking, spec: SandboxSpec) -> str:
        """Return what of a sandbox the caller's app does not have itself, as a sentence; "" for nothing."""
        specs = self._apps.specs_of(asking.app_id)
        if set(spec.secret_ids) - self._apps.secret_ids_of(asking.app_id):
            return "it has a secret that none of the app's functions has; give the secret to one of them"
        buckets = [mount for function in specs for mount in function.bucket_mounts]
        if any(not _is_among(mount, buckets) for mount in spec.bucket_mounts):
            return "it has a bucket that none of the app's functions has, or has otherwise"
        trees = {mount.source_id for function in specs for mount in function.local_mounts}
        trees |= {function.source_id for function in specs} | {""}
        if {spec.source_id, *(mount.source_id for mount in spec.local_mounts)} - trees:
            return "it has local files that none of the app's functions has"
        if not spec.block_network and self._is_blocked(asking.container_id):
            return "the function that asks has block_network=True, and the sandbox has a network; block it there too"
        return ""

    def _is_blocked(self, container_id: str) -> bool:
        """Whether a container has no network; one that nobody knows counts as such."""
        found = self._pools.find(container_id)
        return found is None or found[0].plan.block_network


def _is_among(mount: Any, others: Sequence[Any]) -> bool:
    """Whether the same bucket, with the same secret, is there; read-only is less than not, the place is no matter."""
    return any(
        (mount.bucket, mount.endpoint_url, mount.key_prefix, mount.secret_id, mount.requester_pays)
        == (other.bucket, other.endpoint_url, other.key_prefix, other.secret_id, other.requester_pays)
        and (mount.read_only or not other.read_only)
        for other in others
    )


def _is_plain(definition: ImageDefinition) -> bool:
    (first, *rest) = definition.steps
    given = first.args or first.files or first.secret_ids or first.force_build or first.function is not None
    return first.kind == _PLAIN and not rest and not given and set(first.options) <= {"python_version"}
