"""A base for classes with parameters, which every type checker understands."""

from __future__ import annotations

from wherry._base.hints import dataclass_transform
from wherry._classes.parameters import parameter


@dataclass_transform(field_specifiers=(parameter,), kw_only_default=True)
class Parametrized:
    """A base for a class with `@app.cls()` and `parameter()`: type checkers then know what an object is made with.

    `class Greeter(wherry.Parametrized)` with `n: int = wherry.parameter()` takes `Greeter(n=1)`. Nothing else changes.
    Every other attribute whose type stands in the class needs a value there, or `ClassVar`. mypy needs this base, or
    its plugin `wherry.mypy`; pyright needs neither.
    """
