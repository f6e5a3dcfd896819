"""Heads of requests and responses at the ingress that are not what they should be."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.ingress import HOST, World, answer, play


def test_a_host_that_is_none_reaches_no_app(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        heard = await world.spoken(f"GET / HTTP/1.1\r\nhost: {HOST}:80@evil.example\r\n\r\n".encode())
        assert heard.startswith(b"HTTP/1.1 400 ")
        assert b"host is not a name and a port" in heard
        assert world.function.opened.empty()

    play(tmp_path, work)


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("later", [False, True])
def test_a_response_that_can_have_no_body_has_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int, later: bool
) -> None:
    async def work(world: World) -> None:
        asked = asyncio.ensure_future(world.client.get("/"))
        exchange, _ = await world.function.next()
        if later:
            url = (await asked).headers["location"].removeprefix(f"http://{HOST}")
            asked = asyncio.ensure_future(world.client.get(url))
        answer(exchange, status=status)
        response = await asked
        assert (response.status_code, response.content, response.headers["x"]) == (status, b"", "y")
        # The connection is as good as before.
        assert (await world.client.get("/", headers={"host": "localhost"})).status_code == 404

    play(tmp_path, work, response_timeout_s=0.2 if later else 0)
    assert not caplog.records


@pytest.mark.parametrize("status", [101, 10**30, "200"])
def test_a_result_that_has_no_status_is_a_502(tmp_path: Path, status: Any) -> None:
    async def work(world: World) -> None:
        asked = asyncio.ensure_future(world.client.get("/"))
        exchange, _ = await world.function.next()
        url = (await asked).headers["location"].removeprefix(f"http://{HOST}")
        answer(exchange, status=status)
        response = await world.client.get(url)
        assert (response.status_code, "its status is" in response.text) == (502, True)

    play(tmp_path, work, response_timeout_s=0.2)
