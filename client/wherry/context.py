"""Where the code runs: in a container, for which input and call."""

import sys

from wherry.exception import ExecutionError


def is_local() -> bool:
    """Return False inside a container, True elsewhere. (reference: is_local)"""
    return not getattr(sys.modules.get("wherry_runner.context"), "in_container", False)


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
    return "" if is_local() else str(sys.modules["wherry_runner.context"].directory)


def _current(name: str) -> str | None:
    if is_local():
        return None
    value: str | None = getattr(sys.modules["wherry_runner.context"], name).get(None)
    return value or None
