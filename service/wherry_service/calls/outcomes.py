"""How a function's inputs have ended since the service started."""

import time

# Of an error only the beginning of its line: it is shown in a table.
MAX_ERROR = 200


class Outcomes:
    """Counts of one function, which its next versions go on with."""

    def __init__(self) -> None:
        self.num_succeeded = 0
        self.num_failed = 0
        # Without what is secret.
        self.last_error = ""
        self.last_error_at_ms = 0

    def failed(self, count: int, error: str) -> None:
        """Count inputs that failed; `error` says how, and "" leaves what was said of them before."""
        self.num_failed += count
        if error:
            self.last_error = error.strip().partition("\n")[0][:MAX_ERROR]
            self.last_error_at_ms = int(time.time() * 1000)
