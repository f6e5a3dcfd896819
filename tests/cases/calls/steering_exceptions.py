"""What would end or steer the caller's program arrives as an UnraisableError, with the exception itself in it."""

import asyncio
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.acceptance.test_cases import Run

EXECUTORS = ("plain", "generator", "coroutine", "async_generator", "threads", "batch", "method")
KINDS = ("SystemExit", "KeyboardInterrupt", "GeneratorExit", "CancelledError")


def fail(kind: str) -> None:
    if kind == "SystemExit":
        sys.exit("bad option")
    raise {"CancelledError": asyncio.CancelledError, **vars(__import__("builtins"))}[kind]


def expect(run: "Run") -> None:
    import pytest  # not in the container

    from wherry.exception import UnraisableError

    process = run.process()
    for kind in KINDS:
        with pytest.raises(UnraisableError, match=kind) as caught:
            run(fail, kind)
        assert type(caught.value.exc).__name__ == kind
        assert "in fail" in "".join(__import__("traceback").format_exception(caught.value))
    assert run.process() == process
