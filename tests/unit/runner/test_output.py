"""Standard output, cut into lines."""

from wherry_runner.interrupt import Interrupter
from wherry_runner.output import MAX_LINE, Stream


class _Lines:
    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.open = False

    def put(self, stream: int, owner: str | None, lines: list[bytes], goes_on: bool = False) -> None:
        self.got += lines
        self.open = goes_on


def _stream() -> tuple[Stream, _Lines]:
    lines = _Lines()
    return Stream(1, lines, Interrupter()), lines  # type: ignore[arg-type]


def test_lines_are_whole() -> None:
    stream, lines = _stream()
    print("a", end="", file=stream)
    print("b\nc", file=stream)
    print(file=stream)
    print("begun", end="", file=stream)

    assert lines.got == [b"ab", b"c", b""]
    stream.end_line(None)
    assert lines.got[3:] == [b"begun"]


def test_bytes_and_characters_cut_in_two() -> None:
    stream, lines = _stream()
    for byte in "é€😀\n".encode():
        stream.buffer.write(bytes([byte]))
    assert lines.got == ["é€😀".encode()]


def test_a_line_without_an_end_goes_at_the_limit() -> None:
    stream, lines = _stream()
    for _ in range(MAX_LINE + 200):
        stream.write("x")
    assert sum(map(len, lines.got)) >= MAX_LINE
    assert lines.open
    print("", file=stream)
    assert not lines.open
