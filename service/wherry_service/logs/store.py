"""The log: takes what containers print, keeps it on disk, and tells those who follow at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from wherry_proto.messages import LogLine
from wherry_service.logs import reader
from wherry_service.logs.batch import LogBatch, LogRow
from wherry_service.logs.block import encode
from wherry_service.logs.follower import Follower
from wherry_service.logs.open_lines import OpenLines
from wherry_service.logs.query import Query
from wherry_service.logs.segments import TIME_SHIFT, Segments
from wherry_service.logs.writer import Writer

DEFAULT_MAX_BYTES = 1 << 30
# What has gathered is written after so many seconds, or bytes.
GATHER_S = 0.02
GATHER_BYTES = 64 << 10
# With more than this many bytes unwritten, containers that print are read no further.
LAG_BYTES = 8 << 20
# Seconds that those who follow get to take the rest, at the service's end.
TAKE_WITHIN_S = 1.0


class Source(Protocol):
    """What can be made to wait: a container on its node."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...


# large: the way in and the way out of the same lines
class LogStore:
    """All lines of all containers. Needs no engine."""

    def __init__(
        self,
        directory: Path,
        max_bytes: int = DEFAULT_MAX_BYTES,
        now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._directory = directory
        self._segments = Segments(directory, max_bytes)
        self._writer = Writer(self._segments)
        self._now_ms = now_ms
        self._next = 0
        self._pending: dict[str, list[LogBatch]] = {}
        self._pending_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._unwritten = 0
        self._paused: dict[int, Source] = {}
        self._followers: dict[str, set[Follower]] = {}
        self._open = OpenLines()
        self._closed = False
        # Since the service began.
        self.num_lines = self.num_bytes = 0
        # Hear of whole lines as they are kept; they must be quick.
        self.on_kept: list[Callable[[LogBatch], None]] = []

    def begin(self) -> None:
        """Take stock of what an earlier life left, and begin to write. Blocks."""
        latest = self._segments.begin()
        # Behind everything there is, also where the clock was set back.
        if latest >> TIME_SHIFT >= self._now_ms():
            self._next = latest + (1 << 2 * TIME_SHIFT)
        else:
            self._next = max(self._now_ms(), self._segments.written_ms + 1) << TIME_SHIFT
        self._writer.begin()

    # Writing

    def append(
        self,
        app_id: str,
        function_id: str,
        container_id: str,
        rows: Sequence[LogRow],
        calls: Mapping[str, str],
        source: Source | None = None,
    ) -> LogBatch:
        """Take rows of one container; `source` is made to wait where the disk lags behind. Never blocks.

        Return them as they are told to those who follow. Kept are whole lines, or pieces of long ones.
        """
        batch = LogBatch(app_id, function_id, container_id, rows, calls, max(self._next, self._now_ms() << TIME_SHIFT))
        if self._closed or not rows:
            return batch
        kept = self._open.take(batch)
        # Positions only grow, also where a row brings older ones with it.
        if (more := len(kept.rows) - len(rows)) > 0:
            batch = replace(batch, position=batch.position + more)
            kept = replace(kept, position=kept.position + more)
        self._next = batch.position + len(rows)
        self._keep(kept)
        for hear in self.on_kept:
            hear(kept)
        size = batch.size
        self.num_lines += len(rows)
        self.num_bytes += size
        if self._pending_bytes >= GATHER_BYTES:
            self._hand_over()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self._hand_over)
        if self._unwritten > LAG_BYTES and source is not None and id(source) not in self._paused:
            self._paused[id(source)] = source
            source.pause()
        for follower in self._followers.get(app_id, ()):
            follower.put(batch, size)
        return batch

    def ends(self, container_id: str, at_ms: int, stream: int = 0, input_id: str | None = None) -> list[LogRow]:
        """Return rows that end the lines which a container has begun: all, or those of one stream and input."""
        return self._open.ends(container_id, at_ms, stream, input_id)

    def end_container(self, app_id: str, container_id: str) -> None:
        """Note that a container has ended: who follows it alone has heard all."""
        for follower in self._followers.get(app_id, ()):
            if follower.query.container_id == container_id:
                follower.end()

    def end_app(self, app_id: str) -> None:
        """Note that an app has stopped: who follows it has heard all."""
        for follower in self._followers.get(app_id, ()):
            follower.end()
        if not self._closed:
            self._hand_over()
            self._writer.pack(app_id)

    async def flush(self) -> None:
        """Wait until everything that came so far can be read."""
        if not self._closed:
            self._hand_over()
            await self._writer.reach()

    async def close(self) -> None:
        """Write what is left; end all who follow, and give them a moment to take the rest."""
        if not self._closed:
            for batch in self._open.give_up():
                self._keep(replace(batch, position=self._next))
                self._next += len(batch.rows)
            self._hand_over()
            self._closed = True
        for followers in self._followers.values():
            for follower in followers:
                follower.end()
        await asyncio.to_thread(self._writer.close)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + TAKE_WITHIN_S
        while self._followers and loop.time() < deadline:
            await asyncio.sleep(0.005)

    def _keep(self, batch: LogBatch) -> None:
        if batch.rows:
            self._pending.setdefault(batch.app_id, []).append(batch)
            self._pending_bytes += batch.size

    def _hand_over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        pending, self._pending, self._pending_bytes = self._pending, {}, 0
        for app_id, batches in pending.items():
            data = encode(batches)
            self._unwritten += len(data)
            count = sum(len(batch.rows) for batch in batches)
            self._writer.write(app_id, batches[0].position, count, data, self._written)

    def _written(self, size: int) -> None:
        self._unwritten -= size
        if self._paused and self._unwritten <= LAG_BYTES // 2:
            paused, self._paused = self._paused, {}
            for source in paused.values():
                source.resume()

    # Reading

    async def lines(
        self,
        query: Query,
        *,
        after: int = 0,
        tail: int = 0,
        only_new: bool = False,
        is_over: Callable[[], bool] | None = None,
    ) -> AsyncIterator[list[LogLine]]:
        """Yield lines in chunks, the oldest first: all, the last `tail`, those behind a position, or only new ones.

        With `is_over` go on with lines as they come, until the app or container has ended; it says whether that is so
        already.
        """
        follower = self._follow(query) if is_over is not None else None
        try:
            if only_new:
                after = max(after, self._next - 1)
            elif tail and not after:
                after, begun = await self._flush_for(query)
                kept = await asyncio.to_thread(reader.tail, self._directory, query, tail, after)
                found = [*kept, *begun][-tail:]
                for start in range(0, len(found), reader.CHUNK_LINES):
                    yield found[start : start + reader.CHUNK_LINES]
            else:
                async for chunk, position in self._kept(query, after):
                    after = max(after, position)
                    if chunk:
                        yield chunk
            if follower is None or is_over is None:
                return
            if is_over() or self._closed:
                follower.end()
            while (batches := await follower.next()) is not None:
                if follower.take_behind():
                    # More came than was taken: it is on disk.
                    async for chunk, position in self._kept(query, after):
                        after = max(after, position)
                        if chunk:
                            yield chunk
                    continue
                fresh = [line for batch in batches for line in batch.lines() if line.position > after]
                if batches:
                    after = max(after, batches[-1].position + len(batches[-1].rows) - 1)
                if wanted := [line for line in fresh if query.wants(line)]:
                    yield wanted
                await asyncio.sleep(0)
        finally:
            if follower is not None:
                self._unfollow(follower)

    async def app_of(self, container_id: str, started_ms: int) -> str:
        """Return the app of a container that has printed something; "" where nothing of it is kept."""
        await self.flush()
        return await asyncio.to_thread(reader.app_of, self._directory, container_id, started_ms)

    async def _kept(self, query: Query, after: int) -> AsyncIterator[tuple[list[LogLine], int]]:
        until, begun = await self._flush_for(query)
        chunks = reader.read(self._directory, query, after, until)
        while (found := await asyncio.to_thread(_next, chunks)) is not None:
            yield found
        yield [line for line in begun if line.position > after], max(after, until)

    async def _flush_for(self, query: Query) -> tuple[int, list[LogLine]]:
        """Write what came so far; return the position up to which that is, and the lines that have begun by then.

        What comes later is told to those who follow.
        """
        if not self._closed:
            self._hand_over()
        until = self._next - 1
        begun = self._open.shown(query, until)
        if not self._closed:
            await self._writer.reach()
        return until, begun

    def _follow(self, query: Query) -> Follower:
        follower = Follower(query)
        self._followers.setdefault(query.app_id, set()).add(follower)
        return follower

    def _unfollow(self, follower: Follower) -> None:
        followers = self._followers[follower.query.app_id]
        followers.discard(follower)
        if not followers:
            del self._followers[follower.query.app_id]


def _next(chunks: Iterator[tuple[list[LogLine], int]]) -> tuple[list[LogLine], int] | None:
    return next(chunks, None)
