"""The steps of an image as they are written down: nothing is read or sent before an app needs the image."""

from __future__ import annotations

import os

from wherry._base.hints import TYPE_CHECKING, Any
from wherry.context import is_local
from wherry.exception import DeprecationError, InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wherry.secret import Secret


class Step:
    """One step: what it is, and what of this machine it needs (`given`: paths, patterns, functions)."""

    __slots__ = ("args", "force_build", "given", "kind", "options", "secrets")

    def __init__(
        self,
        kind: str,
        args: tuple[str, ...] = (),
        options: Mapping[str, str | None] | None = None,
        *,
        given: tuple[Any, ...] = (),
        secrets: Sequence[Any] = (),
        force_build: bool = False,
    ) -> None:
        self.kind = kind
        self.args = args
        self.options = tuple((name, value) for name, value in (options or {}).items() if value is not None)
        self.given = given
        self.secrets: tuple[Secret, ...] = ()
        if secrets:
            from wherry.secret import secrets_of  # noqa: PLC0415 - start-up cost: only where there are secrets

            self.secrets = secrets_of(f"secrets of Image.{kind}", secrets)
        self.force_build = bool(force_build)

    def forced(self) -> Step:
        """Return the step, to be run even if it has run before."""
        again = Step(self.kind, self.args, given=self.given, secrets=self.secrets, force_build=True)
        again.options = self.options
        return again

    def _key(self) -> tuple[Any, ...]:
        return self.kind, self.args, self.options, self.given, self.secrets, self.force_build

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Step) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.kind, self.args, self.options))

    def __repr__(self) -> str:
        return " ".join((self.kind, *self.args))


def strings(method: str, values: tuple[str | Sequence[str], ...]) -> tuple[str, ...]:
    """Return the strings, and those of lists, in order; raise InvalidError for anything else or nothing."""
    found: list[str] = []
    for value in values:
        found.extend([value] if isinstance(value, str) else value)
    if not found or not all(isinstance(item, str) and item for item in found):
        raise InvalidError(f"Image.{method} got {values!r}: it takes strings, or lists of strings")
    return tuple(found)


def needs_list(name: str, values: Any, of: type = str) -> tuple[Any, ...]:
    """Return the list as a tuple; raise InvalidError for a lone string, or for items of another type."""
    if isinstance(values, (str, bytes)) or not hasattr(values, "__iter__"):
        raise InvalidError(f"{name} is {values!r}: it must be a list, such as [{values!r}]")
    found = tuple(os.fspath(item) if isinstance(item, os.PathLike) else item for item in values)
    for item in found:
        if not isinstance(item, of):
            raise InvalidError(f"{name} holds {item!r}: its items must be of type {of.__name__}")
    return found


def absolute(path: str | os.PathLike[str]) -> str:
    """Return the path as it is from here, whatever the directory is later; "~" is the home directory."""
    try:
        return os.path.abspath(os.path.expanduser(os.fspath(path)))
    except TypeError:
        raise InvalidError(f"{path!r} is not a path") from None


def deprecated(old: str, new: str, stacklevel: int = 3) -> None:
    """Warn that a name is an older one, once per place; containers run the same source and say nothing."""
    if is_local():
        import warnings  # noqa: PLC0415 - start-up cost: only where an old name is used

        warnings.warn(f"{old} is now called {new}", DeprecationError, stacklevel=stacklevel)


def no_gpu(method: str, gpu: Any) -> None:
    """Warn where a GPU is asked for that a build can't have."""
    if gpu:
        import warnings  # noqa: PLC0415 - start-up cost: only for this

        warnings.warn(
            f"Image.{method}: gpu means nothing to a build on your own machines; Image.run_function can have one",
            UserWarning,
            stacklevel=3,
        )
