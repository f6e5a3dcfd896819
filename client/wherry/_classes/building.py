"""Methods with `@build()`: they run while the image of their class is built."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from wherry._define.definition import Definition
from wherry._define.recipe import Recipe
from wherry._define.step import Step
from wherry.cloud_bucket_mount import CloudBucketMount

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wherry.secret import Secret


class BuildDefinition(Definition):
    """The build methods of a class, as a function that is sent itself: it finds the class, and calls them.

    It is made `of` the class's definition.
    """

    __slots__ = ("_class",)

    def __init__(self, of: Any, secrets: Sequence[Secret]) -> None:
        builds = of.blueprint.builds
        self._class = of
        self.function = builds[0].raw_f
        self.name = f"{of.name}.{', '.join(one.__name__ for one in builds)}"
        self.is_generator = self.is_async = False
        self.module_name = of.module_name
        self.web = None
        self.options = copy(of.options)
        self.options.timeout = max(one.timeout for one in builds)
        self.options.secrets = (*secrets, *of.options.secrets)
        # Buckets are mounted where functions run, not where images are built.
        self.options.volumes = tuple(
            (place, one) for place, one in of.options.volumes if not isinstance(one, CloudBucketMount)
        )

    @property
    def sends_itself(self) -> bool:
        return True

    @property
    def shipped(self) -> Any:
        if self._class.sends_itself:
            return RunBuilds("", "", self._class.shipped)
        return RunBuilds(self._class.module_name, self._class.function.__qualname__, None)

    @property
    def module(self) -> Any:
        return self._class.module


class ClassBuild:
    """A step of an image, as `Image.run_function` makes one of a function (implements `BuildFunction`)."""

    args = ()

    def __init__(self, of: Any, secrets: Sequence[Secret]) -> None:
        self.definition = BuildDefinition(of, secrets)
        self.name = self.definition.name
        self.functions = [one.raw_f for one in of.blueprint.builds]
        # What may differ though the text is the same.
        self.kwargs: dict[str, Any] = {}
        self.facts = repr(of.blueprint.parameters.defaults())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClassBuild) and (self.functions, self.facts) == (other.functions, other.facts)

    def __hash__(self) -> int:
        return hash(self.name)


class RunBuilds:
    """Arrives where the image is built: imports the class, makes an object, and calls its build methods."""

    def __init__(self, module_name: str, qualname: str, sent: Any) -> None:
        self._place = module_name, qualname
        self._sent = sent

    def __call__(self) -> None:
        """Run them in order; raise what one raises."""
        handle: Any = self._sent
        if handle is None:
            from importlib import import_module  # noqa: PLC0415 - start-up cost: only where images are built

            handle = import_module(self._place[0])
            for part in self._place[1].split("."):
                handle = getattr(handle, part)
        blueprint = handle.__wherry_kind__.blueprint
        # Of one that is made with arguments, there are none yet.
        made = object.__new__(blueprint.user_class) if blueprint.required else blueprint.construct((), {})
        for one in blueprint.builds:
            result = one.raw_f(made)
            if hasattr(result, "__await__"):
                import asyncio  # noqa: PLC0415 - start-up cost: as above

                asyncio.run(_awaited(result))


async def _awaited(result: Any) -> None:
    await result


def built(recipe: Recipe, of: Any, secrets: Sequence[Secret]) -> Recipe:
    """Return the image of a class with build methods: its own, and what they leave in the file system."""
    function = ClassBuild(of, secrets)
    force = any(one.force for one in of.blueprint.builds)
    step = Step("run_function", (function.name,), given=(function,), force_build=force)
    return Recipe((*recipe.steps, step), recipe.mounted)
