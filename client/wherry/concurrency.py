"""`@concurrent` and `@batched`: how a container takes its inputs."""

from __future__ import annotations

from wherry._base.checks import number
from wherry._base.hints import TYPE_CHECKING, Any, TypeVar, overload
from wherry._define.marks import NEEDS_MAX_INPUTS, mark_batched, mark_concurrent, mark_sessioned
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from wherry._calling.typed import Batched

F = TypeVar("F")
R = TypeVar("R")
T = TypeVar("T")

MAX_INPUTS = 1000
MAX_BATCH_SIZE = 1000
MAX_WAIT_MS = 600_000


def concurrent(
    _warn_parentheses_missing: Any = None, *, max_inputs: int | None = None, target_inputs: int | None = None
) -> Callable[[F], F]:
    """Let one container run several inputs at once: plain functions on threads, coroutines as tasks.

    `max_inputs` (1..1000) is what a container accepts; `target_inputs` (1..max_inputs, default the same) what the
    autoscaler aims at, so that a burst is taken at once and containers follow. Goes below `@app.function()` or
    `@app.cls()`. Raises InvalidError for values out of range, missing parentheses or another place.
    (reference: concurrent)
    """
    if _warn_parentheses_missing is not None:
        raise InvalidError(_without_parentheses("concurrent", "max_inputs=10"))
    if max_inputs is None and target_inputs is None:
        raise InvalidError(NEEDS_MAX_INPUTS)
    # 0: only a server of the older kind may leave it out.
    most = int(number("max_inputs", max_inputs, 1, MAX_INPUTS, "", 0, whole=True))
    target = int(number("target_inputs", target_inputs, 1, MAX_INPUTS, "", 0, whole=True))
    if most and target > most:
        raise InvalidError(f"target_inputs is {target}, more than max_inputs ({most}): it must be from 1 to {most}")

    def decorate(target_object: F) -> F:
        _check_place(target_object, "concurrent", f"max_inputs={most}")
        return mark_concurrent(target_object, most, target)

    return decorate


def sessioned(_warn_parentheses_missing: Any = None) -> Callable[[T], T]:
    """Give the server below sessions: each request carries a session's token, and goes to the session's container.

    A container stays as long as it has a session. Goes below `@app.server()`, whose `target_concurrency` and
    `max_concurrency` count sessions then. Raises InvalidError for what is no class, and missing parentheses.
    (reference: sessioned)
    """
    if _warn_parentheses_missing is not None:
        raise InvalidError("parentheses are missing: write @wherry.sessioned() instead of @wherry.sessioned")

    def decorate(user_class: T) -> T:
        if not isinstance(user_class, type):
            raise InvalidError(
                f"@wherry.sessioned() got {user_class!r}: it goes on a class that is a server, directly below "
                "@app.server()"
            )
        mark_sessioned(user_class)
        return user_class

    return decorate


class _BatchedDecorator:
    """What `@batched(...)` gives: callers pass and get one item where the function has lists."""

    def __init__(self, max_batch_size: int, wait_ms: int) -> None:
        self._max_batch_size = max_batch_size
        self._wait_ms = wait_ms

    @overload
    def __call__(
        self, function: Callable[..., Coroutine[Any, Any, list[R]]]
    ) -> Batched[R, Coroutine[Any, Any, list[R]]]: ...
    @overload
    def __call__(self, function: Callable[..., list[R]]) -> Batched[R, list[R]]: ...
    def __call__(self, function: Any) -> Any:
        values = f"max_batch_size={self._max_batch_size}, wait_ms={self._wait_ms}"
        _check_place(function, "batched", values)
        if isinstance(function, type):
            raise InvalidError(
                f"@wherry.batched() is on class {function.__name__}: it goes on the one method that takes lists"
            )
        return mark_batched(function, self._max_batch_size, self._wait_ms)


def batched(
    _warn_parentheses_missing: Any = None, *, max_batch_size: int | None = None, wait_ms: int | None = None
) -> _BatchedDecorator:
    """Run several inputs in one call of the function: each parameter is a list, and so is the value.

    A batch begins with `max_batch_size` (1..1000) inputs, or `wait_ms` (0..600000) milliseconds after its first one
    came. The list that is returned has one item for each input, in their order. Goes below `@app.function()` or
    `@method()`. Raises InvalidError for values out of range, missing parentheses or another place.
    (reference: batched)
    """
    if _warn_parentheses_missing is not None:
        raise InvalidError(_without_parentheses("batched", "max_batch_size=16, wait_ms=100"))
    if max_batch_size is None or wait_ms is None:
        missing = "max_batch_size" if max_batch_size is None else "wait_ms"
        raise InvalidError(f"@wherry.batched() needs {missing}: write @wherry.batched(max_batch_size=16, wait_ms=100)")
    return _BatchedDecorator(
        int(number("max_batch_size", max_batch_size, 1, MAX_BATCH_SIZE, "", 1, whole=True)),
        int(number("wait_ms", wait_ms, 0, MAX_WAIT_MS, "ms", 0, whole=True)),
    )


def _without_parentheses(decorator: str, values: str) -> str:
    return f"parentheses are missing: write @wherry.{decorator}({values}) instead of @wherry.{decorator}"


def _check_place(target: Any, decorator: str, values: str) -> None:
    # A handle, made by a decorator that has read the marks already.
    above = _HANDLES.get(type(target).__name__) if type(target).__module__.startswith("wherry.") else None
    if above is not None:
        line = "class ..." if above == "@app.cls()" else "def ..."
        raise InvalidError(
            f"@wherry.{decorator}() stands above {above}, where it has no effect: put it below, as in\n"
            f"    {above}\n"
            f"    @wherry.{decorator}({values})\n"
            f"    {line}"
        )


_HANDLES = {
    "Function": "@app.function()",
    "Cls": "@app.cls()",
    "LocalEntrypoint": "@app.local_entrypoint()",
    "PartialFunction": "@wherry.method()",
}
