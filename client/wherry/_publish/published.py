"""An app's functions, once the service has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from wherry._connection.client import Client
    from wherry._define.plan import Plan
    from wherry._publish.preparing import Prepared
    from wherry_proto.messages import FunctionInfo


class Published:
    """Functions that can be called, in the order of the plan's definitions."""

    def __init__(self, client: Client, environment: str, ready: Prepared, infos: Sequence[FunctionInfo]) -> None:
        self.client = client
        self.environment = environment
        self.ready = ready
        self.infos = infos

    def announce(self, plan: Plan, made: Container[str] | None = None) -> None:
        """Say what there is, and what of it was made: all of it, or what has these names."""
        screen = self.client.listener.screen
        for definition, info in zip(plan.definitions, self.infos, strict=True):
            if made is None or info.name in made:
                screen.step(f"Created {'class' if definition.is_class else 'function'} {definition.name}")
            for name, url in _urls(info):
                screen.step(f"Serving {name} at {url}")


def _urls(info: FunctionInfo) -> list[tuple[str, str]]:
    """Return the names and URLs of a function's, or a class's, web endpoints."""
    own = [(info.name, info.web_url)] if info.web_url else []
    return own + [(f"{info.name}.{method.name}", method.web_url) for method in info.methods if method.web_url]
