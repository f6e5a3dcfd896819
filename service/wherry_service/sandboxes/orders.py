"""From a sandbox's spec to what the node is asked to make: checks and limits."""

import ipaddress
import math
import re
from collections.abc import Mapping, Sequence

from wherry_proto.messages import Resources, SandboxCreateRequest, SandboxOutbound, SandboxSpec
from wherry_service.engines.engine import Gpu
from wherry_service.errors import InvalidRequest
from wherry_service.node.mounts import volume_orders
from wherry_service.node.node import BucketOrder
from wherry_service.node.sandbox import Outbound, SandboxOrder
from wherry_service.sandboxes.probes import check_probe
from wherry_service.sandboxes.settings import SandboxSettings

MAX_TIMEOUT_S = 86_400.0
MAX_PORTS = 32
MAX_TAGS = 64
MAX_COMMAND = 1 << 17
SOURCE_PATH = "/run/wherry/source"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
# Networks, and domains, of one sandbox.
MAX_LISTED = 100
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DOMAIN = re.compile(rf"\*\Z|(?:\*\.)?{_LABEL}(?:\.{_LABEL})*\.?\Z")
_GPU_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}\Z")


def check(request: SandboxCreateRequest) -> SandboxSpec:
    """Return the request's spec; raise `InvalidRequest` saying what of it can't be."""
    spec = request.spec
    if spec is None or not spec.image_id:
        raise InvalidRequest("a sandbox has no image")
    if request.name and not _NAME.match(request.name):
        raise InvalidRequest(
            f"a sandbox's name is {request.name[:80]!r}: it has 1 to 64 letters, digits, '.', '_' and '-', "
            "and begins with a letter or digit"
        )
    check_tags(request.tags)
    _check_command(spec)
    for name in spec.env:
        if not name or "=" in name or "\0" in name + spec.env[name]:
            raise InvalidRequest(f"env has {name[:80]!r}, which is not the name of a variable")
    if spec.workdir and not spec.workdir.startswith("/"):
        raise InvalidRequest(f"workdir is {spec.workdir[:80]!r}: it must be an absolute path")
    _within("timeout", spec.timeout_s, 1, MAX_TIMEOUT_S)
    _within("idle_timeout", spec.idle_timeout_s, 0, MAX_TIMEOUT_S)
    resources = spec.resources or Resources()
    _within("cpu", resources.cpu_limit, 0, 1024)
    _within("cpu", resources.cpu_request, 0, 1024)
    _within("memory", resources.memory_limit_mib, 0, 1 << 24)
    _within("memory", resources.memory_request_mib, 0, 1 << 24)
    for gpu in spec.gpus:
        _within("gpu count", gpu.count, 1, 64)
        if not _GPU_TYPE.match(gpu.type):
            raise InvalidRequest(f"{gpu.type[:64]!r} is no type of GPU")
    _check_ports(spec)
    if spec.outbound is not None:
        if spec.block_network:
            raise InvalidRequest(
                "a sandbox without network reaches nothing: leave out block_network=True, or the lists"
            )
        outbound_of(spec.outbound)
    if spec.probe is not None:
        check_probe(spec.probe)
    _check_inbound(spec)
    volume_orders("the sandbox", spec.volumes, spec.local_mounts, spec.bucket_mounts)
    for mount in spec.local_mounts:
        if not mount.remote_path.startswith("/") or mount.remote_path.rstrip("/") == "" or ":" in mount.remote_path:
            raise InvalidRequest(f"a mount's place is {mount.remote_path[:80]!r}: it must be an absolute path below /")
        if spec.copies_local_mounts:
            _check_copied(spec, mount.remote_path)
    return spec


def _check_inbound(spec: SandboxSpec) -> None:
    networks = spec.inbound.networks if spec.inbound is not None else []
    if len(networks) > MAX_LISTED:
        raise InvalidRequest(f"a sandbox's list of who reaches it has at most {MAX_LISTED} networks")
    for text in networks:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise InvalidRequest(
                f"{text[:64]!r} is no network that could reach a sandbox: write an address or network, as in "
                f"10.1.0.0/16 ({error})"
            ) from None


def outbound_of(given: SandboxOutbound) -> Outbound:
    """Return what a sandbox may reach; raise `InvalidRequest` for what is no network or domain."""
    if len(given.networks) > MAX_LISTED or len(given.domains) > MAX_LISTED:
        raise InvalidRequest(f"a sandbox's lists of what it may reach have at most {MAX_LISTED} networks and domains")
    networks = []
    for text in given.networks:
        try:
            networks.append(str(ipaddress.IPv4Network(text)))
        except ValueError as error:
            raise InvalidRequest(
                f"{text[:64]!r} is no network that a sandbox can reach: write an IPv4 address or network, as in "
                f"10.1.0.0/16 ({error}); sandboxes have no IPv6"
            ) from None
    domains = []
    for text in given.domains:
        if len(text) > 253 or not _DOMAIN.match(text):
            raise InvalidRequest(
                f"{text[:64]!r} is no domain that a sandbox can reach: write a name such as example.com, *.example.com "
                'for all below it, or "*" for all; no scheme, port or path'
            )
        domains.append(text.lower().removesuffix("."))
    return Outbound(tuple(dict.fromkeys(networks)), tuple(dict.fromkeys(domains)))


def _check_copied(spec: SandboxSpec, path: str) -> None:
    """See that what is copied into a sandbox goes into its own file system, and into nothing that others have too."""
    parts = path.split("/")
    if ".." in parts:
        raise InvalidRequest(f"files are added at {path[:80]!r}: the path must not contain '..'")
    for place in (*(mount.path for mount in spec.volumes), *(mount.path for mount in spec.bucket_mounts)):
        whole = place.strip("/").split("/")
        if [part for part in parts if part not in ("", ".")][: len(whole)] == whole:
            raise InvalidRequest(
                f"files are added at {path[:80]!r}, which is in the volume or bucket at {place}: add them elsewhere "
                "or write them into it"
            )


def check_tags(tags: Mapping[str, str], what: str = "a sandbox") -> None:
    """Raise `InvalidRequest` unless these can be the tags of a sandbox, or of `what` else."""
    if len(tags) > MAX_TAGS:
        raise InvalidRequest(f"{what} has at most {MAX_TAGS} tags, got {len(tags)}")
    for name, value in tags.items():
        if not name or len(name) > 256 or len(value) > 256:
            raise InvalidRequest(f"tag {name[:64]!r}: names have 1 to 256 characters, values at most 256")


def order_of(
    sandbox_id: str,
    app_id: str,
    spec: SandboxSpec,
    image: str,
    secrets: Mapping[str, str],
    settings: SandboxSettings,
    buckets: Sequence[BucketOrder] = (),
    gpu_ids: Sequence[str] = (),
) -> SandboxOrder:
    """Return what the node makes; its own variables win over those of its secrets (see `secrets_of`)."""
    resources = spec.resources or Resources()
    source = [(SOURCE_PATH, spec.source_id, False)] if spec.source_id else []
    local = [(mount.remote_path, mount.source_id, mount.is_file) for mount in spec.local_mounts]
    return SandboxOrder(
        sandbox_id=sandbox_id,
        app_id=app_id,
        image=image,
        command=tuple(spec.command),
        only_waits=spec.only_waits,
        env={**spec.env, **variables_of(sandbox_id, spec.image_id)},
        secrets=secrets,
        workdir=spec.workdir,
        cpu_limit=resources.cpu_limit or None,
        cpu_request=resources.cpu_request or None,
        memory_limit_mib=resources.memory_limit_mib or None,
        memory_request_mib=resources.memory_request_mib or None,
        disk_limit_mib=resources.ephemeral_disk_mib or None,
        gpus=tuple(Gpu(gpu.type, gpu.count) for gpu in spec.gpus),
        gpu_ids=gpu_ids,
        block_network=spec.block_network,
        outbound=outbound_of(spec.outbound) if spec.outbound is not None else None,
        pty=spec.pty,
        runtime=settings.runtime,
        pids_limit=settings.pids_limit,
        log_mib=settings.log_mib,
        trees=[*source, *(() if spec.copies_local_mounts else local)],
        copied_trees=local if spec.copies_local_mounts else (),
        volumes=volume_orders("the sandbox", spec.volumes, spec.local_mounts, spec.bucket_mounts),
        buckets=buckets,
    )


def variables_of(sandbox_id: str, image_id: str) -> dict[str, str]:
    """Return the variables that tell what runs in a sandbox where it is, under our names and Modal's."""
    return {
        "WHERRY_CONTAINER_ID": sandbox_id,
        "WHERRY_SANDBOX_ID": sandbox_id,
        "WHERRY_IMAGE_ID": image_id,
        "MODAL_SANDBOX_ID": sandbox_id,
        "MODAL_TASK_ID": sandbox_id,
        "MODAL_IMAGE_ID": image_id,
        "MODAL_CLOUD_PROVIDER": "wherry",
        "MODAL_REGION": "local",
    }


def secrets_of(spec: SandboxSpec, values: Mapping[str, str]) -> Mapping[str, str]:
    """Return the variables of a sandbox's secrets that its own do not replace; raise `InvalidRequest`."""
    for name, value in values.items():
        if "\0" in name + value:
            raise InvalidRequest(f"the secret variable {name[:80]!r} has a NUL character, which no variable can hold")
    own = variables_of("", "")
    return {name: value for name, value in values.items() if name not in spec.env and name not in own}


def _check_command(spec: SandboxSpec) -> None:
    if sum(len(part) for part in spec.command) > MAX_COMMAND:
        raise InvalidRequest(f"the command has over {MAX_COMMAND >> 10} KiB: write it into a file of the sandbox")
    if any("\0" in part for part in spec.command):
        raise InvalidRequest("the command contains a NUL character")
    if spec.command and spec.only_waits:
        raise InvalidRequest("a sandbox that only waits has no command")
    if spec.command and not spec.command[0]:
        raise InvalidRequest("the command's first part is empty: it names the program")


def _check_ports(spec: SandboxSpec) -> None:
    ports = [item.port for item in spec.ports]
    if ports and spec.block_network:
        raise InvalidRequest("a sandbox without network has no ports: leave out block_network=True, or the ports")
    if len(ports) > MAX_PORTS:
        raise InvalidRequest(f"a sandbox has at most {MAX_PORTS} tunnels, got {len(ports)}")
    if len(set(ports)) < len(ports):
        twice = next(port for port in ports if ports.count(port) > 1)
        raise InvalidRequest(f"port {twice} is named twice among the sandbox's ports: each has one tunnel")
    for port in ports:
        _within("a port", port, 1, 65535)


def _within(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high or math.isnan(value):
        raise InvalidRequest(f"a sandbox's {name} is {value:g}: it must be from {low:g} to {high:g}")
