"""`python hello.py` defines an app and does nothing with it: how it is run is said at the end."""

from __future__ import annotations

import sys

from wherry._base.hints import TYPE_CHECKING, Any
from wherry.context import is_local

if TYPE_CHECKING:
    from wherry._calling.owner import Owner


def remind_at_exit(function: Any, owner: Owner) -> None:
    """Have it said at the end of this program, on a terminal, where it is a script that defines a local entrypoint.

    And has neither run the app nor deployed it, nor failed.
    """
    main = sys.modules.get("__main__")
    file = getattr(main, "__file__", None)
    if function.__module__ != "__main__" or not file or sys.flags.interactive or not is_local():
        return
    import atexit  # noqa: PLC0415 - start-up cost: only in scripts that are run as they are

    atexit.register(remind, file, owner)


def remind(file: str, owner: Owner) -> None:
    """Say how the file is run, unless its app was used, or an error has been shown."""
    if owner.was_used or owner.deployed_id or hasattr(sys, "last_value"):
        return
    try:
        is_terminal = sys.stderr.isatty()
    except (AttributeError, ValueError):  # there is none, or it is closed
        return
    if is_terminal:
        print(f"Nothing has run: this file defines an app. Run it with: wherry run {file}", file=sys.stderr)
