"""How a container's file system is made, as it was written: what `Image` is made of, and all that others need of it."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING, Any
from wherry.exception import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wherry._base.mounted import Mounted
    from wherry._define.step import Step

_BASES = "Image.debian_slim(), Image.from_registry(...) or another Image.from_...()"


class Recipe:
    """An immutable chain of build steps, and the files that containers get as they start."""

    __slots__ = ("_id", "_mounted", "_steps")

    def __init__(self, steps: tuple[Step, ...] = (), mounted: tuple[Mounted, ...] = ()) -> None:
        if not steps:
            raise InvalidError(f"an image begins with {_BASES}")
        self._steps = steps
        self._mounted = mounted
        self._id = ""

    @property
    def steps(self) -> tuple[Step, ...]:
        """Inside wherry: what is built, in order."""
        return self._steps

    @property
    def mounted(self) -> tuple[Mounted, ...]:
        """Inside wherry: what containers get as they start."""
        return self._mounted

    @property
    def is_forced(self) -> bool:
        """Inside wherry: whether a step is to run anew each time."""
        return any(step.force_build for step in self._steps)

    def forced(self) -> Recipe:
        """Inside wherry: return the same with every step to be run anew."""
        return Recipe(tuple(step.forced() for step in self._steps), self._mounted)

    def became(self, image_id: str) -> None:
        """Inside wherry: note the id that it was built under."""
        self._id = image_id

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("an Image can't be iterated over: give it as image=, not as a list")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Recipe):
            return NotImplemented
        return self._steps == other._steps and self._mounted == other._mounted

    def __hash__(self) -> int:
        return hash((self._steps, self._mounted))

    def __repr__(self) -> str:
        return "Image(" + ", ".join(repr(step) for step in self._steps) + ")"


def checked_recipe(image: Any) -> Recipe | None:
    """Return what `image=` got; raise InvalidError for anything but an image, or None."""
    if image is not None and not isinstance(image, Recipe):
        raise InvalidError(f"image is {image!r}: it must be a wherry.Image, for example Image.debian_slim()")
    return image
