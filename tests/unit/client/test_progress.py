"""What is shown of what takes long: how far it has come, how fast it goes, what is waited for."""

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

import wherry
from tests.fakes.service import FakeService
from tests.waiting import wait_until
from wherry._connection.client import Client, ScreenListener
from wherry._screen.live import Terminal
from wherry._screen.output import waited
from wherry._screen.pace import Pace, amount, span
from wherry._screen.plain import Cells, Plain
from wherry._screen.ticker import Ticker
from wherry_proto.messages import ImageStepEnd, Notice


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (3599, "59 min 59 s"), (7900, "2 h 11 min")],
)
def test_a_span_is_in_words(seconds: float, words: str) -> None:
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (400e6, "400 MB"), (2.5e9, "2.5 GB"), (3e13, "30000.0 GB")],
)
def test_an_amount_is_in_words(size: float, words: str) -> None:
    assert amount(size) == words


def test_a_pace_leaves_out_how_long_the_first_took(clock: Clock) -> None:
    pace = Pace(50, clock)
    assert pace.inputs() == "0/50, 0 s"
    clock.now += 30  # a container starts
    pace.advance()
    assert pace.inputs() == "1/50, 24 min 30 s left"
    for _ in range(5):
        clock.now += 1
        pace.advance(2)
    pace.failed += 2
    assert pace.inputs() == "11/50, 2.0/s, 20 s left, 2 failed"
    unknown = Pace(None, clock)
    unknown.advance(20_000)
    clock.now += 65
    assert unknown.inputs() == "20,000, 308/s, 1 min 05 s"


def test_bytes_have_a_pace_too(clock: Clock) -> None:
    pace = Pace(400_000_000, clock)
    for _ in range(3):
        clock.now += 1
        pace.advance(40_000_000)
    assert pace.bytes() == "120 MB/400 MB, 40 MB/s, 7 s left"


def test_a_ticker_says_each_thing_from_time_to_time(clock: Clock) -> None:
    said: list[str] = []
    ticker = Ticker(said.append, now=clock)
    ticker.add("map", lambda: f"map at {clock.now:.0f}")
    ticker.add("wait", lambda: "a wait", 3.0)
    clock.now += 2.9
    assert ticker.tick() == pytest.approx(0.1)
    assert said == []
    clock.now += 0.1
    ticker.tick()
    assert said == ["a wait"]
    clock.now += 7.0
    ticker.tick()
    assert said == ["a wait", "map at 110"]
    ticker.remove("map")
    clock.now += 20.0
    ticker.tick()
    assert said[2:] == ["a wait"]
    ticker.remove("wait")
    assert ticker.tick() is None


def test_a_ticker_needs_nobody_who_ticks_it() -> None:
    said: list[str] = []
    ticker = Ticker(said.append, every_s=0.01)
    for round_ in ("first", "second"):
        ticker.add(round_, lambda word=round_: word)  # type: ignore[misc]
        wait_until(lambda word=round_: said.count(word) > 1, "lines of the ticker")  # type: ignore[misc]
        ticker.remove(round_)


def _plain(monkeypatch: pytest.MonkeyPatch, every_s: float = 10.0) -> tuple[Plain, io.StringIO]:
    monkeypatch.setattr("wherry._screen.ticker.EVERY_S", every_s)
    err = io.StringIO()
    plain = Plain(verbose=True, err=err)
    plain._ticker = Ticker(plain._say, every_s)
    return plain, err


def test_piped_maps_transfers_builds_and_waits_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, err = _plain(monkeypatch, 0.01)
    bar, upload = plain.progress("f.map", 3), plain.transfer("Uploading x", 4_000_000)
    build, wait = plain.build("Image()", "square"), plain.waiting("the service starts")
    bar.advance()
    bar.failed()
    upload.advance(1_000_000)
    build.at(2, 5)
    build.line("  step 8")
    wait_until(
        lambda: all(word in err.getvalue() for word in ("f.map: 1/3", "1 failed", "Uploading x: 1.0 MB/4.0 MB")),
        "lines",
    )
    building = re.compile(r"wherry: building the image of square, step 2 of 5, \d+ s: step 8\n")
    wait_until(lambda: building.search(err.getvalue()), "the build")
    for one in (bar, upload, wait):
        one.end()
    build.end("im-1", 1.0)
    assert err.getvalue().endswith("wherry: Built image im-1 for square in 1.0 s\n")
    assert plain._ticker.tick() is None


def test_builds_at_once_say_whose_each_line_is(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, err = _plain(monkeypatch)
    one, other = plain.build("Image(a)", "square", True), plain.build("Image(b)", "cube, root", True)
    one.line("step 8")
    other.line("hi")
    one.layer(ImageStepEnd(title="run a", seconds=1.0))
    one.abandon()
    other.end("im-2", 2.0)
    assert err.getvalue() == (
        "wherry:   [square] step 8\nwherry:   [cube, root] hi\nwherry:   [square] run a (1.0 s)\n"
        "wherry: Built image im-2 for cube, root in 2.0 s\n"
    )
    alone = plain.build("Image(a)", "square")
    alone.line("step 9")
    alone.abandon()
    assert err.getvalue().endswith("wherry:   step 9\n")


def _waits(text: str, seconds: float, over: bool = False, function_id: str = "fu-1") -> Notice:
    return Notice(function_id=function_id, text=text, waits=True, seconds=seconds, over=over)


def test_piped_a_function_that_waits_is_told_of_once_it_takes_some_seconds() -> None:
    err = io.StringIO()
    plain = Plain(err=err)
    for seconds in (1.0, 3.0, 4.0, 30.0, 33.0):
        plain.notice(_waits("hold waits for 2 cores: other functions have them", seconds))
    plain.notice(_waits("a container of hold starts", 40.0))
    plain.notice(_waits("hold goes on", 41.0, over=True))
    plain.notice(_waits("a container of hold starts", 3.0))
    told = "wherry: hold waits for 2 cores: other functions have them"
    starts = "wherry: a container of hold starts"
    assert err.getvalue() == f"{told} (3 s)\n{told} (33 s)\n{starts} (40 s)\n{starts} (3 s)\n"
    quiet = Plain(quiet=True, err=err)
    quiet.notice(_waits("hold waits", 9.0))
    assert "hold waits (" not in err.getvalue()


class _Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_what_is_waited_for_is_told_after_a_second_though_no_output_is_enabled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = ScreenListener().screen
    monkeypatch.setattr("sys.stderr", err := _Tty())
    screen.notice(_waits("A container of hold starts", 0.9))
    screen.notice(_waits("A container of hold starts", 1.0))
    screen.notice(_waits("hold goes on", 1.1, over=True))
    screen.notice(Notice(text="A container died", warning=True))
    screen.step("a step")
    assert err.getvalue() == "wherry: A container of hold starts (1 s)\n"
    starting = screen.waiting("The service starts")
    wait_until(lambda: "wherry: The service starts (1 s)\n" in err.getvalue(), "the service that starts to be told of")
    starting.end()


def test_a_pipe_is_told_nothing_unless_an_output_is_enabled(capsys: pytest.CaptureFixture[str]) -> None:
    screen = ScreenListener().screen
    screen.notice(_waits("A container of hold starts", 9.0))
    screen.waiting("The service starts").end()
    assert capsys.readouterr() == ("", "")


def test_a_notebook_is_told_what_a_function_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    cells = Cells()
    cells.notice(_waits("A container of hold starts", 3.0))
    cells.step("a step")
    cells.waiting("The service starts").end()
    assert capsys.readouterr().err == "wherry: A container of hold starts (3 s)\n"


def _moving(width: int) -> tuple[Terminal, Callable[[], list[str]]]:
    terminal = Terminal(console=Console(file=io.StringIO(), force_terminal=True, width=width))

    def shown() -> list[str]:
        out = io.StringIO()
        if terminal._live is not None:
            Console(file=out, width=width).print(terminal._live.renderable)
        return [line.rstrip() for line in out.getvalue().splitlines()]

    return terminal, shown


@pytest.mark.parametrize("width", [60, 120])
def test_a_terminal_shows_all_that_moves_in_lines_that_fit(width: int) -> None:
    terminal, shown = _moving(width)
    build = terminal.build("Image(debian_slim, pip_install)", "square, cube", True)
    build.at(2, 5)
    build.line("Collecting \x1b]0;title\x07numpy " + "x" * 200)
    bar, upload = terminal.progress("slow.map", 50), terminal.transfer("Uploading a/long/path/to/a/file.bin", 4_000_000)
    bar.advance()
    bar.failed()
    upload.advance(1_000_000)
    terminal.notice(_waits("hold waits for 2 cores: other functions have them", 4.0))
    lines = shown()
    assert len(lines) == 4
    assert all(len(line) <= width for line in lines)
    assert re.search(r"2/5 \d s Building the image of square, cube", lines[0])
    assert re.search(r"\d s hold waits for 2 cores: other functions have them", lines[1])
    assert lines[2].startswith("slow.map ")
    assert "1/50" in lines[2]
    assert lines[2].endswith("1 failed")
    assert lines[3].startswith("Uploading a/long/path/t… ")
    assert "1.0 MB/4.0 MB" in lines[3]
    for one in (bar, upload):
        one.end()
    build.abandon()
    terminal.notice(_waits("hold goes on", 5.0, over=True))
    assert shown() == []
    terminal.close()


def test_what_a_function_waits_for_changes_and_ends_on_a_terminal() -> None:
    terminal, shown = _moving(80)
    terminal.notice(_waits("hold waits for 2 cores", 1.0))
    terminal.notice(_waits("hold waits for 2 cores", 30.0))
    terminal.notice(_waits("a container of other starts", 1.0, function_id="fu-2"))
    assert [" ".join(line.split()[3:]) for line in shown()] == [
        "hold waits for 2 cores",
        "a container of other starts",
    ]
    terminal.notice(_waits("a container of hold starts", 31.0))
    assert any("a container of hold starts" in line for line in shown())
    assert not any("2 cores" in line for line in shown())
    terminal.close()
    assert shown() == []


def test_a_short_wait_is_not_shown_and_a_long_one_is() -> None:
    terminal, shown = _moving(80)
    terminal.waiting("nothing").end()
    wait = terminal.waiting("the service starts")
    wait_until(lambda: any("the service starts" in line for line in shown()), "the wait")
    wait.end()
    wait.end()
    assert shown() == []


def test_a_map_counts_what_failed(service: FakeService, client: Client) -> None:
    counted: list[str] = []

    class Screen(Plain):
        def progress(self, name: str, total: int | None) -> "Counting":  # type: ignore[override]
            return Counting()

    class Counting:
        def advance(self) -> None:
            counted.append("one")

        def failed(self) -> None:
            counted.append("failed")

        def end(self) -> None:
            counted.append("end")

    def f(n: int) -> int:
        return 1 // n

    app = wherry.App("test")
    made = app.function(serialized=True)(f)
    service.functions["f"] = f
    client.listener.screen = Screen()
    with app.run(client=client):
        found = list(made.map([1, 0, 2], return_exceptions=True))
    assert isinstance(found[1], ZeroDivisionError)
    assert counted == ["one", "one", "failed", "one", "end"]


def test_what_a_command_waits_for_is_shown_while_it_waits() -> None:
    terminal, shown = _moving(80)
    with waited(terminal, "The service stops"):
        wait_until(lambda: any("The service stops" in line for line in shown()), "the wait")
    assert shown() == []


def test_builds_are_labelled_with_the_functions_that_want_them(service: FakeService, client: Client) -> None:
    err = io.StringIO()
    client.listener.screen = Plain(verbose=True, err=err)
    app = wherry.App("test")
    other = wherry.Image.debian_slim().pip_install("six")
    for name, image in (("square", None), ("cube", None), ("root", other)):
        app.function(serialized=True, name=name, image=image)(lambda n: n)
    with app.run(client=client):
        pass
    lines = [line for line in err.getvalue().splitlines() if "uil" in line and "source" not in line]
    assert lines == [
        "wherry:   [square, cube] building",
        "wherry: Built image im-0 for square, cube in 1.0 s",
        "wherry:   [root] building",
        "wherry: Built image im-1 for root in 1.0 s",
    ]
    client.listener.screen = Plain(err=err)
    err.truncate(0)
    many = wherry.App("many")
    for number in range(6):
        many.function(serialized=True, name=f"f{number}")(lambda n: n)
    with many.run(client=client):
        pass
    assert "Built image im-0 for f0, f1, f2 and 3 more in 1.0 s" in err.getvalue()


@pytest.mark.parametrize(("size", "shown"), [(1 << 20, False), (9 << 20, True)])
def test_large_files_on_their_way_are_shown(
    service: FakeService, client: Client, tmp_path: Path, size: int, shown: bool
) -> None:
    file = tmp_path / "data.bin"
    file.write_bytes(bytes(size))
    begun: list[tuple[str, int]] = []
    sent: list[int] = []

    class Screen(Plain):
        def transfer(self, what: str, size: int) -> "Sent":  # type: ignore[override]
            begun.append((what, size))
            return Sent()

    class Sent:
        def advance(self, size: int) -> None:
            sent.append(size)

        def end(self) -> None:
            begun.append(("end", 0))

    client.listener.screen = Screen(quiet=True)
    app = wherry.App("test", image=wherry.Image.debian_slim().add_local_file(file, "/data.bin"))
    app.function(serialized=True)(lambda n: n)
    with app.run(client=client):
        pass
    assert begun == ([("Sending 1 file", size), ("end", 0)] if shown else [])
    assert sum(sent) == (size if shown else 0)
