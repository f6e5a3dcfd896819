"""Web requests in the log of their app."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from tests.fakes.calls import Paper
from wherry_service.calls import requests
from wherry_service.calls.client import Clients
from wherry_service.calls.exchange import Exchange
from wherry_service.calls.requests import MAX_A_MINUTE, MAX_A_SECOND, MOST_OF_A_PATH, RequestLog, shown
from wherry_service.ids import new_id
from wherry_service.logs.masks import Masks


class World:
    """A request log, what it wrote, and the client that runs the app."""

    def __init__(self) -> None:
        self.paper, self.masks, self.clients = Paper(), Masks(), Clients()
        self.client = self.clients.connect(new_id("cl"))
        self.time = 100.0
        self.log = RequestLog(self.paper, self.masks, cast("Any", self), self.clients, lambda: self.time)
        self.client_id = self.client.client_id

    def queue(self, function_id: str) -> Any:
        """Stand in for the dispatcher, and its queue."""
        return self

    def note(self, path: bytes = b"/item", status: int = 200, seconds: float = 0.0123, **more: Any) -> None:
        known = {"method": "GET", "has_query": False, "exchange": None, **more}
        self.log.note("ap-1", "fu-1", raw_path=path, status=status, seconds=seconds, **known)

    def texts(self) -> list[str]:
        self.log.close()
        return [row[3] for batch in self.paper.batches for row in batch.rows]


def run(scenario: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario(World())

    asyncio.run(main())


def test_a_request_is_a_line_with_its_input() -> None:
    async def scenario(world: World) -> None:
        exchange = Exchange("fu-1", "", {}, b"")
        world.note(exchange=exchange)
        world.note(b"/", 401, method="POST", has_query=True, seconds=12.4)
        world.note(b"/gone", 0)
        assert world.texts() == [
            f"GET /item → 200 (12 ms) {exchange.request_id}",
            "POST /?… → 401 (12 s)",
            "GET /gone → client gone (12 ms)",
        ]
        (batch,) = world.paper.batches
        assert (batch.app_id, batch.function_id) == ("ap-1", "fu-1")
        line = batch.lines()[0]
        assert (line.stream, line.input_id, line.call_id) == (3, exchange.request_id, exchange.call.call_id)
        # Who runs the app sees them.
        message = world.client.take()
        assert message is not None
        assert [line.text for line in message.logs] == world.texts()

    run(scenario)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"/a%20b", "/a%20b"),
        (b"/\x1b]0;title\x07\r\nGET /forged", r"/\x1b]0;title\x07\x0d\x0aGET /forged"),
        (b"/\xc2\x9b2J\x7f", r"/\xc2\x9b2J\x7f"),
        (b"/" + b"x" * 300, "/" + "x" * (MOST_OF_A_PATH - 2) + "…"),
    ],
)
def test_a_hostile_path_is_one_short_printable_line(raw: bytes, text: str) -> None:
    assert shown(raw, MOST_OF_A_PATH) == text
    assert text.isprintable()


def test_no_query_and_no_secret_is_kept() -> None:
    async def scenario(world: World) -> None:
        world.masks.add("ap-1", ["hunter22"])
        world.note(b"/login/hunter22", has_query=True)
        assert world.texts() == ["GET /login/****?… → 200 (12 ms)"]

    run(scenario)


def test_a_flood_leaves_a_bounded_number_of_lines() -> None:
    async def scenario(world: World) -> None:
        for _ in range(10 * MAX_A_SECOND):
            world.note()
        texts = world.texts()
        assert len(texts) == MAX_A_SECOND + 1
        assert texts[-1] == f"and {9 * MAX_A_SECOND} more requests within 1 s"

    run(scenario)


def test_an_app_has_a_bounded_number_of_lines_in_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "GATHER_S", 0.001)

    async def scenario(world: World) -> None:
        def note(app_id: str, function_id: str) -> None:
            world.log.note(app_id, function_id, "GET", b"/", False, 200, None, 0.01)

        for _ in range(30):
            world.time += 1.0
            for number in range(2 * MAX_A_SECOND):
                note("ap-1", f"fu-{number % 2}")
        # Another app has its own.
        note("ap-2", "fu-9")
        left_out = 30 * 2 * MAX_A_SECOND - MAX_A_MINUTE
        world.time += 60.0
        async with asyncio.timeout(5):
            while world.log._timer is not None:
                await asyncio.sleep(0.001)
        assert world.log._minutes == {}
        note("ap-1", "fu-1")
        texts = world.texts()
        assert len(texts) == MAX_A_MINUTE + 3
        assert f"and {left_out:,} more requests within 1 min" in texts
        assert texts[-1].startswith("GET")

    run(scenario)


def test_what_a_second_left_out_counts_in_the_minute_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "MAX_A_MINUTE", MAX_A_SECOND)

    async def scenario(world: World) -> None:
        for _ in range(MAX_A_SECOND + 7):
            world.note()
        assert world.texts()[-1] == "and 7 more requests within 1 min"

    run(scenario)


def test_lines_are_written_soon_and_then_nothing_looks_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "GATHER_S", 0.001)

    async def scenario(world: World) -> None:
        world.note()
        async with asyncio.timeout(5):
            while not world.paper.batches:
                await asyncio.sleep(0.001)
            world.time += 1.1
            while world.log._timer is not None:
                await asyncio.sleep(0.001)
        assert world.log._seconds == {}
        world.note(b"/again")
        assert world.texts()[-1].startswith("GET /again")

    run(scenario)
