"""Requests that are sent while those before them on the same connection have no answers yet."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from tests.fakes.ingress import HOST, World, answer, play
from wherry_service.ingress.protocol import MAX_WAITING

REQUEST = f"GET / HTTP/1.1\r\nhost: {HOST}\r\n\r\n".encode()


def test_requests_that_do_not_wait_for_answers_get_them_in_their_order(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(REQUEST * MAX_WAITING)
        for number in range(MAX_WAITING):
            exchange, _ = await world.function.next()
            assert world.function.opened.empty()
            answer(exchange, b"%d" % number)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            length = len(str(number))
            assert f"content-length: {length}\r\n".encode() in head.lower()
            assert await reader.readexactly(length) == b"%d" % number
        writer.close()

    play(tmp_path, work)


def test_more_requests_than_wait_for_each_other_end_the_connection(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(world: World) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(REQUEST)
        exchange, _ = await world.function.next()
        exchange.feed({"k": "start", "status": 200, "headers": []}, b"")
        exchange.feed({"k": "body", "more": True}, b"part")
        head = await asyncio.wait_for(reader.readuntil(b"part"), 10)
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        writer.write(REQUEST * 5000)
        with contextlib.suppress(ConnectionError):
            # Nothing is said in the midst of the answer before.
            assert await asyncio.wait_for(reader.read(), 10) in (b"", b"\r\n")
        while not world.function.withdrawn:
            await asyncio.sleep(0)
        assert world.function.opened.empty()
        answer(exchange)
        writer.close()

    play(tmp_path, work)
    assert "too many requests that wait for the answers of others" in caplog.text
    assert "Traceback" not in caplog.text


def test_who_goes_with_a_second_request_on_its_way_is_gone_for_the_first_too(tmp_path: Path) -> None:
    async def work(world: World) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(REQUEST * 2)
        exchange, _ = await world.function.next()
        writer.close()
        while not world.function.withdrawn:
            await asyncio.sleep(0)
        assert world.function.withdrawn == [exchange.request_id]
        assert world.function.opened.empty()
        answer(exchange)

    play(tmp_path, work)
