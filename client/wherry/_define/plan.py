"""What an app says is to run, and what those that belong to an app need to know of it."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol

    from wherry._connection.client import Client
    from wherry._define.definition import Definition
    from wherry._define.places import Placed
    from wherry._define.recipe import Recipe
    from wherry._objects.shared import SharedObject
    from wherry.mount import Mount
    from wherry.secret import Secret

    class Owner(Protocol):
        """An app, as its functions, objects and sandboxes see it."""

        @property
        def name(self) -> str | None:
            """Its name; None: it is named when it runs."""

        @property
        def app_id(self) -> str | None:
            """Its id while it runs, or once it was deployed."""

        @property
        def is_running(self) -> bool:
            """Whether it runs now."""

        @property
        def environment(self) -> str:
            """Where it runs; "": nowhere yet."""

        @property
        def client(self) -> Client | None:
            """The client that runs it; None while it does not run."""

        def plan(self) -> Plan:
            """Return what is to run."""

        def defines(self, name: str, function: Any) -> bool:
            """Whether the function of that name is this one."""


class Plan:
    """Plain data: functions and classes as they were written, and what all of them are given."""

    __slots__ = ("definitions", "environment", "image", "mounts", "name", "objects", "secrets", "volumes")

    def __init__(
        self,
        name: str | None,
        definitions: Sequence[Definition],
        image: Recipe,
        *,
        secrets: Sequence[Secret],
        volumes: Placed,
        mounts: Sequence[Mount],
        objects: Sequence[SharedObject],
        environment: str,
    ) -> None:
        self.name = name
        self.definitions = definitions
        # Of those that name none.
        self.image = image
        self.secrets = secrets
        self.volumes = volumes
        self.mounts = mounts
        # The app's own, beside functions.
        self.objects = objects
        # Where the app runs; "": nowhere yet.
        self.environment = environment

    def image_of(self, definition: Definition) -> Recipe:
        """Return the image of a function."""
        return definition.options.image or self.image
