"""A time-out of the function's own, or one of Wherry's, in the middle of a nested call harms no later one."""

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.acceptance.test_cases import Run

SIZE = 900_000


def nested(size: int) -> int:
    from tests.acceptance.apps.cases import coroutine

    return int(coroutine.remote("builtins", "len", (b"x" * size,)))


def hurried(rounds: int) -> list[int]:
    """Interrupt nested calls at many moments, each followed by one that is let be."""

    def give_up(number: int, frame: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, give_up)
    lengths, interrupts = [], 0
    for number in range(rounds):
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0002 + number * 0.0002)
            nested(SIZE)
            signal.setitimer(signal.ITIMER_REAL, 0)
        except TimeoutError:
            interrupts += 1
        lengths.append(nested(number))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert interrupts
    return lengths


def expect(run: "Run") -> None:
    assert run(hurried, 25) == list(range(25))
    assert run(nested, SIZE) == SIZE
