"""When an input runs again, and after how long."""

from dataclasses import dataclass

# An input lost with its container runs again this often, without using up its retries.
MAX_LOSSES = 3


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Reference: Retries. Delays are in seconds."""

    max_retries: int = 0
    backoff_coefficient: float = 1.0
    initial_delay_s: float = 1.0
    max_delay_s: float = 60.0

    def delay(self, retry: int) -> float:
        """Return the seconds before retry number `retry`, counted from 0."""
        return min(self.max_delay_s, self.initial_delay_s * self.backoff_coefficient**retry)
