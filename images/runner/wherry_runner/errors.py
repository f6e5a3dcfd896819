"""Exceptions as bytes: one, and all that hang on it. Each is pickled by itself, so that one that can't be pickled, or
that is too large, does not take the others along.

What is written is a pickle of `("errors", rows)`; the first row is the exception itself, the others those that it
leads to: causes, contexts, members of groups, attributes. A row is

    (pickle of (exception, attributes or None), frames, cause, context, suppress context, type's name, message)

Within a pickle other exceptions are persistent ids: numbers of rows. -1 is one too many. Attributes are set by the
reader around the exception's own `__setattr__`: they are what pickling alone would lose or could not set. An empty
pickle: only the name and the message are there. Frames are rows of (file, function, line).
"""

from __future__ import annotations

import copyreg
import io
import pickle
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from wherry_runner.payload import raw_bytes, with_article

MARK = "errors"
MAX_PICKLE = 1 << 20
MAX_ERRORS = 100
MAX_FRAMES = 100
# Attributes and arguments above it are left out where the whole is too large.
_HEAVY = 16 << 10
_MAX_MESSAGE = 4 << 10

Name = Callable[[BaseException], str]


def dumps(error: BaseException, name: Name, message: Name) -> bytes:
    """Return the pickle, empty where the exception itself can't be pickled in any way. Raises nothing."""
    family = _Family(error)
    rows: list[tuple[Any, ...]] = []
    room = MAX_PICKLE - (64 << 10)
    # The family grows as its members are pickled.
    for number, member in enumerate(family):
        data = _Member(member, family).dumps(room)
        if not data and not number:
            return b""
        where, rest = frames(member), (*family.links(member), name(member), message(member)[:_MAX_MESSAGE])
        room -= len(data) + len(pickle.dumps((where, *rest)))
        rows.append((data, where, *rest) if room >= 0 else (b"", [], *rest))
    data = pickle.dumps((MARK, rows), 5)
    return data if len(data) <= MAX_PICKLE else b""


def frames(error: BaseException) -> list[tuple[str, str, int]]:
    """Return an exception's frames; of very many the first and the last."""
    found: list[tuple[str, str, int]] = []
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append((code.co_filename, code.co_name, trace.tb_lineno or 0))
        trace = trace.tb_next
    half = MAX_FRAMES // 2
    return found if len(found) <= MAX_FRAMES else found[:half] + found[-half:]


class _Family:
    """The exceptions that have been met, in the order in which they were: their numbers are those of their rows."""

    def __init__(self, root: BaseException) -> None:
        self._members = [root]
        self._numbers = {id(root): 0}

    def __iter__(self) -> Iterator[BaseException]:
        number = 0
        while number < len(self._members):
            yield self._members[number]
            number += 1

    def number(self, error: BaseException) -> int:
        number = self._numbers.get(id(error))
        if number is None:
            if len(self._members) == MAX_ERRORS:
                return -1
            number = self._numbers[id(error)] = len(self._members)
            self._members.append(error)
        return number

    def member(self, number: int) -> BaseException:
        return self._members[number] if number >= 0 else RuntimeError()

    def links(self, error: BaseException) -> tuple[int | None, int | None, bool]:
        """Return the numbers of its cause and its context, and whether the context is suppressed."""
        # By the descriptors: a class may have attributes of these names.
        cause, context = _CAUSE(error), _CONTEXT(error)
        suppress = bool(_SUPPRESS(error))
        # A context that is not shown is not needed.
        hidden = context is None or suppress
        return None if cause is None else self.number(cause), None if hidden else self.number(context), suppress


_CAUSE: Any = BaseException.__dict__["__cause__"].__get__
_CONTEXT: Any = BaseException.__dict__["__context__"].__get__
_SUPPRESS: Any = BaseException.__dict__["__suppress_context__"].__get__
_ARGS: Any = BaseException.__dict__["args"].__get__


class _Member:
    """One exception of a family."""

    def __init__(self, error: BaseException, family: _Family) -> None:
        self._error = error
        self._family = family

    def dumps(self, room: int) -> bytes:
        """Pickle it in the first way that works and fits."""
        fits = True
        for way in (self._as_its_own, self._without_init):
            for base in _picklers():
                data = self._try(base, way)
                if 0 < len(data) <= room:
                    return data
                fits = fits and not data
        if fits:
            return b""
        for base in _picklers():
            data = self._try(base, self._light)
            if 0 < len(data) <= room:
                return data
        return b""

    # Ways: each returns what `__reduce__` would, and the attributes that the reader sets

    def _as_its_own(self) -> tuple[Any, Any]:
        return self._error.__reduce_ex__(4), self._slots()

    def _without_init(self) -> tuple[Any, Any]:
        """Without calling `__init__`, whose signature may not fit `args`, nor `__setattr__`, which may refuse."""
        error = self._error
        made = (copyreg.__newobj__, (type(error), *_ARGS(error)))  # type: ignore[attr-defined]
        return made, {**self._dict(), **self._slots()}

    def _light(self) -> tuple[Any, Any]:
        """As before, without what is heavy."""
        error = self._error
        args = [arg if self._is_light(arg) else _cut(arg) for arg in _ARGS(error)]
        state = {**self._dict(), **self._slots()}
        left_out = [name for name, value in state.items() if not self._is_light(value)]
        state = {name: value for name, value in state.items() if name not in left_out}
        if left_out:
            note = f"left out, since it would be over 1 MiB with it: {', '.join(map(str, left_out))}"
            state["__notes__"] = [*state.get("__notes__", ()), note]
        return (copyreg.__newobj__, (type(error), *args)), state  # type: ignore[attr-defined]

    def _dict(self) -> dict[str, Any]:
        try:
            found = object.__getattribute__(self._error, "__dict__")
        except AttributeError:
            return {}
        return dict(found)

    def _slots(self) -> dict[str, Any]:
        """What pickle itself forgets: the values of `__slots__`."""
        found: dict[str, Any] = {}
        for cls in type(self._error).__mro__:
            names = cls.__dict__.get("__slots__", ())
            for name in (names,) if isinstance(names, str) else names:
                slot: Any = cls.__dict__.get(name)
                if hasattr(slot, "__set__"):
                    try:  # noqa: SIM105
                        found.setdefault(name, slot.__get__(self._error))
                    except AttributeError:
                        pass  # it was never set
        return found

    def _is_light(self, value: Any) -> bool:
        return any(0 < len(self._try(base, lambda: (value, None), bare=True)) <= _HEAVY for base in _picklers())

    def _try(self, base: Any, way: Callable[[], tuple[Any, Any]], bare: bool = False) -> bytes:
        """Pickle and unpickle again: many exceptions pickle well, and then can't be rebuilt from their args."""
        own, family = self._error, self._family

        class ErrorPickler(base):  # type: ignore[misc]
            """Writes other exceptions of the family as their numbers."""

            def persistent_id(self, item: Any) -> Any:
                if issubclass(type(item), BaseException) and item is not own:
                    return family.number(item)
                return None

            def reducer_override(self, item: Any) -> Any:
                if item is own:
                    return made
                inherited: Callable[[Any], Any] | None = getattr(super(), "reducer_override", None)
                return NotImplemented if inherited is None else inherited(item)

        class Again(pickle.Unpickler):
            """Reads what was just written: the others of the family are there."""

            def persistent_load(self, number: int) -> Any:
                return family.member(number)

        buffer = _Buffer()
        try:
            made, state = way()
            ErrorPickler(buffer, 5).dump(made if bare else (own, state or None))
            data = buffer.getvalue()
            if bare:
                return data
            again, _ = Again(io.BytesIO(data)).load()
            return data if type(again) is type(own) or base is not pickle.Pickler else b""
        except BaseException:  # its __reduce__, __init__ and __setstate__ may raise anything  # noqa: BLE001
            return b""


class _Buffer(io.BytesIO):
    """Takes what can be seen as bytes."""

    def write(self, data: Any) -> int:
        return super().write(data if type(data) is bytes else raw_bytes(data))


def _cut(value: Any) -> Any:
    if isinstance(value, str | bytes):
        return value[: _HEAVY // 4]
    return f"<{with_article(type(value).__name__)}, too large to come along>"


def _picklers() -> list[Any]:
    found: list[Any] = [pickle.Pickler]
    try:
        from cloudpickle import Pickler as CloudPickler  # noqa: PLC0415 - start-up cost: 19 ms and 3.6 MiB, only where pickle has failed
    except ImportError:
        return found
    return [*found, CloudPickler]
