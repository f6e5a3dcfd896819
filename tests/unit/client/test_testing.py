"""`wherry.testing`: what a program's own tests use."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import wherry
from wherry.testing import Call, Calls, wherry_faked, wherry_local

__all__ = ["wherry_faked", "wherry_local"]

PAGE = Path(__file__).parents[3] / "docs/testing.md"

app = wherry.App("tested")


@app.function()
def double(n: int, by: int = 2) -> int:
    return n * by


@app.function()
async def later(n: int) -> int:
    await asyncio.sleep(0)
    return n + 1


@app.function()
def count(n: int) -> Iterator[int]:
    yield from range(n)


@app.function()
async def count_later(n: int) -> AsyncIterator[int]:
    for each in range(n):
        yield each


@app.function()
@wherry.batched(max_batch_size=4, wait_ms=10)
def batch(ns: list[int]) -> list[str]:
    return [str(n) for n in ns]


@app.function()
def fails(n: int) -> int:
    raise ValueError(f"no {n}")


@app.function()
def count_to_two(n: int) -> Iterator[int]:
    if n > 2:
        raise ValueError(f"no {n}")
    yield from range(n)


@app.function()
def changes(values: list[int]) -> list[int]:
    values.append(1)
    return values


@app.cls()
class Greeter(wherry.Parametrized):
    greeting: str = wherry.parameter(default="hello")

    @wherry.enter()
    def load(self) -> None:
        self.loaded = True

    @wherry.method()
    def greet(self, name: str) -> str:
        return f"{self.greeting}, {name}, {self.loaded}"


def test_every_way_of_calling_runs_here(wherry_local: Calls) -> None:
    with app.run():
        assert double.remote(2) == 4
        assert later.remote(1) == 2
        assert list(count.remote_gen(3)) == [0, 1, 2]
        assert list(count_later.remote_gen(2)) == [0, 1]
        assert list(double.map([1, 2], [3, 4])) == [3, 8]
        assert list(double.map([1], kwargs={"by": 5})) == [5]
        assert list(double.starmap([(1, 3), (2, 4)])) == [3, 8]
        assert list(count.map([1, 2])) == [0, 0, 1]
        assert batch.remote(7) == "7"
        assert list(batch.map([1, 2])) == ["1", "2"]
        double.for_each([1, 2])
        call = double.spawn(4)
        assert (call.get(timeout=1), call.num_inputs()) == (8, 1)
        assert list(double.spawn_map([1, 2]).iter()) == [2, 4]
        assert Greeter(greeting="hi").greet.remote("you") == "hi, you, True"
        assert double.with_options(cpu=2).remote(3) == 6
    assert wherry_local.made[0] == Call("double", (2,), {})
    assert wherry_local.made[-2].name == "Greeter.greet"


def test_the_asynchronous_forms_run_here_too(wherry_local: Calls) -> None:
    async def work() -> None:
        async with app.run():
            assert await double.remote.aio(2) == 4
            assert await later.remote.aio(1) == 2
            # Blocking in a coroutine function.
            assert later.remote(1) == 2
            assert [value async for value in double.map.aio([1, 2])] == [2, 4]
            assert [value async for value in count.remote_gen.aio(2)] == [0, 1]
            assert await (await double.spawn.aio(4)).get.aio() == 8
            await double.for_each.aio([1])

    asyncio.run(work())


def test_errors_are_those_of_the_function(wherry_local: Calls) -> None:
    with pytest.raises(ValueError, match="no 1"):
        fails.remote(1)
    call = fails.spawn(2)
    with pytest.raises(ValueError, match="no 2"):
        call.get()
    assert [str(error) for error in fails.map([1, 2], return_exceptions=True)] == ["no 1", "no 2"]
    fails.for_each([1], ignore_exceptions=True)
    with pytest.raises(ValueError, match="no 3"):
        list(fails.map([3]))
    with pytest.raises(wherry.exception.InvalidError, match=r"count is a generator function: use count.remote_gen"):
        count.remote(1)


def test_an_error_of_a_generator_function_takes_its_place_in_a_map(wherry_local: Calls) -> None:
    found = list(count_to_two.map([1, 3], return_exceptions=True))
    assert (found[0], str(found[1])) == (0, "no 3")
    with pytest.raises(ValueError, match="no 3"):
        list(count_to_two.map([3]))


def test_nothing_is_shared_and_what_can_not_be_sent_is_an_error(wherry_local: Calls) -> None:
    own: list[int] = []
    assert changes.remote(own) == [1]
    assert own == []
    with PAGE.open() as file, pytest.raises(TypeError):
        double.remote(file)  # type: ignore[arg-type]


def test_a_service_is_never_started(wherry_local: Calls) -> None:
    with pytest.raises(wherry.exception.ExecutionError, match="this test runs without a service"):
        wherry.Dict.from_name("a").get("b")
    with pytest.raises(wherry.exception.ExecutionError, match=r"was looked up, so its code is not here"):
        wherry.Function.from_name("a", "f").remote()


def test_fakes_stand_for_functions(wherry_faked: Calls) -> None:
    wherry_faked.fake(double, lambda n, by=2: n + by)
    wherry_faked.fake("Greeter.greet", "faked")
    wherry_faked.fake("f", 7)

    async def later_faked(n: int) -> int:
        return -n

    wherry_faked.fake(later, later_faked)
    wherry_faked.fake(count, lambda n: iter([n, n]))
    assert double.remote(1) == 3
    assert list(double.map([1, 2])) == [3, 4]
    assert Greeter().greet.remote("x") == "faked"
    assert wherry.Function.from_name("a", "f").remote() == 7
    assert later.remote(5) == -5
    assert list(count.remote_gen(4)) == [4, 4]

    def breaks(*args: Any) -> None:
        raise ConnectionError("away")

    wherry_faked.fake(fails, breaks)
    with pytest.raises(ConnectionError, match="away"):
        fails.remote(1)
    with pytest.raises(
        wherry.exception.ExecutionError, match=r"batch is not faked: write wherry_faked.fake\(\"batch\""
    ):
        batch.remote(1)


def test_afterwards_all_is_as_it_was() -> None:
    from wherry._base.blocking import blocking
    from wherry._connection import client

    plain = vars(wherry.Function)["remote"]
    assert isinstance(plain, blocking)
    assert plain.plain.__module__ == "wherry.function"
    assert client._client_of.__module__ != "wherry.testing"


# As its users have it


def pytest_in(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    environ = {**os.environ, "WHERRY_STATE_DIR": str(folder / "none")}
    environ.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


def files_of_page(folder: Path) -> None:
    for name, text in re.findall(r"^`([\w.]+)`:\n\n```python\n(.*?)^```", PAGE.read_text(), re.M | re.S):
        (folder / name).write_text(text)


def test_the_tests_of_the_page_pass(tmp_path: Path) -> None:
    files_of_page(tmp_path)
    ran = pytest_in(tmp_path, "test_plain.py", "test_local.py", "test_faked.py")
    assert "6 passed" in ran.stdout, ran.stdout + ran.stderr
    assert not (tmp_path / "none").exists()


def test_a_service_of_the_tests_own_is_no_profile_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile in use would have the tests deploy, and delete, where it leads."""
    profiles = 'active = "work"\n[work]\nserver_url = "https://real.example.com:1"\ntoken_id = "tk-1"\n'
    (tmp_path / ".wherry.toml").write_text(profiles)
    (tmp_path / ".wherry.toml").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WHERRY_CONFIG_PATH", raising=False)
    monkeypatch.setenv("WHERRY_TLS_CA", "ca.pem")
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["wherry.testing"]\n')
    (tmp_path / "test_it.py").write_text(
        "import os\n\nfrom wherry._connection.settings import Settings\n\n\n"
        "def test_before():\n    assert Settings.from_environment().profile == 'work'\n\n\n"
        "def test_it(wherry_service):\n    found = Settings.from_environment()\n"
        "    assert (found.profile, found.remote, found.socket.parent) == ('', None, wherry_service)\n"
        "    assert 'WHERRY_TLS_CA' not in os.environ\n"
    )
    ran = pytest_in(tmp_path, "test_it.py")
    assert "2 passed" in ran.stdout, ran.stdout + ran.stderr


def test_a_failure_is_shown_without_frames_of_wherry(tmp_path: Path) -> None:
    files_of_page(tmp_path)
    (tmp_path / "test_it.py").write_text(
        "from shop import price\n\n\ndef test_it(wherry_local):\n    assert list(price.map(['plum'])) == [1]\n"
    )
    ran = pytest_in(tmp_path, "test_it.py")
    assert ran.returncode == 1
    assert "KeyError: 'plum'" in ran.stdout
    places = re.findall(r"^(\S+\.py):(\d+):", ran.stdout, re.M)
    assert [name for name, _ in places] == ["test_it.py", "shop.py"], ran.stdout
    assert "client/wherry" not in ran.stdout
