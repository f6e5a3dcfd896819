"""What arrives for a call and is not what such a call gets: that call fails, and no other."""

from typing import Protocol

from wherry.exception import RemoteError


class Misfit(Exception):
    """What arrived is not what a call of this kind gets; the message says what it was."""


class _Named(Protocol):
    call_id: str
    # What was called; "": a call of another process.
    name: str


def misfit_error(call: _Named, error: Exception) -> RemoteError:
    """Return what a call fails with when what arrived for it made no sense, or made its handling fail."""
    why = str(error) if isinstance(error, Misfit) else f"{type(error).__name__}: {error}"
    who = f"{call.name} ({call.call_id})" if call.name else call.call_id
    made = RemoteError(
        f"what came as the answer of {who} is none: {why}; this call has failed, others go on. "
        "Code in its container has sent it, or client and service are of different versions"
    )
    made.__cause__ = error
    return made
