"""How IPython shows errors, in a terminal and in notebooks: without Wherry's own frames."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType


def hide_internals_in_ipython() -> None:
    """Have the running IPython, if there is one, leave out Wherry's frames, unless errors have a handler already."""
    ipython = sys.modules.get("IPython")
    get_shell = getattr(ipython, "get_ipython", None)
    shell: Any = get_shell() if get_shell is not None else None
    # Of IPython's, () where nobody has set a handler; another shell of that name has none.
    if shell is not None and getattr(shell, "custom_exceptions", None) == ():
        shell.set_custom_exc((Exception,), _show)


def _show(
    shell: Any, kind: type[BaseException], error: BaseException, traceback: TracebackType, tb_offset: int | None = None
) -> None:
    from wherry._connection.failure import hide_internals  # noqa: PLC0415 - start-up cost: only where there are errors

    hide_internals(error)
    shell.showtraceback((kind, error, error.__traceback__ or traceback), tb_offset=tb_offset)
