"""What a function or server says that it asks for: `info()`, as the service has it."""

import asyncio
from typing import Any

import pytest

import wherry
from tests.fakes.service import FakeService
from wherry import types
from wherry._connection.client import Client
from wherry_proto.messages import (
    BucketMount,
    FunctionDescribeRequest,
    FunctionDescription,
    FunctionInfo,
    FunctionSpec,
    GpuRequest,
    MethodSpec,
    PoolSettings,
    Resources,
    RetryPolicy,
    ScheduleSpec,
    ServerSpec,
    VolumeMount,
    WebSpec,
)

SPEC = FunctionSpec(
    name="f",
    image_id="im-1",
    resources=Resources(cpu_request=0.5, memory_request_mib=128, memory_limit_mib=256),
    pool=PoolSettings(
        max_concurrent_inputs=8,
        target_concurrent_inputs=4,
        max_batch_size=3,
        batch_wait_ms=20,
        single_use_containers=True,
    ),
    retry=RetryPolicy(max_retries=2),
    timeout_s=300,
    startup_timeout_s=30,
    block_network=True,
    gpus=[GpuRequest(type="L4", count=2)],
    secret_ids=["st-1", "st-2"],
    volumes=[VolumeMount(volume_id="vo-1", path="/data", read_only=True, sub_path="a")],
    network_file_systems=[VolumeMount(volume_id="sv-1", path="/old")],
    bucket_mounts=[BucketMount(path="/bucket", bucket="bin", key_prefix="x/")],
    schedule=ScheduleSpec(cron="0 9 * * *", timezone="Europe/Berlin"),
)


class Describing(FakeService):
    """Has one function, or a server."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = SPEC
        self.info = FunctionInfo(function_id="fu-1", name="f")

    def _info(self, function_id: str) -> FunctionInfo:
        return self.info if self.info.web_url else super()._info(function_id)

    def _functions_describe(self, request: FunctionDescribeRequest) -> FunctionDescription:
        return FunctionDescription(function=self.info, spec=self.spec, names={"st-1": "keys", "vo-1": "data"})


@pytest.fixture
def service() -> Describing:
    return Describing()


def double(x: int) -> int:
    return 2 * x


def test_a_function_says_what_it_asks_for(service: Describing, client: Client) -> None:
    app = wherry.App("app")
    f = app.function(name="f", serialized=True)(double)
    with app.run(client=client):
        info = f.info(refresh=True)
        assert asyncio.run(f.info.aio()) == info
    assert (info.cpu, info.memory_mib, info.gpus, info.ephemeral_disk_mib) == (0.5, (128, 256), [("L4", 2)], None)
    assert info.image_info == types.FunctionInfo.ImageInfo(None, "im-1")
    assert (info.timeout, info.startup_timeout, info.max_retries) == (300, 30, 2)
    assert info.batching_info == types.FunctionInfo.BatchingInfo(3, 20)
    assert info.concurrency_info == types.FunctionInfo.ConcurrencyInfo(8, 4)
    assert info.schedule == "Cron('0 9 * * *', timezone='Europe/Berlin')"
    assert (info.block_network, info.single_use_containers, info.restrict_modal_access) == (True, True, False)
    assert info.volumes == {
        "/data": types.VolumeMountInfo("data", "vo-1", True, "a"),
        "/old": types.VolumeMountInfo(None, "sv-1", False, None),
    }
    assert info.cloud_bucket_mounts == {"/bucket": types.CloudBucketMountInfo("bin", "s3", False, "x/")}
    # One without a name is told by its id.
    assert info.secrets == ["keys", "st-2"]
    assert (info.web_info, info.method_names, info.method_details, info.cloud) == (None, None, None, None)


def test_what_is_not_asked_for_is_none(service: Describing, client: Client) -> None:
    service.spec = FunctionSpec(name="f", schedule=ScheduleSpec(hours=2, seconds=0.5))
    service.info = FunctionInfo(
        function_id="fu-1",
        name="f",
        web_url="http://f.localhost",
        methods=[
            MethodSpec(
                name="get", web=WebSpec(method="POST", requires_proxy_auth=True), web_url="http://get.localhost"
            ),
            MethodSpec(name="plain"),
        ],
    )
    app = wherry.App("app")
    f = app.function(name="f", serialized=True)(double)
    with app.run(client=client):
        info = f.info()
        service.spec = FunctionSpec(name="f", web=WebSpec())
        web = f.info().web_info
    assert (info.cpu, info.memory_mib, info.gpus, info.max_retries, info.startup_timeout) == (
        None,
        None,
        [],
        None,
        None,
    )
    assert (info.batching_info, info.concurrency_info, info.volumes, info.secrets) == (None, None, {}, [])
    assert info.schedule == "Period(hours=2, seconds=0.5)"
    assert info.method_names == ["get", "plain"]
    assert info.method_details == {"get": types.FunctionInfo.WebInfo("http://get.localhost", "POST", False)}
    assert web == types.FunctionInfo.WebInfo("http://f.localhost", None, True)


def test_a_server_says_what_it_asks_for(service: Describing, client: Client) -> None:
    app = wherry.App("app")

    @app.server(port=8000, serialized=True)
    class Web:
        @wherry.enter()
        def start(self) -> None: ...

    made: Any = Web
    service.spec = FunctionSpec(
        name="Web",
        image_id="im-2",
        resources=Resources(cpu_request=1, cpu_limit=2),
        startup_timeout_s=20,
        web=WebSpec(port=8000, requires_proxy_auth=True, server=ServerSpec(exit_grace_s=5, max_sessions=3)),
    )
    service.info = FunctionInfo(function_id="fu-1", name="Web", web_url="http://web.localhost")
    with app.run(client=client):
        info = made.info()
        assert asyncio.run(made.info.aio(refresh=True)) == info
    assert (info.server_url, info.port, info.unauthenticated, info.sessioned) == (
        "http://web.localhost",
        8000,
        False,
        True,
    )
    assert (info.startup_timeout, info.exit_grace_period, info.cpu) == (20, 5, (1, 2))
    assert (info.image_info.image_id, info.compute_regions, info.h2_enabled) == ("im-2", None, False)


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        (ScheduleSpec(cron="0 9 * * *", timezone="UTC"), "Cron('0 9 * * *')"),
        (ScheduleSpec(seconds=1234567.0), "Period(seconds=1234567)"),
    ],
)
def test_a_schedule_is_as_it_was_written(
    service: Describing, client: Client, schedule: ScheduleSpec, text: str
) -> None:
    service.spec = FunctionSpec(name="f", schedule=schedule)
    app = wherry.App("app")
    f = app.function(name="f", serialized=True)(double)
    with app.run(client=client):
        assert f.info().schedule == text
