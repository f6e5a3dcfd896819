"""A class whose methods run here: its object, its hooks, and which method an input means.

What the SDK made of the class (`Blueprint`) knows how to make the object and where its hooks are.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # typing and collections cost 12 ms and 2 MiB; only the type checker needs them
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable
    from typing import Any

    from wherry_runner.executor import Target


class Instance:
    """The container's one object of a class."""

    def __init__(self, blueprint: Any, parameters: bytes, loop: AbstractEventLoop | None) -> None:
        self._blueprint = blueprint
        self._parameters = parameters
        # Where asynchronous hooks run: the loop that runs the inputs, or one of our own.
        self._loop = loop
        self._object: Any = None

    def enter(self, methods: list[list[Any]]) -> dict[str, Target]:
        """Make the object, run its enter hooks, and return its methods by name; raise what user code raises."""
        args, kwargs = (), {}
        if self._parameters:
            import pickle  # noqa: PLC0415 - start-up cost: 3 ms and 0.8 MiB, only for classes with arguments

            args, kwargs = pickle.loads(self._parameters)
        self._object = self._blueprint.construct(args, kwargs)
        for hook in self._blueprint.enter_hooks(self._object):
            self._run(hook)
        return {
            name: (self._blueprint.method(self._object, name), bool(is_generator), bool(is_async))
            for name, is_generator, is_async in methods
        }

    def exit(self) -> None:
        """Run the exit hooks, each of them whatever the others raise."""
        for hook in self._blueprint.exit_hooks(self._object):
            try:
                self._run(hook)
            except BaseException as error:  # user code; the container ends in any case  # noqa: BLE001
                from wherry_runner.failures import text_of  # noqa: PLC0415 - start-up cost: 9 ms and 1.7 MiB, only for failures

                print("an exit hook failed:", text_of(error), sep="\n", file=sys.stderr)

    def _run(self, hook: Callable[[], Any]) -> None:
        value = hook()
        if hasattr(value, "__await__"):
            if self._loop is None:
                import asyncio  # noqa: PLC0415 - start-up cost: 37 ms and 6.4 MiB, only for coroutine hooks

                self._loop = asyncio.new_event_loop()
            self._loop.run_until_complete(value)
