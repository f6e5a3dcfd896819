"""Exceptions as they come from a container. `wherry_runner.errors` writes them, and describes the format."""

import io
import pickle
from collections.abc import Callable
from types import TracebackType
from typing import Any

from wherry._base.words import with_article
from wherry.exception import DeserializationError, ExecutionError

MARK = "errors"
# A traceback of more was not made by Python.
_MAX_FRAMES = 10_000
_SET: dict[str, Any] = {
    name: BaseException.__dict__[name].__set__ for name in ("__cause__", "__context__", "__suppress_context__")
}


class Rebuilt:
    """Rebuilds an exception from what was unpickled; `named` gives each file of a traceback the name to show.

    Raises DeserializationError where the exception itself can't be rebuilt here; for another that can't, an
    ExecutionError with its text stands in.
    """

    def __init__(self, loaded: Any, named: Callable[[str], str]) -> None:
        if not isinstance(loaded, tuple) or len(loaded) != 2:
            raise DeserializationError(f"what came was {with_article(type(loaded).__name__)}, not an exception")
        self._named = named
        self._made: dict[int, BaseException] = {}
        self._being_made: set[int] = set()
        if loaded[0] != MARK:
            # As runners wrote it before: answers of spawned calls are kept for days.
            self.error = self._of_before(*loaded)
            return
        self._rows: list[Any] = loaded[1]
        self.error = self._make(0)
        # Causes and contexts are made on the way; what pickles refer to is there already.
        number = 0
        waiting = [0]
        seen = {0}
        while waiting:
            number = waiting.pop()
            for linked in (*self._link(number), *self._made):
                if linked not in seen:
                    seen.add(linked)
                    waiting.append(linked)

    def _link(self, number: int) -> list[int]:
        error = self._made[number]
        _, frames, cause, context, suppress, *_ = self._rows[number]
        BaseException.with_traceback(error, self._traceback(frames))
        linked: list[int] = []
        for name, other in (("__cause__", cause), ("__context__", context)):
            if other is not None and 0 <= other < len(self._rows):
                # Not by assignment: a class may refuse that.
                _SET[name](error, self._other(other))
                linked.append(other)
        _SET["__suppress_context__"](error, bool(suppress))
        return linked

    def _make(self, number: int) -> BaseException:
        data = self._rows[number][0]
        rebuilt = self
        self._being_made.add(number)

        class Unpickler(pickle.Unpickler):
            def persistent_load(self, other: Any) -> Any:
                return rebuilt._other(other)

        try:
            error, attributes = Unpickler(io.BytesIO(data)).load()
            if not isinstance(error, BaseException):
                raise DeserializationError(f"what came was {with_article(type(error).__name__)}, not an exception")
            for name, value in (attributes or {}).items():
                object.__setattr__(error, name, value)
        except ModuleNotFoundError as problem:
            raise DeserializationError(
                f"its type is defined in module {problem.name!r}, which is not installed here"
            ) from None
        except (Exception, SystemExit, GeneratorExit) as problem:  # noqa: BLE001 - a user's __init__ may raise anything
            raise DeserializationError(f"{type(problem).__name__}: {problem}") from None
        finally:
            self._being_made.discard(number)
        self._made[number] = error
        return error

    def _other(self, number: int) -> BaseException:
        """Return another exception than the first, or what stands in for it."""
        if number in self._made:
            return self._made[number]
        if not isinstance(number, int) or not 0 <= number < len(self._rows):
            return ExecutionError("one more exception: no more than 100 come along")
        type_name, message = self._rows[number][5:7]
        text = f"{type_name}: {message}"
        if number in self._being_made:
            return ExecutionError(f"{text} (the exception that this one is a part of)")
        try:
            if not self._rows[number][0]:
                raise DeserializationError("it can't be pickled, or is too large")
            return self._make(number)
        except DeserializationError as problem:
            stand_in = self._made[number] = ExecutionError(f"{text}\nIt can't be shown as itself here: {problem}.")
            return stand_in

    # Tracebacks

    def _traceback(self, frames: list[tuple[str, str, int]]) -> TracebackType | None:
        try:
            return self._of_frames(frames)
        except Exception:  # noqa: BLE001 - a container wrote it; the exception matters more
            return None

    def _of_frames(self, frames: list[tuple[str, str, int]]) -> TracebackType | None:
        described: dict[str, Any] | None = None
        for file, function, line in reversed(frames[:_MAX_FRAMES]):
            named = self._named(file)
            described = {
                "tb_frame": {
                    "f_globals": {"__name__": "__main__", "__file__": named},
                    "f_locals": {},
                    "f_code": {"co_filename": named, "co_name": function},
                    "f_lineno": line,
                },
                "tb_lineno": line,
                "tb_next": described,
            }
        return _as_traceback(described)

    def _of_before(self, error: Any, described: dict[str, Any] | None) -> BaseException:
        if not isinstance(error, BaseException):
            raise DeserializationError(f"what came was {with_article(type(error).__name__)}, not an exception")
        try:
            frame = described
            for _ in range(_MAX_FRAMES):
                if not frame:
                    break
                code = frame["tb_frame"]["f_code"]
                code["co_filename"] = self._named(code["co_filename"])
                frame = frame.get("tb_next")
            traceback = None if frame else _as_traceback(described)
        except Exception:  # noqa: BLE001 - as above
            traceback = None
        return BaseException.with_traceback(error, traceback)


def _as_traceback(described: dict[str, Any] | None) -> TracebackType | None:
    if not described:
        return None
    from tblib import Traceback  # noqa: PLC0415 - start-up cost: only when something has failed

    traceback: TracebackType | None = Traceback.from_dict(described).as_traceback()
    return traceback
