"""Fixtures for pytest: functions run in the test's process, are faked, or run on a service of the tests' own.

Write `pytest_plugins = ["wherry.testing"]` into the top `conftest.py`. Failures are then shown without Wherry's own
frames.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cloudpickle
import pytest

from wherry._base.blocking import blocking, iterating
from wherry._calling.app_run import AppRun
from wherry._connection import client as connection
from wherry._define.marks import batched_mark
from wherry.app import App
from wherry.exception import ExecutionError, InvalidError
from wherry.function import Function

__all__ = ["Call", "Calls", "wherry_faked", "wherry_local", "wherry_service"]

# What is the service's, and would lead the tests elsewhere.
_VARIABLES = (
    "WHERRY_SERVER_URL", "WHERRY_PROFILE", "WHERRY_TOKEN_ID", "WHERRY_TOKEN_SECRET", "WHERRY_ENVIRONMENT",
    "WHERRY_TLS_CA",
)  # fmt: skip


class Call(NamedTuple):
    """A call that was made: the function's name, "Class.method" for a method, and what it was given."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Calls:
    """What becomes of calls in a test, and those that were made so far, in `made`."""

    def __init__(self, runs: bool) -> None:
        self.made: list[Call] = []
        self._runs = runs
        self._fakes: dict[str, Any] = {}

    def fake(self, function: Function[..., Any] | str, answer: Any) -> None:
        """Have calls of a function, or of all that have this name, give `answer`: a value, or what a callable returns.

        The callable is given the call's arguments; what it raises the call raises.
        """
        self._fakes[function if isinstance(function, str) else function.name] = answer

    def answer(self, function: Function[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Inside wherry: return what a call gives, of a generator function what it yields."""
        self.made.append(Call(function.name, args, kwargs))
        # As on the way to a container: what can't be sent is an error here, too, and nobody shares an object.
        args, kwargs = _copied((args, kwargs))
        if function.name in self._fakes:
            answer = self._fakes[function.name]
            return _copied(_settled(answer(*args, **kwargs) if callable(answer) else answer))
        if not self._runs:
            raise ExecutionError(f'{function.name} is not faked: write wherry_faked.fake("{function.name}", …)')
        if function.definition is None:
            raise ExecutionError(
                f'{function.name} was looked up, so its code is not here: write .fake("{function.name}", …)'
            )
        if batched_mark(function.definition.function) is not None:
            one = {name: [value] for name, value in kwargs.items()}
            (value,) = _settled(function.local(*([value] for value in args), **one))
            return _copied(value)
        return _copied(_settled(function.local(*args, **kwargs)))


class Results:
    """What a map gives here: for `for` and `async for`, as there."""

    def __init__(self, values: Iterable[Any]) -> None:
        self._values = iter(values)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return next(self._values)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        over = object()
        value = await asyncio.to_thread(next, self._values, over)
        if value is over:
            raise StopAsyncIteration
        return value

    def close(self) -> None:
        """Run nothing more."""
        self._values = iter(())

    async def aclose(self) -> None:
        """As `close`."""
        self.close()


class Spawned:
    """What `spawn` gives here: it has run already."""

    def __init__(self, outcomes: list[tuple[Any, BaseException | None]]) -> None:
        self._outcomes = outcomes
        self.object_id = f"fc-{id(self):026d}"

    @blocking
    def get(self, timeout: float | None = None, *, index: int = 0) -> Any:
        """Return the value, or raise what the function raised."""
        value, error = self._outcomes[index]
        if error is not None:
            raise error
        return value

    @blocking
    def cancel(self, terminate_containers: bool = False) -> None:
        """Do nothing: it has ended."""

    @blocking
    def num_inputs(self) -> int:
        """Return how many inputs it has."""
        return len(self._outcomes)

    @iterating
    def iter(self, start: int = 0, end: int | None = None) -> Results:
        """Iterate the values."""
        indices = range(len(self._outcomes))[start:end]
        return Results(self.get(index=index) for index in indices)


@pytest.fixture
def wherry_local(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Run functions in this process, whichever way they are called: without a service, an engine or containers."""
    return _installed(Calls(runs=True), monkeypatch)


@pytest.fixture
def wherry_faked(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Give calls what the test says by `fake`; those of other functions raise ExecutionError."""
    return _installed(Calls(runs=False), monkeypatch)


@pytest.fixture(scope="session")
def wherry_service() -> Generator[Path, None, None]:
    """Start a service of the tests' own where it is first needed, on this machine's engine; it ends with the tests.

    Its value is the service's state directory, which is removed.
    """
    # Short: the path of a Unix socket has at most 107 characters.
    state_dir = Path(tempfile.mkdtemp(prefix="wherry-"))
    with pytest.MonkeyPatch.context() as patch:
        for name in _VARIABLES:
            patch.delenv(name, raising=False)
        patch.setenv("WHERRY_STATE_DIR", str(state_dir))
        # There is none: the user's active profile may be a service with something to lose.
        patch.setenv("WHERRY_CONFIG_PATH", str(state_dir / "no-profiles.toml"))
        # One client of each process is kept, and this one may be another service's.
        connection._client_of.cache_clear()  # noqa: SLF001 - nobody else has to forget it
        try:
            yield state_dir
        finally:
            connection.default_client().close()
            connection._client_of.cache_clear()  # noqa: SLF001 - as above
            command = [sys.executable, "-m", "wherry", "server", "stop"]
            subprocess.run(command, env=dict(os.environ), capture_output=True, check=False)
            shutil.rmtree(state_dir, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport() -> None:
    """Have failures shown without the frames of Wherry's own modules."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ("wherry", "wherry_proto") and module is not None:
            module.__dict__.setdefault("__tracebackhide__", True)


def _installed(calls: Calls, patch: pytest.MonkeyPatch) -> Calls:
    def remote(function: Function[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        _check_kind(function, "remote", False)
        return calls.answer(function, args, kwargs)

    def remote_gen(function: Function[..., Any], /, *args: Any, **kwargs: Any) -> Results:
        _check_kind(function, "remote_gen", True)
        return Results(calls.answer(function, args, kwargs))

    def rows_of(iterables: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        return zip(*(_listed(each) for each in iterables), strict=False)

    def run_all(
        function: Function[..., Any], rows: Iterable[Any], kwargs: dict[str, Any], return_exceptions: bool
    ) -> Iterator[Any]:
        for row in rows:
            try:
                value = calls.answer(function, tuple(row), kwargs)
            except Exception as error:
                if not return_exceptions:
                    raise
                yield error
                continue
            if _is_generator(function):
                yield from value
            else:
                yield value

    def map_(
        function: Function[..., Any], /, *iterables: Any, kwargs: dict[str, Any] | None = None, **how: Any
    ) -> Results:
        return Results(run_all(function, rows_of(iterables), kwargs or {}, bool(how.get("return_exceptions"))))

    def starmap(
        function: Function[..., Any], /, input_iterator: Any, *, kwargs: dict[str, Any] | None = None, **how: Any
    ) -> Results:
        rows = _listed(input_iterator)
        return Results(run_all(function, rows, kwargs or {}, bool(how.get("return_exceptions"))))

    def for_each(
        function: Function[..., Any],
        /,
        *iterables: Any,
        kwargs: dict[str, Any] | None = None,
        ignore_exceptions: bool = False,
    ) -> None:
        for _ in run_all(function, rows_of(iterables), kwargs or {}, ignore_exceptions):
            pass

    def outcome(
        function: Function[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Any, BaseException | None]:
        try:
            return calls.answer(function, args, kwargs), None
        except Exception as error:  # noqa: BLE001 - `get` raises it
            return None, error

    def spawn(function: Function[..., Any], /, *args: Any, **kwargs: Any) -> Spawned:
        return Spawned([outcome(function, args, kwargs)])

    def spawn_map(function: Function[..., Any], /, *iterables: Any, kwargs: dict[str, Any] | None = None) -> Spawned:
        return Spawned([outcome(function, row, kwargs or {}) for row in rows_of(iterables)])

    patch.setattr(Function, "remote", blocking(remote))
    patch.setattr(Function, "remote_gen", iterating(remote_gen))
    patch.setattr(Function, "map", iterating(map_))
    patch.setattr(Function, "starmap", iterating(starmap))
    patch.setattr(Function, "for_each", blocking(for_each))
    patch.setattr(Function, "spawn", blocking(spawn))
    patch.setattr(Function, "spawn_map", blocking(spawn_map))
    patch.setattr(App, "run", iterating(lambda app, *args, **options: AppRun(app, _nothing, _nothing)))
    patch.setattr(connection, "_client_of", _no_service)
    return calls


def _nothing() -> None:
    """Begin and end nothing."""


def _no_service(pid: int) -> Any:
    raise ExecutionError(
        "this test runs without a service: fake the function that needs one, or use the fixture wherry_service instead"
    )


def _is_generator(function: Function[..., Any]) -> bool:
    return function.definition is not None and function.definition.is_generator


def _check_kind(function: Function[..., Any], how: str, generator: bool) -> None:
    if function.definition is not None and function.definition.is_generator is not generator:
        other = "remote_gen" if not generator else "remote"
        kind = "a generator function" if not generator else "no generator function"
        raise InvalidError(f"{function.name} is {kind}: use {function.name}.{other}(...) instead of .{how}(...)")


def _copied(value: Any) -> Any:
    return cloudpickle.loads(cloudpickle.dumps(value))


def _settled(value: Any) -> Any:
    """Return what a coroutine returns, and what a generator yields as a list."""
    if hasattr(value, "__await__"):
        return _run(value)
    if hasattr(value, "__anext__"):
        return _run(_collected(value))
    return list(value) if isinstance(value, Generator) else value


async def _collected(values: AsyncIterator[Any]) -> list[Any]:
    return [value async for value in values]


def _listed(values: Any) -> Iterable[Any]:
    return _run(_collected(aiter(values))) if hasattr(values, "__aiter__") else values  # type: ignore[no-any-return]


def _run(awaitable: Any) -> Any:
    """Run it to its end on a loop of its own: this thread may have one that runs already."""
    found: list[Any] = []

    async def work() -> Any:
        return await awaitable

    def run() -> None:
        try:
            found.append((asyncio.run(work()), None))
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread that called
            found.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    value, error = found[0]
    if error is not None:
        raise error
    return value
