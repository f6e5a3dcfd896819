"""`wherry run`."""

import _thread
import asyncio
import contextlib
import inspect
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import typer

from wherry._app.roster import LocalEntrypoint
from wherry._calling.app_run import AppRun
from wherry._connection.client import Client, default_client
from wherry._publish.opening import STOPPING
from wherry._screen.output import Output
from wherry._screen.pace import span
from wherry._screen.plain import Plain
from wherry._screen.stamps import Stamped
from wherry.app import App
from wherry.cli._common import (
    ENVIRONMENT_OPTION,
    MODAL_OPTION,
    MODULE_OPTION,
    NAME_OPTION,
    TIMESTAMPS_OPTION,
    say,
    suggested,
    use_environment,
    use_modal,
)
from wherry.cli._interactive import check, offering
from wherry.cli._methods import MethodTarget
from wherry.cli._parameters import parse
from wherry.cli._ref import Target, check_module, find_target
from wherry.cli._trace import show_error
from wherry.cli._usage import UsageError
from wherry.exception import Error, InvalidError
from wherry.function import Function
from wherry.output import screen_for_stdout
from wherry_proto.messages import Notice

_INTERACTIVE = typer.Option(
    False, "-i", "--interactive", help="Give this terminal to the functions: breakpoint(), interact()."
)


def run(
    ctx: typer.Context,
    ref: str = typer.Argument(
        help="What to run: file.py, file.py::function, file.py::Class.method, package.module::f."
    ),
    is_module: bool = MODULE_OPTION,
    name: str | None = NAME_OPTION,
    modal: bool = MODAL_OPTION,
    quiet: bool = typer.Option(False, "-q", "--quiet", help="Show only what the functions print."),
    detach: bool = typer.Option(False, "-d", "--detach", help="Leave the app running until its last call ends."),
    interactive: bool = _INTERACTIVE,
    write_result: str | None = typer.Option(None, "-w", "--write-result", help="Write the function's value to a file."),
    environment: str | None = ENVIRONMENT_OPTION,
    timestamps: bool = TIMESTAMPS_OPTION,
    verbose: bool = typer.Option(False, "-v", "--verbose", help="Show build logs and the source that is sent."),
) -> None:
    """Run a local entrypoint, or a function, with its app.

    What follows REF are the function's own options: `wherry run app.py -h` shows them.
    """
    if interactive:
        check(detach)
    if is_module:
        check_module(ref)
    where = suggested(environment) if environment else ""
    use_environment(environment)
    use_modal(modal)
    target = _import(ref)
    function, own_name = _signature(target)
    args, kwargs = parse(function, f"{ref.partition('::')[0]}::{own_name}", list(ctx.args))
    if isinstance(target, MethodTarget):
        target, kwargs = target.bind(kwargs)
    client = default_client()
    reader = _Reader()
    client.listener.screen = screen = _screen(quiet, verbose, timestamps, interactive, reader)
    try:
        with_app = target.app.run(client=client, detach=detach, environment_name=environment, name=name)
        value = _run(client, target, args, kwargs, with_app, interactive, reader, _Report(client, detach, where))
    except typer.Exit:
        if reader.is_gone:
            raise typer.Exit(128 + signal.SIGPIPE) from None
        raise
    finally:
        screen.close()
    if isinstance(target, Function) and value is not None:
        say(value if isinstance(value, str) else repr(value))
    if write_result is not None:
        _write(write_result, value)


class _Reader:
    """Whoever reads what the functions print. When it goes (`| head`), the run ends as a broken pipe ends a program."""

    def __init__(self) -> None:
        self.is_gone = False

    def __call__(self) -> None:
        """Note that it has gone. From any thread: the main one ends the run in order."""
        self.is_gone = True
        _thread.interrupt_main()


def _screen(quiet: bool, verbose: bool, timestamps: bool, interactive: bool, reader: _Reader) -> Output:
    if interactive:
        # Beside a debugger nothing may move.
        plain = Plain(quiet=quiet, verbose=verbose)
        return Stamped(plain) if timestamps else plain
    return screen_for_stdout(quiet=quiet, verbose=verbose, timestamps=timestamps, on_gone=reader)


def _signature(target: Target) -> tuple[Callable[..., Any], str]:
    """Return a function whose parameters are the target's options, and the target's name."""
    if isinstance(target, LocalEntrypoint):
        return target.function, target.name
    if isinstance(target, MethodTarget):
        return target.signature, target.name
    return target.get_raw_f(), target.written.name


def _import(ref: str) -> Target:
    try:
        return find_target(ref)
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001 - importing runs the user's code, which may raise anything
        show_error(error)
        raise typer.Exit(1) from None


def _run(
    client: Client,
    target: LocalEntrypoint[..., Any] | Function[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    with_app: AppRun[App],
    interactive: bool,
    reader: _Reader,
    report: "_Report",
) -> Any:
    try:
        with with_app as app:
            assert app.app_id is not None
            report.begins(app.app_id)
            with offering(client, app.app_id) if interactive else contextlib.nullcontext(), report.hearing(reader):
                value = _call(target, args, kwargs)
    except KeyboardInterrupt:
        if not reader.is_gone and not report.runs_on:
            typer.echo("Stopped.", err=True)
        raise typer.Exit(130) from None
    except typer.Exit:
        raise
    except Exception as error:
        if isinstance(error, Error) and not report.app_id:
            raise
        show_error(error)
        report.ends("Failed after", client.failures.input_of(error))
        raise typer.Exit(1) from None
    report.ends("Done in")
    return value


class _Report:
    """What a run says of itself: how long it took, how much it was, where its log is."""

    def __init__(self, client: Client, detach: bool, where: str) -> None:
        # "": it has not begun.
        self.app_id = ""
        self._client = client
        self._detach = detach
        # Of commands that it suggests, the environment.
        self._where = where
        self._began = time.monotonic()

    @property
    def runs_on(self) -> bool:
        """Whether the app is left running."""
        return self._detach and bool(self.app_id)

    def begins(self, app_id: str) -> None:
        """Note that the app runs."""
        self.app_id = app_id

    @contextlib.contextmanager
    def hearing(self, reader: _Reader) -> Iterator[None]:
        """Say at once that Ctrl-C was heard."""
        try:
            yield
        except KeyboardInterrupt:
            if not reader.is_gone:
                text = "\n".join(self._left()) if self.runs_on else STOPPING
                self._screen.notice(Notice(text=text))
            raise

    def ends(self, how: str, input_id: str = "") -> None:
        """Say how it ended, and after how long; `input_id`: of the call whose failure ended it."""
        number, failed = self._client.session.num_answered, self._client.failures.num_failed
        calls = f"{number:,} {'call' if number == 1 else 'calls'}"
        if failed and number > 1:
            calls += f", {failed:,} failed"
        seconds = time.monotonic() - self._began
        text = f"{how} {f'{seconds:.1f} s' if seconds < 10 else span(seconds)}, {calls}"
        self._screen.step(text)
        if input_id:
            self._screen.step(f"The call that failed: wherry call show {input_id}")
        elif failed:
            self._screen.step(f"What failed: wherry call list --app {self.app_id} --failed{self._where}")
        if self.runs_on:
            *lines, last = self._left()
            for line in lines:
                self._screen.step(line)
            self._screen.closing(last)
        else:
            self._screen.closing(f"Log: wherry app logs {self.app_id}")

    def _left(self) -> list[str]:
        return [
            "The app runs on until its last call ends",
            f"Stop it: wherry app stop {self.app_id}",
            f"Log: wherry app logs {self.app_id}",
        ]

    @property
    def _screen(self) -> Output:
        return self._client.listener.screen


def _call(target: LocalEntrypoint[..., Any] | Function[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if isinstance(target, LocalEntrypoint):
        value = target(*args, **kwargs)
        return asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value
    if not target.is_generator:
        return target.remote(*args, **kwargs)
    for value in target.remote_gen(*args, **kwargs):
        say(value if isinstance(value, str) else repr(value))
    return None


async def _awaited(value: Any) -> Any:
    return await value


def _write(path: str, value: Any) -> None:
    if not isinstance(value, str | bytes):
        raise InvalidError(f"--write-result takes str or bytes, the function returned {type(value).__name__}")
    with open(path, "wb") as file:
        file.write(value.encode() if isinstance(value, str) else value)
