"""Functions that follow from others: variants with other options, and methods of objects."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING, Any, ParamSpec, TypeVar
from wherry.exception import InvalidError
from wherry.function import Function

if TYPE_CHECKING:
    from collections.abc import Callable

    from wherry._calling.caller import Caller
    from wherry._calling.variants import Changes
    from wherry._define.definition import Definition

P = ParamSpec("P")
R = TypeVar("R")


class Derived(Function[P, R]):
    """A handle that is resolved by another one, `base`, and anew whenever that one is: its app may run twice."""

    def __init__(
        self,
        name: str,
        base: Function[..., Any],
        derive: Callable[[Caller], Caller],
        definition: Definition | None = None,
    ) -> None:
        super().__init__(name, app=base._app, definition=definition)
        self._base = base
        self._derive = derive
        # The base's caller, and ours made of it.
        self._derived: tuple[Caller, Caller] | None = None

    def _known(self) -> Caller | None:
        derived = self._derived
        return derived[1] if derived is not None and derived[0] is self._base._known() else None

    def _resolved(self) -> Caller:
        base = self._base._resolved()
        derived = self._derived
        if derived is None or derived[0] is not base:
            derived = self._derived = base, self._derive(base)
        return derived[1]


class Variant(Derived[P, R]):
    """A function with other options, in containers of its own. (reference: Function.with_options)"""

    def __init__(self, base: Function[P, R], changes: Changes) -> None:
        from wherry._calling.variants import bind  # loads the messages

        if base._definition is not None and base._definition.is_generator and changes.retries:
            raise InvalidError(f"{base._name} is a generator function: retries= does not work with it, leave it out")
        super().__init__(base._name, base, lambda caller: bind(caller, None, changes), base._definition)
        self._of = base
        self._changes = changes

    def _variant(self, changes: Changes) -> Function[P, R]:
        return Variant(self._of, changes.over(self._changes))

    def __reduce__(self) -> Any:
        return Variant, (self._of, self._changes)
