"""The log store: what is kept, in what bound, and how it is read and followed."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import wait_until
from wherry_proto.messages import LogLine
from wherry_service.ids import new_id, time_of
from wherry_service.logs import follower as follower_module
from wherry_service.logs import segments as segments_module
from wherry_service.logs import store as store_module
from wherry_service.logs.batch import LogRow
from wherry_service.logs.block import PACKED
from wherry_service.logs.query import Query
from wherry_service.logs.segments import Segments, listed
from wherry_service.logs.store import LogStore

APP, FUNCTION, CONTAINER, INPUT, CALL = "ap-1", "fu-1", "co-1", "in-1", "fc-1"


def rows(*texts: str, stream: int = 1, input_id: str = INPUT, at_ms: int = 1000) -> list[LogRow]:
    return [(stream, input_id, at_ms, text, False) for text in texts]


def put(store: LogStore, *texts: str, app: str = APP, container: str = CONTAINER, **options: Any) -> None:
    store.append(app, FUNCTION, container, rows(*texts, **options), {INPUT: CALL})


async def read(store: LogStore, query: Query | None = None, **options: Any) -> list[LogLine]:
    return [line async for chunk in store.lines(query or Query(APP), **options) for line in chunk]


async def read_texts(store: LogStore, query: Query | None = None, **options: Any) -> list[str]:
    return [line.text for line in await read(store, query, **options)]


@asynccontextmanager
async def opened(directory: Path, **options: Any) -> AsyncIterator[LogStore]:
    store = LogStore(directory, **options)
    await asyncio.to_thread(store.begin)
    try:
        yield store
    finally:
        await store.close()


def run(directory: Path, scenario: Callable[[LogStore], Coroutine[Any, Any, None]], **options: Any) -> None:
    async def main() -> None:
        async with opened(directory, **options) as store, asyncio.timeout(20):
            await scenario(store)

    asyncio.run(main())


# Keeping


def piece(text: str, goes_on: bool = True, stream: int = 1, input_id: str = INPUT) -> LogRow:
    return (stream, input_id, 1000, text, goes_on)


def give(store: LogStore, *pieces: LogRow, container: str = CONTAINER) -> None:
    for row in pieces:
        store.append(APP, FUNCTION, container, [row], {INPUT: CALL})


def test_pieces_of_a_line_are_kept_as_one_line(tmp_path: Path) -> None:
    async def scenario(store: LogStore) -> None:
        give(store, *[piece(".")] * 3000, piece("err", stream=2))
        # As far as they have come.
        lines = await read(store)
        assert [(line.text, line.goes_on, line.stream) for line in lines] == [("." * 3000, True, 1), ("err", True, 2)]
        assert await read_texts(store, tail=1) == ["err"]
        assert await read_texts(store, Query(APP, search="er")) == ["err"]
        give(store, piece("done", goes_on=False), piece("", goes_on=False, stream=2))
        lines = await read(store)
        assert [(line.text, line.goes_on, line.call_id) for line in lines] == [
            ("." * 3000 + "done", False, CALL),
            ("err", False, CALL),
        ]
        positions = [line.position for line in lines]
        assert positions == sorted(set(positions))

    run(tmp_path, scenario)


@pytest.mark.parametrize(
    ("pieces", "kept"),
    [
        ([f"\r{n}%" for n in range(1000)] + ["\r100%"], "100%"),
        ([f"{n}%\r" for n in range(1000)] + ["100%\r"], "100%"),
        (["\r50%", "\r     \r"], ""),
        (["\r50%", " more"], "50% more"),
        (["a\r\r"], "a"),
    ],
)
def test_of_a_progress_bar_the_last_state_is_kept(tmp_path: Path, pieces: list[str], kept: str) -> None:
    async def scenario(store: LogStore) -> None:
        give(store, *map(piece, pieces), piece("", goes_on=False))
        # The same, when it comes in one go.
        put(store, "".join(pieces))
        assert await read_texts(store) == [kept, kept]

    run(tmp_path, scenario)


def test_long_begun_lines_are_kept_in_pieces_and_take_little_memory(tmp_path: Path) -> None:
    async def scenario(store: LogStore) -> None:
        give(store, *[piece("x" * 10_000)] * 20, piece("", goes_on=False))
        lines = await read(store)
        assert [line.goes_on for line in lines] == [True, True, False]
        assert sum(len(line.text) for line in lines) == 200_000
        # A container that begins lines for ever new inputs.
        many = 3000
        give(store, *[piece("y" * 1000, input_id=f"in-{n}") for n in range(many)])
        (held,) = store._open._containers.values()
        assert held.size <= 1 << 20
        lines = (await read(store))[3:]
        assert [line.input_id for line in lines] == [f"in-{n}" for n in range(many)]
        positions = [line.position for line in lines]
        assert positions == sorted(positions)
        kept = [line.position for line in lines[: many - len(held.lines)]]
        assert len(set(kept)) == len(kept)

    run(tmp_path, scenario)


def test_what_has_begun_is_kept_when_the_service_ends_and_goes_on_in_the_next(tmp_path: Path) -> None:
    async def first(store: LogStore) -> None:
        give(store, piece("one "))

    async def second(store: LogStore) -> None:
        give(store, piece("two", goes_on=False))
        assert [(line.text, line.goes_on) for line in await read(store)] == [("one ", True), ("two", False)]

    run(tmp_path, first)
    run(tmp_path, second)


def test_who_follows_sees_what_has_begun_and_each_piece_of_it_once(tmp_path: Path) -> None:
    async def scenario(store: LogStore) -> None:
        put(store, "whole")
        give(store, piece("\r1%"), piece("\r2%"))
        got: list[str] = []

        async def follow() -> None:
            async for chunk in store.lines(Query(APP), is_over=lambda: False):
                got.extend(line.text for line in chunk)

        async with asyncio.timeout(10):
            follower = asyncio.create_task(follow())
            while len(got) < 2:
                await asyncio.sleep(0.001)
            give(store, piece("\r3%"), piece("\r4%", goes_on=False))
            store.end_app(APP)
            await follower
        assert got == ["whole", "2%", "\r3%", "\r4%"]

    run(tmp_path, scenario)


def test_lines_can_be_ended_for_what_follows_them(tmp_path: Path) -> None:
    async def scenario(store: LogStore) -> None:
        give(store, piece("50%", stream=2), piece("50%", stream=2, input_id="in-2"))
        rows = store.ends(CONTAINER, 1000, 2, INPUT)
        assert rows == [piece("", goes_on=False, stream=2)]
        store.append(APP, FUNCTION, CONTAINER, [*rows, piece("Traceback", goes_on=False, stream=2)], {})
        assert await read_texts(store) == ["50%", "Traceback", "50%"]
        assert len(store.ends(CONTAINER, 1000)) == 1
        assert store.ends("co-none", 1000) == []

    run(tmp_path, scenario)


def test_a_line_is_kept_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    async def scenario(store: LogStore) -> None:
        batch = store.append(APP, FUNCTION, CONTAINER, [(2, INPUT, 1234, "tëxt €", True)], {INPUT: CALL})
        (line,) = await read(store)
        assert (line.app_id, line.function_id, line.container_id) == (APP, FUNCTION, CONTAINER)
        assert (line.input_id, line.call_id, line.stream, line.at_ms) == (INPUT, CALL, 2, 1234)
        assert (line.text, line.goes_on, line.position) == ("tëxt €", True, batch.position)

    run(tmp_path, scenario)


def test_lines_survive_the_service_in_order_and_positions_only_grow(tmp_path: Path) -> None:
    async def first(store: LogStore) -> None:
        put(store, "one", "two")

    async def second(store: LogStore) -> None:
        put(store, "three")
        lines = await read(store)
        assert [line.text for line in lines] == ["one", "two", "three"]
        positions = [line.position for line in lines]
        assert positions == sorted(set(positions))

    run(tmp_path, first, now_ms=lambda: 2_000_000_000_000)
    # The clock was set back meanwhile.
    run(tmp_path, second, now_ms=lambda: 1_000_000_000_000)


def test_a_block_that_a_crash_has_cut_hides_nothing_else(tmp_path: Path) -> None:
    async def first(store: LogStore) -> None:
        put(store, "whole")
        await store.flush()
        put(store, "cut")

    async def second(store: LogStore) -> None:
        put(store, "after")
        assert await read_texts(store) == ["whole", "after"]

    async def killed() -> None:
        store = LogStore(tmp_path)
        store.begin()
        await first(store)
        await store.flush()
        # Its writer goes without a word.
        store._writer._jobs.put(None)
        store._writer._thread.join()

    asyncio.run(killed())
    ((_, path),) = listed(tmp_path / APP)
    path.write_bytes(path.read_bytes()[:-2])
    run(tmp_path, second)
    # And it is packed now, with what was whole.
    (before, after) = listed(tmp_path / APP)
    assert [path.read_bytes()[:4] for _, path in (before, after)] == [PACKED, PACKED]


def test_what_else_lies_in_the_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / APP).mkdir()
    foreign = [tmp_path / "notes.log", tmp_path / APP / "notes.log", tmp_path / APP / "0000.log"]
    for path in foreign:
        path.write_text("mine")
    unfinished = tmp_path / APP / "0000000000000001.packing"
    unfinished.write_text("half")

    async def scenario(store: LogStore) -> None:
        put(store, "line")
        assert await read_texts(store) == ["line"]

    run(tmp_path, scenario)
    assert [path.read_text() for path in foreign] == ["mine"] * 3
    assert not unfinished.exists()


def test_an_ended_app_is_packed_and_reads_the_same(tmp_path: Path) -> None:
    async def scenario(store: LogStore) -> None:
        for number in range(2000):
            put(store, f"2026-01-01 INFO worker item {number} done", container=f"co-{number % 3}")
            if number % 100 == 0:
                await store.flush()
        before = await read(store)
        size = sum(path.stat().st_size for _, path in listed(tmp_path / APP))
        store.end_app(APP)
        await store.flush()
        packed = sum(path.stat().st_size for _, path in listed(tmp_path / APP))
        assert packed < size / 3
        assert packed / 2000 < 40
        assert [(line.text, line.position, line.container_id) for line in await read(store)] == [
            (line.text, line.position, line.container_id) for line in before
        ]
        assert await read_texts(store, tail=2) == [line.text for line in before[-2:]]
        assert await read_texts(store, after=before[-3].position) == [line.text for line in before[-2:]]

    run(tmp_path, scenario)


def test_disk_use_is_bounded_and_the_oldest_go_first(tmp_path: Path) -> None:
    limit = 64 << 10

    async def scenario(store: LogStore) -> None:
        put(store, "of an app that ended long ago", app="ap-old")
        store.end_app("ap-old")
        await store.flush()
        for number in range(3000):
            put(store, f"line {number} {os.urandom(30).hex()}")
            if number % 50 == 0:
                await store.flush()
        await store.flush()
        assert sum(path.stat().st_size for path in tmp_path.rglob("*.log")) <= limit
        assert not (tmp_path / "ap-old").exists()
        texts = await read_texts(store)
        numbers = [int(text.split()[1]) for text in texts]
        assert numbers == list(range(3000 - len(numbers), 3000))
        assert 300 < len(numbers) < 3000

    run(tmp_path, scenario, max_bytes=limit)


def test_the_bound_holds_for_what_an_earlier_life_left(tmp_path: Path) -> None:
    async def fill(store: LogStore) -> None:
        for app in ("ap-1", "ap-2"):
            put(store, "x" * 5000, app=app)
            await store.flush()

    async def look(store: LogStore) -> None:
        assert await read_texts(store, Query("ap-1")) == []
        assert len(await read_texts(store, Query("ap-2"))) == 1

    run(tmp_path, fill)
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.log"))
    run(tmp_path, look, max_bytes=size - 1)


def test_a_bound_of_nothing_keeps_nothing_and_is_followed_all_the_same(tmp_path: Path) -> None:
    async def scenario(store: LogStore) -> None:
        following = asyncio.ensure_future(read_texts(store, is_over=lambda: False))
        await until_followed(store)
        put(store, "gone at once")
        await store.flush()
        assert await read_texts(store) == []
        store.end_app(APP)
        assert await following == ["gone at once"]

    run(tmp_path, scenario, max_bytes=0)


def test_a_full_disk_is_told_and_nothing_else_suffers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    written = Segments.write
    is_full = True

    def write(self: Segments, *args: Any) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        written(self, *args)

    async def scenario(store: LogStore) -> None:
        nonlocal is_full
        put(store, "lost", "lost too")
        await store.flush()
        is_full = False
        put(store, "kept")
        assert await read_texts(store) == ["kept"]

    monkeypatch.setattr(Segments, "write", write)
    run(tmp_path, scenario)
    assert "2 lines that containers printed could not be kept: [Errno 28] No space left" in caplog.text


def test_a_write_that_fails_half_way_leaves_no_half_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segments = Segments(tmp_path, 1 << 20)
    segments.begin()
    segments.write(APP, 1, b"whole")

    def half(data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    opened_file = open

    def failing(*args: Any, **options: Any) -> Any:
        file = opened_file(*args, **options)
        file.write(b"ha")
        file.flush()

        class Half:
            def __enter__(self) -> "Half":
                return self

            def __exit__(self, *exc: object) -> None:
                file.close()

            write = staticmethod(half)
            fileno = file.fileno

        return Half()

    monkeypatch.setattr(segments_module, "open", failing, raising=False)
    with pytest.raises(OSError, match="No space"):
        segments.write(APP, 2, b"half")
    ((_, path),) = listed(tmp_path / APP)
    assert path.read_bytes() == b"whole"


class Source:
    def __init__(self) -> None:
        self.paused = 0

    def pause(self) -> None:
        self.paused += 1

    def resume(self) -> None:
        self.paused -= 1


def test_a_disk_that_lags_behind_makes_those_who_print_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    may_write = threading.Event()
    written = Segments.write

    def write(self: Segments, *args: Any) -> None:
        may_write.wait(20)
        written(self, *args)

    async def scenario(store: LogStore) -> None:
        loud, quiet = Source(), Source()
        for _ in range(20):
            store.append(APP, FUNCTION, CONTAINER, rows("x" * 60_000), {}, loud)
        assert (loud.paused, quiet.paused) == (1, 0)
        may_write.set()
        while loud.paused:
            await asyncio.sleep(0.001)
        assert len(await read(store)) == 20

    monkeypatch.setattr(Segments, "write", write)
    monkeypatch.setattr(store_module, "LAG_BYTES", 500_000)
    run(tmp_path, scenario)


# Reading


def test_what_is_asked_for_and_nothing_else(tmp_path: Path) -> None:
    async def scenario(store: LogStore) -> None:
        store.append(APP, "fu-1", "co-1", rows("one", at_ms=1000), {INPUT: CALL})
        store.append(APP, "fu-2", "co-2", rows("Two", at_ms=2000, stream=2, input_id="in-2"), {"in-2": "fc-2"})
        store.append(APP, "fu-2", "co-3", rows("three 100%", at_ms=3000, stream=3, input_id=""), {})
        store.append("ap-2", "fu-9", "co-9", rows("of another app"), {})
        everything = ["one", "Two", "three 100%"]
        for query, wanted in (
            (Query(APP), everything),
            (Query(APP, container_id="co-2"), ["Two"]),
            (Query(APP, function_ids=frozenset({"fu-2"})), ["Two", "three 100%"]),
            (Query(APP, call_id="fc-2"), ["Two"]),
            (Query(APP, since_ms=2000), ["Two", "three 100%"]),
            (Query(APP, until_ms=2000), ["one"]),
            (Query(APP, since_ms=1500, until_ms=2500), ["Two"]),
            (Query(APP, search="tWO"), ["Two"]),
            (Query(APP, search="100%"), ["three 100%"]),
            (Query(APP, stream=2), ["Two"]),
            (Query(APP, container_id="co-9"), []),
            (Query("ap-none"), []),
        ):
            assert await read_texts(store, query) == wanted
            assert await read_texts(store, query, tail=1) == wanted[-1:]
            store.end_app(APP)

    run(tmp_path, scenario)


def test_the_app_of_a_container_is_found_by_its_lines(tmp_path: Path) -> None:
    early, late, never = new_id("co"), new_id("co"), new_id("co")

    async def scenario(store: LogStore) -> None:
        put(store, "a", app="ap-1", container=early)
        put(store, "b", app="ap-2", container=late)
        store.end_app("ap-1")
        assert await store.app_of(early, time_of(early)) == "ap-1"
        assert await store.app_of(late, time_of(late)) == "ap-2"
        assert await store.app_of(never, time_of(never)) == ""

    run(tmp_path, scenario)


# Following


async def until_followed(store: LogStore, app_id: str = APP) -> None:
    while not store._followers.get(app_id):
        await asyncio.sleep(0)


def test_one_who_follows_misses_nothing_and_hears_nothing_twice(tmp_path: Path) -> None:
    async def scenario(store: LogStore) -> None:
        put(store, "0")
        following = asyncio.ensure_future(read_texts(store, is_over=lambda: False))
        for number in range(1, 300):
            put(store, str(number))
            await asyncio.sleep(0)
        store.end_app(APP)
        assert await following == [str(number) for number in range(300)]
        assert not store._followers

    run(tmp_path, scenario)


def test_what_is_over_is_read_and_not_waited_for(tmp_path: Path) -> None:
    async def scenario(store: LogStore) -> None:
        put(store, "last words")
        assert await read_texts(store, is_over=lambda: True) == ["last words"]

    run(tmp_path, scenario)


def test_one_container_is_followed_until_its_end(tmp_path: Path) -> None:
    async def scenario(store: LogStore) -> None:
        query = Query(APP, container_id="co-1")
        following = asyncio.ensure_future(read_texts(store, query, is_over=lambda: False))
        everything = asyncio.ensure_future(read_texts(store, is_over=lambda: False))
        await until_followed(store)
        put(store, "mine", container="co-1")
        put(store, "another's", container="co-2")
        store.end_container(APP, "co-2")
        store.end_container(APP, "co-1")
        assert await following == ["mine"]
        await store.close()
        assert await everything == ["mine", "another's"]

    run(tmp_path, scenario)


def test_only_new_lines(tmp_path: Path) -> None:
    async def scenario(store: LogStore) -> None:
        put(store, "old")
        following = asyncio.ensure_future(read_texts(store, only_new=True, is_over=lambda: False))
        await until_followed(store)
        await store.flush()
        put(store, "new")
        store.end_app(APP)
        assert await following == ["new"]

    run(tmp_path, scenario)


def test_one_who_takes_too_little_reads_the_rest_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "LAG_BYTES", 10_000)

    async def scenario(store: LogStore) -> None:
        chunks = store.lines(Query(APP), is_over=lambda: False)
        put(store, "0")
        taken = [line.text for line in await anext(chunks)]
        (follower,) = store._followers[APP]
        for number in range(1, 1000):
            put(store, str(number))
        assert follower._behind
        assert follower._batches == []
        store.end_app(APP)
        async for chunk in chunks:
            taken += [line.text for line in chunk]
        assert taken == [str(number) for number in range(1000)]

    run(tmp_path, scenario)


def test_the_end_of_the_service_ends_those_who_follow(tmp_path: Path) -> None:
    async def scenario(store: LogStore) -> None:
        following = asyncio.ensure_future(read_texts(store, is_over=lambda: False))
        await until_followed(store)
        put(store, "before the end")
        await store.close()
        assert await following == ["before the end"]

    run(tmp_path, scenario)


def test_the_writer_ends_with_the_store(tmp_path: Path) -> None:
    import threading

    async def scenario(store: LogStore) -> None:
        put(store, "x")

    run(tmp_path, scenario)
    wait_until(lambda: not any(t.name == "log-writer" for t in threading.enumerate()), "the writer has ended")
