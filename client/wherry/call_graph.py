"""What a call is part of: what has led to it, its own inputs, and those of the calls that these made."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from wherry_proto.messages import CallGraph


class InputStatus(enum.IntEnum):
    """How an input stands. (reference: InputStatus)"""

    PENDING = 1
    RUNNING = 2
    SUCCESS = 3
    FAILURE = 4
    TERMINATED = 5
    TIMEOUT = 6
    INIT_FAILURE = 7  # not given: an input whose container did not start is a failure


@dataclass
class InputInfo:
    """One input of a call graph; `children` are the inputs of the calls that it made. (reference: InputInfo)

    `task_id` is the container's id ("co-…"), empty until it has run.
    """

    input_id: str
    function_call_id: str
    task_id: str
    status: InputStatus
    function_name: str
    module_name: str
    children: list[InputInfo] = field(default_factory=list)


def roots_of(graph: CallGraph) -> list[InputInfo]:
    """Return the graph as trees, one for each input that no other has led to."""
    found: dict[str, InputInfo] = {}
    roots: list[InputInfo] = []
    for node in graph.nodes:
        info = InputInfo(
            input_id=node.input_id,
            function_call_id=node.call_id,
            task_id=node.container_id,
            status=InputStatus(node.status),
            function_name=node.function_name,
            module_name=node.module_name,
        )
        found[node.input_id] = info
        parent = found.get(node.parent_input_id)
        (parent.children if parent is not None else roots).append(info)
    return roots
