"""What an app says is to run."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wherry._define.definition import Definition
    from wherry._define.places import Placed
    from wherry._define.recipe import Recipe
    from wherry._objects.shared import SharedObject
    from wherry.mount import Mount
    from wherry.secret import Secret


class Plan:
    """Plain data: functions and classes as they were written, and what all of them are given."""

    __slots__ = (
        "definitions", "environment", "image", "included", "mounts", "name", "objects", "secrets", "tags", "volumes",
    )  # fmt: skip

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
        tags: Mapping[str, str],
        included: Mapping[str, Plan],
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

        self.tags = tags
        # Of functions that another app has defined, by their names: what that app says.
        self.included = included

    def of(self, definition: Definition) -> Plan:
        """Return the plan of the app that has defined a function: this one, or that of an app that is included."""
        return self.included.get(definition.name, self)

    def image_of(self, definition: Definition) -> Recipe:
        """Return the image of a function."""
        own = self.of(definition)
        return definition.image_on(definition.options.image or own.image, own.secrets)
