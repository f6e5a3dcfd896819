"""Apps as a container loads them: their lifespan, and the library that web endpoints need."""

import asyncio
import sys
from typing import Any

import pytest

from wherry_runner.asgi import AsgiApp
from wherry_runner.loader import LoadError
from wherry_runner.web import _fastapi_app


def test_b51_a_lifespan_starts_and_stops() -> None:
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        for _ in range(2):
            message = await receive()
            heard.append(message["type"])
            await send({"type": f"{message['type']}.complete"})

    async def main() -> None:
        served = AsgiApp(app, "site")
        await served.start()
        assert heard == ["lifespan.startup"]
        await served.stop()

    asyncio.run(main())
    assert heard == ["lifespan.startup", "lifespan.shutdown"]


def test_b51_a_lifespan_that_fails_says_why() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    with pytest.raises(LoadError, match="site could not start: no database"):
        asyncio.run(AsgiApp(app, "site").start())


@pytest.mark.parametrize("ends", ["raises", "returns"])
def test_b51_an_app_without_a_lifespan_is_served(ends: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if ends == "raises":
            raise AssertionError("http only")

    async def main() -> None:
        served = AsgiApp(app, "site")
        await served.start()
        await served.stop()

    asyncio.run(main())


def test_an_image_without_fastapi_is_told_the_line_to_add(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(LoadError, match=r'price is a web endpoint.*\.pip_install\("fastapi"\).*BUILDER_VERSION=2023'):
        _fastapi_app(lambda: None, {"docs": False, "method": "GET"}, "price")
