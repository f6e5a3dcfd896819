"""Output on a terminal, and as plain lines."""

import errno
import io
import os
import re
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from wherry._connection.client import ScreenListener
from wherry._screen.live import Terminal
from wherry._screen.output import Silent
from wherry._screen.plain import Plain
from wherry._screen.stream import ScreenStream
from wherry.output import screen_for_stdout
from wherry_proto.messages import ImageStepEnd, LogLine, Notice, Stream


def test_terminal_shows_lines_steps_and_bars() -> None:
    out = io.StringIO()
    terminal = Terminal(console=Console(file=out, force_terminal=True, width=80))
    terminal.step("Built image im-1")
    progress = terminal.progress("f.map", 3)
    terminal.log([LogLine(text="[not markup] \x1b[31mred\x1b[0m", stream=Stream.STDERR), LogLine(text="x" * 200)])
    for _ in range(3):
        progress.advance()
    terminal.notice(Notice(text="a notice"))
    progress.end()
    terminal.close()
    text = out.getvalue()
    assert "├── " in text
    assert "[not markup]" in text
    assert "x" * 200 in text
    assert "f.map" in text


def test_a_terminal_shows_builds_as_trees_that_do_not_mix() -> None:
    out = io.StringIO()
    terminal = Terminal(console=Console(file=out, force_terminal=True, width=100))
    first, second = terminal.build("Image(first)"), terminal.build("Image(second)")
    for build, name in ((first, "one"), (second, "two")):
        build.line(f"  [bold]{name}[/] says")
        build.layer(ImageStepEnd(title=f"run {name}", seconds=1.25))
    first.layer(ImageStepEnd(title="env A", cached=True))
    first.because("it was pruned")
    bars = terminal.progress("f.map", 3)
    first.end("im-1", 2.0)
    second.abandon()
    second.abandon()
    bars.end()
    terminal.close()
    text = Text.from_ansi(out.getvalue()).plain
    assert (
        "├── Built image im-1 in 2.0 s, because it was pruned\n│   ├── run one (1.2 s)\n│   └── env A (cached)\n"
        in text
    )
    assert "[bold]two[/] says" in text
    assert "run two" not in text


# A title, the clipboard, a reset, and one that becomes whole when another within it is taken out.
STEERING = "\x1b]0;title\x07\x1b]52;c;eA==\x1b\\\x1bc\x1b\x1b[A[2J\x9d52;c;eA==\x9c"


def test_nothing_that_others_say_steers_the_terminal() -> None:
    out = io.StringIO()
    terminal = Terminal(verbose=True, console=Console(file=out, force_terminal=True, width=200))
    build = terminal.build(f"Image{STEERING}")
    build.line(f"building{STEERING}")
    build.layer(ImageStepEnd(title=f"run{STEERING}"))
    build.end("im-1", 1.0)
    bar = terminal.progress("[/f]", 3)
    terminal.log([LogLine(text=f"{STEERING}line"), LogLine(text="begun\x1b", goes_on=True)])
    terminal.log([LogLine(text="]52;c;eA==\x07 ends")])
    bar.end()
    terminal.notice(Notice(text=f"{STEERING}notice"))
    terminal.step(f"{STEERING}step")
    terminal.detail(f"{STEERING}detail")
    terminal.close()
    text = out.getvalue()
    assert all(word in text for word in ("building", "line", "begun]52;c;eA== ends", "notice", "step", "detail"))
    assert not re.search("\x1b[^\\[]|\x1b\\[2J|[\x07\x90-\x9f]", text)


def test_plain_lines_do_not_steer_a_stream_that_is_a_terminal() -> None:
    out, err = io.StringIO(), io.StringIO()
    err.isatty = lambda: True  # type: ignore[method-assign]
    plain = Plain(out=out, err=err)
    plain.log([LogLine(text=f"a{STEERING}", stream=stream) for stream in (Stream.STDOUT, Stream.STDERR)])
    assert (out.getvalue(), err.getvalue()) == (f"a{STEERING}\n", "a[2J\n")


def test_quiet_terminal_shows_lines_and_warnings() -> None:
    out = io.StringIO()
    terminal = Terminal(quiet=True, console=Console(file=out, width=80))
    terminal.step("a step")
    terminal.detail("a detail")
    terminal.build("Image()").end("im-1", 1.0)
    terminal.progress("f.map", None).advance()
    terminal.notice(Notice(text="only said"))
    terminal.notice(Notice(text="warned", warning=True))
    terminal.log([LogLine(text="line")])
    assert out.getvalue() == "warned\nline\n"


def test_plain_lines() -> None:
    out, err = io.StringIO(), io.StringIO()
    plain = Plain(verbose=True, out=out, err=err)
    plain.step("a step")
    plain.detail("a detail")
    build = plain.build("Image()")
    build.because("it was pruned")
    build.line("  a line")
    build.layer(ImageStepEnd(title="run one", seconds=1.25))
    build.end("im-1", 2.0)
    plain.log([LogLine(text="one"), LogLine(text="two", stream=Stream.STDERR)])
    plain.notice(Notice(text="said"))
    assert out.getvalue() == "one\n"
    assert err.getvalue() == (
        "wherry: a step\nwherry:   a detail\nwherry:     a line\nwherry:   run one (1.2 s)\n"
        "wherry: Built image im-1 in 2.0 s, because it was pruned\ntwo\nwherry: said\n"
    )


# Lines that have begun


def _line(text: str, goes_on: bool = True, container: str = "co-1", stream: int = Stream.STDOUT) -> LogLine:
    return LogLine(text=text, stream=stream, container_id=container, goes_on=goes_on)


def _terminal() -> tuple[Terminal, io.StringIO]:
    out = io.StringIO()
    return Terminal(console=Console(file=out, force_terminal=True, width=80)), out


def test_a_begun_line_is_shown_as_far_as_it_has_come() -> None:
    terminal, shown = _terminal()
    out = io.StringIO()
    plain = Plain(out=out)
    for screen in (terminal, plain):
        screen.log([_line(".")])
        screen.log([_line(".")])
    assert out.getvalue() == shown.getvalue() == ".."
    for screen in (terminal, plain):
        screen.log([_line("done", goes_on=False)])
    assert out.getvalue() == shown.getvalue() == "..done\n"


@pytest.mark.parametrize("make", [Plain, lambda out: Terminal(console=Console(file=out))])  # type: ignore[arg-type]
def test_lines_of_others_do_not_run_into_a_begun_one(make: Any) -> None:
    out = io.StringIO()
    screen = make(out=out) if make is Plain else make(out)
    screen.log([_line("one "), _line("two", goes_on=False, container="co-2"), _line("more", goes_on=False)])
    screen.log([_line("open")])
    screen.close()
    assert out.getvalue() == "one \ntwo\nmore\nopen\n"


@pytest.mark.parametrize("pieces", [["\r10%", "\r20%", "\r30%"], ["10%\r", "20%\r", "30%\r"], ["10%", "\r20%\r30%"]])
def test_a_progress_bar_moves_on_a_terminal(pieces: list[str]) -> None:
    terminal, out = _terminal()
    for piece in pieces:
        terminal.log([_line(piece, stream=Stream.STDERR)])
    terminal.log([_line("", goes_on=False, stream=Stream.STDERR)])
    terminal.step("next")
    # Each state takes the place of the one before.
    *erased, rest = out.getvalue().split("\r\x1b[2K")
    assert [Text.from_ansi(state).plain for state in erased] == ["10%", "20%"][: len(erased)]
    assert erased
    assert Text.from_ansi(rest).plain == "30%\n├── next\n"


def test_a_progress_bar_moves_with_the_bars_of_maps() -> None:
    terminal, out = _terminal()
    terminal.log([_line("\r10%")])
    bars = terminal.progress("f.map", 3)
    terminal.log([_line("\r20%"), _line("other", goes_on=False, container="co-2"), _line("\r30%")])
    bars.end()
    terminal.log([_line(" done", goes_on=False)])
    terminal.close()
    text = Text.from_ansi(out.getvalue()).plain
    assert "other\n" in text
    assert text.endswith("30% done\n") or text.endswith("30% done")


def _screen_of(out: io.StringIO) -> list[str]:
    """Return the lines that a terminal shows after all this, which has no other codes than those for lines."""
    lines, row = [""], 0
    for part in re.split(r"(\n|\r|\x1b\[2K|\x1b\[1A)", re.sub(r"\x1b\[(?!2K|1A)[0-9;?]*[A-Za-z]", "", out.getvalue())):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\x1b[1A":
            row -= 1
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part != "\r":
            lines[row] += part
    return [line for line in lines if line]


@pytest.mark.parametrize("has_map", [True, False])
def test_bars_of_several_containers_move_and_leave_one_line_each(has_map: bool) -> None:
    terminal, out = _terminal()
    bars = terminal.progress("f.map", 3) if has_map else None
    for percent in range(0, 101, 10):
        for container in ("co-1", "co-2", "co-3"):
            terminal.log([_line(f"\r{container} {percent}%", container=container, stream=Stream.STDERR)])
    terminal.log([_line("a line", goes_on=False, container="co-4")])
    for container in ("co-2", "co-1"):
        terminal.log([_line("", goes_on=False, container=container, stream=Stream.STDERR)])
        terminal.log([_line(f"{container} is done", goes_on=False, container=container)])
    if bars is not None:
        bars.end()
    terminal.close()
    whole = ["a line", "co-2 100%", "co-2 is done", "co-1 100%", "co-1 is done", "co-3 100%"]
    assert _screen_of(out) == whole


@pytest.mark.parametrize("has_map", [True, False])
def test_many_bars_leave_one_line_each_and_few_are_shown_at_once(has_map: bool) -> None:
    terminal, out = _terminal()
    bars = terminal.progress("f.map", 3) if has_map else None
    for percent in (0, 50, 100):
        for number in range(100):
            terminal.log([_line(f"\r1%\rbar {number}: {percent}", container=f"co-{number}")])
    assert len(_screen_of(out)) <= 10
    terminal.log([_line("", goes_on=False, container="co-3")])
    if bars is not None:
        bars.end()
    assert "bar 3: 100" in _screen_of(out)
    terminal.close()
    assert sorted(_screen_of(out)) == sorted(f"bar {number}: 100" for number in range(100))


def test_bars_without_number_are_left_as_they_are() -> None:
    terminal, out = _terminal()
    for number in range(1200):
        terminal.log([_line(f"\r1%\rbar {number}", container=f"co-{number}")])
    assert 190 < len(_screen_of(out)) < 210
    terminal.close()
    assert len(_screen_of(out)) == 1200


# What the screen writes to may be anything


def _stream(encoding: str = "utf-8", errno_: int = 0, **options: Any) -> tuple[io.TextIOWrapper, io.BytesIO]:
    raw = io.BytesIO()

    class Failing(io.BytesIO):
        def write(self, data: Any) -> int:
            if errno_:
                raise OSError(errno_, os.strerror(errno_))
            return raw.write(data)

    return io.TextIOWrapper(Failing(), encoding, write_through=True, **options), raw


@pytest.mark.parametrize("make", [Plain, lambda out: Terminal(console=Console(file=ScreenStream(out)))])  # type: ignore[arg-type]
@pytest.mark.parametrize(
    ("encoding", "text", "shown"),
    [
        ("ascii", "naïve", b"na?ve\n"),
        ("latin-1", "naïve €", "naïve ?\n".encode("latin-1")),
        ("utf-8", "lone \ud800", b"lone ?\n"),
        ("cp1252", "日本", b"??\n"),
    ],
)
def test_what_can_not_be_encoded_is_shown_as_question_marks(make: Any, encoding: str, text: str, shown: bytes) -> None:
    out, raw = _stream(encoding)
    screen = make(out=out) if make is Plain else make(out)
    screen.log([LogLine(text=text, stream=Stream.STDOUT), LogLine(text="next", stream=Stream.STDOUT)])
    assert raw.getvalue() == shown + b"next\n"


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    out, _ = _stream(errno_=errno.ENOSPC)
    gone: list[bool] = []
    plain = Plain(out=out, err=out, on_gone=lambda: gone.append(True))
    for _ in range(1000):
        plain.log([LogLine(text="x" * 100, stream=Stream.STDOUT)])
        plain.notice(Notice(text="a notice"))
        plain.step("a step")
    assert not gone


def test_a_reader_that_goes_is_told_of_once() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    gone: list[bool] = []
    with open(writing, "w") as out:
        plain = Plain(out=out, on_gone=lambda: gone.append(True))
        for _ in range(5):
            plain.log([LogLine(text="x", stream=Stream.STDOUT)])
        # What waits in the stream's buffer raises nothing either.
        out.write("later")
    assert gone == [True]


def test_closed_streams_and_none_take_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = _stream()
    plain = Plain(out=out)
    out.close()
    plain.log([LogLine(text="x", stream=Stream.STDOUT)])
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    screen = screen_for_stdout(quiet=False, verbose=True)
    screen.log([LogLine(text="x", stream=Stream.STDOUT), LogLine(text="y", stream=Stream.STDERR)])
    screen.step("a step")
    screen.close()


def test_a_screen_that_fails_costs_no_call() -> None:
    class Broken(Silent):
        def log(self, lines: Any) -> None:
            raise RuntimeError("no screen")

        def notice(self, notice: Any) -> None:
            raise RuntimeError("no screen")

    listener = ScreenListener()
    listener.screen = Broken()
    listener.log([LogLine(text="x")])
    listener.notice(Notice(text="x"))
    with listener.held():
        listener.log([LogLine(text="x")])
