"""Arrays on both sides of 64 KiB and 1 MiB come back, from functions and from generators."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.acceptance.test_cases import Run

EXECUTORS = ("numpy", "numpy_generator")
COUNTS = (0, 8191, 8192, 8193, 131_000, 131_072, 300_000)


def arrays(orders: str) -> Iterator[Any]:
    import numpy as np

    for count in COUNTS:
        for order in orders:
            yield {"array": np.arange(count * 1.0).reshape(1 if count % 2 else 2, -1).copy(order=order)}  # type: ignore[call-overload]


def expect(run: "Run") -> None:
    values = run.values(arrays, "CF")
    values = values[0] if len(values) == 1 else values
    assert [value["array"].sum() for value in values] == [sum(range(count)) for count in COUNTS for _ in "CF"]
    assert all(value["array"].flags[f"{order}_CONTIGUOUS"] for value, order in zip(values, "CF" * 7, strict=True))
