"""What methods return and take beside the objects themselves."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wherry._base.infos import CloudBucketMountInfo as CloudBucketMountInfo  # noqa: PLC0414 - part of this module
from wherry._base.infos import FunctionInfo as FunctionInfo  # noqa: PLC0414 - part of this module
from wherry._base.infos import ServerContainerInfo as ServerContainerInfo  # noqa: PLC0414 - part of this module
from wherry._base.infos import ServerInfo as ServerInfo  # noqa: PLC0414 - part of this module
from wherry._base.infos import VolumeMountInfo as VolumeMountInfo  # noqa: PLC0414 - part of this module


class FileType(enum.Enum):
    """What a file of a sandbox is. (reference: types.FileType)"""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"


@dataclass(frozen=True)
class FileInfo:
    """A file or directory of a sandbox. (reference: types.FileInfo)

    `size` in bytes; `mode` has the permission bits, `permissions` shows them as in "rw-r--r--"; `modified_time` in
    seconds since 1970; `symlink_target` is None for all but symbolic links.
    """

    name: str
    path: str
    type: FileType
    size: int
    mode: int
    permissions: str
    owner: str
    group: str
    modified_time: float
    symlink_target: str | None

    def is_file(self) -> bool:
        """Whether it is a file."""
        return self.type is FileType.FILE

    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return self.type is FileType.DIRECTORY

    def is_symlink(self) -> bool:
        """Whether it is a symbolic link."""
        return self.type is FileType.SYMLINK


class FileWatchEventType(enum.Enum):
    """What happened to a file of a sandbox. (reference: types.FileWatchEventType)"""

    Unknown = "Unknown"
    Access = "Access"
    Create = "Create"
    Modify = "Modify"
    Remove = "Remove"


@dataclass(frozen=True)
class FileWatchEvent:
    """A change that `Sandbox.filesystem.watch` has seen: of which paths, and what. (reference: types.FileWatchEvent)"""

    paths: list[str]
    type: FileWatchEventType


@dataclass(frozen=True)
class ServerAutoscalerSettings:
    """How a server scales: requests for each container, counts of containers, and seconds; None: no limit, or default.

    (reference: types.ServerAutoscalerSettings)
    """

    target_concurrency: float | None = None
    min_containers: int | None = None
    max_containers: int | None = None
    buffer_containers: int | None = None
    scaleup_window: int | None = None
    scaledown_window: int | None = None


@dataclass(frozen=True)
class SandboxConnectCredentials:
    """With what a sandbox is reached over HTTP. (reference: types.SandboxConnectCredentials)"""

    url: str
    token: str


@dataclass(frozen=True)
class FunctionAutoscalerSettings:
    """How a function scales: counts of containers, and seconds; None: no limit.

    (reference: types.FunctionAutoscalerSettings)
    """

    min_containers: int | None
    max_containers: int | None
    scaledown_window: int | None
    buffer_containers: int | None


@dataclass(frozen=True)
class ServerSessionCredentials:
    """A session of a server; its requests carry the token. (reference: types.ServerSessionCredentials)"""

    session_id: str
    token: str


class AppState(enum.StrEnum):
    """How an app stands. (reference: types.AppState)"""

    EPHEMERAL = "ephemeral"
    DETACHED = "detached"
    DEPLOYED = "deployed"
    STOPPING = "stopping"
    STOPPED = "stopped"
    INITIALIZING = "initializing"
    DISABLED = "disabled"


@dataclass(frozen=True)
class AppLifecycle:
    """When an app was created, deployed and stopped, in UTC. (reference: types.AppLifecycle)

    `deployed_by` is the name of a token. `created_by` and `stopped_by` are None: nobody notes them.
    """

    state: AppState
    version: int | None
    created_at: datetime
    created_by: str | None
    deployed_at: datetime | None
    deployed_by: str | None
    stopped_at: datetime | None
    stopped_by: str | None


@dataclass(frozen=True)
class AppInfo:
    """An app, and the ids of its functions, classes and servers by name. (reference: types.AppInfo)"""

    app_id: str
    description: str
    lifecycle: AppLifecycle
    functions: dict[str, str]
    servers: dict[str, str]


@dataclass(frozen=True)
class CallRecord:
    """What became of one input: `Function.calls` gives these.

    `state` is "queued", "running", "retrying", "succeeded", "failed", "timeout", "cancelled", "lost" (its container
    ended) or "rejected" (too many waited); `kind` is "remote", "map", "generator", "spawn", "spawn_map", "web" or
    "schedule". Times are in UTC, None where it has not come so far; sizes in bytes. `index` is its position within the
    call. `version` is the app's, None where it is not deployed. `retries` counts further attempts, `losses` containers
    that were lost with it. `error` is the first line of what it raised. `kept`: its arguments are, so it can be run
    again; `replay_of` and `replayed_by` are inputs that are runs of the same arguments.
    """

    input_id: str
    function_call_id: str
    index: int
    state: str
    kind: str
    app_name: str
    function_name: str
    function_id: str
    version: int | None
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    container_id: str | None
    retries: int
    losses: int
    argument_bytes: int
    result_bytes: int
    error: str | None
    kept: bool
    parent_input_id: str | None
    replay_of: str | None
    replayed_by: str | None

    @property
    def queue_seconds(self) -> float | None:
        """How long it waited until a container began it, the last time; None if none has."""
        if self.queued_at is None or self.started_at is None:
            return None
        return max(0.0, (self.started_at - self.queued_at).total_seconds())

    @property
    def run_seconds(self) -> float | None:
        """How long its last attempt ran; None if it has not ended."""
        if self.started_at is None or self.ended_at is None:
            return None
        return max(0.0, (self.ended_at - self.started_at).total_seconds())


@dataclass(frozen=True)
class StatsPercentile:
    """One percentile, from 0 to 100, and the value that so many do not exceed. (reference: types.StatsPercentile)"""

    percentile: float
    value: float


@dataclass(frozen=True)
class StatsPercentileDistribution:
    """How values are spread; `unit` is "s". (reference: types.StatsPercentileDistribution)"""

    unit: str
    percentiles: list[StatsPercentile]


@dataclass(frozen=True)
class FunctionStats:
    """How a function did between `since` and `until`. (reference: types.FunctionStats)

    Failures are inputs that raised, lost their container or were rejected; timeouts are counted apart.
    `input_percentile_stats` has "queue_time" and "run_time", `container_percentile_stats` "start_time", each only if
    there was any. `input_running_at_end_count` and `backlog` are those of now. `retry_count` counts further attempts.
    """

    since: datetime
    until: datetime
    input_success_count: int
    input_failure_count: int
    input_timeout_count: int
    input_running_at_end_count: int
    input_percentile_stats: dict[str, StatsPercentileDistribution]
    container_started_count: int
    container_error_count: int
    container_creating_at_end_count: int
    container_percentile_stats: dict[str, StatsPercentileDistribution]
    container_total_count: int
    variant_count: int
    all_variants: bool
    input_cancelled_count: int = 0
    retry_count: int = 0
    backlog: int = 0


@dataclass(frozen=True)
class AppStats:
    """How an app did between `since` and `until`. (reference: types.AppStats)

    `deployment_count` is None in containers, which are not told of versions.
    """

    @dataclass(frozen=True)
    class CallCounts:
        """Inputs that have ended. Failed are also those that timed out, lost their container or were rejected."""

        total: int
        succeeded: int
        failed: int

    @dataclass(frozen=True)
    class RequestCounts:
        """Requests to a server that have ended."""

        total: int
        ok: int
        failed: int

    @dataclass(frozen=True)
    class ContainerCounts:
        """Containers that were there, and those that ended otherwise than they were told to."""

        errors: int
        total: int

    @dataclass(frozen=True)
    class FunctionCounts:
        """What is counted of functions."""

        calls: AppStats.CallCounts
        containers: AppStats.ContainerCounts

    @dataclass(frozen=True)
    class ServerCounts:
        """What is counted of servers."""

        requests: AppStats.RequestCounts
        containers: AppStats.ContainerCounts

    @dataclass(frozen=True)
    class SandboxCounts:
        """Sandboxes that were there, that had ended when the interval did, and that had not."""

        total: int
        finished: int
        live: int

    @dataclass(frozen=True)
    class FunctionStats:
        """One function; `object_id` is its id, "fu-…"."""

        object_id: str
        counts: AppStats.FunctionCounts

    @dataclass(frozen=True)
    class ServerStats:
        """One server; `object_id` is its id, "fu-…"."""

        object_id: str
        counts: AppStats.ServerCounts

    @dataclass(frozen=True)
    class FunctionStatsGroup:
        """All functions together, and each: `group["name"]`."""

        total: AppStats.FunctionCounts
        by_name: dict[str, AppStats.FunctionStats]

        def __getitem__(self, name: str) -> AppStats.FunctionStats:
            return self.by_name[name]

    @dataclass(frozen=True)
    class ServerStatsGroup:
        """All servers together, and each: `group["name"]`."""

        total: AppStats.ServerCounts
        by_name: dict[str, AppStats.ServerStats]

        def __getitem__(self, name: str) -> AppStats.ServerStats:
            return self.by_name[name]

    since: datetime
    until: datetime
    functions: AppStats.FunctionStatsGroup
    servers: AppStats.ServerStatsGroup
    sandboxes: AppStats.SandboxCounts
    lifecycle: AppLifecycle
    deployment_count: int | None


class VolumeCreateOptions(dict[str, Any]):
    """Options of a volume that is created; they make no difference. (reference: types.VolumeCreateOptions)"""


# Names of the reference's module that are at home elsewhere.
_ELSEWHERE = {
    "DictInfo": "_objects.infos",
    "FileEntry": "_objects.volume_files",
    "FileEntryType": "_objects.volume_files",
    "InputInfo": "call_graph",
    "InputStatus": "call_graph",
    "QueueInfo": "_objects.infos",
    "SecretInfo": "_objects.infos",
    "VolumeInfo": "_objects.infos",
}
# Those of a cloud's bills and accounts.
_REFUSED = (
    "BillingReportItem", "EnvironmentBillingSummary", "MemberTokenInfo", "ProxyTokenInfo", "SandboxGroupStats",
    "SandboxStats", "ServiceUserInfo", "TokenData", "WorkspaceBillingSummary", "WorkspaceMemberInfo",
    "WorkspaceSettings",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _ELSEWHERE:
        from importlib import import_module  # noqa: PLC0415 - start-up cost: few programs name these

        return getattr(import_module(f"wherry.{_ELSEWHERE[name]}"), name)
    if name in _REFUSED:
        from wherry._base.elsewhere import refused  # noqa: PLC0415 - start-up cost: as above

        return refused(f"modal.types.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
