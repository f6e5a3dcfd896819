"""`config`, `Client`, `Environment` and `runner`, as programs for Modal use them."""

import asyncio
import io
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import wherry.call_graph
import wherry.client
import wherry.types
import wherry.volume
from tests.fakes.service import FakeService
from wherry import App, Client, Environment, experimental
from wherry._connection.client import Client as OwnClient
from wherry.config import Config, config, config_profiles, config_set_active_profile
from wherry.exception import InvalidError, NotFoundError
from wherry.functions import FunctionAutoscalerManager
from wherry.runner import DeployResult, deploy_app, interactive_shell, run_app
from wherry_proto.messages import (
    AppInfo,
    AppListRequest,
    AppListResponse,
    AppShowRequest,
    AppShowResponse,
    AppState,
    Deployment,
    DeploymentListResponse,
    DeploymentOrigin,
    EnvironmentCreateRequest,
    EnvironmentDeleteRequest,
    EnvironmentInfo,
    EnvironmentListResponse,
    FunctionInfo,
    FunctionStatus,
    FunctionUpdateRequest,
    Message,
    MethodSpec,
    PoolSettings,
)

BEGAN_MS = 1_700_000_000_000
PROFILES = """
active = "one"
[one]
server_url = "https://one.example:7433"
token_id = "tk-1"
token_secret = "ws-1"
environment = "dev"
[two]
server_url = "https://two.example:7433"
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Profiles of a user's own, and no variables that say otherwise."""
    path = tmp_path / "wherry.toml"
    path.write_text(PROFILES)
    monkeypatch.setenv("WHERRY_CONFIG_PATH", str(path))
    for name in ("SERVER_URL", "TOKEN_ID", "TOKEN_SECRET", "ENVIRONMENT", "PROFILE", "LOGLEVEL", "FORCE_BUILD"):
        # Set first, so that what a test sets is undone.
        monkeypatch.setenv(f"WHERRY_{name}", "")
        monkeypatch.delenv(f"WHERRY_{name}")
    return path


def test_settings_come_from_variables_then_profile_then_defaults(
    settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (config["server_url"], config["environment"]) == ("https://one.example:7433", "dev")
    assert (config.get("token_id"), config.get("token_secret"), config.get("profile")) == ("tk-1", "ws-1", "one")
    assert config.get("server_url", profile="two") == "https://two.example:7433"
    monkeypatch.setenv("WHERRY_ENVIRONMENT", "other")
    assert config["environment"] == "other"
    assert config.get("environment", use_env=False) == "dev"
    assert (config["loglevel"], config["force_build"], config["max_throttle_wait"]) == ("WARNING", False, None)
    monkeypatch.setenv("WHERRY_FORCE_BUILD", "1")
    assert config["force_build"] is True
    with pytest.raises(KeyError):
        config.get("nonsense")
    with pytest.raises(NotFoundError, match="no profile 'three'"):
        config.get("server_url", profile="three")
    assert config.to_dict()["token_id"] == "tk-1"
    assert "ws-1" not in repr(config)
    assert isinstance(config, Config)


def test_a_setting_is_set_for_this_process(settings: Path) -> None:
    config.override_locally("environment", "here")
    assert config["environment"] == "here"
    with pytest.raises(KeyError):
        config.override_locally("nonsense", "1")


def test_profiles_are_listed_and_activated(settings: Path) -> None:
    assert config_profiles() == ["one", "two"]
    config_set_active_profile("two")
    assert config["server_url"] == "https://two.example:7433"
    with pytest.raises(NotFoundError, match="no profile 'three'"):
        config_set_active_profile("three")


def test_a_client_is_that_of_the_process_and_closes(client: OwnClient, service: FakeService) -> None:
    assert Client is OwnClient is wherry.client.Client
    assert Client.from_env() is client
    assert asyncio.run(Client.from_env.aio()) is client
    client.hello()
    asyncio.run(client.hello.aio())
    assert [method for method, _ in service.requests] == ["Server.Info"] * 2
    other = OwnClient(service, "main")
    with other as entered:
        assert entered is other
        assert not other.is_closed()
    assert other.is_closed()


def test_a_client_with_another_token_needs_another_service(settings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Client.from_credentials("tk-9", "ws-9")
    assert made.environment == "dev"
    made.close()
    monkeypatch.setenv("WHERRY_SERVER_URL", "unix:///nowhere/wherry.sock")
    with pytest.raises(InvalidError, match=r"unix:///nowhere/wherry.sock, which needs no token; set WHERRY_SERVER_URL"):
        Client.from_credentials("tk-9", "ws-9")


class WithEnvironments(FakeService):
    """Also keeps environments, and an app in each."""

    def __init__(self) -> None:
        super().__init__()
        self.names = ["main"]

    def _environments_list(self, request: Message) -> EnvironmentListResponse:
        return EnvironmentListResponse(environments=[EnvironmentInfo(name=name) for name in self.names])

    def _environments_create(self, request: EnvironmentCreateRequest) -> EnvironmentInfo:
        self.names.append(request.name)
        return EnvironmentInfo(name=request.name)

    def _environments_delete(self, request: EnvironmentDeleteRequest) -> EnvironmentInfo:
        self.names.remove(request.name)
        return EnvironmentInfo(name=request.name)

    def _apps_list(self, request: AppListRequest) -> AppListResponse:
        found = AppInfo(app_id="ap-1", name=f"of-{request.environment}", state=AppState.DEPLOYED)
        return AppListResponse(apps=[found, AppInfo(app_id="ap-2", name="runs", state=AppState.EPHEMERAL)])


def test_environments_are_created_found_and_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    service = WithEnvironments()
    client = OwnClient(service, "main", give_up_s=5)
    with pytest.raises(NotFoundError, match=r"there is no environment 'mian'; did you mean 'main'\?"):
        Environment.from_name("mian", client=client).hydrate()
    made = Environment.from_name("dev", create_if_missing=True, client=client)
    assert (made.is_hydrated, made.object_id, made.name, made.is_hydrated) == (False, "dev", "dev", True)
    Environment.objects.create("test", client=client)
    assert [one.name for one in Environment.objects.list(client=client)] == ["main", "dev", "test"]
    asyncio.run(Environment.objects.delete.aio("test", client=client))
    assert service.names == ["main", "dev"]
    assert Environment.from_context(client=client).name == "main"
    looked_up: list[Any] = []
    monkeypatch.setattr(App, "lookup", lambda *given: looked_up.append(given))
    made.apps.list()
    assert looked_up == [("of-dev", client, "dev")]
    client.close()


def test_environments_have_no_accounts(client: OwnClient) -> None:
    made = Environment.from_name("dev")
    for name in ("members", "roles", "billing"):
        with pytest.raises(InvalidError, match=f"{name} is not in Wherry: "):
            getattr(made, name)
    with pytest.raises(InvalidError, match="restricted is not in Wherry: there are no accounts"):
        Environment.objects.create("x", restricted=True)


def test_apps_are_run_and_deployed_by_functions(client: OwnClient, monkeypatch: pytest.MonkeyPatch) -> None:
    app = App("mine")
    with run_app(app, client=client, name="other") as entered:
        assert entered is app

    async def run() -> None:
        async with run_app.aio(app, client=client) as entered:
            assert entered is app

    asyncio.run(run())
    with pytest.raises(InvalidError, match=r"interactive is not in Wherry: .*wherry run -i"):
        run_app(app, interactive=True)
    given: list[Any] = []
    monkeypatch.setattr(App, "deploy", lambda *parts: given.append(parts))
    monkeypatch.setattr(App, "app_id", "ap-1")
    assert deploy_app(app, "name", tag="v1") == DeployResult("ap-1", "", "", [])
    assert given == [(app, "name", None, None, "v1", "rolling")]
    with pytest.raises(InvalidError, match=r"staged is not in Wherry: .*wherry app rollback"):
        deploy_app(app, staged=True)
    with pytest.raises(InvalidError, match="interactive_shell is not in Wherry"):
        interactive_shell("ls")


def test_types_are_those_that_methods_return() -> None:
    assert wherry.types.InputInfo is wherry.call_graph.InputInfo
    assert wherry.types.InputStatus.SUCCESS is wherry.call_graph.InputStatus.SUCCESS
    assert wherry.types.FileEntry is wherry.volume.FileEntry
    assert wherry.types.DictInfo("d", datetime.now(UTC), None).name == "d"
    assert wherry.types.VolumeCreateOptions(a=1) == {"a": 1}
    with pytest.raises(AttributeError, match="nonsense"):
        _ = wherry.types.nonsense


def test_a_function_shows_how_it_scales_and_changes_it() -> None:
    shown = PoolSettings(min_containers=1, max_containers=0, buffer_containers=2, scaledown_window_s=30)

    class Showing(FakeService):
        def _apps_show(self, request: AppShowRequest) -> AppShowResponse:
            others = [
                FunctionStatus(function=FunctionInfo(function_id="fu-other"), pool=PoolSettings(min_containers=9))
            ]
            own = [FunctionStatus(function=FunctionInfo(function_id=one), pool=shown) for one in self.specs]
            return AppShowResponse(functions=others + own)

    service = Showing()
    client = OwnClient(service, "main", give_up_s=5)
    app = App("scaled")
    function = app.function(serialized=True)(lambda: 1)
    with app.run(client=client):
        expected = wherry.types.FunctionAutoscalerSettings(1, None, 30, 2)
        assert function.autoscaler.settings() == expected
        assert isinstance(function.autoscaler, FunctionAutoscalerManager)
        assert function.autoscaler.update(max_containers=None, min_containers=3, scaledown_window=None) == expected
        assert asyncio.run(function.autoscaler.settings.aio()) == expected
        with pytest.raises(InvalidError, match="changes nothing"):
            function.autoscaler.update()
    ((_, update),) = [one for one in service.requests if one[0] == "Functions.Update"]
    assert isinstance(update, FunctionUpdateRequest)
    assert update.fields == ["min_containers", "max_containers", "scaledown_window_s"]
    assert update.pool is not None
    assert (update.pool.min_containers, update.pool.max_containers, update.pool.scaledown_window_s) == (3, 0, 60)
    client.close()


def test_uploads_take_a_mode(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("true")
    batch = wherry.Volume.from_name("v").batch_upload()
    assert isinstance(batch, wherry.volume.VolumeUploadContextManager)
    batch.put_file(tmp_path / "run.sh", "a", mode=0o755)
    batch.put_file(tmp_path / "run.sh", "b")
    batch.put_file(io.BytesIO(b"x"), "c", 0o700)
    assert [(item.remote, item.executable) for item in batch._items.values()] == [
        ("a", True),
        ("b", False),
        ("c", True),
    ]


class WithApps(FakeService):
    """Also shows apps and their versions."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[AppShowRequest] = []

    def _apps_list(self, request: AppListRequest) -> AppListResponse:
        deployed = AppInfo(app_id="ap-1", name=f"of-{request.environment}", state=AppState.DEPLOYED, num_containers=2)
        return AppListResponse(apps=[deployed, AppInfo(app_id="ap-2", name="runs", state=AppState.EPHEMERAL)])

    def _apps_show(self, request: AppShowRequest) -> AppShowResponse:
        self.asked.append(request)
        infos = [
            FunctionInfo(function_id="fu-1", name="f"),
            FunctionInfo(function_id="fu-2", name="Model", methods=[MethodSpec(name="run")]),
            FunctionInfo(function_id="fu-3", name="s", pool=PoolSettings()),
        ]
        app = AppInfo(app_id="ap-1", name="mine", version=2, created_at_ms=BEGAN_MS, state=AppState.DEPLOYED)
        return AppShowResponse(app=app, functions=[FunctionStatus(function=info) for info in infos])

    def _deployments_list(self, request: Message) -> DeploymentListResponse:
        origin = DeploymentOrigin(token_name="ci")
        versions = [Deployment(version=n, created_at_ms=BEGAN_MS + n * 1000, origin=origin) for n in (1, 2)]
        return DeploymentListResponse(deployments=versions)


def test_deployed_apps_are_listed_and_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    service = WithApps()
    client = OwnClient(service, "main", give_up_s=5)
    assert experimental.list_deployed_apps(client=client) == [experimental.AppInfo("ap-1", "of-main", 2)]
    assert asyncio.run(experimental.list_deployed_apps.aio("dev", client))[0].name == "of-dev"
    objects = experimental.get_app_objects("mine", environment_name="dev", client=client)
    assert {name: type(one) for name, one in objects.items()} == {
        "f": wherry.Function,
        "Model": wherry.Cls,
        "s": wherry.Function,
    }
    assert (service.asked[0].app_name, service.asked[0].environment) == ("mine", "dev")
    shown = experimental.get_app_lifecycle("ap-1", client=client)
    assert (shown.version, shown.deployed_by, shown.created_by, shown.stopped_at) == (2, "ci", None, None)
    assert shown.deployed_at is not None
    assert (shown.deployed_at - shown.created_at).total_seconds() == 2
    app = App("mine")
    app.__wherry_owner__.deployed_id = "ap-1"
    monkeypatch.setattr("wherry._connection.client._client_of", lambda _pid: client)
    info = app.info(refresh=True)
    assert (info.app_id, info.description, info.functions) == ("ap-1", "mine", {"f": "fu-1", "Model": "fu-2"})
    assert info.servers == {"s": "fu-3"}
    assert (info.lifecycle.state, info.lifecycle.version) == (wherry.types.AppState.DEPLOYED, 2)
    assert info.lifecycle.state == "deployed"
    assert asyncio.run(app.info.aio()) == info
    stopped: list[Any] = []
    monkeypatch.setattr(App, "lookup", lambda *given: SimpleNamespace(stop=lambda client: stopped.append(given)))
    experimental.stop_app("mine", environment_name="dev", client=client)
    assert stopped == [("mine", client, "dev")]
    client.close()
