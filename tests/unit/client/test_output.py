"""Output on a terminal, and as plain lines."""

import io

from rich.console import Console
from rich.text import Text

from wherry._output.plain import Plain
from wherry._output.terminal import Terminal
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
