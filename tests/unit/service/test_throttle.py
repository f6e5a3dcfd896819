"""How fast one container may print."""

import asyncio

import pytest

from wherry_service.node.throttle import Throttle


class Socket:
    def __init__(self) -> None:
        self.pauses: list[str] = []
        self.open = asyncio.Event()
        self.open.set()

    def pause(self) -> None:
        self.pauses.append("pause")
        self.open.clear()

    def resume(self) -> None:
        self.pauses.append("resume")
        self.open.set()


def test_a_burst_passes_and_what_is_beyond_the_rate_waits() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        socket = Socket()
        throttle = Throttle(socket.pause, socket.resume, rate=1_000_000, burst=100_000)
        began = loop.time()
        total = 0
        while total < 300_000:
            await socket.open.wait()
            throttle.spend(0, 10_000)
            total += 10_000
        await socket.open.wait()
        assert 0.15 < loop.time() - began < 2
        assert socket.pauses[:2] == ["pause", "resume"]
        assert socket.pauses.count("pause") == socket.pauses.count("resume")

    asyncio.run(scenario())


@pytest.mark.parametrize(("lines", "size"), [(1, 0), (100, 10_000)])
def test_who_prints_little_never_waits(lines: int, size: int) -> None:
    async def scenario() -> None:
        socket = Socket()
        Throttle(socket.pause, socket.resume).spend(lines, size)
        assert socket.pauses == []

    asyncio.run(scenario())


def test_the_end_of_a_container_ends_its_pause() -> None:
    async def scenario() -> None:
        socket = Socket()
        throttle = Throttle(socket.pause, socket.resume)
        throttle.spend(0, 1 << 30)
        throttle.end()
        throttle.end()
        assert socket.pauses == ["pause", "resume"]

    asyncio.run(scenario())
