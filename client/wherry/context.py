"""Where the code runs: in a container, for which input and call."""

import os
import sys

from wherry.exception import ExecutionError


def is_local() -> bool:
    """Return False inside a container, True elsewhere. (reference: is_local)"""
    # In a process that the runner's own has started it is not loaded: what it leaves in the environment tells.
    return not (
        getattr(sys.modules.get("wherry_runner.context"), "in_container", False) or "WHERRY_CONTAINER" in os.environ
    )


def current_input_id() -> str | None:
    """Return the id ("in-…") of the input that the current thread or task works on, or None outside a container.

    (reference: current_input_id)
    """
    return _current("input_id")


def current_function_call_id() -> str | None:
    """Return the id ("fc-…") of the call whose input the current thread or task works on, or None.

    (reference: current_function_call_id)
    """
    return _current("call_id")


GUARD = 'if it is at the top level of a file that defines functions, put it below `if __name__ == "__main__":`'


def check_local(what: str, hint: str = "") -> None:
    """Raise ExecutionError inside a container."""
    if not is_local():
        hint = f"; {hint}" if hint else ""
        raise ExecutionError(f"{what} is not possible inside a container: do it in the program that runs the app{hint}")


def container_directory() -> str:
    """Return where this container's sockets are; "" outside a container."""
    runner = sys.modules.get("wherry_runner.context")
    if getattr(runner, "in_container", False):
        return str(getattr(runner, "directory", ""))
    return os.environ.get("WHERRY_CONTAINER", "").partition(os.pathsep)[0]


def _current(name: str) -> str | None:
    runner = sys.modules.get("wherry_runner.context")
    if not getattr(runner, "in_container", False):
        return None
    value: str | None = getattr(runner, name).get(None)
    return value or None
