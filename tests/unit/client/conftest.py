"""A fake service, and apps that run on it."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.service import FakeService
from wherry import App
from wherry._connection.client import Client
from wherry.cli import main as cli


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
            service.functions[made.written.name] = function
            stack.enter_context(app.run(client=client))
            return made

        yield run


SCRIPT = """
import wherry
app = wherry.App("demo")

@app.function()
def double(n: int) -> int:
    return n * 2

@app.function()
def fail(n: int) -> int:
    raise LookupError("bad", n)

@app.function()
def count(n: int):
    yield from range(n)
"""


@pytest.fixture
def run(
    service: FakeService,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Callable[..., int]:
    """Run `wherry run …` in this process: `run(script, *args)` → exit code."""
    functions: dict[str, Callable[..., object]] = {
        "double": lambda n: n * 2,
        "fail": _fail,
        "count": lambda n: (value for value in range(n)),
    }
    service.functions = functions
    stem = "script_" + re.sub(r"\W", "_", request.node.name)

    def run(script: str, *args: str) -> int:
        path = tmp_path / f"{stem}.py"
        path.write_text(SCRIPT + script)
        words = [word.replace("SCRIPT", str(path)) for word in args]
        monkeypatch.setattr("sys.argv", ["wherry", *words])
        monkeypatch.syspath_prepend(str(tmp_path))
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return int(caught.value.code or 0)

    return run


def _fail(n: int) -> int:
    raise LookupError("bad", n)
