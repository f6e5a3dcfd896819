"""Dicts, queues and volumes, beside sqlite3, a process queue, the service's lightest request, and `cp`."""

import itertools
import multiprocessing
import os
import pickle
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.timing import Sample, in_turn
from wherry import Dict, Queue, Volume
from wherry._connection.client import default_client

ENTRIES = 10_000
PAIRS = 5_000
BATCH = 500
HAND_OVERS = 100
# Seconds that a getter is given to be waiting in the service before something is put.
SETTLED_S = 0.01
SMALL_FILES = 1_000
SMALL_BYTES = 4 << 10
LARGE_MIB = 256


def measure_storage(rows: dict[str, Any], rounds: int) -> None:
    """Measure shared objects of a service that is used by nobody else."""
    with tempfile.TemporaryDirectory(prefix="wherry-bench-") as scratch:
        _measure_dict(rows, rounds, Path(scratch))
        _measure_queue(rows, rounds)
        _measure_hand_over(rows, rounds)
        _measure_volume(rows, rounds, Path(scratch))


def _measure_dict(rows: dict[str, Any], rounds: int, scratch: Path) -> None:
    turn = itertools.count()
    with Dict.ephemeral() as shared:
        # Keys that were not there: an entry that is replaced costs less.
        ours, sqlite = in_turn(
            [lambda: shared.update(_entries(next(turn))), lambda: _sqlite_insert(scratch, _entries(next(turn)))],
            rounds=5 * rounds,
        )
    rows["dict_update_10k"], rows["sqlite_insert_10k"] = ours.row(), sqlite.row()


def _entries(turn: int) -> dict[str, dict[str, int]]:
    return {f"{turn}/{number}": {"number": number, "square": number * number} for number in range(ENTRIES)}


def _sqlite_insert(scratch: Path, entries: dict[str, dict[str, int]]) -> None:
    """What an update costs at the least: pickled, and in a file in one synced transaction."""
    path = scratch / "floor.db"
    with sqlite3.connect(path) as database:
        database.execute("pragma journal_mode=wal")
        database.execute("pragma synchronous=full")
        database.execute("create table if not exists entries (key blob primary key, value blob)")
        rows = [(pickle.dumps(key, 5), pickle.dumps(value, 5)) for key, value in entries.items()]
        database.executemany("insert into entries values (?, ?)", rows)
    database.close()


def _measure_queue(rows: dict[str, Any], rounds: int) -> None:
    plain: multiprocessing.Queue[int] = multiprocessing.Queue()
    with Queue.ephemeral() as shared:
        ours, peer = in_turn([lambda: _through(shared), lambda: _through_process_queue(plain)], rounds=5 * rounds)
    plain.close()
    rows["queue_pairs_5k"], rows["process_queue_pairs_5k"] = ours.row(), peer.row()


def _through(shared: Queue) -> None:
    """Put and get, batch by batch."""
    for start in range(0, PAIRS, BATCH):
        batch = list(range(start, start + BATCH))
        shared.put_many(batch)
        found: list[int] = []
        while len(found) < BATCH:
            found += shared.get_many(BATCH - len(found))
        if found != batch:
            raise SystemExit("a queue gave other items than were put")


def _through_process_queue(plain: "multiprocessing.Queue[int]") -> None:
    for start in range(0, PAIRS, BATCH):
        for number in range(start, start + BATCH):
            plain.put(number)
        for _ in range(BATCH):
            plain.get()


def _measure_hand_over(rows: dict[str, Any], rounds: int) -> None:
    """Measure from the begin of a put until another process, which waited for it, has the item."""
    ours, theirs = multiprocessing.Pipe()
    # A fork would have this process's connection.
    spawn = multiprocessing.get_context("spawn")
    name = f"bench-{os.getpid()}"
    shared = Queue.from_name(name, create_if_missing=True)
    getter = spawn.Process(target=_get_all, args=(name, HAND_OVERS * rounds, theirs))
    client = default_client()
    times: list[float] = []
    requests: list[float] = []
    try:
        shared.len()
        getter.start()
        for _ in range(HAND_OVERS * rounds):
            ours.recv()
            time.sleep(SETTLED_S)
            began = time.perf_counter()
            shared.put(b"x")
            times.append(ours.recv() - began)
            began = time.perf_counter()
            client.info()
            requests.append(time.perf_counter() - began)
        getter.join(60)
    finally:
        getter.kill()
        Queue.delete(name)
    rows["queue_hand_over"], rows["service_request"] = Sample(tuple(times)).row(), Sample(tuple(requests)).row()


def _get_all(name: str, count: int, parent: Connection) -> None:
    """Get so many items; tell the parent of each that it is waited for, and when it came, by the clock of both."""
    shared = Queue.from_name(name)
    shared.len()
    for _ in range(count):
        parent.send(None)
        shared.get()
        parent.send(time.perf_counter())


def _measure_volume(rows: dict[str, Any], rounds: int, scratch: Path) -> None:
    small, large = scratch / "small", scratch / "large"
    large.mkdir()
    for number in range(SMALL_FILES):
        path = small / f"{number % 10}" / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(SMALL_BYTES))
    (large / "file.bin").write_bytes(os.urandom(LARGE_MIB << 20))
    for name, folder, count in (("volume_put_1000_files", small, 3), ("volume_put_256mib", large, 2)):
        # In one place, again and again: memory that a virtual machine has not had before is slow, for both.
        with Volume.ephemeral() as volume, tempfile.TemporaryDirectory(prefix="wherry-bench-") as target:
            ours, plain = in_turn([_putting(volume, folder), _copying(folder, Path(target))], rounds=count * rounds)
        rows[name], rows[name.replace("volume_put", "cp")] = ours.row(), plain.row()


def _putting(volume: Volume, folder: Path) -> Callable[[], None]:
    def put() -> None:
        with volume.batch_upload(force=True) as batch:
            batch.put_directory(folder, "/")

    return put


def _copying(folder: Path, target: Path) -> Callable[[], object]:
    return lambda: subprocess.run(["cp", "-r", folder, target], check=True)
