"""A generator whose values travel as files runs on past its window, however few values that are."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.acceptance.test_cases import Run

EXECUTORS = ("generator", "async_generator", "numpy_generator")
COUNT = 14


def large(size: int) -> Iterator[bytes]:
    for number in range(COUNT):
        yield bytes([number]) * size


def expect(run: "Run") -> None:
    for size in ((1 << 20) + 1, 9 << 20):
        values = run.values(large, size)
        assert [(value[0], len(value)) for value in values] == [(number, size) for number in range(COUNT)]
