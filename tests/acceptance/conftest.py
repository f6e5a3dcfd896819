"""One service and one app for all acceptance tests: what a container start costs is paid once per function."""

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import wherry
from tests.acceptance.service import OwnService, give_time, own_service
from tests.waiting import wait_until


class _WithoutClosing:
    """`os` for ptyprocess: between fork and exec it would close what threads of gRPC still poll there, who then abort.

    All descriptors are closed by exec anyway.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def closerange(self, low: int, high: int) -> None:
        pass


vars(importlib.import_module("ptyprocess.ptyprocess"))["os"] = _WithoutClosing()

RunApp = Callable[[wherry.App], AbstractContextManager[wherry.App]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    give_time(items, Path(__file__).parent, 120)


@pytest.fixture(scope="session")
def service() -> Iterator[OwnService]:
    """A running service with its own state; the SDK in this process and in its children talks to it."""
    with own_service() as service:
        yield service


@pytest.fixture(scope="session")
def base(service: OwnService) -> str:
    """The tag of what `Image.debian_slim()` begins with, for Dockerfiles: a fresh engine has it not yet."""
    wherry.Image.debian_slim().build()
    return "wherry/base:bookworm"


@pytest.fixture(scope="session")
def run_app(service: OwnService) -> RunApp:
    """Run an app, and check when it has stopped that no container of it is left."""

    @contextmanager
    def run(app: wherry.App) -> Iterator[wherry.App]:
        with app.run():
            app_id = app.app_id
            assert app_id is not None
            yield app
        assert service.containers(app=app_id) == [], "containers are left of an app that has stopped"

    return run


@pytest.fixture(scope="session")
def calls(run_app: RunApp) -> Iterator[ModuleType]:
    """The module `apps.calls`, its app running for the whole session."""
    from tests.acceptance.apps import calls

    with run_app(calls.app):
        yield calls


@pytest.fixture
def is_running(calls: ModuleType) -> Callable[[wherry.Function[..., object]], None]:
    """Wait until a container works on an input of a function."""

    def wait(function: wherry.Function[..., object]) -> None:
        wait_until(lambda: function.get_current_stats().num_active_runners > 0, f"{function} runs an input")

    return wait


@pytest.fixture(scope="session")
def environment(service: OwnService) -> dict[str, str]:
    """The environment of other client processes of the same service."""
    return dict(os.environ, PYTHONWARNINGS="error")
