"""Functions that call functions, and the tree of what one call has led to.

wherry run examples/call_graph.py
"""

import wherry
from wherry.call_graph import InputInfo

app = wherry.App("call-graph", image=wherry.Image.debian_slim())


@app.function(max_containers=2)
def fetch(page: str) -> str:
    """Return a page's text, or fail for one that is not there."""
    pages = {"index": "about news", "about": "who we are", "news": "today old-news"}
    return pages[page]


@app.function(max_containers=2)
def words(page: str) -> int:
    """Count the words of a page, which another container fetches."""
    return len(fetch.remote(page).split())


@app.function(max_containers=1)
def site(start: str) -> dict[str, int | str]:
    """Count the words of a page and of those it names."""
    pages = [start, *fetch.remote(start).split()]
    counts = words.map([*pages, "lost"], return_exceptions=True)
    return {
        page: count if isinstance(count, int) else "not found"
        for page, count in zip([*pages, "lost"], counts, strict=True)
    }


def show(nodes: list[InputInfo], indent: str = "") -> None:
    """Print nodes as a tree: what ran, how it ended, where."""
    for number, node in enumerate(nodes):
        last = number == len(nodes) - 1
        print(f"{indent}{'└─' if last else '├─'} {node.function_name}  {node.status.name.lower()}  {node.task_id[-6:]}")
        show(node.children, indent + ("   " if last else "│  "))


@app.local_entrypoint()
def main() -> None:
    """Begin the call, wait for it, and print what it has led to."""
    call = site.spawn("index")
    print(call.get())
    show(call.get_call_graph())
