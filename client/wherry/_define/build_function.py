"""The function of `Image.run_function`, as it was written."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

from wherry._define.definition import Definition
from wherry._define.options import FunctionOptions, translate
from wherry.cloud_bucket_mount import CloudBucketMount
from wherry.exception import InvalidError


class BuildFunction:
    """A function that runs while an image is built."""

    def __init__(
        self, function: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Mapping[str, Any]
    ) -> None:
        if not isinstance(function, types.FunctionType):
            handle = "; leave its decorator out" if hasattr(function, "get_raw_f") else ""
            raise InvalidError(f"Image.run_function got {function!r}: it takes a plain function{handle}")
        given = translate(dict(options), stacklevel=3)
        is_global = "<locals>" not in function.__qualname__ and function.__name__ != "<lambda>"
        given.setdefault("serialized", not is_global)
        given["timeout"] = options.get("timeout") or 3600
        self.definition = Definition(function, None, None, FunctionOptions(**given))
        if self.definition.is_generator:
            raise InvalidError(f"Image.run_function got the generator {function.__qualname__}: it takes a function")
        self.name = self.definition.name
        for place, volume in self.definition.options.volumes:
            if isinstance(volume, CloudBucketMount):
                raise InvalidError(
                    f"Image.run_function({self.name}) has {volume!r} at {place}: buckets are mounted where functions "
                    "run, not where images are built"
                )
        self.function = function
        self.args = args
        self.kwargs = dict(kwargs)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # As pickles of before have it, its attributes were private.
        self.__dict__.update({name.lstrip("_"): value for name, value in state.items()})

    @property
    def functions(self) -> list[Any]:
        """What runs: its text decides whether it runs again."""
        return [self.function]

    # What else decides that.
    facts = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BuildFunction) and (self.function, self.args, self.kwargs) == (
            other.function,
            other.args,
            other.kwargs,
        )

    def __hash__(self) -> int:
        return hash(self.name)
