"""What `@method()`, `@enter()` and `@exit()` make of the functions in a class."""

from __future__ import annotations

from wherry._base.checks import DAY_S, number
from wherry._base.hints import IN_EDITOR, Any, Generic, ParamSpec, TypeVar, overload
from wherry._base.misuse import check_method
from wherry.exception import InvalidError

# Not that of `hints`: jedi is to read what runs.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Concatenate

    from wherry._calling.typed import Batched
    from wherry.function import Function

P = ParamSpec("P")
R = TypeVar("R")
# What the plain function gives where it is called; batched ones give lists, and coroutine functions coroutines.
L = TypeVar("L", default=R)

# A bit of `co_flags`: a wrapper that takes whatever it is given.
_VARARGS = 0x04
METHOD, ENTER, EXIT, BUILD = "method", "enter", "exit", "build"
# Where a class keeps its handle.
HANDLE = "__wherry_class__"


class PartialFunction(Generic[P, R, L]):
    """A function in a class that `@app.cls()` has still to make something of. (reference: PartialFunction)"""

    def __init__(
        self, raw_f: Callable[..., Any], kind: str, is_generator: bool | None = None, *, snap: bool = False
    ) -> None:
        self.raw_f = raw_f
        self.snap = snap
        # Of one that runs while the class's image is built, perhaps besides: whether anew each time, and its seconds.
        self.builds = kind == BUILD
        self.force = False
        self.timeout = 86_400.0
        self.kind = kind
        self.is_generator = is_generator
        self.__doc__ = raw_f.__doc__
        self.__name__ = raw_f.__name__
        self.__qualname__ = raw_f.__qualname__
        self.__wrapped__ = raw_f

    @overload
    def __get__(self, instance: None, owner: type) -> PartialFunction[P, R, L]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Function[P, R, L]: ...
    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        handle = getattr(type(instance), HANDLE, None)
        if handle is None:
            raise InvalidError(
                f"{self.__qualname__} has @wherry.method(), and its class has no @app.cls(): "
                f"put it above `class {type(instance).__name__}`"
            )
        return handle.method(instance, self)

    def __getattr__(self, name: str) -> Any:
        if name in ("remote", "local", "map", "starmap", "for_each", "spawn", "remote_gen", "call"):
            raise InvalidError(
                f"{self.__qualname__} is a method: make an object of its class, which has @app.cls(), "
                f"and call {self.__qualname__.replace('.', '().', 1)}.{name}(...)"
            )
        raise AttributeError(f"a method has no attribute {name!r}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Raise InvalidError: a method is called on an object, by `.remote()` or `.local()`."""
        self.__getattr__("remote")

    def __repr__(self) -> str:
        return f"PartialFunction({self.__qualname__!r}, {self.kind})"


class _MethodDecorator:
    """What `@method()` gives, keeping the method's signature."""

    def __init__(self, is_generator: bool | None) -> None:
        self._is_generator = is_generator

    @overload
    def __call__(self, function: Batched[R, L]) -> PartialFunction[..., R, L]: ...
    @overload
    def __call__(
        self, function: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]
    ) -> PartialFunction[P, R, Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Any, P], R]) -> PartialFunction[P, R]: ...
    def __call__(self, function: Any) -> Any:
        _check_plain("method", function)
        return PartialFunction(function, METHOD, self._is_generator)

    if not TYPE_CHECKING and IN_EDITOR:

        def __call__(self, function):
            from wherry._classes.shown import ShownMethod  # noqa: PLC0415 - no program gets here

            return ShownMethod(function)


def method(_warn_parentheses_missing: Any = None, *, is_generator: bool | None = None) -> _MethodDecorator:
    """Make the function below a method that runs in containers of its class. (reference: method)"""
    _check_parentheses("method", _warn_parentheses_missing)
    return _MethodDecorator(is_generator)


def enter(
    _warn_parentheses_missing: Any = None, *, snap: bool = False
) -> Callable[[Callable[[Any], Any]], PartialFunction[Any, Any]]:
    """Run the method below once in each container, before its first input. Those with `snap=True` run first.

    An error that it raises fails the inputs that wait. (reference: enter)
    """
    _check_parentheses("enter", _warn_parentheses_missing)
    return _hook(ENTER, snap=bool(snap))


def exit(
    _warn_parentheses_missing: Any = None,
) -> Callable[[Callable[[Any], Any]], PartialFunction[Any, Any]]:
    """Run the method below once in each container, when it has finished its last input. (reference: exit)"""
    _check_parentheses("exit", _warn_parentheses_missing)
    return _hook(EXIT)


def build(
    _warn_parentheses_missing: Any = None, *, force: bool = False, timeout: float = 86_400
) -> Callable[[Callable[[Any], Any]], PartialFunction[Any, Any]]:
    """Run the method below while the image of its class is built: what it leaves in the file system is part of it.

    It may have `@enter()` as well: then it also runs in each container. `force`: again each time; `timeout` in seconds.
    It is the older way of `Image.run_function`. (reference: build, until 2024)
    """
    _check_parentheses("build", _warn_parentheses_missing)
    seconds = number("timeout", timeout, 1, DAY_S, "s", DAY_S)

    def decorate(function: Any) -> PartialFunction[Any, Any]:
        is_hook = isinstance(function, PartialFunction) and function.kind == ENTER
        made = function if is_hook else _hook(BUILD)(function)
        made.builds, made.force, made.timeout = True, bool(force), seconds
        return made

    return decorate


def _hook(kind: str, *, snap: bool = False) -> Callable[[Callable[[Any], Any]], PartialFunction[Any, Any]]:
    def decorate(function: Callable[[Any], Any]) -> PartialFunction[Any, Any]:
        if kind == ENTER and isinstance(function, PartialFunction) and function.kind == BUILD:
            made: PartialFunction[Any, Any] = PartialFunction(function.raw_f, ENTER, snap=snap)
            made.builds, made.force, made.timeout = True, function.force, function.timeout
            return made
        _check_plain(kind, function)
        code = function.__code__
        # Exit hooks of the older style take what `__exit__` takes.
        fits = code.co_argcount == 1 or (kind == EXIT and code.co_argcount == 4) or bool(code.co_flags & _VARARGS)
        if not fits or code.co_kwonlyargcount:
            raise InvalidError(f"@{kind}() is on {function.__qualname__}, which must take self alone")
        return PartialFunction(function, kind, snap=snap)

    return decorate


def _check_parentheses(name: str, given: Any) -> None:
    if given is not None:
        raise InvalidError(f"parentheses are missing: write @wherry.{name}() instead of @wherry.{name}")


def _check_plain(name: str, function: Any) -> None:
    if isinstance(function, PartialFunction):
        raise InvalidError(
            f"{function.__qualname__} has both @{name}() and @{function.kind}(): a method is one or the other"
        )
    if not hasattr(function, "__code__"):
        raise InvalidError(f"@{name}() got {function!r}: it goes on a plain function in a class, written with def")
    check_method(name, function)
