"""The parameters of `@app.function`: checked where they are written, kept until the app runs."""

from __future__ import annotations

from wherry._base.checks import DAY_S, environment, number, pair
from wherry._base.hints import TYPE_CHECKING, Any
from wherry._define.marks import NEEDS_MAX_INPUTS, batched_mark, concurrent_mark
from wherry._define.recipe import Recipe, checked_recipe
from wherry.context import is_local
from wherry.exception import DeprecationError, InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wherry._define.on_failure import Hearer
    from wherry._define.places import Placed
    from wherry.gpu import Gpu
    from wherry.mount import Mount
    from wherry.retries import Retries
    from wherry.schedule import Schedule
    from wherry.secret import Secret
    from wherry_proto.messages import FunctionSpec

DEFAULT_TIMEOUT_S = 300.0
DEFAULT_WINDOW_S = 60.0

# What is asked for in another way here: accepted and ignored, with a warning.
_NOT_YET = (
    "interactive",
)  # fmt: skip
# What parameters begin with that nobody is to rely on.
_PRIVATE = ("_experimental_", "_allow_")
# What means nothing on one's own machines: `_base.elsewhere` says of each what happens to it.
ELSEWHERE = (
    "cloud", "compute_region", "enable_memory_snapshot", "experimental_options", "h2_enabled", "i6pn",
    "nonpreemptible", "proxy", "region", "restrict_modal_access", "routing_region",
)  # fmt: skip
OLD_NAMES = {
    "concurrency_limit": "max_containers",
    "keep_warm": "min_containers",
    "container_idle_timeout": "scaledown_window",
    "secret": "secrets",
    "mount": "mounts",
    "shared_volumes": "network_file_systems",
}


# large: an attribute for each option of `@app.function`
class FunctionOptions:
    """What one function asks for. All values are in range; raises InvalidError when made with others."""

    __slots__ = (
        "batch_wait_ms", "block_network", "buffer_containers", "cpu", "env", "ephemeral_disk", "gpus", "image",
        "include_source", "max_batch_size", "max_containers", "max_inputs", "memory", "min_containers", "mounts",
        "network_file_systems", "on_failure", "retries", "scaledown_window", "scaleup_window", "schedule", "secrets",
        "serialized", "single_use_containers", "startup_timeout", "target_concurrency", "target_inputs", "timeout",
        "volumes",
    )  # fmt: skip

    def __init__(
        self,
        *,
        image: Recipe | None = None,
        env: Mapping[str, str] | None = None,
        cpu: float | tuple[float, float] | None = None,
        memory: int | tuple[int, int] | None = None,
        retries: int | Retries | None = None,
        timeout: float | None = None,
        startup_timeout: float | None = None,
        max_containers: int | None = None,
        min_containers: int | None = None,
        buffer_containers: int | None = None,
        scaledown_window: float | None = None,
        allow_concurrent_inputs: int | None = None,
        serialized: bool = False,
        block_network: bool = False,
        include_source: bool | None = None,
        gpu: Any = None,
        ephemeral_disk: int | None = None,
        single_use_containers: bool = False,
        max_inputs: int | None = None,
        secrets: Sequence[Secret] = (),
        volumes: Mapping[str, Any] | None = None,
        network_file_systems: Mapping[str, Any] | None = None,
        mounts: Any = (),
        schedule: Schedule | None = None,
        on_failure: Any = None,
    ) -> None:
        self.image = checked_recipe(image)
        self.env = environment(env)
        self.secrets: tuple[Secret, ...] = ()
        if secrets:
            from wherry.secret import secrets_of  # noqa: PLC0415 - start-up cost: only where there are secrets

            self.secrets = secrets_of("secrets", secrets)
        self.cpu = pair("cpu", cpu, 0.01, 1024, "cores")
        self.memory = pair("memory", memory, 16, 1 << 24, "MiB", whole=True)
        self.retries: Retries | None = None
        if retries is not None:
            from wherry.retries import Retries  # noqa: PLC0415 - start-up cost: only for functions that have some

            self.retries = Retries.of(retries)
        self.timeout = number("timeout", timeout, 1, DAY_S, "s", DEFAULT_TIMEOUT_S)
        self.startup_timeout = number("startup_timeout", startup_timeout, 1, DAY_S, "s", DEFAULT_TIMEOUT_S)
        self.max_containers = int(number("max_containers", max_containers, 1, 10_000, "", 0, whole=True))
        self.min_containers = int(number("min_containers", min_containers, 0, 10_000, "", 0, whole=True))
        self.buffer_containers = int(number("buffer_containers", buffer_containers, 0, 10_000, "", 0, whole=True))
        self.scaledown_window = number("scaledown_window", scaledown_window, 0.1, DAY_S, "s", DEFAULT_WINDOW_S)
        # 0: not said; `marked_by` may then say it.
        self.max_inputs = int(number("allow_concurrent_inputs", allow_concurrent_inputs, 1, 1000, "", 0, whole=True))
        self.target_inputs = 0
        # Of servers.
        self.target_concurrency = self.scaleup_window = 0.0
        self.max_batch_size = 0
        self.batch_wait_ms = 0
        self.gpus = gpus(gpu)
        self.volumes = _placed("volumes", volumes)
        self.network_file_systems = _placed("network_file_systems", network_file_systems)
        self.mounts = _mounts(mounts)
        self.ephemeral_disk = int(number("ephemeral_disk", ephemeral_disk, 1, 1 << 24, "MiB", 0, whole=True))
        if max_inputs not in (None, 1):
            raise InvalidError(
                f"max_inputs is {max_inputs!r}: a container takes one input, with max_inputs=1 or "
                "single_use_containers=True, or any number; how many at once says @wherry.concurrent"
            )
        self.single_use_containers = bool(single_use_containers) or max_inputs == 1
        self.serialized = bool(serialized)
        self.block_network = bool(block_network)
        self.include_source = include_source is not False
        self.schedule: Schedule | None = None
        if schedule is not None:
            from wherry.schedule import schedule_of  # noqa: PLC0415 - start-up cost: only for functions that have one

            self.schedule = schedule_of(schedule)
        self.on_failure: Hearer | None = None
        if on_failure is not None:
            from wherry._define.on_failure import hearer_of  # noqa: PLC0415 - start-up cost: only where there is one

            self.on_failure = hearer_of(on_failure)
        if self.max_containers and self.min_containers > self.max_containers:
            raise InvalidError(
                f"min_containers is {self.min_containers}, more than max_containers ({self.max_containers})"
            )
        self._check_single_use("allow_concurrent_inputs", self.max_inputs)

    def marked_by(self, target: Any) -> FunctionOptions:
        """Return these options with what `@concurrent` and `@batched` on a function or class add to them.

        Raises InvalidError where the two contradict each other.
        """
        concurrent, batched = concurrent_mark(target), batched_mark(target)
        if concurrent is None and batched is None:
            return self
        marked = object.__new__(FunctionOptions)
        for name in self.__slots__:
            setattr(marked, name, getattr(self, name))
        if concurrent is not None:
            if not concurrent[0]:
                raise InvalidError(NEEDS_MAX_INPUTS)
            if self.max_inputs:
                raise InvalidError(
                    f"{target.__qualname__} has both allow_concurrent_inputs={self.max_inputs} and "
                    f"@wherry.concurrent(max_inputs={concurrent[0]}): leave out allow_concurrent_inputs, the older name"
                )
            marked.max_inputs, marked.target_inputs = concurrent
            marked._check_single_use("@wherry.concurrent max_inputs", marked.max_inputs)
        if batched is not None:
            marked.max_batch_size, marked.batch_wait_ms = batched
            marked._check_single_use("@wherry.batched max_batch_size", marked.max_batch_size)
        return marked

    def _check_single_use(self, name: str, inputs: int) -> None:
        if self.single_use_containers and inputs > 1:
            raise InvalidError(
                f"single_use_containers=True gives each container one input, and {name} is {inputs}: leave out either"
            )

    def fill(self, spec: FunctionSpec) -> None:
        """Write these options into the function's description."""
        from wherry_proto.messages import GpuRequest, PoolSettings, Resources  # noqa: PLC0415 - start-up cost: not needed to import wherry

        cpu_request, cpu_limit = self.cpu
        memory_request, memory_limit = self.memory
        spec.resources = Resources(
            cpu_request=cpu_request,
            cpu_limit=cpu_limit,
            memory_request_mib=int(memory_request),
            memory_limit_mib=int(memory_limit),
            ephemeral_disk_mib=self.ephemeral_disk,
        )
        spec.pool = PoolSettings(
            min_containers=self.min_containers,
            max_containers=self.max_containers,
            buffer_containers=self.buffer_containers,
            scaledown_window_s=self.scaledown_window,
            max_concurrent_inputs=self.max_inputs or 1,
            target_concurrent_inputs=self.target_inputs,
            max_batch_size=self.max_batch_size,
            batch_wait_ms=self.batch_wait_ms,
            single_use_containers=self.single_use_containers,
            target_concurrency=self.target_concurrency,
            scaleup_window_s=self.scaleup_window,
        )
        spec.gpus = [GpuRequest(type=gpu.type, count=gpu.count) for gpu in self.gpus]
        spec.retry = self.retries.message() if self.retries is not None else None
        spec.timeout_s = self.timeout
        spec.startup_timeout_s = self.startup_timeout
        spec.env = dict(self.env)
        spec.block_network = self.block_network
        spec.schedule = self.schedule.message() if self.schedule is not None else None
        spec.on_failure = self.on_failure.message() if self.on_failure is not None else None


def known_options() -> set[str]:
    """Return the names that `translate` takes."""
    code = FunctionOptions.__init__.__code__
    own = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    return {*own, *_NOT_YET, *ELSEWHERE, *OLD_NAMES}


def translate(given: dict[str, Any], stacklevel: int) -> dict[str, Any]:
    """Return the options that are set, under their newer names.

    Warns of old names and of those without meaning here; raises InvalidError for what there can't be.
    """
    options: dict[str, Any] = {}
    known = known_options()
    if given.get("secret") is not None and given.get("secrets"):
        from wherry.secret import secrets_of  # noqa: PLC0415 - start-up cost: as above

        # The one pair of names that could be given together.
        both = (*secrets_of("secret", given["secret"]), *secrets_of("secrets", given["secrets"]))
        given = {**given, "secret": both, "secrets": None}
    for name, value in given.items():
        if name.startswith(_PRIVATE):
            _ignore(name, "it is an experiment of Modal's", stacklevel + 1)
            continue
        if name not in known:
            import difflib  # noqa: PLC0415 - start-up cost: only for this message

            near = difflib.get_close_matches(name, known, n=1)
            raise InvalidError(f"there is no parameter {name!r}{f'; did you mean {near[0]!r}?' if near else ''}")
        if value is None or (name in _NOT_YET and not value):
            continue
        if name in _NOT_YET:
            _ignore(name, "`wherry run -i` gives a function the terminal", stacklevel + 1)
            continue
        if name in ELSEWHERE:
            if value and is_local():
                from wherry._base.elsewhere import meet  # noqa: PLC0415 - start-up cost: only for such options

                meet(name, stacklevel + 1)
            continue
        new = OLD_NAMES.get(name)
        if new is not None:
            if given.get(new) is not None:
                raise InvalidError(f"{name} and {new} are the old and the new name of one parameter: give only {new}")
            # The container runs the same source; saying it once, here, is enough.
            if is_local():
                import warnings  # noqa: PLC0415 - start-up cost: only where an old name is used

                warnings.warn(f"{name} is now called {new}", DeprecationError, stacklevel=stacklevel + 1)
        # Modal takes it for a number.
        options[new or name] = 1 if name == "allow_concurrent_inputs" and value is True else value
    return options


def _ignore(name: str, why: str, stacklevel: int) -> None:
    if is_local():
        import warnings  # noqa: PLC0415 - start-up cost: only where there is something to say

        warnings.warn(f"{name} is ignored: {why}", UserWarning, stacklevel=stacklevel + 1)


def _placed(parameter: str, given: Any) -> Placed:
    if not given:
        return ()
    from wherry._define.places import placed  # noqa: PLC0415 - start-up cost: only for functions that have some

    return placed(parameter, given)


def _mounts(given: Any) -> tuple[Mount, ...]:
    if not given:
        return ()
    from wherry.mount import mounts_of  # noqa: PLC0415 - start-up cost: only for functions that have some

    return mounts_of(given)


def gpus(value: Any) -> tuple[Gpu, ...]:
    """Return the kinds of GPU asked for, the first that there is being taken; raise InvalidError for none known."""
    if value is None or value is False:
        return ()
    from wherry.gpu import parse  # noqa: PLC0415 - start-up cost: only for functions that ask for one

    return parse(value)
