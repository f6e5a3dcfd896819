"""How often, and after which delays, a failed input is tried again."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from wherry_proto.messages import RetryPolicy


class Retries:
    """A retry policy: the n-th retry waits `initial_delay * backoff_coefficient**(n-1)`, at most `max_delay`.

    `max_retries` 0..10; `backoff_coefficient` 1..10; `initial_delay` 0..60 and `max_delay` 1..60 seconds.
    Raises InvalidError when one is out of its range. (reference: Retries)
    """

    __slots__ = ("backoff_coefficient", "initial_delay", "max_delay", "max_retries")

    def __init__(
        self,
        *,
        max_retries: int,
        backoff_coefficient: float = 2.0,
        initial_delay: float = 1.0,
        max_delay: float = 60.0,
    ) -> None:
        _check("max_retries", max_retries, 0, 10)
        _check("backoff_coefficient", backoff_coefficient, 1, 10)
        _check("initial_delay", initial_delay, 0, 60)
        _check("max_delay", max_delay, 1, 60)
        if isinstance(max_retries, float):
            raise InvalidError(f"max_retries is {max_retries!r}: it must be a whole number")
        self.max_retries = max_retries
        self.backoff_coefficient = backoff_coefficient
        self.initial_delay = initial_delay
        self.max_delay = max_delay

    @classmethod
    def of(cls, value: int | Retries | None) -> Retries | None:
        """Return the policy that `retries=value` means: a number n is n retries, 1 s apart."""
        if value is None or isinstance(value, Retries):
            return value
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidError(f"retries is {value!r}: it must be a number from 0 to 10, or wherry.Retries(...)")
        _check("retries", value, 0, 10)
        return cls(max_retries=value, backoff_coefficient=1.0, initial_delay=1.0)

    def __repr__(self) -> str:
        return (
            f"Retries(max_retries={self.max_retries}, backoff_coefficient={self.backoff_coefficient}, "
            f"initial_delay={self.initial_delay}, max_delay={self.max_delay})"
        )

    def message(self) -> RetryPolicy:
        """Inside wherry: describe it for the service."""
        from wherry_proto.messages import RetryPolicy  # noqa: PLC0415 - start-up cost: not needed to import wherry

        return RetryPolicy(
            max_retries=self.max_retries,
            backoff_coefficient=self.backoff_coefficient,
            initial_delay_s=self.initial_delay,
            max_delay_s=self.max_delay,
        )


def _check(name: str, value: float, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidError(f"{name} is {value!r}: it must be from {low} to {high}")
