"""What gives a class its manager, as `Dict.objects`."""

from wherry._base.hints import Generic, TypeVar

M = TypeVar("M")


class Managed(Generic[M]):
    """An attribute of a class that is made when it is asked for: managers load the session."""

    def __init__(self, manager: str) -> None:
        self._manager = manager

    def __get__(self, instance: object, owner: type) -> M:
        from wherry._objects import managers  # noqa: PLC0415 - start-up cost: only for those who use it

        made: M = getattr(managers, self._manager)(owner)
        return made
