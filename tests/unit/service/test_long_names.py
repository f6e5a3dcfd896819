"""Names that a peer may make as long as a frame: not compared with others, and not repeated whole."""

import asyncio
import difflib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from wherry_service.api.logs import LogApi
from wherry_service.apps.app import App
from wherry_service.apps.environments import Environments
from wherry_service.apps.register import AppRegister
from wherry_service.errors import MOST_COMPARED, NotFound, near
from wherry_service.objects.names import not_there
from wherry_service.sandboxes.register import SandboxRegister

LONG = "x" * (1 << 20)


@pytest.fixture(autouse=True)
def compared(monkeypatch: pytest.MonkeyPatch) -> None:
    known = difflib.get_close_matches

    def short_only(word: str, *rest: Any, **more: Any) -> list[str]:
        assert len(word) <= MOST_COMPARED
        return known(word, *rest, **more)

    monkeypatch.setattr(difflib, "get_close_matches", short_only)


def test_a_long_name_is_near_nothing() -> None:
    assert near("x" * MOST_COMPARED, ["f"]) == "; there is 'f'"
    assert near("x" * (MOST_COMPARED + 1), ["f"]) == ""


def test_the_message_of_an_object_shows_its_beginning() -> None:
    assert not_there("dict", LONG, LONG, ["prices"]) == f"environment '{LONG[:64]}' has no dict '{LONG[:64]}'"
    assert "create it with" in not_there("dict", "price", "main", [])


class Store:
    """A store of apps that has only other ones."""

    async def latest(self, name: str, environment: str) -> None:
        return None

    async def names(self, environment: str) -> list[str]:
        return ["shop"]

    async def functions_ever(self, app_id: str) -> list[tuple[str, str]]:
        return [("fu-1", "f")]


NOTHING: Any = None


def test_the_message_of_what_is_not_there_shows_its_beginning() -> None:
    register = AppRegister(NOTHING, NOTHING, NOTHING)
    record = SimpleNamespace(app_id="ap-1", name="shop", environment="main", state=0)
    app = SimpleNamespace(record=record, bases=[SimpleNamespace(name="f")])
    register._apps["ap-1"] = cast("App", app)
    environments = Environments(NOTHING, NOTHING, NOTHING, NOTHING, [])
    environments._known = {"main": NOTHING}
    sandboxes = SandboxRegister.__new__(SandboxRegister)
    sandboxes._running = {}
    api = LogApi(NOTHING, cast("Any", Store()), register, NOTHING)
    looks: list[Callable[[], object]] = [
        lambda: register.named(LONG, LONG),
        lambda: register.function_of("ap-1", LONG),
        lambda: environments.expect(LONG),
        lambda: sandboxes.by_name(LONG, LONG, "main"),
        lambda: asyncio.run(api._named(LONG, "main")),
        lambda: asyncio.run(api._functions("ap-1", LONG)),
    ]
    for look in looks:
        with pytest.raises(NotFound) as told:
            look()
        assert "x" * 64 in str(told.value)
        assert len(str(told.value)) < 300
