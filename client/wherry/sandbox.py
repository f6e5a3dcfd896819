"""Sandboxes: containers of their own that run any command, trusted or not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from wherry._base import checks
from wherry._base.blocking import blocking, blocking_classmethod, iterating_classmethod
from wherry._base.ids import check_id, new_id
from wherry._base.object import Object
from wherry._base.waiting import in_thread
from wherry._define.options import gpus
from wherry._define.places import placed
from wherry._publish.needs import Needs
from wherry._publish.sandboxes import create_sandbox
from wherry._sandbox import options
from wherry._sandbox.inside import SandboxInside
from wherry._sandbox.listing import Listing
from wherry._sandbox.origin import apart, origin_of
from wherry._sandbox.probe import Probe, probe_of
from wherry._sandbox.reach import SandboxReach, inbound_of, outbound_of
from wherry._sandbox.streams import SandboxStreams
from wherry.exception import (
    ExecutionError,
    InvalidError,
    NotFoundError,
    SandboxTerminatedError,
    SandboxTimeoutError,
    TimeoutError,
)
from wherry.image import Image
from wherry.io_streams import StreamReader, StreamWriter
from wherry.secret import Secret, secrets_of
from wherry.tunnel import Tunnel, Tunnels, tunnel_at
from wherry_proto import messages
from wherry_proto.messages import SandboxInfo, SandboxSpec, SandboxState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wherry._calling.owner import AppLike
    from wherry._connection.client import Client

__all__ = ["Listing", "Probe", "Sandbox", "Tunnel"]

DEFAULT_TIMEOUT_S = 300.0
_WAIT_S = 30.0


# large: its methods are those of the reference
class Sandbox(SandboxInside, SandboxReach, Object):
    """A container that runs a command, in any image. It lives until the command ends, its timeout, or `terminate`.

    (reference: Sandbox)
    """

    def __init__(self, sandbox_id: str, client: Client | None = None) -> None:
        self._sandbox_id = check_id(sandbox_id, "sb", "sandbox")
        self._known_client = client
        self._ended: SandboxInfo | None = None
        self._streams = SandboxStreams(sandbox_id, lambda: self._client)

    # Made and found

    @blocking_classmethod
    def create(
        cls,
        *command: str,
        app: AppLike | None = None,
        name: str | None = None,
        tags: Mapping[str, str] | None = None,
        image: Image | None = None,
        env: Mapping[str, str | None] | None = None,
        secrets: Sequence[Secret] | None = None,
        mask_secrets: bool = False,
        network_file_systems: Mapping[str, Any] | None = None,
        volumes: Mapping[str, Any] | None = None,
        timeout: float = DEFAULT_TIMEOUT_S,
        idle_timeout: float | None = None,
        workdir: str | None = None,
        cpu: float | tuple[float, float] | None = None,
        memory: int | tuple[int, int] | None = None,
        gpu: Any = None,
        block_network: bool = False,
        outbound_cidr_allowlist: Sequence[str] | None = None,
        outbound_domain_allowlist: Sequence[str] | None = None,
        inbound_cidr_allowlist: Sequence[str] | None = None,
        cidr_allowlist: Sequence[str] | None = None,
        pty: bool = False,
        encrypted_ports: Sequence[int] = (),
        h2_ports: Sequence[int] = (),
        unencrypted_ports: Sequence[int] = (),
        custom_domain: str | None = None,
        cloud: str | None = None,
        region: str | Sequence[str] | None = None,
        runtime: str | None = None,
        proxy: Any = None,
        include_oidc_identity_token: bool = False,
        readiness_probe: Probe | None = None,
        verbose: bool = False,
        experimental_options: Mapping[str, Any] | None = None,
        pty_info: Any = None,
        environment_name: str | None = None,
        client: Client | None = None,
    ) -> Sandbox:
        """Run a command in a new container, and return when it runs.

        An image's ENTRYPOINT is started with the command as its arguments. Without a command the image's CMD runs;
        where the image has neither, the sandbox only waits for `exec`.

        It ends with its `app`, where one is given; else only by itself. Inside a function it always belongs to the
        function's own app, and can have nothing that the app does not have.

        `timeout` and `idle_timeout` in seconds: how long it may live, and how long without a running `exec`, input or
        an open tunnel connection; `cpu` in cores and `memory` in MiB, each a request or (request, limit); `secrets` and
        `env`: variables, `env` wins; `mask_secrets`: what its commands print has "****" for the values of secrets;
        `volumes` by place, as in `{"/data": volume}`, of which some may be buckets (`CloudBucketMount`) or network file
        systems;
        `block_network`: no network but its own loopback; the ports are those of `tunnels()`.

        `outbound_cidr_allowlist` and `outbound_domain_allowlist`: it reaches these networks ("10.1.0.0/16") and these
        domains ("example.com", "*.example.com", "*"; TLS on port 443 and HTTP on port 80), and nothing else;
        `cidr_allowlist` is the first one's older name. `inbound_cidr_allowlist`: from where its ports are reached.

        `name` is unique among the app's running sandboxes; `readiness_probe` is what `wait_until_ready` waits for.
        Raises InvalidError for values out of range, AlreadyExistsError when the name is taken, ExecutionError when the
        app does not run, ImageBuildError, ResourceExhaustedError when the host has no room for 60 s.
        (reference: Sandbox.create)
        """
        options.meet_all(
            cloud=cloud,
            region=region,
            runtime=runtime,
            proxy=proxy,
            custom_domain=custom_domain,
            include_oidc_identity_token=include_oidc_identity_token,
            experimental_options=experimental_options,
        )
        own = secrets_of("secrets", secrets if secrets is not None else ())
        origin = origin_of(app, image)
        given, variables = apart((*origin.secrets, *own))
        client = client or origin.client or _default_client()
        spec = SandboxSpec(
            command=options.strings("a command's parts", command),
            env=options.variables(env),
            workdir=workdir or "",
            timeout_s=checks.number("timeout", timeout, 1, checks.DAY_S, "s", DEFAULT_TIMEOUT_S),
            idle_timeout_s=checks.number("idle_timeout", idle_timeout, 1, checks.DAY_S, "s", 0),
            resources=options.resources(cpu, memory),
            gpus=[messages.GpuRequest(type=item.type, count=item.count) for item in gpus(gpu)],
            block_network=bool(block_network),
            inbound=inbound_of(inbound_cidr_allowlist),
            outbound=outbound_of(outbound_cidr_allowlist, outbound_domain_allowlist, cidr_allowlist),
            pty=bool(pty or pty_info is not None),
            probe=probe_of(readiness_probe),
            masks_output=bool(mask_secrets),
            ports=options.ports(
                encrypted_ports=encrypted_ports, h2_ports=h2_ports, unencrypted_ports=unencrypted_ports
            ),
        )
        request = messages.SandboxCreateRequest(
            sandbox_id=new_id("sb"),
            app_id=origin.app_id,
            # With an app it is in the app's.
            environment=origin.environment or environment_name or client.environment,
            name=name or "",
            tags=options.tags_of(tags),
            spec=spec,
            secret_env=variables,
        )
        needs = Needs(
            origin.image,
            secrets=given,
            volumes=(*placed("volumes", volumes or {}), *placed("network_file_systems", network_file_systems or {})),
        )
        return Sandbox(create_sandbox(client, request, origin.image, needs), client)

    @blocking_classmethod
    def from_id(cls, sandbox_id: str, client: Client | None = None) -> Sandbox:
        """Return the sandbox of that id ("sb-…"), also one that has ended.

        Raises InvalidError when it is no such id, NotFoundError when there is none. (reference: Sandbox.from_id)
        """
        found = Sandbox(sandbox_id, client)
        found._note(found._call("Get", messages.SandboxGetRequest(sandbox_id=sandbox_id)))
        return found

    @blocking_classmethod
    def from_name(
        cls,
        app_name: str | None,
        name: str,
        *,
        environment_name: str | None = None,
        include_terminated: bool = False,
        client: Client | None = None,
    ) -> Sandbox:
        """Return the running sandbox of that name; `app_name` is None for those that belong to no app.

        With `include_terminated` the one that ended last, where none runs; it is known for 7 days. Raises
        NotFoundError when there is none. (reference: Sandbox.from_name)
        """
        client = client or _default_client()
        environment = environment_name or client.environment
        request = messages.SandboxGetRequest(
            app_name=app_name or "", name=name, environment=environment, include_ended=include_terminated
        )
        if not name:
            raise InvalidError("a sandbox's name is empty: give the one that it was created with")
        return Sandbox(client.call("Sandboxes.Get", request, SandboxInfo).sandbox_id, client)

    @iterating_classmethod
    def list(
        cls,
        *,
        app_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        environment_name: str | None = None,
        client: Client | None = None,
    ) -> Listing[Sandbox]:
        """Iterate the running sandboxes, the latest first: of an app, and with all of the tags, where given.

        (reference: Sandbox.list)
        """
        wanted = options.tags_of(tags)

        def fetch() -> list_of[Sandbox]:
            known = client or _default_client()
            request = messages.SandboxListRequest(
                environment=environment_name or known.environment, app_id=app_id or "", tags=wanted
            )
            answer = known.call("Sandboxes.List", request, messages.SandboxListResponse)
            return [Sandbox(info.sandbox_id, known) for info in answer.sandboxes]

        return Listing(fetch)

    @property
    def object_id(self) -> str:
        """The id, "sb-…"."""
        return self._sandbox_id

    @blocking
    def _get_task_id(self) -> str:
        """As `object_id`. Private in Modal: frameworks put it into links all the same."""
        return self._sandbox_id

    @property
    def client(self) -> Client:
        """The connection that it uses."""
        return self._client

    @blocking
    def reload_volumes(self, *, timeout: float = 55) -> None:
        """Do nothing: a sandbox sees at once what others write to its volumes. Raises NotFoundError when it has ended.

        `timeout` is accepted, and nothing takes time. (reference: Sandbox.reload_volumes)
        """
        if self._call("Get", messages.SandboxGetRequest(sandbox_id=self._sandbox_id)).state != SandboxState.RUNNING:
            raise NotFoundError(f"sandbox {self._sandbox_id} has ended: its volumes have what it wrote")

    # Streams of its command

    @property
    def stdin(self) -> StreamWriter:
        """What its command reads. (reference: Sandbox.stdin)"""
        return self._streams.stdin

    @property
    def stdout(self) -> StreamReader[str]:
        """What its command prints, as text; kept for 7 days after its end. (reference: Sandbox.stdout)"""
        return self._streams.stdout

    @property
    def stderr(self) -> StreamReader[str]:
        """As `stdout`, of its standard error; empty with `pty=True`. (reference: Sandbox.stderr)"""
        return self._streams.stderr

    # Its end

    @property
    def returncode(self) -> int | None:
        """The exit code, once `wait`, `poll` or `terminate` has seen the end: 124 after a timeout, 137 terminated.

        (reference: Sandbox.returncode)
        """
        return self._ended.returncode if self._ended is not None else None

    @blocking
    def poll(self) -> int | None:
        """Return the exit code if it has ended, None if it runs. (reference: Sandbox.poll)"""
        if self._ended is None:
            self._note(self._call("Get", messages.SandboxGetRequest(sandbox_id=self._sandbox_id)))
        return self.returncode

    @blocking
    def wait(self, raise_on_termination: bool = True) -> int:
        """Wait for its end and return the exit code.

        Raises SandboxTimeoutError when it ended by a timeout, and SandboxTerminatedError when it was terminated,
        unless `raise_on_termination` is False. (reference: Sandbox.wait)
        """
        self._streams.stdin.drain()
        while self._ended is None:
            request = messages.SandboxWaitRequest(sandbox_id=self._sandbox_id, timeout_s=_WAIT_S)
            self._note(self._call("Wait", request))
        if self._ended.state == SandboxState.TIMED_OUT:
            raise SandboxTimeoutError(f"sandbox {self._sandbox_id} {self._ended.reason}")
        if self._ended.state == SandboxState.TERMINATED and raise_on_termination:
            raise SandboxTerminatedError(f"sandbox {self._sandbox_id} {self._ended.reason}")
        return self._ended.returncode

    @wait.awaiting
    async def _wait_aio(self, raise_on_termination: bool = True) -> int:
        return await in_thread(lambda: self.wait(raise_on_termination))

    @blocking
    def wait_until_ready(self, *, timeout: float = 300) -> None:
        """Wait until its `readiness_probe` succeeds, at most `timeout` seconds.

        Raises TimeoutError, InvalidError when it has no probe, and as `wait` does when it ends before; ExecutionError
        when its command ended by itself. (reference: Sandbox.wait_until_ready)
        """
        deadline = time.monotonic() + checks.number("timeout", timeout, 0, checks.DAY_S, "s", 300)
        while self._ended is None:
            left = deadline - time.monotonic()
            request = messages.SandboxWaitRequest(
                sandbox_id=self._sandbox_id, timeout_s=max(0.0, min(left, _WAIT_S)), until_ready=True
            )
            info = self._call("Wait", request)
            if info.ready:
                return
            self._note(info)
            if self._ended is None and left <= 0:
                raise TimeoutError(f"sandbox {self._sandbox_id} was not ready within {timeout:g} s")
        self.wait()
        raise ExecutionError(f"sandbox {self._sandbox_id} {self._ended.reason} before it was ready")

    @wait_until_ready.awaiting
    async def _wait_until_ready_aio(self, *, timeout: float = 300) -> None:
        await in_thread(lambda: self.wait_until_ready(timeout=timeout))

    @blocking
    def terminate(self, *, wait: bool = False) -> int | None:
        """Kill it, and return when it has ended; one that has ended stays as it is.

        With `wait` its exit code is returned, else None. (reference: Sandbox.terminate)
        """
        if self._ended is None:
            self._note(self._call("Terminate", messages.SandboxTerminateRequest(sandbox_id=self._sandbox_id)))
        return self.returncode if wait else None

    @blocking
    def detach(self) -> None:
        """Send what was written to its input, and leave it alone: it runs on. (reference: Sandbox.detach)"""
        self._streams.stdin.drain()

    # What is in it

    @blocking
    def tunnels(self, timeout: float = 50) -> dict[int, Tunnel]:
        """Return, by the sandbox's port, where each port is reached from the service's host.

        `timeout` has no effect: they exist from the beginning. (reference: Sandbox.tunnels)
        """
        info = self._call("Get", messages.SandboxGetRequest(sandbox_id=self._sandbox_id))
        return Tunnels(self._sandbox_id, {item.port: tunnel_at(item) for item in info.tunnels})

    @blocking
    def get_tags(self) -> dict[str, str]:
        """Return its tags. (reference: Sandbox.get_tags)"""
        return self._call("Get", messages.SandboxGetRequest(sandbox_id=self._sandbox_id)).tags

    @blocking
    def set_tags(self, tags: Mapping[str, str], *, client: Client | None = None) -> None:
        """Replace its tags; raise NotFoundError when it has ended. (reference: Sandbox.set_tags)"""
        self._known_client = client or self._known_client
        self._call("SetTags", messages.SandboxSetTagsRequest(sandbox_id=self._sandbox_id, tags=options.tags_of(tags)))

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.terminate()

    async def __aenter__(self) -> Sandbox:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.terminate.aio()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sandbox) and other._sandbox_id == self._sandbox_id

    def __hash__(self) -> int:
        return hash(self._sandbox_id)

    def __repr__(self) -> str:
        return f"Sandbox({self._sandbox_id!r})"

    def __wherry_facts__(self) -> dict[str, Any]:
        code = self.returncode if self._ended is not None else None
        return {"state": "" if code is None else f"ended with {code}"}

    def __reduce__(self) -> Any:
        return Sandbox, (self._sandbox_id,)

    # Inside

    def __wherry_find__(self, client: Any) -> None:
        self._known_client = client or self._known_client
        self._note(self._call("Get", messages.SandboxGetRequest(sandbox_id=self._sandbox_id)))

    def __wherry_known__(self) -> bool:
        return True

    @property
    def _client(self) -> Client:
        if self._known_client is None:
            self._known_client = _default_client()
        return self._known_client

    def _call(self, verb: str, request: messages.Message) -> SandboxInfo:
        return self._client.call(f"Sandboxes.{verb}", request, SandboxInfo)

    def _note(self, info: SandboxInfo) -> None:
        if info.state != SandboxState.RUNNING:
            self._ended = info


# Within `Sandbox` the name is that of its method.
list_of = list


def _default_client() -> Client:
    from wherry._connection.client import default_client  # noqa: PLC0415 - start-up cost: loads the session

    return default_client()


def __getattr__(name: str) -> Any:
    if name in ("SidecarContainer", "SidecarManager"):
        from wherry._base.elsewhere import refused  # noqa: PLC0415 - start-up cost: only for those who name it

        return refused(f"modal.sandbox.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
