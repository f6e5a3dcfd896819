"""A pipeline of generators: one container yields source lines, others take them up while they still come.

wherry run examples/pipeline.py --module typing
"""

import io
import tokenize
from collections import Counter
from collections.abc import Iterator

import wherry

app = wherry.App("pipeline", image=wherry.Image.debian_slim())


@app.function()
def definitions(module: str) -> Iterator[str]:
    """Yield the source of each function and class at a module's top level."""
    import ast  # noqa: PLC0415 - start-up cost: loaded when it is needed
    import importlib  # noqa: PLC0415 - start-up cost: as above
    import inspect  # noqa: PLC0415 - start-up cost: as above

    source = inspect.getsource(importlib.import_module(module))
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield ast.get_source_segment(source, node) or ""


@app.function(max_containers=3)
def names(source: str) -> Iterator[str]:
    """Yield the names that a piece of source uses: a generator that is mapped flattens its results."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and len(token.string) > 3:
            yield token.string


@app.local_entrypoint()
def main(module: str = "typing") -> None:
    """Count the names of a module's definitions, as they stream by."""
    pieces = 0

    def counted(sources: Iterator[str]) -> Iterator[str]:
        nonlocal pieces
        for source in sources:
            pieces += 1
            yield source

    # Nothing is collected in between: the second stage works while the first one yields.
    found = Counter(names.map(counted(definitions.remote_gen(module))))
    print(f"{module}: {pieces} definitions, {found.total():,} names, {len(found):,} of them different")
    for name, number in found.most_common(10):
        print(f"{number:>6,}  {name}")
