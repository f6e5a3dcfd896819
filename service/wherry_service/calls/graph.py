"""Call graphs: which calls an input has made, and those made in turn.

Kept for durable calls, and for whatever is called from inside containers, with its ancestors. A plain call from
outside costs nothing here.
"""

import copy
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from wherry_proto.messages import CallGraph, CallGraphNode, FailureKind, InputStatus, Output
from wherry_service.ids import call_of_input
from wherry_service.node.node import LoadOrder

if TYPE_CHECKING:
    from wherry_service.calls.call import Input

# Nodes of one graph; what comes beyond is left out.
MAX_NODES = 10_000
# Graphs that have ended and are kept in memory, and their nodes: those of durable calls are on disk, too.
MAX_ENDED = 1000
MAX_ENDED_NODES = 20_000

Describe = Callable[[str], LoadOrder | None]
"""From a function's id to what its containers load, if it is served."""

_STATUS = {
    FailureKind.CANCELLED: InputStatus.TERMINATED,
    FailureKind.TIMEOUT: InputStatus.TIMEOUT,
}


class GraphNode:
    """One input in a graph."""

    __slots__ = (
        "call_id",
        "children",
        "container_id",
        "function_id",
        "input_id",
        "item",
        "method",
        "names",
        "root",
        "status",
    )

    def __init__(self, item: "Input", root: "Root", names: tuple[str, str]) -> None:
        self.root = root
        self.input_id = item.input_id
        self.call_id = item.call_id
        self.function_id = item.call.function_id
        self.method = item.method
        # Asked how it stands as long as it is open: no longer, since it holds what it was given.
        self.item: Input | None = item
        self.names = names
        self.children: list[GraphNode] = []
        self.container_id = ""
        self.status = int(InputStatus.UNSPECIFIED)

    def message(self, parent_input_id: str) -> CallGraphNode:
        """Describe it as it stands now."""
        container = self.item.container if self.item is not None else None
        container_id = self.container_id or (container.container_id if container is not None else "")
        running = InputStatus.RUNNING if container is not None else InputStatus.PENDING
        return CallGraphNode(
            input_id=self.input_id,
            call_id=self.call_id,
            parent_input_id=parent_input_id,
            container_id=container_id,
            status=self.status or running,
            function_name=f"{self.names[0]}.{self.method}" if self.method else self.names[0],
            module_name=self.names[1],
        )


class Root:
    """The graph of one call that no input has made, or none that is known."""

    __slots__ = ("call_id", "durable", "nodes", "num_nodes", "num_open", "num_open_own", "truncated")

    def __init__(self, call_id: str, durable: bool) -> None:
        self.call_id = call_id
        self.durable = durable
        self.nodes: list[GraphNode] = []
        self.num_nodes = 0
        self.num_open = 0
        # Of the call itself.
        self.num_open_own = 0
        self.truncated = False


class CallGraphs:
    """The graphs of calls that run, and of those that ended lately."""

    def __init__(self, describe: Describe, save: Callable[[str, CallGraph], None]) -> None:
        self._describe = describe
        # Puts the graph of a durable call on disk.
        self._save = save
        self._roots: dict[str, Root] = {}
        self._nodes: dict[str, GraphNode] = {}
        # The nodes of each call that is in a graph.
        self._by_call: dict[str, list[GraphNode]] = {}
        # Each with the number of nodes that it had when it ended.
        self._ended: deque[tuple[Root, int]] = deque()
        self._num_ended = 0

    def add(self, item: "Input", parent: "Input | None") -> None:
        """Note an input that belongs into a graph; `parent` has made its call, and is noted too."""
        if item.in_graph:
            return
        if item.input_id in self._nodes:
            # Offered again after it has ended.
            item.in_graph = True
            return
        if parent is None:
            root = self._roots.get(item.call_id)
            if root is None:
                root = self._roots[item.call_id] = Root(item.call_id, item.call.durable)
            siblings = root.nodes
        else:
            above = self._nodes.get(parent.input_id)
            if above is None:
                return
            root, siblings = above.root, above.children
        if root.num_nodes >= MAX_NODES:
            root.truncated = True
            return
        load = self._describe(item.call.function_id)
        names = (load.name, load.module_name) if load is not None else ("", "")
        node = self._nodes[item.input_id] = GraphNode(item, root, names)
        item.in_graph = True
        siblings.append(node)
        self._by_call.setdefault(item.call_id, []).append(node)
        root.num_nodes += 1
        root.num_open += 1
        root.num_open_own += parent is None

    def end(self, item: "Input", output: Output, container_id: str) -> None:
        """Note how an input has ended."""
        node = self._nodes.get(item.input_id)
        if node is None or node.status:
            return
        node.container_id = container_id or (output.failure.container_id if output.failure is not None else "")
        if output.failure is None:
            node.status = InputStatus.SUCCESS
        else:
            node.status = _STATUS.get(output.failure.kind, InputStatus.FAILURE)
        node.item = None
        root = node.root
        root.num_open -= 1
        root.num_open_own -= item.call_id == root.call_id
        if root.durable and (root.num_open == 0 or (item.call_id == root.call_id and root.num_open_own == 0)):
            self._save(root.call_id, self._graph(root.nodes, root))
        if root.num_open == 0:
            self._ended.append((root, root.num_nodes))
            self._num_ended += root.num_nodes
            while len(self._ended) > MAX_ENDED or self._num_ended > MAX_ENDED_NODES:
                oldest, num_nodes = self._ended.popleft()
                self._num_ended -= num_nodes
                self._forget(oldest)

    def graph(self, call_id: str) -> CallGraph | None:
        """Return the graph that a call is in, from the inputs that no other has led to; None if it is in none."""
        nodes = self._by_call.get(call_id)
        return self._graph(nodes[0].root.nodes, nodes[0].root) if nodes else None

    def function_of(self, call_id: str) -> str | None:
        """Return the id of the function that a call in a graph is of."""
        nodes = self._by_call.get(call_id)
        return nodes[0].function_id if nodes else None

    def _graph(self, roots: list[GraphNode], root: Root) -> CallGraph:
        found: list[CallGraphNode] = []
        waiting = deque((node, "") for node in roots)
        while waiting:
            node, parent_input_id = waiting.popleft()
            found.append(node.message(parent_input_id))
            waiting.extend((child, node.input_id) for child in node.children)
        return CallGraph(nodes=found, truncated=root.truncated)

    def _forget(self, root: Root) -> None:
        if root.num_open:
            return  # a later call has joined it
        self._roots.pop(root.call_id, None)
        waiting = deque(root.nodes)
        while waiting:
            node = waiting.popleft()
            self._by_call.pop(node.call_id, None)
            self._nodes.pop(node.input_id, None)
            waiting.extend(node.children)


def around(graph: CallGraph, input_id: str) -> CallGraph | None:
    """Return what has led to an input, and what it has led to itself; None if it is not in the graph.

    It is shown as the input of a call of its own.
    """
    parents = {node.input_id: node.parent_input_id for node in graph.nodes}
    if input_id not in parents:
        return None
    above: set[str] = set()
    one = input_id
    while one := parents.get(one, ""):
        above.add(one)
    found: list[CallGraphNode] = []
    within: set[str] = set()
    for node in graph.nodes:  # parents come before their children
        if node.input_id == input_id:
            alone = copy.copy(node)
            alone.call_id = call_of_input(input_id)
            found.append(alone)
        elif node.parent_input_id in within:
            found.append(node)
        elif node.input_id in above:
            found.append(node)
            continue
        else:
            continue
        within.add(node.input_id)
    return CallGraph(nodes=found, truncated=graph.truncated)
