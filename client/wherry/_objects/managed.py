"""What gives a class its manager, as `Dict.objects`."""

from wherry._base.hints import Any


class Managed:
    """An attribute of a class that is made when it is asked for: managers load the session."""

    def __init__(self, manager: str) -> None:
        self._manager = manager

    def __get__(self, instance: object, owner: type) -> Any:
        from wherry._objects import managers  # noqa: PLC0415 - start-up cost: only for those who use it

        return getattr(managers, self._manager)(owner)
