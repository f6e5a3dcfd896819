"""An exception that can't be changed, printed or pickled is named once; its container lives, nothing runs twice."""

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.acceptance.test_cases import Run

EXECUTORS = ("plain", "generator", "coroutine", "async_generator", "threads", "batch", "method")
runs = 0


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    code: int


class Unprintable(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


def fail() -> None:
    global runs
    runs += 1
    raise Frozen(runs)


def fail_unprintably() -> None:
    raise Unprintable


def how_often() -> int:
    return runs


def expect(run: "Run") -> None:
    import pytest  # not in the container

    process = run.process()
    with pytest.raises(Frozen) as caught:
        run(fail)
    assert caught.value.code == run(how_often)
    with pytest.raises(Unprintable):
        run(fail_unprintably)
    assert run.process() == process
