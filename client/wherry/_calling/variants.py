"""Variants of functions and classes: other parameters or options, in containers of their own."""

import io
import pickle
from typing import TYPE_CHECKING, Any

from wherry._base.checks import number
from wherry._calling.caller import Caller
from wherry._connection import pickling
from wherry._define.options import ELSEWHERE, OLD_NAMES, FunctionOptions, known_options, translate
from wherry._define.recipe import Recipe
from wherry.exception import InvalidError, SerializationError
from wherry.secret import Secret
from wherry.types import FunctionAutoscalerSettings
from wherry_proto.messages import (
    AppShowRequest,
    AppShowResponse,
    Format,
    FunctionBindRequest,
    FunctionEndSessionRequest,
    FunctionEndSessionResponse,
    FunctionInfo,
    FunctionLookupRequest,
    FunctionSession,
    FunctionSpec,
    FunctionStartSessionRequest,
    FunctionUpdateRequest,
    Message,
    Payload,
    PoolSettings,
)

if TYPE_CHECKING:
    from wherry._define.places import Placed

# Which fields of the function's description an option is.
_FIELDS: dict[str, tuple[str, ...]] = {
    "env": ("env",),
    "cpu": ("resources.cpu_request", "resources.cpu_limit"),
    "memory": ("resources.memory_request_mib", "resources.memory_limit_mib"),
    "gpu": ("gpus",),
    "retries": ("retry",),
    "timeout": ("timeout_s",),
    "startup_timeout": ("startup_timeout_s",),
    "max_containers": ("pool.max_containers",),
    "min_containers": ("pool.min_containers",),
    "buffer_containers": ("pool.buffer_containers",),
    "scaledown_window": ("pool.scaledown_window_s",),
    "allow_concurrent_inputs": ("pool.max_concurrent_inputs", "pool.target_concurrent_inputs"),
    "single_use_containers": ("pool.single_use_containers",),
    "ephemeral_disk": ("resources.ephemeral_disk_mib",),
    "block_network": ("block_network",),
    "image": ("image_id", "local_mounts"),
    "max_inputs": ("pool.single_use_containers",),
    "secrets": ("secret_ids",),
    "volumes": ("volumes", "bucket_mounts"),
    "network_file_systems": ("network_file_systems",),
}


# Seconds that a session may wait for a container, and some for the way.
SESSION_WITHIN_S = 330.0
# Of a server: the field, the least and the most beside 0, the unit, and whether it is a whole number.
_SERVER = {
    "target_concurrency": ("target_concurrency", 0.01, 1000, "", False),
    "min_containers": ("min_containers", 1, 1000, "", True),
    "max_containers": ("max_containers", 1, 1000, "", True),
    "buffer_containers": ("buffer_containers", 1, 1000, "", True),
    "scaleup_window": ("scaleup_window_s", 0.1, 86_400, "s", False),
    "scaledown_window": ("scaledown_window_s", 0.1, 86_400, "s", False),
}


class Changes:
    """What is otherwise than in the function it was made of."""

    def __init__(
        self,
        fields: tuple[str, ...],
        spec: FunctionSpec,
        image: Recipe | None = None,
        secrets: tuple[Secret, ...] | None = None,
        volumes: "Placed | None" = None,
        network_file_systems: "Placed | None" = None,
    ) -> None:
        self.fields = fields
        self.spec = spec
        # What is brought up before it is asked for; None: as it was.
        self.image = image
        self.secrets = secrets
        self.volumes = volumes
        self.network_file_systems = network_file_systems

    @property
    def retries(self) -> int:
        """How often a failed input runs again, as far as that changes."""
        return self.spec.retry.max_retries if self.spec.retry is not None else 0

    def over(self, earlier: "Changes | None") -> "Changes":
        """Return both, these where they differ."""
        if earlier is None:
            return self
        spec = FunctionSpec(pool=PoolSettings())
        for changes in (earlier, self):
            for name in changes.fields:
                _copy(name, changes.spec, spec)
        fields = tuple(dict.fromkeys((*earlier.fields, *self.fields)))
        pairs = zip(self.brought, earlier.brought, strict=True)
        return Changes(fields, spec, *(mine if mine is not None else its for mine, its in pairs))

    @property
    def brought(self) -> tuple[Any, ...]:
        """What is brought up for its containers: image, secrets, volumes, network file systems; None: as it was."""
        return self.image, self.secrets, self.volumes, self.network_file_systems

    def bring_up(self, base: Caller) -> None:
        """Make what its containers need, and write that into the spec."""
        if all(one is None for one in self.brought):
            return
        from wherry._publish.bring_up import bring_up  # noqa: PLC0415 - start-up cost: only where these differ
        from wherry._publish.needs import Needs  # noqa: PLC0415 - start-up cost: as above

        needs = Needs(
            self.image,
            secrets=self.secrets or (),
            volumes=self.volumes or (),
            network_file_systems=self.network_file_systems or (),
        )
        (ready,) = bring_up(base.client, [needs], app_id=base.app_id, environment=base.environment).ready
        ready.fill(self.spec)

    def __reduce__(self) -> Any:
        from wherry_proto import rows  # noqa: PLC0415 - start-up cost: only for handles that travel

        parts: list[bytes] = []
        return _changes, (self.fields, rows.to_row(self.spec, parts), b"".join(parts), *self.brought)


def _changes(fields: tuple[str, ...], row: Any, body: bytes, *brought: Any) -> Changes:
    from wherry_proto import rows  # noqa: PLC0415 - start-up cost: as above

    return Changes(fields, rows.from_row(FunctionSpec, _filled_up(FunctionSpec, row), body), *brought)


def _filled_up(kind: type[Message], row: Any) -> Any:
    """Return a row with the fields that have come since it was pickled."""
    from wherry_proto import rows  # noqa: PLC0415 - start-up cost: as above
    from wherry_proto.kinds import fields_of  # noqa: PLC0415 - start-up cost: as above

    filled = [*row, *rows.to_row(kind(), [])[len(row) :]]
    for field in fields_of(kind):
        if field.message is not None and not field.repeated and filled[field.at] is not None:
            filled[field.at] = _filled_up(field.message, filled[field.at])
    return filled


def known_changes() -> list[str]:
    """Return the names of options that `changes_of` takes."""
    return [name for name in known_options() if name in _FIELDS or name in OLD_NAMES or name in ELSEWHERE]


def changes_of(given: dict[str, Any]) -> Changes:
    """Return the changes that options make; raise InvalidError for one that can't differ, or out of range."""
    # An empty dict of volumes is how one says that they stay as they are. (reference: Function.with_options)
    options = translate({name: value for name, value in given.items() if value != {}}, stacklevel=4)
    for name in options:
        if name not in _FIELDS:
            raise InvalidError(f"with_options has no option {name!r}; it has {', '.join(sorted(_FIELDS))}")
    checked = FunctionOptions(**options)
    spec = FunctionSpec()
    checked.fill(spec)
    fields = tuple(field for name in options for field in _FIELDS[name])
    return Changes(
        fields,
        spec,
        options.get("image"),
        checked.secrets if "secrets" in options else None,
        checked.volumes if "volumes" in options else None,
        checked.network_file_systems if "network_file_systems" in options else None,
    )


def concurrency(max_inputs: int, target_inputs: int | None) -> Changes:
    """Return the change to so many inputs at once in a container."""
    most = int(number("max_inputs", max_inputs, 1, 1000, "", 1, whole=True))
    target = int(number("target_inputs", target_inputs, 1, most, "", most, whole=True))
    pool = PoolSettings(max_concurrent_inputs=most, target_concurrent_inputs=target)
    return Changes(("pool.max_concurrent_inputs", "pool.target_concurrent_inputs"), FunctionSpec(pool=pool))


def batching(max_batch_size: int, wait_ms: int) -> Changes:
    """Return the change to other sizes of batches."""
    pool = PoolSettings(
        max_batch_size=int(number("max_batch_size", max_batch_size, 1, 1000, "", 1, whole=True)),
        batch_wait_ms=int(number("wait_ms", wait_ms, 0, 600_000, "ms", 0, whole=True)),
    )
    return Changes(("pool.max_batch_size", "pool.batch_wait_ms"), FunctionSpec(pool=pool))


def bind(base: Caller, parameters: bytes | None, changes: Changes | None) -> Caller:
    """Ask for the variant; return who calls it."""
    request = FunctionBindRequest(function_id=base.function_id)
    if parameters is not None:
        request.parameters = Payload(format=Format.PICKLE, data=parameters, size=len(parameters))
    if changes is not None:
        changes.bring_up(base)
        request.changes, request.fields = changes.spec, list(changes.fields)
    return base.like(base.client.call("Functions.Bind", request, FunctionInfo))


def update(
    caller: Caller,
    min_containers: int | None,
    max_containers: int | None,
    buffer_containers: int | None,
    scaledown_window: float | None,
) -> None:
    """Change how a running function scales, by what is not None."""
    pool = PoolSettings(
        min_containers=int(number("min_containers", min_containers, 0, 1000, "", 0, whole=True)),
        max_containers=int(number("max_containers", max_containers, 1, 1000, "", 0, whole=True)),
        buffer_containers=int(number("buffer_containers", buffer_containers, 0, 1000, "", 0, whole=True)),
        scaledown_window_s=number("scaledown_window", scaledown_window, 0, 86_400, "s", 0),
    )
    given = {
        "min_containers": min_containers,
        "max_containers": max_containers,
        "buffer_containers": buffer_containers,
        "scaledown_window_s": scaledown_window,
    }
    fields = [name for name, value in given.items() if value is not None]
    if not fields:
        raise InvalidError("update_autoscaler changes nothing: give it min_containers, max_containers, …")
    request = FunctionUpdateRequest(function_id=caller.function_id, pool=pool, fields=fields)
    caller.client.call("Functions.Update", request, FunctionInfo)


def pool_of(caller: Caller) -> PoolSettings:
    """Return how a server scales now."""
    request = FunctionLookupRequest(function_id=caller.function_id)
    return caller.client.call("Functions.Lookup", request, FunctionInfo).pool or PoolSettings()


def settings_of(caller: Caller) -> FunctionAutoscalerSettings:
    """Return how a function of a running app scales now."""
    shown = caller.client.call("Apps.Show", AppShowRequest(app_id=caller.app_id), AppShowResponse)
    found = (one.pool for one in shown.functions if one.function and one.function.function_id == caller.function_id)
    pool = next(found, None) or PoolSettings()
    return FunctionAutoscalerSettings(
        min_containers=pool.min_containers,
        max_containers=pool.max_containers or None,
        scaledown_window=int(pool.scaledown_window_s) or None,
        buffer_containers=pool.buffer_containers,
    )


def update_server(caller: Caller, given: dict[str, float | None]) -> PoolSettings:
    """Change how a server scales by what is given, None being 0; return how it scales then."""
    if not given:
        raise InvalidError("update_autoscaler changes nothing: give it target_concurrency, min_containers, …")
    pool, fields = PoolSettings(), []
    for name, value in given.items():
        field, low, high, unit, whole = _SERVER[name]
        # 0 is no target, no least and no most, as None is.
        checked = number(name, value or None, low, high, unit, 0, whole=whole)
        setattr(pool, field, int(checked) if whole else checked)
        fields.append(field)
    request = FunctionUpdateRequest(function_id=caller.function_id, pool=pool, fields=fields)
    return caller.client.call("Functions.Update", request, FunctionInfo).pool or PoolSettings()


def start_session(caller: Caller, idle_timeout_s: float) -> FunctionSession:
    """Begin a session of a server."""
    request = FunctionStartSessionRequest(function_id=caller.function_id, idle_timeout_s=idle_timeout_s)
    client = caller.client
    found = client.persist(lambda: client.transport.call("Functions.StartSession", request, SESSION_WITHIN_S))
    assert isinstance(found, FunctionSession)
    return found


def end_session(caller: Caller, token: str) -> None:
    """End a session of a server."""
    request = FunctionEndSessionRequest(function_id=caller.function_id, token=token)
    caller.client.call("Functions.EndSession", request, FunctionEndSessionResponse)


def pickled(arguments: tuple[tuple[Any, ...], dict[str, Any]], name: str) -> bytes:
    """Pickle a class's arguments; equal ones give equal bytes, as far as their own pickling allows."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, pickling.PROTOCOL)
    # Without its memory of what it has seen: one string twice and two equal strings are the same then.
    pickler.fast = True
    try:
        pickler.dump(arguments)
    except (RecursionError, ValueError):
        return pickling.dumps(arguments, False)
    except pickling.UNPICKLABLE:
        try:
            return pickling.dumps(arguments, False)
        except pickling.UNPICKLABLE as error:
            raise SerializationError(f"the arguments of {name} can't be sent: {error}; pass plain data") from error
    return buffer.getvalue()


def _copy(name: str, source: Any, target: Any) -> None:
    outer, _, inner = name.rpartition(".")
    if outer:
        if getattr(target, outer) is None:
            setattr(target, outer, type(getattr(source, outer))())
        source, target = getattr(source, outer), getattr(target, outer)
    setattr(target, inner, getattr(source, inner))
