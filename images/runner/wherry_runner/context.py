"""Which input is running here: read by the SDK (`sys.modules["wherry_runner.context"]`) and by the log capture."""

from _contextvars import ContextVar


class Current:
    """Reads like a ContextVar. Where one input runs at a time, `only` holds it, so every thread sees it."""

    __slots__ = ("_var", "only")

    def __init__(self, name: str) -> None:
        self._var: ContextVar[str | None] = ContextVar(name, default=None)
        self.only: str | None = None

    def get(self, default: str | None = None) -> str | None:
        """Return the id, or `default` outside an input."""
        return self._var.get() or self.only or default

    def set(self, value: str | None) -> None:
        """Set it for this thread or task."""
        self._var.set(value)


# Set by __main__: that the module is importable does not say that this is a container.
in_container = False
# Where the container's sockets are.
directory = ""
# Whether the source is to be brought to /root, as in a container.
settles = False
# Where the SDK is.
sdk = ""
# Joins user code to a terminal (terminal.py); set by the runner as it loads.
terminal: object = None
input_id = Current("input_id")
call_id = Current("call_id")
