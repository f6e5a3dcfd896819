"""Modules that programs written for Modal import, of 1.6 and of 2023, and what is in them."""

import importlib

import pytest

import wherry
import wherry.shared_volume
import wherry.stub
from tests.fakes.service import FakeService
from wherry import environments, runner

MODULES = (
    "aio app call_graph client cloud_bucket_mount cls config container_process dict environments exception "
    "experimental file_pattern_matcher functions gpu image io_streams mount network_file_system object output "
    "partial_function proxy queue retries runner sandbox schedule scheduler_placement secret shared_volume "
    "stream_type stub types version volume"
)


@pytest.mark.parametrize("name", MODULES.split())
def test_a_module_is_there_and_documented(name: str) -> None:
    assert importlib.import_module(f"wherry.{name}").__doc__


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("runner", "run_app deploy_app run_stub deploy_stub interactive_shell DeployResult"),
        ("stub", "Stub LocalEntrypoint"),
        ("shared_volume", "SharedVolume"),
        ("config", "config Config config_profiles config_set_active_profile logger user_config_path"),
        ("environments", "Environment ensure_env create_environment delete_environment list_environments"),
        ("client", "Client"),
        ("file_pattern_matcher", "FilePatternMatcher NON_PYTHON_FILES"),
        ("version", "__version__"),
    ],
)
def test_a_module_has_its_names(module: str, names: str) -> None:
    found = importlib.import_module(f"wherry.{module}")
    assert [name for name in names.split() if not hasattr(found, name)] == []


def test_the_module_of_early_2023_says_what_took_its_place() -> None:
    import wherry.aio

    with pytest.raises(AttributeError, match=r"no AioStub: .*await f\.remote\.aio\(1\).*Use wherry\.Stub"):
        wherry.aio.AioStub


def test_the_names_of_2023_are_those_of_now() -> None:
    assert runner.run_stub is runner.run_app
    assert runner.deploy_stub is runner.deploy_app
    assert wherry.stub.Stub is wherry.Stub
    assert issubclass(wherry.shared_volume.SharedVolume, wherry.NetworkFileSystem)


def test_the_environment_in_use(service: FakeService) -> None:
    assert environments.ensure_env("dev") == "dev"
    assert environments.ensure_env() == environments.ensure_env(None) == "main"


def test_an_app_is_run_as_in_2023(service: FakeService) -> None:
    service.functions = {"double": lambda n: n * 2}
    app = wherry.Stub("by-runner")
    remote = app.function()(double)
    with runner.run_stub(app) as running:
        assert running is app
        assert remote.remote(4) == 8


def double(n: int) -> int:
    return n * 2
