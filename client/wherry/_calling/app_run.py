"""Running an app for the length of a block."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

A = TypeVar("A")


class AppRun(Generic[A]):
    """Runs an app while its block is entered."""

    def __init__(self, app: A, begin: Callable[[], None], end: Callable[[], None]) -> None:
        self._app = app
        self._begin = begin
        self._end = end

    def __enter__(self) -> A:
        self._begin()
        return self._app

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            from wherry._connection.failure import hide_internals  # noqa: PLC0415 - start-up cost: loaded with the session

            hide_internals(error)
        self._end()

    async def __aenter__(self) -> A:
        from wherry._base.waiting import entered_in_thread  # noqa: PLC0415 - start-up cost: only in async programs

        return await entered_in_thread(self)  # type: ignore[no-any-return]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        import asyncio  # noqa: PLC0415 - start-up cost: the caller has it already

        await asyncio.to_thread(self.__exit__, kind, error, traceback)
