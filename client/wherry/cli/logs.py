"""`wherry logs`, and `logs` of an app, a container, a function and a call: what containers printed."""

import contextlib
import copy
import io
import json
import sys
import time
from collections.abc import Callable, Iterable
from typing import TextIO

import typer

from wherry._connection.client import default_client
from wherry._screen.harmless import harmless
from wherry.cli._all_logs import AllLogs, FunctionNames, apps_named, colour_of
from wherry.cli._call_shown import log_request
from wherry.cli._common import ENVIRONMENT_OPTION
from wherry.cli._functions import find_function, split_name
from wherry.cli._ids import whole
from wherry.cli._logs import read_logs
from wherry.cli._options import with_options
from wherry.cli._records import call_id_of, first_of, known_of, num_open, states_of
from wherry.cli._times import read_time
from wherry.cli._usage import UsageError
from wherry.exception import NotFoundError
from wherry_proto import views
from wherry_proto.messages import LogLine, LogReadRequest, Stream
from wherry_proto.times import stamp

_COLOURS = {Stream.STDERR: "\x1b[33m", Stream.SYSTEM: "\x1b[2m"}

# Between two looks at a call that is followed.
LOOKS_AGAIN_S = 0.5

_FOLLOW = typer.Option(False, "-f", "--follow", help="Go on with lines as they come, until it has ended.")
_SINCE = typer.Option(None, "--since", help="From then on: 10m, 2h30m (ago), 19:30, 2026-01-31T19:30.")
_UNTIL = typer.Option(None, "--until", help="Up to then.")
_TAIL = typer.Option(None, "-n", "--tail", help="Only so many, the latest; 0 with -f: only new ones.", min=0)
_SEARCH = typer.Option("", "--search", help="Lines that contain this, in whatever case.")
_CALL = typer.Option("", "--call", "--function-call", help="Lines of one call: fc-….")
_CONTAINER = typer.Option("", "--container", help="Lines of one container: co-….")
_STREAM = typer.Option("", "-s", "--source", "--stream", help="stdout, stderr or system (ends and requests).")
_TIMESTAMPS = typer.Option(False, "-t", "--timestamps", help="Begin each line with its time.")
_FUNCTION_IDS = typer.Option(False, "--show-function-id", help="Begin each line with its function's id.")
_CALL_IDS = typer.Option(False, "--show-function-call-id", help="Begin each line with its call's id.")
_CONTAINER_IDS = typer.Option(False, "--show-container-id", help="Begin each line with its container's id.")
_JSON = typer.Option(False, "--json", help="Write each line as a JSON object.")


class _Asked:
    """Which lines are wanted, and what each begins with."""

    def __init__(self, request: LogReadRequest, prefix: "Prefix") -> None:
        self.request = request
        self.prefix = prefix

    def find_container(self, environment: str | None) -> None:
        """Have a container's id that was cut be the whole one, of that environment's."""
        self.request.container_id = whole(self.request.container_id, environment, prefix="co")


def _asked(
    follow: bool = _FOLLOW,
    since: str | None = _SINCE,
    until: str | None = _UNTIL,
    tail: int | None = _TAIL,
    search: str = _SEARCH,
    call: str = _CALL,
    container: str = _CONTAINER,
    stream: str = _STREAM,
    timestamps: bool = _TIMESTAMPS,
    show_function: bool = _FUNCTION_IDS,
    show_call: bool = _CALL_IDS,
    show_container: bool = _CONTAINER_IDS,
) -> _Asked:
    request = _request(follow, since, until, tail, search, call, stream)
    request.container_id = _container_id(container)
    return _Asked(request, Prefix(timestamps, show_function, show_call, show_container))


@with_options(_asked)
def logs(
    apps: list[str] = typer.Argument(None, metavar="APP", help="Only of these apps, by name or id."),
    everything: bool = typer.Option(False, "--all", help="Also of apps that have stopped."),
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = _JSON,
    *,
    asked: _Asked,
) -> None:
    """Show what the containers of all apps printed, each line with its app and function.

    With -f it goes on until you stop it, also with apps that begin later.
    """
    asked.find_container(environment)
    names = [whole(name, environment, prefix="ap") for name in apps or ()]
    read = AllLogs(default_client(), lambda: copy.copy(asked.request), environment, everything, apps_named(names))
    functions = FunctionNames(environment)
    asked.prefix.owner = lambda line: "/".join(filter(None, (read.app_name(line), functions.of(line))))
    printer = _printer(asked.prefix, as_json)
    if names and not read.apps() and not (asked.request.follow and asked.request.only_new):
        there = "running or stopped" if everything else "running; --all shows those that have stopped, too"
        raise NotFoundError(f"no app named {' or '.join(names)} is {there}")
    any_line = False
    for chunk in read.kept():
        any_line = True
        printer.show(chunk)
    if asked.request.follow:
        with contextlib.closing(read.to_come()) as coming:
            for chunk in coming:
                printer.show(chunk)
    printer.end()
    _say_if_none(any_line, as_json)


@with_options(_asked)
def app_logs(
    app: str = typer.Argument(help="Id, or name: the newest app of that name, running or not."),
    function: str = typer.Option("", "--function", help="Lines of one function, by name or id."),
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = _JSON,
    *,
    asked: _Asked,
) -> None:
    """Show what an app's containers printed, also those that are gone."""
    asked.find_container(environment)
    request = asked.request
    if app.startswith("ap-"):
        request.app_id = whole(app, environment, prefix="ap")
    else:
        request.app_name = app
        request.environment = environment or default_client().environment
    request.function = function
    show_logs(request, asked.prefix, as_json)


@with_options(_asked)
def function_logs(
    function: str = typer.Argument(help="Id, or APP/FUNCTION."),
    all_variants: bool = typer.Option(False, "--all-variants", help="With an id: those of its variants too."),
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = _JSON,
    *,
    asked: _Asked,
) -> None:
    """Show what a function's containers printed.

    Also what those printed that are gone. A name means the function and its variants, an id only that one.
    """
    asked.find_container(environment)
    request = asked.request
    if function.startswith("fu-"):
        function = whole(function, environment, prefix="fu")
        found = find_function(function, environment)
        request.app_id = found.app_id
        request.function = found.name if all_variants else function
    else:
        request.app_name, request.function = split_name(function)
        request.environment = environment or default_client().environment
    show_logs(request, asked.prefix, as_json)


def container_logs(
    container: str = typer.Argument(help="Its id: co-…."),
    follow: bool = _FOLLOW,
    since: str | None = _SINCE,
    until: str | None = _UNTIL,
    tail: int | None = _TAIL,
    search: str = _SEARCH,
    call: str = _CALL,
    stream: str = _STREAM,
    timestamps: bool = _TIMESTAMPS,
    everything: bool = typer.Option(False, "--all", help="All lines that are kept; so it is unless --tail is given."),
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = _JSON,
) -> None:
    """Show what a container printed, also one that is gone."""
    if everything and tail is not None:
        raise UsageError("--all shows all lines, and --tail some of them: use one of them")
    request = _request(follow, since, until, tail, search, call, stream)
    request.container_id = whole(_container_id(container), environment, prefix="co")
    show_logs(request, Prefix(timestamps), as_json)


def call_logs(
    call: str = typer.Argument(help="Id (in-… or fc-…), or its beginning."),
    follow: bool = typer.Option(False, "-f", "--follow", help="Go on with lines as they come, until it has ended."),
    tail: int | None = _TAIL,
    search: str = _SEARCH,
    stream: str = _STREAM,
    timestamps: bool = _TIMESTAMPS,
    show_container: bool = _CONTAINER_IDS,
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = _JSON,
) -> None:
    """Show what a call printed, or one input of it."""
    record_id = call_id_of(call, environment)
    asked = _request(False, None, None, tail if tail or not follow else None, search, "", stream)
    request = log_request(first_of(known_of(record_id)), record_id, tail=tail or 0)
    request.search, request.stream = asked.search, asked.stream
    if tail == 0:
        # Not `only_new`: each look is a request of its own, and what came between two would be old to the second.
        request.since_ms = int(time.time() * 1000)
    printer = _printer(Prefix(timestamps, show_container=show_container), as_json)
    any_line = False
    while True:
        # Asked before its lines are read: then none can come any more.
        is_over = not follow or not num_open(states_of(record_id, known_of(record_id)))
        for lines in read_logs(default_client(), request):
            any_line = True
            printer.show(lines)
        if is_over:
            break
        time.sleep(LOOKS_AGAIN_S)
    printer.end()
    _say_if_none(any_line, as_json)


def _request(
    follow: bool, since: str | None, until: str | None, tail: int | None, search: str, call: str, stream: str
) -> LogReadRequest:
    if follow and until:
        raise UsageError("--follow waits for lines that are still to come, so it can't go with --until")
    numbers = {name: number for number, name in views.STREAMS.items()}
    if stream and stream not in numbers:
        raise UsageError(f"--source {stream!r} is none of {', '.join(numbers)}")
    if tail == 0 and not follow:
        raise UsageError("--tail 0 shows nothing without --follow")
    return LogReadRequest(
        follow=follow,
        since_ms=read_time(since, "--since") if since else 0,
        until_ms=read_time(until, "--until") if until else 0,
        tail=tail or 0,
        only_new=tail == 0,
        search=search,
        call_id=call,
        stream=numbers.get(stream, Stream.UNSPECIFIED),
    )


def _container_id(given: str) -> str:
    # The engine's name for it has this in front.
    return given.removeprefix("wherry-")


class Prefix:
    """What a line begins with, beside what was printed."""

    def __init__(
        self, timestamps: bool, show_function: bool = False, show_call: bool = False, show_container: bool = False
    ) -> None:
        self._timestamps = timestamps
        self._show_function = show_function
        self._show_call = show_call
        self._show_container = show_container
        # Says whose line it is, where lines of several are shown.
        self.owner: Callable[[LogLine], str] | None = None

    def of(self, line: LogLine) -> str:
        """Return the words for a line, each with a space behind it."""
        words = [
            stamp(line.at_ms) if self._timestamps else "",
            line.function_id if self._show_function else "",
            line.call_id or "-" if self._show_call else "",
            line.container_id if self._show_container else "",
        ]
        owner = [f"{self.owner(line)} |"] if self.owner is not None else []
        return "".join(f"{word} " for word in (*words, *owner) if word)


def show_logs(request: LogReadRequest, prefix: Prefix, as_json: bool) -> None:
    """Print the lines that are asked for, until there are no more."""
    printer = _printer(prefix, as_json)
    any_line = False
    for lines in read_logs(default_client(), request):
        any_line = True
        printer.show(lines)
    printer.end()
    _say_if_none(any_line, as_json)


def _printer(prefix: Prefix, as_json: bool) -> "_Json | _Plain":
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that does not know a character shows another, instead of an error here.
            stream.reconfigure(errors="replace")
    return _Json(sys.stdout, prefix) if as_json else _Plain(sys.stdout, sys.stderr, prefix)


def _say_if_none(any_line: bool, as_json: bool) -> None:
    if not any_line and not as_json and sys.stderr.isatty():
        typer.echo("No such line is kept.", err=True)


class _Json:
    """One object a line."""

    def __init__(self, out: TextIO, prefix: Prefix) -> None:
        self._out = out
        self._prefix = prefix

    def show(self, lines: Iterable[LogLine]) -> None:
        for line in lines:
            owner = {"of": self._prefix.owner(line)} if self._prefix.owner is not None else {}
            described = {**owner, **views.log_line(line)}
            self._out.write(json.dumps(described) + "\n")
        self._out.flush()

    def end(self) -> None:
        """Nothing is open."""


class _Plain:
    """Each line to the stream that it was printed on, in colour on a terminal."""

    def __init__(self, out: TextIO, err: TextIO, prefix: Prefix) -> None:
        self._out = out
        self._err = err
        self._prefix = prefix
        # Whose line has begun and goes on, and where it was written.
        self._begun: tuple[str, int, str] | None = None
        self._last: TextIO = out

    def show(self, lines: Iterable[LogLine]) -> None:
        for line in lines:
            self._line(line)
        self._out.flush()
        self._err.flush()

    def end(self) -> None:
        """End a line that has begun."""
        if self._begun is not None:
            self._begun = None
            self._last.write("\n")
            self._last.flush()

    def _line(self, line: LogLine) -> None:
        target = self._out if line.stream == Stream.STDOUT else self._err
        owner = (line.container_id, line.stream, line.input_id)
        if self._begun != owner:
            self.end()
        if target is not self._last:
            self._last.flush()
            self._last = target
        on_terminal = target.isatty()
        text = harmless(line.text) if on_terminal else line.text
        colour = _COLOURS.get(line.stream) if on_terminal else None
        if colour:
            text = f"{colour}{text}\x1b[0m"
        prefix = self._prefix.of(line)
        if on_terminal and self._prefix.owner is not None:
            prefix = f"{colour_of(self._prefix.owner(line))}{harmless(prefix)}\x1b[0m"
        if prefix and self._begun is None:
            text = f"{prefix}{text}"
        if prefix and "\r" in text:
            text = text.replace("\r", f"\r{prefix}")
        target.write(text if line.goes_on else text + "\n")
        self._begun = owner if line.goes_on else None
