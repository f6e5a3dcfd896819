"""Turning output on."""

import contextlib
import sys
from collections.abc import Iterator

from wherry._client import default_client
from wherry._output.output import Output
from wherry._output.plain import Plain


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


def screen_for_stdout(*, quiet: bool, verbose: bool) -> Output:
    """Return the output that suits where stdout goes: a terminal, or anything else."""
    if sys.stdout.isatty():
        from wherry._output.terminal import Terminal  # rich takes ~40 ms to import

        return Terminal(quiet=quiet, verbose=verbose)
    return Plain(quiet=quiet, verbose=verbose)
