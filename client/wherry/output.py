"""Turning output on."""

import contextlib
import sys
from collections.abc import Callable, Iterator

from wherry._connection.client import default_client
from wherry._screen.output import Output
from wherry._screen.plain import Plain
from wherry._screen.stamps import Stamped
from wherry._screen.stream import ScreenStream


@contextlib.contextmanager
def enable_output(show_progress: bool = True) -> Iterator[None]:
    """Show within this block what containers print, and what is built. (reference: enable_output)"""
    listener = default_client().listener
    before = listener.screen
    listener.screen = screen_for_stdout(quiet=not show_progress, verbose=False)
    try:
        yield
    finally:
        listener.screen.close()
        listener.screen = before


def screen_for_stderr() -> Output:
    """Return the output for a command whose standard output is for what was asked: all else goes to stderr."""
    if ScreenStream(sys.stderr).isatty():
        from rich.console import Console  # noqa: PLC0415 - start-up cost: as below

        from wherry._screen.live import Terminal  # noqa: PLC0415 - start-up cost: as below

        return Terminal(console=Console(stderr=True))
    return Plain()


def screen_for_stdout(
    *, quiet: bool, verbose: bool, timestamps: bool = False, on_gone: Callable[[], None] = lambda: None
) -> Output:
    """Return the output that suits where stdout goes: a terminal, or anything else.

    `timestamps`: what containers print is shown with its time.
    `on_gone` is called, in some thread, when nobody reads what is written any more.
    """
    if ScreenStream(sys.stdout).isatty():
        from wherry._screen.live import Terminal  # noqa: PLC0415 - start-up cost: rich takes ~40 ms to import

        screen: Output = Terminal(quiet=quiet, verbose=verbose)
    else:
        screen = Plain(quiet=quiet, verbose=verbose, on_gone=on_gone)
    return Stamped(screen) if timestamps else screen
