"""Standard output, as it is flushed and cut into lines."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from wherry_runner.context import input_id
from wherry_runner.interrupt import Interrupter
from wherry_runner.link import Link
from wherry_runner.output import LINES_AT_ONCE, MAX_LINE, MOST_WAITING_BYTES, Lines, Pipes, Stream


class _Link(Link):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__("")
        self.rows: list[tuple[int, bytes, bool]] = []

    def put_row(self, kind: str, row: list[Any], part: bytes) -> None:
        self.rows.append((row[0], part, len(row) == 4))

    @property
    def text(self) -> bytes:
        return b"".join(part + b"\n" * (not goes_on) for _, part, goes_on in self.rows)


def _stream() -> tuple[Stream, _Link, Lines]:
    link = _Link()
    lines = Lines(link)
    return Stream(1, lines, Interrupter()), link, lines


def test_lines_are_whole() -> None:
    stream, link, lines = _stream()
    print("a", end="", file=stream)
    print("b\nc", file=stream)
    print(file=stream)
    print("begun", end="", file=stream)

    assert link.rows == [(1, b"ab", False), (1, b"c", False), (1, b"", False)]
    stream.end_line(None)
    lines.end(None)
    assert link.rows[3:] == [(1, b"begun", False)]


def test_what_is_flushed_goes_at_once_and_is_one_line_in_the_end() -> None:
    stream, link, lines = _stream()
    print(".", end="", flush=True, file=stream)
    assert link.rows == [(1, b".", True)]
    stream.flush()
    stream.buffer.write(b"!")
    stream.buffer.flush()
    print("done", file=stream)
    assert link.rows == [(1, b".", True), (1, b"!", True), (1, b"done", False)]
    print("open", end="", flush=True, file=stream)
    lines.end(None)
    assert link.rows[3:] == [(1, b"open", True), (1, b"", False)]
    lines.end(None)
    assert len(link.rows) == 5


def test_a_return_to_the_line_s_beginning_flushes() -> None:
    stream, link, lines = _stream()
    nudged: list[bool] = []
    lines.nudge = lambda: nudged.append(True)
    print("50%", end="\r", file=stream)
    assert nudged
    assert link.has_unsent
    lines._put_late(0.0)
    assert link.rows == [(1, b"50%\r", True)]


def test_many_small_flushes_travel_together() -> None:
    stream, link, lines = _stream()
    for _ in range(10_000):
        print("x", end="", flush=True, file=stream)
    # 4 of each 10 ms at once, what is between together.
    assert LINES_AT_ONCE <= len(link.rows) < 2000
    lines.end(None)
    assert link.text == b"x" * 10_000 + b"\n"


def test_bytes_and_characters_cut_in_two() -> None:
    stream, link, _ = _stream()
    for byte in "é€😀\n".encode():
        stream.buffer.write(bytes([byte]))
    assert link.text == "é€😀\n".encode()


def test_a_line_without_an_end_goes_at_the_limit() -> None:
    stream, link, _ = _stream()
    for _ in range(MAX_LINE + 200):
        stream.write("x")
    assert sum(len(part) for _, part, _ in link.rows) >= MAX_LINE
    assert link.rows[-1][2]
    print("", file=stream)
    assert not link.rows[-1][2]


@contextmanager
def _piped() -> Iterator[tuple[Stream, _Link, Lines, Pipes]]:
    """Descriptors 1 and 2 lead into pipes, for as long as the test runs."""
    saved = [os.dup(1), os.dup(2)]
    link = _Link()
    lines = Lines(link)
    pipes = Pipes(lines)
    try:
        yield Stream(1, lines, Interrupter()), link, lines, pipes
    finally:
        for number, fd in enumerate(saved, 1):
            os.dup2(fd, number)
            os.close(fd)
        os.close(pipes.original_stderr)
        os.close(pipes._original_stdout)
        for fd in pipes.fds:
            os.close(fd)
        pipes._epoll.close()


def test_what_children_write_keeps_its_place_among_what_is_printed() -> None:
    with _piped() as (stream, link, _, _):
        for number in range(100):
            print(f"p{number}", file=stream)
            os.write(1, b"c%d\n" % number)
        print("[step] ", end="", flush=True, file=stream)
        os.write(1, b"child\n")
        print("done", file=stream)
    texts = link.text.decode().splitlines()
    assert texts == [f"{kind}{n}" for n in range(100) for kind in "pc"] + ["[step] child", "done"]


def test_what_a_child_has_begun_is_sent_and_ended_with_its_input() -> None:
    input_id.only = "in-1"
    try:
        with _piped() as (_, link, lines, pipes):
            os.write(1, "10%\ré".encode()[:-1])
            os.write(2, b"to stderr\n")
            pipes.drain()
            lines._put_late(0.0)
            assert sorted(link.rows) == [(1, b"10%\r", True), (2, b"to stderr", False)]
            os.write(1, "é".encode()[-1:])
            pipes.end_lines("in-1")
    finally:
        input_id.only = None
    assert link.rows[-1] == (1, "é".encode(), False)


def test_a_child_that_floods_while_the_agent_is_away_holds_up_only_itself() -> None:
    with _piped() as (_, link, lines, pipes):
        child = subprocess.Popen(["yes"])
        try:
            # Whoever pumps is the one that connects anew: it must come back each time.
            while not lines.is_full:
                for fd in pipes.fds:
                    pipes.pump_one(fd)
            before = link.log_bytes_put
            for _ in range(3):
                for fd in pipes.fds:
                    assert pipes.pump_one(fd)
            pipes.drain()
            assert link.log_bytes_put == before < MOST_WAITING_BYTES + (8 << 20)
        finally:
            child.kill()
            child.wait()


def test_a_child_that_never_stops_does_not_hold_who_prints() -> None:
    with _piped() as (stream, link, _, _):
        # As if all of it had been sent: nobody waits for an agent that does not read.
        link.log_bytes_sent = 1 << 60
        # Few lines, all of a page: millions would take a busy machine minutes.
        child = subprocess.Popen(["yes", "y" * 4095])
        try:
            for _ in range(10):
                print("printed", file=stream)
        finally:
            child.kill()
            child.wait()
    assert link.rows.count((1, b"printed", False)) == 10


WRITTEN = st.lists(
    st.one_of(
        st.text(st.characters(codec="utf-8"), max_size=20),
        st.text("\r\n\x1b[K 0.%é", max_size=20),
        st.binary(max_size=20),
        # Flushed here.
        st.none(),
    ),
    max_size=30,
)


@given(WRITTEN)
# No beginning of a character, though its first byte is one: two are replaced, at the end and before text.
@example([b"\xf4\x90"])
@example([b"\xf4\x90", "x"])
@settings(deadline=None)
def test_whatever_is_written_arrives_once_and_in_order(written: list[str | bytes | None]) -> None:
    stream, link, lines = _stream()
    whole = b""
    for piece in written:
        if piece is None:
            stream.flush()
        elif isinstance(piece, str):
            stream.write(piece)
            whole += piece.encode()
        else:
            stream.buffer.write(piece)
            whole += piece
    stream.end_line(None)
    lines.end(None)
    # What is no text is replaced; the last line is ended for whoever did not.
    whole = whole.decode(errors="replace").encode()
    assert link.text == (whole if not whole or whole.endswith(b"\n") else whole + b"\n")
