"""What type checkers see of `map` and its like: inputs are checked against parameters. Loaded by no program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Iterable, Iterator
    from typing import Self

    from wherry._base.blocking import BoundIteration
    from wherry._calling.results import Results

    A = TypeVar("A")
    B = TypeVar("B")
    C = TypeVar("C")
    P = ParamSpec("P")
    R = TypeVar("R")
    V = TypeVar("V")
    A_contra = TypeVar("A_contra", contravariant=True)
    B_contra = TypeVar("B_contra", contravariant=True)
    C_contra = TypeVar("C_contra", contravariant=True)
    O_co = TypeVar("O_co", covariant=True)
    R_co = TypeVar("R_co", covariant=True)

    # `map` and `starmap` take the one or the other.
    Inputs = Iterable[A] | AsyncIterable[A]
    # A row of four values or more; those are not checked.
    Longer = tuple[Any, Any, Any, Any, *tuple[Any, ...]]

    class Batched(Protocol[R_co, O_co]):
        """A function that `@batched` is on: callers give and get one item, the function itself has lists."""

        def __wherry_batched__(self) -> tuple[R_co, O_co]:
            """Give one item, and what the function itself gives."""

    class Called(Protocol[P, R_co]):
        """A function: what it takes and gives."""

        def __wherry_signature__(self, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
            """Take and give the same."""

    class One(Protocol[A_contra, R_co]):
        """What can be called with one argument."""

        def __wherry_signature__(self, a: A_contra, /) -> R_co:
            """Take and give the same."""

    class Two(Protocol[A_contra, B_contra, R_co]):
        """What can be called with two arguments."""

        def __wherry_signature__(self, a: A_contra, b: B_contra, /) -> R_co:
            """Take and give the same."""

    class Three(Protocol[A_contra, B_contra, C_contra, R_co]):
        """What can be called with three arguments."""

        def __wherry_signature__(self, a: A_contra, b: B_contra, c: C_contra, /) -> R_co:
            """Take and give the same."""

    class _Bound(Generic[P, R]):
        __name__: str

        def __wherry_signature__(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
            """Take and give what the function does; of a generator function, what it yields."""
            raise NotImplementedError

    class MapInputs(_Bound[P, R]):
        """How `f.map` is called: with an iterable of inputs for each parameter."""

        @overload
        def __call__(
            self: One[A, V],
            a: Inputs[A],
            /,
            *,
            order_outputs: bool | None = None,
            return_exceptions: bool = False,
            wrap_returned_exceptions: bool | None = None,
        ) -> Results[V]: ...
        @overload
        def __call__(
            self: Two[A, B, V],
            a: Inputs[A],
            b: Inputs[B],
            /,
            *,
            order_outputs: bool | None = None,
            return_exceptions: bool = False,
            wrap_returned_exceptions: bool | None = None,
        ) -> Results[V]: ...
        @overload
        def __call__(
            self: Three[A, B, C, V],
            a: Inputs[A],
            b: Inputs[B],
            c: Inputs[C],
            /,
            *,
            order_outputs: bool | None = None,
            return_exceptions: bool = False,
            wrap_returned_exceptions: bool | None = None,
        ) -> Results[V]: ...
        @overload
        def __call__(
            self,
            a: Inputs[Any],
            b: Inputs[Any],
            c: Inputs[Any],
            d: Inputs[Any],
            /,
            *more: Inputs[Any],
            order_outputs: bool | None = None,
            return_exceptions: bool = False,
            wrap_returned_exceptions: bool | None = None,
        ) -> Results[R]: ...
        @overload
        def __call__(
            self,
            *input_iterators: Inputs[Any],
            kwargs: dict[str, Any],
            order_outputs: bool | None = None,
            return_exceptions: bool = False,
            wrap_returned_exceptions: bool | None = None,
        ) -> Results[R]: ...
        def __call__(self, *inputs: Any, **options: Any) -> Any:
            """Run it for each input."""

    class Map(MapInputs[P, R]):
        """What `f.map` gives."""

        @property
        def aio(self) -> MapInputs[P, R]:
            """Do the same without blocking the event loop: the results are iterated with `async for`."""
            raise NotImplementedError

    class StarMapInputs(_Bound[P, R]):
        """How `f.starmap` is called: with rows, each with a value for each parameter."""

        @overload
        def __call__(
            self: One[A, V],
            rows: Inputs[tuple[A]],
            /,
            *,
            order_outputs: bool | None = None,
            return_exceptions: bool = False,
            wrap_returned_exceptions: bool | None = None,
        ) -> Results[V]: ...
        @overload
        def __call__(
            self: Two[A, B, V],
            rows: Inputs[tuple[A, B]],
            /,
            *,
            order_outputs: bool | None = None,
            return_exceptions: bool = False,
            wrap_returned_exceptions: bool | None = None,
        ) -> Results[V]: ...
        @overload
        def __call__(
            self: Three[A, B, C, V],
            rows: Inputs[tuple[A, B, C]],
            /,
            *,
            order_outputs: bool | None = None,
            return_exceptions: bool = False,
            wrap_returned_exceptions: bool | None = None,
        ) -> Results[V]: ...
        @overload
        def __call__(
            self: Two[A, A, V],
            rows: Inputs[Iterable[A]],
            /,
            *,
            order_outputs: bool | None = None,
            return_exceptions: bool = False,
            wrap_returned_exceptions: bool | None = None,
        ) -> Results[V]: ...
        @overload
        def __call__(
            self: Three[A, A, A, V],
            rows: Inputs[Iterable[A]],
            /,
            *,
            order_outputs: bool | None = None,
            return_exceptions: bool = False,
            wrap_returned_exceptions: bool | None = None,
        ) -> Results[V]: ...
        @overload
        def __call__(
            self,
            rows: Iterable[list[Any]],
            /,
            *,
            order_outputs: bool | None = None,
            return_exceptions: bool = False,
            wrap_returned_exceptions: bool | None = None,
        ) -> Results[R]: ...
        @overload
        def __call__(
            self,
            rows: Iterable[Longer],
            /,
            *,
            order_outputs: bool | None = None,
            return_exceptions: bool = False,
            wrap_returned_exceptions: bool | None = None,
        ) -> Results[R]: ...
        @overload
        def __call__(
            self,
            input_iterator: Inputs[Iterable[Any]],
            *,
            kwargs: dict[str, Any],
            order_outputs: bool | None = None,
            return_exceptions: bool = False,
            wrap_returned_exceptions: bool | None = None,
        ) -> Results[R]: ...
        def __call__(self, *inputs: Any, **options: Any) -> Any:
            """Run it for each input."""

    class StarMap(StarMapInputs[P, R]):
        """What `f.starmap` gives."""

        @property
        def aio(self) -> StarMapInputs[P, R]:
            """Do the same without blocking the event loop: the results are iterated with `async for`."""
            raise NotImplementedError

    class ForEach(_Bound[P, R]):
        """What `f.for_each` gives: inputs as those of `map`."""

        @overload
        def __call__(
            self: One[A, V],
            a: Inputs[A],
            /,
            *,
            ignore_exceptions: bool = False,
        ) -> None: ...
        @overload
        def __call__(
            self: Two[A, B, V],
            a: Inputs[A],
            b: Inputs[B],
            /,
            *,
            ignore_exceptions: bool = False,
        ) -> None: ...
        @overload
        def __call__(
            self: Three[A, B, C, V],
            a: Inputs[A],
            b: Inputs[B],
            c: Inputs[C],
            /,
            *,
            ignore_exceptions: bool = False,
        ) -> None: ...
        @overload
        def __call__(
            self,
            a: Inputs[Any],
            b: Inputs[Any],
            c: Inputs[Any],
            d: Inputs[Any],
            /,
            *more: Inputs[Any],
            ignore_exceptions: bool = False,
        ) -> None: ...
        @overload
        def __call__(
            self,
            *input_iterators: Inputs[Any],
            kwargs: dict[str, Any],
            ignore_exceptions: bool = False,
        ) -> None: ...
        def __call__(self, *inputs: Any, **options: Any) -> Any:
            """Run it for each input."""

        @overload
        def aio(
            self: One[A, V],
            a: Inputs[A],
            /,
            *,
            ignore_exceptions: bool = False,
        ) -> Coroutine[Any, Any, None]: ...
        @overload
        def aio(
            self: Two[A, B, V],
            a: Inputs[A],
            b: Inputs[B],
            /,
            *,
            ignore_exceptions: bool = False,
        ) -> Coroutine[Any, Any, None]: ...
        @overload
        def aio(
            self: Three[A, B, C, V],
            a: Inputs[A],
            b: Inputs[B],
            c: Inputs[C],
            /,
            *,
            ignore_exceptions: bool = False,
        ) -> Coroutine[Any, Any, None]: ...
        @overload
        def aio(
            self,
            a: Inputs[Any],
            b: Inputs[Any],
            c: Inputs[Any],
            d: Inputs[Any],
            /,
            *more: Inputs[Any],
            ignore_exceptions: bool = False,
        ) -> Coroutine[Any, Any, None]: ...
        @overload
        def aio(
            self,
            *input_iterators: Inputs[Any],
            kwargs: dict[str, Any],
            ignore_exceptions: bool = False,
        ) -> Coroutine[Any, Any, None]: ...
        def aio(self, *inputs: Any, **options: Any) -> Any:
            """Do the same without blocking the event loop."""

    class _OverInputs:
        """What the decorators of map, starmap and for_each have in common."""

        def __init__(self, method: Callable[..., Any]) -> None:
            self.plain = method

        def awaiting(
            self, method: Callable[..., Coroutine[Any, Any, None]]
        ) -> Callable[..., Coroutine[Any, Any, None]]:
            """Decorate the coroutine function that is the `.aio` form."""
            raise NotImplementedError

        def __call__(self, function: Any, /, *inputs: Any, **options: Any) -> Any:
            """Call the method on its class, with the function in front."""

        def aio(self, function: Any, /, *inputs: Any, **options: Any) -> Any:
            """Do the same without blocking the event loop."""

    class mapping(_OverInputs):
        """Decorates a method that type checkers see as `Map`."""

        @overload
        def __get__(self, instance: None, owner: type) -> Self: ...
        @overload
        def __get__(self, instance: Called[P, Iterator[V]], owner: type) -> Map[P, V]: ...
        @overload
        def __get__(self, instance: Called[P, AsyncIterator[V]], owner: type) -> Map[P, V]: ...
        @overload
        def __get__(self, instance: Called[P, V], owner: type) -> Map[P, V]: ...
        def __get__(self, instance: Any, owner: type) -> Any:
            """Give what the method is of a function."""

    class starring(_OverInputs):
        """Decorates a method that type checkers see as `StarMap`."""

        @overload
        def __get__(self, instance: None, owner: type) -> Self: ...
        @overload
        def __get__(self, instance: Called[P, Iterator[V]], owner: type) -> StarMap[P, V]: ...
        @overload
        def __get__(self, instance: Called[P, AsyncIterator[V]], owner: type) -> StarMap[P, V]: ...
        @overload
        def __get__(self, instance: Called[P, V], owner: type) -> StarMap[P, V]: ...
        def __get__(self, instance: Any, owner: type) -> Any:
            """Give what the method is of a function."""

    class visiting(_OverInputs):
        """Decorates a method that type checkers see as `ForEach`."""

        @overload
        def __get__(self, instance: None, owner: type) -> Self: ...
        @overload
        def __get__(self, instance: Called[P, Iterator[V]], owner: type) -> ForEach[P, V]: ...
        @overload
        def __get__(self, instance: Called[P, AsyncIterator[V]], owner: type) -> ForEach[P, V]: ...
        @overload
        def __get__(self, instance: Called[P, V], owner: type) -> ForEach[P, V]: ...
        def __get__(self, instance: Any, owner: type) -> Any:
            """Give what the method is of a function."""

    class generating:
        """Decorates `remote_gen`: its values are those that the function yields."""

        def __init__(self, method: Callable[..., Any]) -> None:
            self.plain = method

        def __call__(self, function: Any, /, *args: Any, **kwargs: Any) -> Results[Any]:
            """Call the method on its class, with the function in front."""
            raise NotImplementedError

        def aio(self, function: Any, /, *args: Any, **kwargs: Any) -> Results[Any]:
            """Return the same values, to be iterated with `async for`."""
            raise NotImplementedError

        @overload
        def __get__(self, instance: None, owner: type) -> Self: ...
        @overload
        def __get__(self, instance: Called[P, Iterator[V]], owner: type) -> BoundIteration[P, Results[V]]: ...
        @overload
        def __get__(self, instance: Called[P, AsyncIterator[V]], owner: type) -> BoundIteration[P, Results[V]]: ...
        @overload
        def __get__(self, instance: Called[P, V], owner: type) -> BoundIteration[P, Results[Any]]: ...
        def __get__(self, instance: Any, owner: type) -> Any:
            """Give what the method is of a function."""
