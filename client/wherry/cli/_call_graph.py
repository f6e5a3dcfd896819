"""A call graph as a tree of lines."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from wherry.call_graph import InputInfo, InputStatus

_STATUS = {
    InputStatus.PENDING: "queued",
    InputStatus.RUNNING: "running",
    InputStatus.SUCCESS: "succeeded",
    InputStatus.FAILURE: "failed",
    InputStatus.TERMINATED: "cancelled",
    InputStatus.TIMEOUT: "timeout",
    InputStatus.INIT_FAILURE: "failed",
}
# So many inputs of one call are shown each for itself.
_EACH = 5
# A tree that is deeper is cut: who has so many levels reads JSON.
_DEEPEST = 100


def described_graph(roots: Sequence[InputInfo]) -> list[dict[str, Any]]:
    """Return a graph as JSON shows it: a flat list, each input behind the one that led to it, however deep it is."""
    found = []
    waiting: list[tuple[InputInfo, str | None]] = [(root, None) for root in reversed(roots)]
    while waiting:
        node, parent = waiting.pop()
        found.append(
            {
                "input_id": node.input_id,
                "parent_input_id": parent,
                "call_id": node.function_call_id,
                "container_id": node.task_id or None,
                "function_name": node.function_name,
                "module_name": node.module_name,
                "state": _STATUS[node.status],
            }
        )
        waiting += [(child, node.input_id) for child in reversed(node.children)]
    return found


def tree_lines(roots: Sequence[InputInfo], marked: str, everything: bool) -> Iterator[str]:
    """Yield lines of a graph; `marked`: the input or call that was asked about.

    Of many inputs of one call that did the same, those without calls of their own are one line, unless `everything`.
    """
    for text, branches in _grouped(roots, everything):
        yield _line(text, marked)
        yield from _below(branches, "", marked, everything, 1)


def _below(nodes: Sequence[InputInfo], indent: str, marked: str, everything: bool, depth: int) -> Iterator[str]:
    groups = _grouped(nodes, everything)
    if groups and depth > _DEEPEST:
        yield f"{indent}└─ … and what is below: --json has it"
        return
    for number, (shown, children) in enumerate(groups, 1):
        is_last = number == len(groups)
        yield f"{indent}{'└─' if is_last else '├─'} {_line(shown, marked)}"
        yield from _below(children, indent + ("   " if is_last else "│  "), marked, everything, depth + 1)


Shown = InputInfo | list[InputInfo]


def _grouped(nodes: Sequence[InputInfo], everything: bool) -> list[tuple[Shown, Sequence[InputInfo]]]:
    """Return what is one line each, and what stands below it."""
    sizes = Counter(node.function_call_id for node in nodes)
    together: dict[str, list[InputInfo]] = {}
    found: list[tuple[Shown, Sequence[InputInfo]]] = []
    for node in nodes:
        is_plain = not node.children and node.status in (InputStatus.SUCCESS, InputStatus.PENDING, InputStatus.RUNNING)
        if everything or not is_plain or sizes[node.function_call_id] <= _EACH:
            found.append((node, node.children))
            continue
        group = together.get(node.function_call_id)
        if group is None:
            group = together[node.function_call_id] = []
            found.append((group, ()))
        group.append(node)
    return found


def _line(shown: Shown, marked: str) -> str:
    if isinstance(shown, InputInfo):
        mark = "  ← this one" if marked in (shown.input_id, shown.function_call_id) else ""
        return f"{shown.function_name}  {_STATUS[shown.status]}  {shown.input_id}{mark}"
    first = shown[0]
    counts = Counter(_STATUS[node.status] for node in shown)
    states = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    mark = "  ← this one" if marked == first.function_call_id else ""
    return f"{first.function_name}  {states}  {first.function_call_id}{mark}"
