"""The service's own start and end, with an engine that runs nothing."""

import asyncio
import contextlib
import json
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.engine import FakeEngine
from wherry_service.server import Service
from wherry_service.settings import Settings
from wherry_service.settings_key import SettingsError
from wherry_service.store import kept

# What clients see depends on this order: the log's followers hear of the end before their connection closes, spawned
# inputs are kept for the next life before their containers end, nothing is written once the database is closed.
ORDER = [
    "database.hurry",
    "door.drain",
    "ingress.close",
    "ending.close",
    "ending.stop_ephemeral",
    "dispatcher.keep_durable",
    "sandboxes.close",
    "pools.close_all",
    "execs.close",
    "sandbox_node.close",
    "node.close",
    "logs.close",
    "door.close",
    "clients.close",
    "tasks.close",
    "engine.close",
    "blobs.close",
    "database.close",
]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A directory with a short path, for its sockets: 107 characters are the most."""
    with tempfile.TemporaryDirectory(prefix="wherry-") as directory:
        yield Path(directory)


def _spied(service: Service, called: list[str]) -> None:
    """Have `called` hear of every method of `ORDER`."""
    parts = service.parts
    owners: dict[str, Any] = {
        "database": parts.stores.database,
        "blobs": parts.stores.blobs,
        "logs": parts.stores.logs,
        "engine": parts.machine.engine,
        "node": parts.machine.node,
        "sandbox_node": parts.machine.sandbox_node,
        "tasks": parts.basics.tasks,
        "pools": parts.work.pools,
        "sandboxes": parts.work.sandboxes,
        "execs": parts.work.execs,
        "clients": parts.work.clients,
        "dispatcher": parts.work.dispatcher,
        "ending": parts.published.apps.ending,
        "ingress": parts.published.ingress,
        "door": parts.entrances.door,
    }
    for name in ORDER:
        owner, _, method = name.partition(".")
        _spy(owners[owner], method, name, called)


def _spy(owner: Any, method: str, name: str, called: list[str]) -> None:
    original = getattr(owner, method)

    def call(*args: Any) -> Any:
        called.append(name)
        return original(*args)

    setattr(owner, method, call)


@contextlib.asynccontextmanager
async def _serving(service: Service, state_dir: Path) -> AsyncIterator[None]:
    serving = asyncio.ensure_future(service.run())
    async with asyncio.timeout(20):
        while not (state_dir / "local.sock").exists():
            assert not serving.done(), serving.exception()
            await asyncio.sleep(0.01)
    # What the last line of its start does is done.
    await asyncio.sleep(0)
    yield
    async with asyncio.timeout(20):
        await serving


@pytest.mark.parametrize("force", [False, True])
def test_all_ends_in_the_reverse_order(tmp_path: Path, force: bool) -> None:
    called: list[str] = []

    made: set[Path] = set()

    async def main() -> None:
        service = Service(tmp_path, Settings(), lambda driver, network: FakeEngine({}))
        _spied(service, called)
        async with _serving(service, tmp_path):
            made.update(tmp_path.iterdir())
            service.request_stop(force)

    asyncio.run(main())
    assert called == ORDER
    # Else `wherry server purge` would take what a service makes for somebody else's.
    known = [name for names in kept.PARTS.values() for name in names]
    assert [path.name for path in made if not any(path.match(name) for name in known)] == []
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".sock")]


def test_a_start_that_fails_ends_what_has_begun_and_leaves_what_runs(tmp_path: Path) -> None:
    called: list[str] = []

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            settings = Settings(listen=f"127.0.0.1:{taken.getsockname()[1]}", tls="dev")
            service = Service(tmp_path, settings, lambda driver, network: FakeEngine({}))
            _spied(service, called)
            try:
                await service.run()
            finally:
                # Its process would end now.
                service.parts.machine.node.receiver.close()

    with pytest.raises(SettingsError, match=r"listen\.address"):
        asyncio.run(main())
    assert called == ["clients.close", "tasks.close", "engine.close", "blobs.close", "database.close"]


class _Hook:
    """What a webhook was sent."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        self.events.append(json.loads(await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()


def test_the_webhook_is_told_that_the_service_has_started_again(tmp_path: Path) -> None:
    hook = _Hook()

    async def main() -> None:
        async with hook.listening() as url:
            for _ in range(2):
                # Not of this machine's disk, which may be low.
                rooms = {"WHERRY_NOTIFY_URL": url, "WHERRY_NOTIFY_EVENTS": "service_restarted"}
                settings = Settings(rooms=rooms)
                service = Service(tmp_path, settings, lambda driver, network: FakeEngine({}))
                async with _serving(service, tmp_path):
                    service.request_stop(False)

    asyncio.run(main())
    assert [(event["event"], event["was_killed"]) for event in hook.events] == [("service_restarted", False)]
