"""Hostile containers: one service per module, one container per place, many attacks."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.service import OwnService, give_time, own_service
from tests.hostile.places import Place, build_place, function_place, sandbox_place
from tests.own_engine import OwnEngine

PLACES = ("function", "sandbox", "build")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    give_time(items, Path(__file__).parent, 60)


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
    """A service on an engine, with these variables."""
    prefix = engine.command_prefix if engine else ()
    with own_service(prefix, {**(engine.environment if engine else {}), **environment}) as service:
        yield service


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
