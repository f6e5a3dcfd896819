"""What functions and servers ask for: the part of `wherry.types` that their `info()` returns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VolumeMountInfo:
    """A volume where a function has it; `name` is None for one without. (reference: types.VolumeMountInfo)"""

    name: str | None
    volume_id: str | None
    read_only: bool
    sub_path: str | None


@dataclass(frozen=True)
class CloudBucketMountInfo:
    """A bucket where a function has it; `bucket_type` is "s3". (reference: types.CloudBucketMountInfo)"""

    bucket_name: str
    bucket_type: str
    read_only: bool
    key_prefix: str | None


@dataclass(frozen=True)
class ServerContainerInfo:
    """A container of a server, and where it listens. (reference: types.ServerContainerInfo)"""

    container_id: str
    host: str
    port: int


@dataclass(frozen=True)
class _ImageInfo:
    """An image; `image_name` is None: functions have images by their ids."""

    image_name: str | None
    image_id: str | None


@dataclass(frozen=True)
class _ClusterInfo:
    """Of a cluster, which there is none of here."""

    size: int
    rdma: bool
    fabric_size: int | None


@dataclass(frozen=True)
class FunctionInfo:
    """What a function asks for. (reference: types.FunctionInfo)

    `cpu` in cores and `memory_mib`, each a request or (request, limit); times in seconds; `schedule` as in
    "Cron('0 9 * * *')". What is a cloud's is None: `regions`, `routing_region`, `cloud`, `cluster_info`.
    """

    @dataclass(frozen=True)
    class ImageInfo(_ImageInfo):
        """Its image. (reference: types.FunctionInfo.ImageInfo)"""

    @dataclass(frozen=True)
    class WebInfo:
        """Where it answers requests, and which; `method` None: all. (reference: types.FunctionInfo.WebInfo)"""

        web_url: str
        method: str | None
        unauthenticated: bool

    @dataclass(frozen=True)
    class ConcurrencyInfo:
        """How many inputs a container takes at once. (reference: types.FunctionInfo.ConcurrencyInfo)"""

        max_inputs: int | None
        target_inputs: int | None

    @dataclass(frozen=True)
    class BatchingInfo:
        """How inputs become batches. (reference: types.FunctionInfo.BatchingInfo)"""

        max_batch_size: int
        wait_ms: int

    @dataclass(frozen=True)
    class ClusterInfo(_ClusterInfo):
        """Of a cluster: never here. (reference: types.FunctionInfo.ClusterInfo)"""

    cpu: float | tuple[float, float] | None
    memory_mib: int | tuple[int, int] | None
    gpus: list[tuple[str, int]]
    ephemeral_disk_mib: int | None
    image_info: FunctionInfo.ImageInfo
    startup_timeout: int | None
    timeout: int
    max_retries: int | None
    nonpreemptible: bool
    regions: list[str] | None
    routing_region: str | None
    cloud: str | None
    cluster_info: FunctionInfo.ClusterInfo | None
    batching_info: FunctionInfo.BatchingInfo | None
    concurrency_info: FunctionInfo.ConcurrencyInfo | None
    schedule: str | None
    restrict_modal_access: bool
    block_network: bool
    single_use_containers: bool
    volumes: dict[str, VolumeMountInfo]
    cloud_bucket_mounts: dict[str, CloudBucketMountInfo]
    secrets: list[str]
    web_info: FunctionInfo.WebInfo | None
    method_names: list[str] | None
    method_details: dict[str, FunctionInfo.WebInfo] | None
    _inner_server_info: None = None


@dataclass(frozen=True)
class ServerInfo:
    """What a server asks for; as `FunctionInfo` says it. (reference: types.ServerInfo)"""

    @dataclass(frozen=True)
    class ImageInfo(_ImageInfo):
        """Its image. (reference: types.ServerInfo.ImageInfo)"""

    @dataclass(frozen=True)
    class ClusterInfo(_ClusterInfo):
        """Of a cluster: never here. (reference: types.ServerInfo.ClusterInfo)"""

    server_url: str
    port: int
    unauthenticated: bool
    h2_enabled: bool
    routing_region: str | None
    sessioned: bool
    startup_timeout: int
    exit_grace_period: int
    image_info: ServerInfo.ImageInfo
    cpu: float | tuple[float, float] | None
    memory_mib: int | tuple[int, int] | None
    gpus: list[tuple[str, int]]
    ephemeral_disk_mib: int | None
    nonpreemptible: bool
    compute_regions: list[str] | None
    cloud: str | None
    cluster_info: ServerInfo.ClusterInfo | None
    volumes: dict[str, VolumeMountInfo]
    cloud_bucket_mounts: dict[str, CloudBucketMountInfo]
    secrets: list[str]
