"""What is behind secrets, dicts, queues and volumes."""

from wherry._base.hints import Any


def _travelled(cls: Any, name: str, environment: str, create: bool, object_id: str) -> Any:
    # Here since pickles name it so.
    if object_id:
        return cls(object_id=object_id)
    return cls(name=name, environment=environment, create=create)
