"""How lines lie on disk: blocks, each with a header that says what to expect, so that most need not be read.

| bytes | what |
|---|---|
| 52 | `HEADER`: magic, kind, lengths, the positions and times of its lines, a checksum |
| meta | JSON: `[[container id, function id], …]` |
| body | of a plain block: JSON `[owners, batches, runs, times]`, a zero byte, the texts with newlines between them |
|      | of a packed block: plain blocks, compressed together |
"""

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wherry_proto.messages import LogLine
from wherry_service.logs.batch import LogBatch

HEADER = struct.Struct(">4sIIIQQQQI")
PLAIN, PACKED = b"WLg1", b"WLz1"
# Enough plain blocks to compress well, few enough to hold in memory.
PACK_BYTES = 256 << 10
_dumps = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Block:
    """A block's header and meta, and where its body is."""

    packed: bool
    count: int
    first: int
    last: int
    # The times of its earliest and latest line.
    since_ms: int
    until_ms: int
    containers: list[tuple[str, str]]
    body: memoryview
    whole: memoryview


def encode(batches: Sequence[LogBatch]) -> bytes:
    """Return a plain block of the lines of one app."""
    containers: dict[tuple[str, str], int] = {}
    owners: dict[tuple[str, str], int] = {}
    firsts: list[int] = []
    runs: list[int] = []
    times: list[int] = []
    texts: list[str] = []
    last_key: tuple[int, str, int, bool] | None = None
    at = 0
    for batch in batches:
        container = containers.setdefault((batch.container_id, batch.function_id), len(containers))
        firsts += (len(batch.rows), batch.position)
        for stream, input_id, at_ms, text, goes_on in batch.rows:
            key = (container, input_id, stream, goes_on)
            if key == last_key:
                runs[-4] += 1
            else:
                last_key = key
                owner = owners.setdefault((input_id, batch.calls.get(input_id, "")), len(owners))
                runs += (1, container, owner, stream | goes_on << 2)
            times.append(at_ms - at)
            at = at_ms
            texts.append(text)
    head = _dumps([list(owners), firsts, runs, times]).encode()
    text = "\n".join(texts)
    if text.count("\n") >= len(texts):
        text = "\n".join(line.replace("\n", " ") for line in texts)
    body = b"\0".join((head, text.encode(errors="replace")))
    all_times = [row[2] for batch in batches for row in batch.rows]
    last = batches[-1].position + len(batches[-1].rows) - 1
    span = (len(texts), batches[0].position, last, min(all_times), max(all_times))
    return _block(PLAIN, list(containers), span, body)


def pack(blocks: Sequence[Block]) -> bytes:
    """Return one packed block of several plain ones."""
    containers = dict.fromkeys(pair for block in blocks for pair in block.containers)
    span = (
        sum(block.count for block in blocks),
        blocks[0].first,
        blocks[-1].last,
        min(block.since_ms for block in blocks),
        max(block.until_ms for block in blocks),
    )
    return _block(PACKED, list(containers), span, zlib.compress(b"".join(block.whole for block in blocks)))


def _block(
    magic: bytes, containers: Sequence[tuple[str, str]], span: tuple[int, int, int, int, int], body: bytes
) -> bytes:
    meta = _dumps(containers).encode()
    count, first, last, since_ms, until_ms = span
    check = zlib.crc32(body, zlib.crc32(meta))
    return HEADER.pack(magic, len(meta), len(body), count, first, last, since_ms, until_ms, check) + meta + body


def blocks(data: bytes | memoryview) -> list[Block]:
    """Return the blocks in a segment's bytes, as far as they are whole: the last may have been cut by a crash."""
    found: list[Block] = []
    view = memoryview(data)
    start = 0
    while start + HEADER.size <= len(view):
        magic, meta, body, count, first, last, since_ms, until_ms, check = HEADER.unpack_from(view, start)
        middle = start + HEADER.size + meta
        end = middle + body
        if magic not in (PLAIN, PACKED) or end > len(view):
            break
        if zlib.crc32(view[start + HEADER.size : end]) != check:
            break
        containers = [(pair[0], pair[1]) for pair in json.loads(bytes(view[start + HEADER.size : middle]))]
        packed = magic == PACKED
        found.append(
            Block(packed, count, first, last, since_ms, until_ms, containers, view[middle:end], view[start:end])
        )
        start = end
    return found


def unpack(block: Block) -> list[Block]:
    """Return the plain blocks in a packed one; of a plain one itself."""
    return blocks(zlib.decompress(block.body)) if block.packed else [block]


def texts(block: Block) -> str:
    """Return all text of a plain block."""
    _, _, text = bytes(block.body).partition(b"\0")
    return text.decode()


def lines(block: Block, app_id: str) -> Iterator[LogLine]:
    """Yield the lines of a plain block."""
    head, _, text = bytes(block.body).partition(b"\0")
    owners, firsts, runs, times = json.loads(head)
    pieces = text.decode().split("\n")
    positions = (
        first + offset for count, first in zip(firsts[::2], firsts[1::2], strict=True) for offset in range(count)
    )
    number = at_ms = 0
    for start in range(0, len(runs), 4):
        count, container, owner, flags = runs[start : start + 4]
        container_id, function_id = block.containers[container]
        input_id, call_id = owners[owner]
        for _ in range(count):
            at_ms += times[number]
            yield LogLine(
                app_id=app_id,
                function_id=function_id,
                container_id=container_id,
                input_id=input_id,
                stream=flags & 3,
                text=pieces[number],
                at_ms=at_ms,
                call_id=call_id,
                position=next(positions),
                goes_on=bool(flags & 4),
            )
            number += 1
