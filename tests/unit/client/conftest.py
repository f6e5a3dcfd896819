"""A fake service, and apps that run on it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.fakes.service import FakeService
from wherry import App
from wherry._connection.client import Client


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def client(service: FakeService) -> Iterator[Client]:
    client = Client(service, "main", give_up_s=5)
    yield client
    client.close()


@pytest.fixture(autouse=True)
def own_client(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """What asks for this process's client gets the test's: one that is made here would last for all later tests."""
    monkeypatch.setattr("wherry._connection.client._client_of", lambda _pid: request.getfixturevalue("client"))


@pytest.fixture
def running(service: FakeService, client: Client) -> Iterator[Callable[..., Any]]:
    """Make a function of an app that runs: `running(f)`."""
    with ExitStack() as stack:

        def run(function: Callable[..., Any], **options: Any) -> Any:
            app = App("test")
            made = app.function(serialized=True, **options)(function)
            service.functions[made.info.name] = function
            stack.enter_context(app.run(client=client))
            return made

        yield run
