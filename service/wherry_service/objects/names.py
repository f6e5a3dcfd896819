"""What named objects may be called, and how one that is not found is told."""

import difflib
import re
from collections.abc import Iterable

from wherry_service.errors import MOST_COMPARED, InvalidRequest

_SHOWN = 64  # characters of a name that a message has
DEFAULT_ENVIRONMENT = "main"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")


def check_name(kind: str, name: str) -> str:
    """Return the name; raise `InvalidRequest` if an object can't be called so."""
    if not _NAME.match(name):
        raise InvalidRequest(
            f"a {kind} can't be called {name[:80]!r}: its name has 1 to 64 letters, digits, '.', '_' and '-', and "
            "begins with a letter or digit"
        )
    return name


def not_there(kind: str, name: str, environment: str, names: Iterable[str], *, creates: bool = True) -> str:
    """Return the message for a name that does not exist, with the names near it.

    With `creates` it says how to create it, which is no advice to somebody who wants to delete it.
    """
    is_short = len(name) <= MOST_COMPARED
    near = difflib.get_close_matches(name, list(names), n=3) if is_short else []
    if near:
        hint = f"; did you mean {', '.join(repr(item) for item in near)}?"
    else:
        hint = f": create it with `wherry {kind} create {name}`" if creates and is_short else ""
    return f"environment {environment[:_SHOWN]!r} has no {kind} {name[:_SHOWN]!r}{hint}"
