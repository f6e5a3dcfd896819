"""Servers that user code has started: when they are ready, when they are gone, and how long their requests get."""

import asyncio
import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest

from wherry_runner import web, web_server
from wherry_runner.inputs import Input
from wherry_runner.loader import LoadError, is_server
from wherry_runner.web import WebExecutor
from wherry_runner.web_server import ServerApp


async def listening(port: int = 0) -> tuple[asyncio.Server, int]:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", port)
    return server, server.sockets[0].getsockname()[1]


def test_a_server_is_ready_when_it_listens() -> None:
    async def main() -> None:
        server, port = await listening()
        server.close()
        await server.wait_closed()
        starting = asyncio.ensure_future(ServerApp(port, 10, "S").start())
        await asyncio.sleep(0)
        assert not starting.done()
        server, _ = await listening(port)
        await starting
        server.close()

    asyncio.run(main())


@pytest.mark.parametrize(("is_watched", "after"), [(True, "its enter hooks"), (False, "the function")])
def test_one_that_does_not_listen_in_time_says_so(is_watched: bool, after: str) -> None:
    async def main() -> None:
        server, port = await listening()
        server.close()
        await server.wait_closed()
        with pytest.raises(LoadError, match=rf"S: nothing listens on port {port} 0 s after {after} returned"):
            await ServerApp(port, 0, "S", is_watched=is_watched).start()

    asyncio.run(main())


def test_a_container_whose_server_is_gone_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main() -> None:
        monkeypatch.setattr(web_server, "LOOK_EVERY_S", 0.01)
        killed = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(os, "kill", lambda pid, number: killed.set_result((pid, number)))
        server, port = await listening()
        app = ServerApp(port, 1, "S", is_watched=True)
        await app.start()
        # Several looks find it.
        await asyncio.sleep(0.05)
        assert not killed.done()
        server.close()
        await server.wait_closed()
        assert await killed == (os.getpid(), signal.SIGTERM)
        await app.stop()
        assert f"S: nothing has listened on port {port} for 0.03 s: the container ends" in capsys.readouterr().err

    asyncio.run(main())


def test_one_that_a_function_started_is_not_looked_after() -> None:
    async def main() -> None:
        server, port = await listening()
        app = ServerApp(port, 1, "S")
        await app.start()
        assert len(asyncio.all_tasks()) == 1
        await app.stop()
        server.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("described", "is_one"),
    [
        ({"": {"kind": "server", "exit_grace_s": 0.0}}, True),
        ({"": {"kind": "server", "exit_grace_s": None}}, False),
        ({"": {"kind": "server"}}, False),
        ({"site": {"kind": "asgi", "exit_grace_s": None}}, False),
        ({}, False),
        (None, False),
    ],
)
def test_which_classes_are_servers(described: Any, is_one: bool) -> None:
    assert is_server(described) is is_one


@pytest.mark.parametrize(("grace", "cut"), [(0.0, True), (None, False)])
def test_requests_to_a_server_that_ends_get_a_limited_time(
    monkeypatch: pytest.MonkeyPatch, grace: float | None, cut: bool
) -> None:
    monkeypatch.setattr(web, "LEAST_GRACE_S", 0.0)
    answered: list[str] = []
    running: dict[str, Input] = {}
    desk: Any = SimpleNamespace(
        methods=None, function=None, timeout_s=60, running=running, ending=False, held={},
        link=SimpleNamespace(flush=lambda wait: None),
        begin=lambda item: None, fail=lambda item, error: answered.append(str(error)), finish=lambda item: None,
    )  # fmt: skip
    read, write = os.pipe()
    watch: Any = SimpleNamespace(fileno=lambda: read)
    executor = WebExecutor(desk, watch, SimpleNamespace(parked=False), 10)  # type: ignore[arg-type]
    served = asyncio.Event()

    class App:
        async def serve(self, stream: Any, item: Any) -> bytes:
            served.set()
            await asyncio.sleep(0.2)
            return b"done"

    monkeypatch.setattr(web, "WebStream", lambda desk, item, flush: SimpleNamespace())
    executor._apps = {"": App()}
    executor._grace_s = grace
    desk.give_raw = lambda item, format, data: answered.append(data.decode())
    item: Any = SimpleNamespace(
        input_id="in-1", method="", format=web.WEB, early=[], ended_by="", answered=True, stream=None, handle=None
    )

    async def main() -> None:
        running["in-1"] = item
        item.handle = asyncio.ensure_future(executor._run(item))
        await served.wait()
        executor.drain()
        executor.drain()
        await asyncio.wait([item.handle])

    executor.loop.run_until_complete(main())
    executor.loop.close()
    os.close(read)
    os.close(write)
    (answer,) = answered
    assert answer.startswith("its container ended; exit_grace_period=") if cut else answer == "done"
