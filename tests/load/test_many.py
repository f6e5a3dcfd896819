"""Many containers, functions, sockets and clients at once."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import wherry
from tests.acceptance.service import OwnService
from tests.acceptance.web_client import port_of
from tests.waiting import wait_until


@pytest.fixture(scope="module")
def waiting(service: OwnService) -> Iterator[ModuleType]:
    from tests.load.apps import waiting

    with waiting.app.run():
        yield waiting


def test_sixty_containers_run_on_few_cores_while_all_of_them_wait(service: OwnService, waiting: ModuleType) -> None:
    began = time.perf_counter()
    hosts = set(waiting.wait.map([8.0] * 120))
    print(f"120 inputs of 8 s in {time.perf_counter() - began:.1f} s in {len(hosts)} containers")
    assert len(hosts) > 24
    wait_until(lambda: not waiting.wait.get_current_stats().num_active_runners, "all have ended")


def test_two_thousand_sockets_on_one_function(service: OwnService, waiting: ModuleType) -> None:
    url = waiting.echo.web_url
    opened, answered = asyncio.run(_sockets(url, 2000))
    print(f"{opened} opened, {answered} answered")
    assert (opened, answered) == (2000, 2000)
    wait_until(lambda: not waiting.echo.get_current_stats().num_active_runners, "none is open any more", 60)


async def _sockets(url: str, count: int) -> tuple[int, int]:
    from websockets.asyncio import client

    host, port = url.partition("://")[2].rstrip("/"), port_of(url)
    gate = asyncio.Semaphore(100)

    async def connect() -> client.ClientConnection:
        async with gate:
            return await client.connect(
                f"ws://{host}/", host="127.0.0.1", port=port, open_timeout=120, proxy=None, ping_interval=None
            )

    sockets = await asyncio.gather(*(connect() for _ in range(count)))

    async def echo(number: int, socket: client.ClientConnection) -> bool:
        await socket.send(str(number))
        return await socket.recv() == str(number)

    answered = sum(await asyncio.gather(*(echo(number, socket) for number, socket in enumerate(sockets))))
    await asyncio.gather(*(socket.close() for socket in sockets))
    return len(sockets), answered


def test_three_hundred_clients_at_once(service: OwnService, waiting: ModuleType) -> None:
    program = (
        "import wherry; f = wherry.Function.from_name('load-waiting', 'quick'); "
        "assert [f.remote(x) for x in range(20)] == list(range(20)); print('right')"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(300)
    ]
    outputs = [process.communicate(timeout=250)[0] for process in running]
    assert [output for output in outputs if output != "right\n"] == []


def test_two_hundred_functions_are_deployed(service: OwnService) -> None:
    app = wherry.App("load-functions")

    def nothing(x: int) -> int:
        return x

    functions = [app.function(name=f"f{number}", serialized=True)(nothing) for number in range(200)]
    began = time.perf_counter()
    app.deploy()
    print(f"deployed in {time.perf_counter() - began:.1f} s")
    left = len(service.containers(app=app.app_id or ""))
    assert left <= 60
    assert functions[199].remote(3) == 3
    assert functions[0].remote(4) == 4
    subprocess.run(
        [sys.executable, str(Path(sys.executable).with_name("wherry")), "app", "stop", "load-functions"], check=True
    )
