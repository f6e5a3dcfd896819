"""Patterns that say which files are left out: `Image.add_local_dir(..., ignore=~FilePatternMatcher("**/*.py"))`."""

from __future__ import annotations

import os
from pathlib import Path

from wherry._publish.ignore import Ignore, lines_of
from wherry.exception import InvalidError

__all__ = ["NON_PYTHON_FILES", "FilePatternMatcher"]


class _Matcher:
    """Says of a path whether it matches; `~` gives what says the opposite."""

    def __call__(self, file_path: Path | str) -> bool:
        raise NotImplementedError

    def __invert__(self) -> _Matcher:
        return _Inverted(self)

    def can_prune_directories(self) -> bool:
        """Whether all below a directory that matches matches too, so that nobody has to look into it."""
        return False


class FilePatternMatcher(_Matcher):
    """Matches paths against patterns with the meaning of a .dockerignore. (reference: FilePatternMatcher)

    A pattern begins at the root, `**` goes over directories, `!` before a pattern takes back what one before it says.
    Raises InvalidError for a pattern that can't be read.
    """

    def __init__(self, *pattern: str) -> None:
        self._patterns: list[str] | None = list(pattern)
        self._file: Path | None = None
        self._ignore: Ignore | None = Ignore(pattern)

    @classmethod
    def from_file(cls, file_path: str | os.PathLike[str]) -> FilePatternMatcher:
        """Return a matcher of the patterns in a file, which is read when it is first used.

        (reference: FilePatternMatcher.from_file)
        """
        made = cls()
        made._file, made._patterns, made._ignore = Path(file_path), None, None
        return made

    @property
    def patterns(self) -> list[str]:
        """The patterns. Raises InvalidError where their file can't be read."""
        if self._patterns is None:
            assert self._file is not None
            try:
                self._patterns = lines_of(self._file.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError) as error:
                raise InvalidError(f"FilePatternMatcher.from_file: {self._file} can't be read: {error}") from None
        return self._patterns

    def __call__(self, file_path: Path | str) -> bool:
        if self._ignore is None:
            self._ignore = Ignore(self.patterns)
        return self._ignore(Path(file_path).as_posix().lstrip("/"))

    def can_prune_directories(self) -> bool:
        """Whether all below a directory that matches matches too. (reference: FilePatternMatcher)"""
        return not any(pattern.strip().startswith("!") for pattern in self.patterns)

    def __repr__(self) -> str:
        given = (
            f".from_file({str(self._file)!r})" if self._file is not None else f"({', '.join(map(repr, self.patterns))})"
        )
        return f"FilePatternMatcher{given}"


class _Inverted(_Matcher):
    """Says the opposite of another."""

    def __init__(self, of: _Matcher) -> None:
        self._of = of

    def __call__(self, file_path: Path | str) -> bool:
        return not self._of(file_path)

    def __invert__(self) -> _Matcher:
        return self._of

    def __repr__(self) -> str:
        return f"~{self._of!r}"


def NON_PYTHON_FILES(path: Path | str) -> bool:
    """Whether a file is no Python source, for `ignore=`. (reference: NON_PYTHON_FILES)"""
    return Path(path).suffix != ".py"
