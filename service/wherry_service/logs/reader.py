"""Reading what was kept: straight from the files, beside the writer, in whatever thread."""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from wherry_proto.messages import LogLine
from wherry_service.logs.block import Block, blocks, lines, texts, unpack
from wherry_service.logs.query import Query
from wherry_service.logs.segments import TIME_SHIFT, listed

# So many lines are handed on at a time.
CHUNK_LINES = 500


def read(directory: Path, query: Query, after: int, until: int) -> Iterator[tuple[list[LogLine], int]]:
    """Yield the lines behind a position and up to another, the oldest first, in chunks.

    With each the position up to which it goes.
    """
    segments = listed(directory / query.app_id)
    # Those before the last one that begins at or before it hold nothing that is asked for.
    begin = max((number for number, (first, _) in enumerate(segments) if first <= after), default=0)
    found: list[LogLine] = []
    for _, path in segments[begin:]:
        for block in _blocks_of(path):
            if block.last <= after or block.first > until or not query.may_be_in(block):
                continue
            for plain in unpack(block):
                found += (line for line in _wanted(plain, query) if after < line.position <= until)
                while len(found) >= CHUNK_LINES:
                    chunk, found = found[:CHUNK_LINES], found[CHUNK_LINES:]
                    yield chunk, chunk[-1].position
            # Between the blocks, so that what others do in this process goes on.
            yield found, min(block.last, until)
            found = []


def tail(directory: Path, query: Query, count: int, until: int) -> list[LogLine]:
    """Return the latest so many lines up to a position, the oldest first."""
    found: deque[LogLine] = deque()
    for _, path in reversed(listed(directory / query.app_id)):
        for block in reversed(_blocks_of(path)):
            if not query.may_be_in(block):
                continue
            for plain in reversed(unpack(block)):
                for line in reversed(list(_wanted(plain, query))):
                    if line.position > until:
                        continue
                    if len(found) == count:
                        return list(found)
                    found.appendleft(line)
    return list(found)


def app_of(directory: Path, container_id: str, started_ms: int) -> str:
    """Return the app of a container that was made at that time, as far as lines of it are there; "" otherwise."""
    candidates: list[tuple[int, str, Path]] = []
    apps = [path for path in directory.iterdir() if path.is_dir()] if directory.is_dir() else []
    for app in apps:
        segments = listed(app)
        begin = max((n for n, (first, _) in enumerate(segments) if first >> TIME_SHIFT <= started_ms), default=0)
        candidates += [(first, app.name, path) for first, path in segments[begin:]]
    # Its first lines came soon after it was made.
    for _, app_id, path in sorted(candidates):
        if any(container_id == pair[0] for block in _blocks_of(path) for pair in block.containers):
            return app_id
    return ""


def _blocks_of(path: Path) -> Sequence[Block]:
    try:
        return blocks(path.read_bytes())
    except FileNotFoundError:
        # Dropped since it was listed.
        return []


def _wanted(block: Block, query: Query) -> Iterator[LogLine]:
    if not query.may_be_in(block):
        return iter(())
    if query.search and query.search.casefold() not in texts(block).casefold():
        return iter(())
    return (line for line in lines(block, query.app_id) if query.wants(line))
