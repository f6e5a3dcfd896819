"""Patterns of a .dockerignore, with Docker's own meaning.

Docker's rules differ from git's: a pattern begins at the root, `*` ends at a slash, `**` does not, what is below a
directory that matches is ignored with it, `[^a]` negates (`[!a]` does not), and the last pattern that matches counts.
Source: the documentation of Docker's build context, compared with an engine's own builds in the tests.
"""

import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from wherry.exception import InvalidError

_ESCAPED = frozenset(".$+()|{}")


class Ignore:
    """Which paths below a root are left out. Paths are relative, with slashes."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._rules = [_Rule(pattern) for pattern in patterns if pattern.strip()]

    def __call__(self, path: str) -> bool:
        """Return whether a path is left out, by itself or with a directory above it."""
        ignored = False
        parts = path.split("/")
        ways = ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
        for rule in self._rules:
            # A rule that would change nothing need not be asked.
            if rule.negated is ignored and any(map(rule.matches, ways)):
                ignored = not rule.negated
        return ignored

    def is_whole(self, folder: str) -> bool:
        """Return whether all below a directory is left out, so that nobody has to look into it."""
        return self(folder) and not any(rule.negated and rule.may_match_below(folder) for rule in self._rules)


class Asked:
    """A function of the user's that says of each file, as `pathlib.Path`, whether it is left out."""

    def __init__(self, ask: Callable[[Path], Any]) -> None:
        self._ask = ask

    def __call__(self, path: str) -> bool:
        return bool(self._ask(Path(path)))

    def is_whole(self, folder: str) -> bool:
        # It is asked of files, unless it says that what it says of a directory holds for all below.
        prunes = getattr(self._ask, "can_prune_directories", None)
        return prunes is not None and prunes() and self(folder)


class Either:
    """What one or the other leaves out."""

    def __init__(self, *both: "Ignored") -> None:
        self._both = both

    def __call__(self, path: str) -> bool:
        return any(ignored(path) for ignored in self._both)

    def is_whole(self, folder: str) -> bool:
        return any(ignored.is_whole(folder) for ignored in self._both)


Ignored = Ignore | Asked | Either


def matcher(ignore: Any, extra: Iterable[str] = ()) -> Ignored:
    """Return what says whether a path is left out, by patterns or by a function of the user's.

    Raises InvalidError for a pattern that can't be read.
    """
    if callable(ignore):
        return Asked(ignore)
    if isinstance(ignore, str | os.PathLike):
        raise InvalidError(f"ignore must be a list of patterns or a function, not {os.fspath(ignore)!r}")
    return Ignore([*extra, *map(str, ignore)])


def lines_of(text: str) -> list[str]:
    """Return the patterns in the text of a .dockerignore: without comments and empty lines."""
    lines = text.removeprefix("\ufeff").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


class _Rule:
    """One pattern."""

    def __init__(self, pattern: str) -> None:
        cleaned = pattern.strip()
        self.negated = cleaned.startswith("!")
        cleaned = cleaned.removeprefix("!").strip()
        if not cleaned:
            raise InvalidError("ignore: the pattern '!' names nothing that is not to be left out")
        cleaned = posixpath.normpath(cleaned)
        # Leading slashes mean the root, which every pattern begins at.
        self._text = cleaned.lstrip("/") or "."
        if not any(sign in self._text for sign in "*?[\\"):
            self.matches: Callable[[str], object] = self._text.__eq__
            return
        try:
            self.matches = re.compile("".join(_translated(self._text)), re.DOTALL).fullmatch
        except re.error as error:
            raise InvalidError(f"ignore: the pattern {pattern!r} can't be read: {error}") from None

    def may_match_below(self, folder: str) -> bool:
        """Return False only where it is sure that nothing below that directory matches."""
        for own, other in zip(self._text.split("/"), folder.split("/"), strict=False):
            if any(sign in own for sign in "*?[\\"):
                return True
            if own != other:
                return False
        return True


def _translated(pattern: str) -> Iterator[str]:
    """Yield a pattern's parts as those of a regular expression."""
    place, end = 0, len(pattern)
    within = False  # a class of characters
    while place < end:
        sign = pattern[place]
        place += 1
        if within:
            within = sign != "]"
            if sign == "\\" and place < end:
                sign += pattern[place]
                place += 1
            # Python reserves these inside a class for later.
            yield "\\" + sign if sign in "[&~|" else sign
        elif sign == "*" and pattern[place : place + 1] == "*":
            place += 1
            if pattern[place : place + 1] == "/":
                place += 1
            yield ".*" if place == end else "(?:.*/)?"
        elif sign == "*":
            yield "[^/]*"
        elif sign == "?":
            yield "[^/]"
        elif sign == "\\":
            yield re.escape(pattern[place : place + 1] or "\\")
            place += 1
        elif sign == "[":
            within = True
            yield sign
        else:
            yield "\\" + sign if sign in _ESCAPED else sign
