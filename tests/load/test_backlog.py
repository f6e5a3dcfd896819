"""A hundred thousand inputs that wait: cancelled, stopped with their app, found again after a kill."""

import contextlib
import re
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import wherry
from tests.acceptance.service import OwnService
from tests.waiting import wait_until
from wherry._base.ids import new_id

MANY = 100_000


@pytest.fixture
def waiting(service: OwnService) -> Iterator[ModuleType]:
    from tests.load.apps import waiting

    with waiting.app.run():
        yield waiting


def rss_mib(service: OwnService) -> int:
    (found,) = re.findall(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{service.pid}/status").read_text())
    return int(found) >> 10


def backlog(function: wherry.Function[..., object]) -> int:
    return function.get_current_stats().backlog


def num_open(service: OwnService, call_id: str) -> int:
    """How many inputs of a call have not ended, on disk."""
    with contextlib.closing(sqlite3.connect(f"file:{service.state_dir}/wherry.db?mode=ro", uri=True)) as database:
        query = "select count(*) from inputs where call_id = ? and finished_at_ms + 0 = 0"
        (count,) = database.execute(query, (call_id,)).fetchone()
    return int(count)


def floor_s(folder: Path) -> float:
    """Seconds that writing so many ends takes by SQLite alone, in as many transactions."""
    database = sqlite3.connect(folder / "floor.db", isolation_level=None)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=full")
    database.execute("create table ends (id text primary key, call text, at bigint, payload blob, output blob)")
    database.execute("create index ends_at on ends (at)")
    ids = [new_id("in") for _ in range(MANY)]
    database.execute("begin")
    database.executemany("insert into ends values (?, 'fc', 0, ?, x'')", [(one, b"x" * 60) for one in ids])
    database.execute("commit")
    began = time.perf_counter()
    for begin in range(0, MANY, 5000):
        database.execute("begin")
        rows = [(b"y" * 60, one) for one in ids[begin : begin + 5000]]
        database.executemany("update ends set at = 1, output = ? where id = ? and at + 0 = 0", rows)
        database.execute("commit")
    took = time.perf_counter() - began
    database.close()
    return took


def test_cancelling_so_many_takes_little_more_than_writing_it_down_and_keeps_nothing(
    service: OwnService, waiting: ModuleType, tmp_path: Path
) -> None:
    waiting.held.remote(0.0)
    before = rss_mib(service)
    call = waiting.held.spawn_map([600.0] * MANY)
    queued = rss_mib(service)
    wait_until(lambda: waiting.held.get_current_stats().num_active_runners == 1, "one of them runs")
    floor = floor_s(tmp_path)
    began = time.perf_counter()
    call.cancel()
    wait_until(lambda: backlog(waiting.held) == 0, "none waits any more", every_s=0.002)
    wait_until(lambda: num_open(service, call.object_id) <= 1, "all but the one that runs are written", every_s=0.01)
    took = time.perf_counter() - began
    with pytest.raises(wherry.exception.RemoteError, match="was cancelled before it ran"):
        call.get(timeout=120, index=MANY - 1)
    # What runs is killed with its container after five seconds.
    wait_until(lambda: waiting.held.get_current_stats().num_active_runners == 0, "what ran has ended", 60)
    after = rss_mib(service)
    print(f"cancelled {MANY} in {took:.2f} s, floor {floor:.2f} s; RSS {before}, {queued}, {after} MiB")
    assert took < max(2.0, 4 * floor)
    assert after < queued + 20


def test_an_app_stops_with_so_many_waiting(service: OwnService) -> None:
    from tests.load.apps import waiting

    with waiting.app.run():
        call = waiting.held.spawn_map([600.0] * MANY)
        service_before = rss_mib(service)
        began = time.perf_counter()
    took = time.perf_counter() - began
    print(f"stopped in {took:.2f} s, RSS {service_before}, {rss_mib(service)} MiB")
    with pytest.raises(wherry.exception.Error):
        wherry.FunctionCall.from_id(call.object_id).get(timeout=60, index=0)
    assert rss_mib(service) < service_before + 40


def test_a_service_that_was_killed_with_so_many_waiting_answers_and_has_them_all(
    service: OwnService, waiting: ModuleType
) -> None:
    call = waiting.held.spawn_map([600.0] * MANY)
    service.signal(signal.SIGKILL)
    began = time.perf_counter()
    assert waiting.quick.remote(7) == 7
    print(f"answered {time.perf_counter() - began:.2f} s after the kill, RSS {rss_mib(service)} MiB")
    wait_until(lambda: backlog(waiting.held) >= MANY - 300, "all wait again", 60)
    call.cancel()
    wait_until(lambda: backlog(waiting.held) == 0, "none waits any more", 60)


def test_so_many_results_are_written_down_and_not_kept_in_memory(service: OwnService, waiting: ModuleType) -> None:
    waiting.quick.remote(0)
    before = rss_mib(service)
    call = waiting.quick.spawn_map(range(MANY))
    wait_until(lambda: backlog(waiting.quick) == 0, "all have run", 200)
    assert call.get(timeout=60, index=MANY - 1) == MANY - 1
    print(f"RSS {before}, {rss_mib(service)} MiB")
    assert rss_mib(service) < before + 150
