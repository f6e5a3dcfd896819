"""One line of a log on its way to others."""

from typing import NamedTuple

STDOUT, STDERR, SYSTEM, SERVICE = "stdout", "stderr", "system", "service"


class Line(NamedTuple):
    """What was printed, and by whom; "" for what a line of the service's own log has not."""

    at_ms: int
    text: str
    # "stdout", "stderr", "system" (of Wherry, about a container), or "service" (the service's own log).
    stream: str
    # "debug", "info", "warning" or "error".
    level: str = "info"
    logger: str = ""
    environment: str = ""
    app_name: str = ""
    app_id: str = ""
    function_name: str = ""
    container_id: str = ""
    call_id: str = ""
    input_id: str = ""

    def fields(self) -> dict[str, str]:
        """Return what is known beside time and text, by name."""
        known = self._asdict()
        del known["at_ms"], known["text"]
        return {name: value for name, value in known.items() if value}
