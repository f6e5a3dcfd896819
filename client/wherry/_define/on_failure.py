"""Who hears of inputs that fail: `on_failure=` of functions and classes."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING, Any
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from wherry_proto.messages import FailureHandler


class Hearer:
    """A function by its name, and its app's; "": the same app."""

    __slots__ = ("app_name", "function_name")

    def __init__(self, app_name: str, function_name: str) -> None:
        self.app_name = app_name
        self.function_name = function_name

    def message(self) -> FailureHandler:
        """Return it as the service is told of it."""
        from wherry_proto.messages import FailureHandler  # noqa: PLC0415 - start-up cost: not needed to import wherry

        return FailureHandler(app_name=self.app_name, function_name=self.function_name)


def hearer_of(value: Any) -> Hearer:
    """Return who is meant by a name or a handle; raise InvalidError for what is neither."""
    if isinstance(value, str) and value:
        return Hearer("", value)
    named = getattr(value, "__wherry_hears__", None)
    if named is None or isinstance(value, type):
        raise InvalidError(
            f"on_failure is {value!r}: give a function of the same app, its name, or "
            "wherry.Function.from_name(app, name)"
        )
    return Hearer(*named())
