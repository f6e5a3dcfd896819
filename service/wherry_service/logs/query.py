"""Which lines somebody wants."""

from dataclasses import dataclass

from wherry_proto.messages import LogLine
from wherry_service.ids import call_of_input
from wherry_service.logs.block import Block


@dataclass(frozen=True, slots=True)
class Query:
    """Lines of one app. Empty and 0 leave nothing out."""

    app_id: str
    container_id: str = ""
    function_ids: frozenset[str] = frozenset()
    call_id: str = ""
    since_ms: int = 0
    until_ms: int = 0
    search: str = ""
    stream: int = 0

    def may_be_in(self, block: Block) -> bool:
        """Whether a block's header lets it have such lines."""
        if self.since_ms > block.until_ms or (self.until_ms and self.until_ms <= block.since_ms):
            return False
        if self.container_id or self.function_ids:
            return any(self._is_of(container_id, function_id) for container_id, function_id in block.containers)
        return True

    def wants(self, line: LogLine) -> bool:
        """Whether it is one of these lines."""
        return (
            self._is_of(line.container_id, line.function_id)
            and line.at_ms >= self.since_ms
            and (not self.until_ms or line.at_ms < self.until_ms)
            and (not self.call_id or self.call_id in (line.call_id, call_of_input(line.input_id)))
            and (not self.stream or line.stream == self.stream)
            and (not self.search or self.search.casefold() in line.text.casefold())
        )

    def _is_of(self, container_id: str, function_id: str) -> bool:
        return (not self.container_id or container_id == self.container_id) and (
            not self.function_ids or function_id in self.function_ids
        )
