"""PostgreSQL: connections that are lost, a server that goes away and comes back, two services on one database."""

import asyncio
import contextlib
import logging
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.databases import Disk, Postgres, PostgresDisks
from tests.waiting import wait_until
from wherry_proto.messages import Payload
from wherry_service.errors import Unready
from wherry_service.ids import new_id
from wherry_service.store import postgres as postgres_module
from wherry_service.store.away import DatabaseAway, DatabaseTaken
from wherry_service.store.calls import CallStore, InputRow
from wherry_service.store.database import Database
from wherry_service.store.schema import inputs, tenure


@pytest.fixture
def own(postgres: Postgres, tmp_path: Path) -> Iterator[Disk]:
    """A database of the server that the tests share."""
    with PostgresDisks(postgres).fresh(tmp_path) as disk:
        yield disk


@pytest.fixture
def server() -> Iterator[Postgres]:
    """A server of the test's own, to be stopped and started."""
    server = Postgres()
    yield server
    server.close()


class Line:
    """Stands between a service and its PostgreSQL, and loses what it is told to."""

    def __init__(self, postgres: Postgres, folder: Path) -> None:
        self._target = str(postgres.folder / ".s.PGSQL.5432")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        self._before_commit = self._after_commit = 0
        self.num_lost = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def lose(self, commits: int = 0, answers: int = 0) -> None:
        """Cut the connection instead of bringing so many COMMITs there; then of so many, the answer back."""
        self._before_commit, self._after_commit = commits, answers

    def close(self) -> None:
        """Take no more connections, and wait until those that there are have ended."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(client,))
                thread.start()
                self._threads.append(thread)

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            server.connect(self._target)
            while True:
                for peer in select.select([client, server], [], [])[0]:
                    data = peer.recv(1 << 16)
                    if not data:
                        return
                    if peer is server:
                        client.sendall(data)
                        continue
                    is_commit = b"COMMIT" in data
                    if is_commit and self._before_commit:
                        self._before_commit -= 1
                        self.num_lost += 1
                        return
                    server.sendall(data)
                    if is_commit and self._after_commit:
                        self._after_commit -= 1
                        self.num_lost += 1
                        server.recv(1 << 16)
                        return


@pytest.fixture
def line(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Line, Callable[[Disk], str]]]:
    folder = tmp_path_factory.mktemp("line")
    line = Line(postgres, folder)
    yield line, lambda disk: disk.url.replace(str(postgres.folder), str(folder))
    line.close()


def row(number: int) -> InputRow:
    return (new_id("in"), "fc-1", "fu-1", number, Payload(data=b"x"), "")


@pytest.mark.parametrize(("commits", "answers"), [(1, 0), (0, 1), (2, 3)])
def test_a_write_counts_once_whether_the_commit_or_its_answer_is_lost(
    line: tuple[Line, Callable[[Disk], str]],
    own: Disk,
    commits: int,
    answers: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    faulty, through = line
    database = Database(through(own))
    database.begin()
    rows = [row(number) for number in range(100)]

    async def scenario() -> list[set[str]]:
        store = CallStore(database)
        await store.add_inputs(rows[:1], "cl-1")
        faulty.lose(commits, answers)
        # Each hears that its input is new, as if nothing had happened: it would not be queued otherwise.
        return await asyncio.gather(*(store.add_inputs([one], "cl-1") for one in rows[1:]))

    with caplog.at_level(logging.INFO):
        answered = asyncio.run(scenario())
    assert answered == [{one[0]} for one in rows[1:]]
    assert faulty.num_lost == commits + answers
    count = sa.select(sa.func.count()).select_from(inputs)
    assert asyncio.run(database.read(lambda connection: connection.execute(count).scalar_one())) == 100
    database.close()
    said = [record.levelname for record in caplog.records if "the database is" in record.message]
    assert said[:2] == ["WARNING", "INFO"]
    assert said.count("WARNING") == said.count("INFO") <= commits + answers


def test_a_connection_that_is_ended_in_the_middle_of_a_group_loses_nothing(postgres: Postgres, own: Disk) -> None:
    database = own.database()
    tries = []

    def slow(connection: sa.Connection) -> int:
        tries.append(connection.execute(sa.text("select pg_backend_pid()")).scalar_one())
        connection.execute(sa.insert(inputs), _values("in-slow"))
        if len(tries) == 1:
            postgres.execute(f"select pg_terminate_backend({tries[0]})")
        return int(connection.execute(sa.text("select 7")).scalar_one())

    async def scenario() -> None:
        store = CallStore(database)
        results = await asyncio.gather(
            store.add_inputs([row(1)], "c"), database.write(slow), store.add_inputs([row(2)], "c")
        )
        assert results[1] == 7
        assert len(tries) == 2
        assert {item.index for item in await store.open_inputs()} == {0, 1, 2}

    asyncio.run(scenario())
    database.close()


def test_a_server_that_is_restarted_is_a_pause(
    server: Postgres, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with PostgresDisks(server).fresh(tmp_path) as disk:
        database = disk.database()
        store = CallStore(database)

        async def scenario() -> None:
            await store.add_inputs([row(0)], "cl-1")
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                server.stop(number)
                writing = [asyncio.ensure_future(store.add_inputs([row(n)], "cl-1")) for n in range(20)]
                reading = asyncio.ensure_future(store.open_inputs())
                await asyncio.to_thread(wait_until, lambda: "is away" in caplog.text, "it is noticed")
                assert not any(task.done() for task in writing)
                await asyncio.to_thread(server.start)
                assert all(len(added) == 1 for added in await asyncio.gather(*writing))
                await reading
                caplog.clear()
            assert len(await store.open_inputs()) == 61

        asyncio.run(scenario())
        database.close()


def test_a_service_that_stops_does_not_wait_for_ever(
    server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PostgresDisks(server).fresh(tmp_path) as disk:
        database = disk.database()
        store = CallStore(database)

        async def scenario() -> None:
            await store.add_inputs([row(0)], "cl-1")
            server.stop()
            writing = [store.add_inputs([row(n)], "cl-1") for n in range(20)]
            monkeypatch.setattr(postgres_module, "READ_PATIENCE_S", 0.2)
            with pytest.raises(Unready, match=r"the database does not answer: .*No such file"):
                await store.open_inputs()
            database.hurry(0.1)
            for result in await asyncio.gather(*writing, return_exceptions=True):
                assert isinstance(result, DatabaseAway)

        asyncio.run(scenario())
        database.close()
        server.start()


def test_a_start_says_why_it_can_t_reach_the_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(postgres_module, "START_PATIENCE_S", 0.1)
    database = Database(f"postgresql://wherry:s3cret@/x?host={tmp_path}")
    with pytest.raises(Unready, match=r"the database does not answer: .*No such file") as caught:
        database.begin()
    assert "s3cret" not in str(caught.value)
    database.close()


def test_a_database_of_another_encoding_is_refused(postgres: Postgres) -> None:
    postgres.execute("create database latin encoding 'LATIN1' locale 'C' template template0")
    database = Database(postgres.url("latin"))
    with pytest.raises(Unready, match=r"encoding LATIN1, .*: create it with ENCODING 'UTF8'"):
        database.begin()
    database.close()


def test_a_second_service_on_the_same_database_is_refused_and_told_which_has_it(
    own: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_module, "LOCK_PATIENCE_S", 0.3)
    first = Database(own.url, "process 7 on spaceship")
    first.begin()
    second = Database(own.url, "process 8 on spaceship")
    with pytest.raises(DatabaseTaken, match=r"another service works on this database \(process 7 on spaceship\)"):
        second.begin()
    asyncio.run(CallStore(first).add_inputs([row(0)], "cl-1"))
    first.close()
    # One that is gone is in nobody's way.
    second.begin()
    asyncio.run(CallStore(second).add_inputs([row(1)], "cl-1"))
    second.close()


def test_one_that_was_cut_off_and_replaced_writes_nothing_any_more(postgres: Postgres, own: Disk) -> None:
    taken: list[str] = []
    first = Database(own.url, "first", lambda: taken.append("first"))
    first.begin()
    asyncio.run(CallStore(first).add_inputs([row(0)], "cl-1"))
    # Its machine drops off the network: the server ends its connection, and another service is started.
    holder = "select pid from pg_locks where locktype = 'advisory'"
    postgres.execute(f"select pg_terminate_backend(({holder}))", _name(own))
    second = Database(own.url, "second")
    second.begin()
    second.close()
    with pytest.raises(DatabaseTaken, match=r"\(second\)"):
        asyncio.run(CallStore(first).add_inputs([row(1)], "cl-1"))
    assert taken == ["first"]
    first.close()
    again = Database(own.url)
    again.begin()
    assert [item.index for item in asyncio.run(CallStore(again).open_inputs())] == [0]
    holders = asyncio.run(again.read(lambda connection: connection.execute(sa.select(tenure.c.holder)).all()))
    assert len(holders) == 1
    again.close()


def _name(disk: Disk) -> str:
    return sa.make_url(disk.url).database or ""


def _values(input_id: str) -> dict[str, object]:
    return {
        "input_id": input_id,
        "call_id": "fc-1",
        "function_id": "fu-1",
        "client_id": "cl-1",
        "position": 0,
        "payload": b"",
        "method": "",
        "created_at_ms": 1,
        "finished_at_ms": 0,
        "output": b"",
    }
