"""Streams of commands: text and bytes, lines and pieces, what is sent when."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from wherry.exception import InvalidError
from wherry.io_streams import FedReader, PassingReader, StreamReader, StreamWriter


def reader(*pieces: bytes, text: bool = True, by_line: bool = True) -> StreamReader[str]:
    return StreamReader(lambda: iter(pieces), text, by_line)


def test_lines_keep_their_ends_wherever_pieces_break() -> None:
    assert list(reader(b"on", b"e\ntwo\n\nth", b"ree")) == ["one\n", "two\n", "\n", "three"]
    assert list(reader()) == []


def test_read_gives_what_is_left() -> None:
    stream = reader(b"one\ntwo\nthree")
    assert next(stream) == "one\n"
    assert stream.read() == "two\nthree"
    assert stream.read() == ""
    assert list(stream) == []


def test_a_character_may_come_in_two_pieces() -> None:
    data = "zwölf€\n".encode()
    assert list(reader(*(bytes([byte]) for byte in data))) == ["zwölf€\n"]
    assert reader(b"\xff\n\xc3").read() == "�\n�"


def test_bytes_come_as_they_are() -> None:
    stream: StreamReader[bytes] = StreamReader(lambda: iter([b"\xff\n", b"\0"]), text=False)
    assert list(stream) == [b"\xff\n", b"\0"]


def test_pieces_come_as_they_come() -> None:
    assert list(reader(b"on", b"e\ntwo", by_line=False)) == ["on", "e\ntwo"]


@pytest.mark.timeout(20)
def test_many_lines_take_no_square_time() -> None:
    # In square time, minutes.
    stream = reader(b"x\n" * 1_000_000)
    assert sum(1 for _ in zip(range(999_999), stream, strict=False)) == 999_999
    assert stream.read() == "x\n"


def test_asynchronous_iteration() -> None:
    async def main() -> list[str]:
        return [line async for line in reader(b"a\nb\n")] + [await reader(b"c").read.aio()]

    assert asyncio.run(main()) == ["a\n", "b\n", "c"]


def test_what_is_written_goes_out_in_order_once() -> None:
    sent: list[tuple[bytes, bool]] = []
    stream = StreamWriter(lambda data, eof: sent.append((data, eof)))
    stream.drain()
    stream.write("zwölf")
    stream.write(b"\0")
    assert sent == []
    stream.drain()
    stream.write_eof()
    stream.drain()
    stream.drain()
    assert sent == [("zwölf".encode() + b"\0", False), (b"", True)]
    with pytest.raises(InvalidError, match="after write_eof"):
        stream.write("more")


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidError, match="text or bytes, not int"):
        StreamWriter(lambda data, eof: None).write(5)  # type: ignore[arg-type]


def test_reading_sends_what_was_written() -> None:
    sent: list[bytes] = []
    writer = StreamWriter(lambda data, eof: sent.append(data))

    def answers() -> Iterator[bytes]:
        yield b"".join(sent)

    stream: StreamReader[str] = StreamReader(answers, True, before=writer.drain)
    writer.write("question")
    assert stream.read() == "question"


def test_fed_from_another_thread_until_its_end() -> None:
    fed = FedReader()

    def feed() -> None:
        for number in range(3):
            fed.feed(b"%d\n" % number)
        fed.end()

    thread = threading.Thread(target=feed)
    thread.start()
    assert list(StreamReader(fed.pieces, True)) == ["0\n", "1\n", "2\n"]
    thread.join()


def test_an_error_comes_after_what_was_read_before_it() -> None:
    fed = FedReader()
    fed.feed(b"one\n")
    fed.end(ConnectionError("gone"))
    stream: StreamReader[str] = StreamReader(fed.pieces, True)
    assert next(stream) == "one\n"
    with pytest.raises(ConnectionError, match="gone"):
        next(stream)


def test_output_that_is_not_kept_is_printed_or_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    data = "zwölf\n".encode()
    for shows in (True, False):
        passing = PassingReader(shows)
        for byte in data:
            passing.feed(bytes([byte]))
        passing.end()
        stream: StreamReader[str] = StreamReader(passing.pieces, text=True)
        with pytest.raises(InvalidError, match="only output that goes to"):
            stream.read()
    assert capsys.readouterr().out == "zwölf\n"


def test_a_closed_stream_is_at_its_end() -> None:
    stream = reader(b"one\ntwo\n")
    assert (next(stream), stream.file_descriptor) == ("one\n", 1)
    stream.close()
    assert (stream.read(), list(stream)) == ("", [])


def test_an_unfinished_line_is_given_when_nothing_follows() -> None:
    fed = FedReader()
    stream: StreamReader[str] = StreamReader(lambda: fed.pieces(0.05), text=True, soon=True)
    fed.feed(b"one\ntwo\nname> ")
    assert [next(stream) for _ in range(3)] == ["one\n", "two\n", "name> "]
    # Silence is told once; after it whatever comes, also parts of a character.
    whole = "zwölf\n".encode()
    threading.Timer(0.2, lambda: fed.feed(whole[:3])).start()
    threading.Timer(0.23, lambda: fed.feed(whole[3:])).start()
    assert next(stream) == "zwölf\n"
    fed.feed(b"last")
    fed.end()
    assert list(stream) == ["last"]


def test_a_line_that_never_ends_is_given_in_parts() -> None:
    stream: StreamReader[bytes] = StreamReader(lambda: iter([b"x" * 100_000] * 6), text=False, soon=True)
    assert [len(part) for part in stream] == [300_000, 300_000]
