"""Hostile containers: one service per module, one container per place, many attacks."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.service import OwnService
from tests.hostile.places import Place, build_place, function_place, sandbox_place
from tests.own_engine import OwnEngine
from wherry._connection import client

PLACES = ("function", "sandbox", "build")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure the timeout over the tests alone: the first fixture may have to make the base image, or an engine."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(60, func_only=True))


@pytest.fixture(scope="session")
def runtime(request: pytest.FixtureRequest) -> str:
    """The OCI runtime that was asked for; "": the engine's default."""
    return str(request.config.getoption("--runtime"))


@pytest.fixture(scope="session")
def engine(runtime: str) -> Iterator[OwnEngine | None]:
    """An engine of the tests' own that knows the runtime; None: this machine's, with its default."""
    if not runtime:
        yield None
        return
    with OwnEngine.with_runtime(runtime) as engine:
        yield engine


@contextmanager
def running_service(engine: OwnEngine | None, environment: Mapping[str, str]) -> Iterator[OwnService]:
    """A service with a state directory of its own, which the SDK in this process talks to meanwhile."""
    state_dir = Path(tempfile.mkdtemp(prefix="wherry-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WHERRY_STATE_DIR", str(state_dir))
        patch.delenv("WHERRY_SERVER_URL", raising=False)
        for name, value in {**(engine.environment if engine else {}), **environment}.items():
            patch.setenv(name, value)
        # One client per process is kept, and it may be another service's.
        client._client_of.cache_clear()
        service = OwnService(state_dir, engine.command_prefix if engine else ())
        try:
            service.start()
            yield service
        finally:
            client.default_client().close()
            client._client_of.cache_clear()
            service.stop()
            shutil.rmtree(state_dir)


@pytest.fixture(scope="module")
def service(engine: OwnEngine | None, runtime: str) -> Iterator[OwnService]:
    """The service whose containers attack. A module with settings of its own overrides it."""
    with running_service(engine, {"WHERRY_CONTAINERS_RUNTIME": runtime} if runtime else {}) as service:
        yield service


@pytest.fixture(scope="module")
def places(service: OwnService) -> Iterator["Places"]:
    """All places, each made when it is first asked for."""
    with ExitStack() as stack:
        yield Places(stack)


class Places:
    """The places of a module, by name."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._made: dict[str, Place] = {}

    def __getitem__(self, name: str) -> Place:
        if name not in self._made:
            make = {"function": function_place, "sandbox": sandbox_place, "build": build_place}[name]
            self._made[name] = self._stack.enter_context(make())
        return self._made[name]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, places: Places) -> Place:
    """Each place in turn: the test is for all of them."""
    return places[request.param]


@pytest.fixture
def function(places: Places) -> Place:
    """A function's container alone."""
    return places["function"]


@pytest.fixture
def sandbox(places: Places) -> Place:
    """A sandbox alone."""
    return places["sandbox"]
