"""An exception with megabytes in it, or with hundreds behind it, is still caught by its type."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.acceptance.test_cases import Run


class Heavy(Exception):
    def __init__(self, code: int, data: bytes = b"") -> None:
        super().__init__(code)
        self.code = code
        self.data = data


def with_attribute() -> None:
    raise Heavy(7, b"x" * (3 << 20))


def at_the_end_of_a_chain(length: int) -> None:
    error: Exception = Heavy(0)
    for number in range(1, length):
        try:
            raise Heavy(number) from error
        except Heavy as last:
            error = last
    raise error


def expect(run: "Run") -> None:
    import pytest  # not in the container

    with pytest.raises(Heavy) as caught:
        run(with_attribute)
    assert caught.value.code == 7
    assert not hasattr(caught.value, "data")
    with pytest.raises(Heavy) as caught:
        run(at_the_end_of_a_chain, 500)
    assert (caught.value.code, caught.value.__cause__.code) == (499, 498)  # type: ignore[union-attr]
