"""GPUs as objects, the older spelling: `gpu=wherry.gpu.A100(count=2)` is `gpu="A100:2"`. (reference: gpu)"""

from __future__ import annotations

from wherry.exception import InvalidError

MAX_COUNT = 64
_TYPE_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_. ")
# What is at least as good as a type, the type itself first.
_OR_BETTER = {"B200": ("B200", "B300")}

__all__ = ["A10G", "A100", "B200", "H100", "H200", "L4", "L40S", "T4", "Any"]


class Gpu:
    """`count` GPUs of one type; "any" takes what there is."""

    __slots__ = ("count", "type")

    def __init__(self, type: str, count: int = 1) -> None:
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_COUNT:
            raise InvalidError(f"gpu: count is {count!r}: it must be a whole number from 1 to {MAX_COUNT}")
        self.type = type
        self.count = count

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Gpu) and (self.type, self.count) == (other.type, other.count)

    def __hash__(self) -> int:
        return hash((self.type, self.count))

    def __repr__(self) -> str:
        return f"{self.type}:{self.count}"


class T4(Gpu):
    """NVIDIA T4, 16 GB."""

    __slots__ = ()

    def __init__(self, count: int = 1) -> None:
        super().__init__("T4", count)


class L4(Gpu):
    """NVIDIA L4, 24 GB."""

    __slots__ = ()

    def __init__(self, count: int = 1) -> None:
        super().__init__("L4", count)


class L40S(Gpu):
    """NVIDIA L40S, 48 GB."""

    __slots__ = ()

    def __init__(self, count: int = 1) -> None:
        super().__init__("L40S", count)


class A10G(Gpu):
    """NVIDIA A10G, 24 GB."""

    __slots__ = ()

    def __init__(self, count: int = 1) -> None:
        super().__init__("A10G", count)


class A100(Gpu):
    """NVIDIA A100; `size` is "40GB" or "80GB", or `memory` 40 or 80; unset, or 20: either."""

    __slots__ = ()

    def __init__(self, *, count: int = 1, size: str | None = None, memory: int | None = None) -> None:
        wanted = size.upper() if isinstance(size, str) else (f"{memory}GB" if memory else None)
        if size is None and wanted in ("0GB", "20GB"):  # 20 GB were half of one, in 2023
            wanted = None
        if wanted not in (None, "40GB", "80GB"):
            given = f"size is {size!r}" if size is not None else f"memory is {memory!r}"
            raise InvalidError(f"gpu.A100: {given}: there are 40 GB and 80 GB")
        super().__init__(f"A100-{wanted}" if wanted else "A100", count)


class H100(Gpu):
    """NVIDIA H100, 80 GB."""

    __slots__ = ()

    def __init__(self, count: int = 1) -> None:
        super().__init__("H100", count)


class H200(Gpu):
    """NVIDIA H200, 141 GB."""

    __slots__ = ()

    def __init__(self, count: int = 1) -> None:
        super().__init__("H200", count)


class B200(Gpu):
    """NVIDIA B200, 180 GB."""

    __slots__ = ()

    def __init__(self, count: int = 1) -> None:
        super().__init__("B200", count)


class Any(Gpu):
    """What there is."""

    __slots__ = ()

    def __init__(self, count: int = 1) -> None:
        super().__init__("any", count)


def parse(value: object) -> tuple[Gpu, ...]:
    """Return what `gpu=value` means, the preferred one first.

    Takes "T4", "A100:2", "H100!", "B200+", "any", a `Gpu`, or a list of those; raises InvalidError for anything else.
    """
    items = value if isinstance(value, list | tuple) else [value]
    if not items:
        raise InvalidError(f'gpu is {value!r}: name one, for example gpu="any", or leave it out')
    return tuple(one for item in items for one in _parse_one(item))


def _parse_one(item: object) -> tuple[Gpu, ...]:
    if isinstance(item, Gpu):
        return (item,)
    if isinstance(item, type) and issubclass(item, Gpu):
        raise InvalidError(f"parentheses are missing: write gpu=wherry.gpu.{item.__name__}()")
    if not isinstance(item, str):
        raise InvalidError(f'gpu is {item!r}: it must be a string such as "any", "T4" or "A100:2", or a list of those')
    kind, colon, number = item.partition(":")
    # "H100!" is exactly that: here no type is ever another one.
    kind = kind.strip().removesuffix("!").strip().upper()
    is_least = kind.endswith("+")
    kind = kind.removesuffix("+")
    if not kind or len(kind) > 64 or not _TYPE_CHARACTERS.issuperset(kind):
        raise InvalidError(f'gpu is {item!r}: it must be a type, or type:count, for example "A100:2"')
    count = number.strip()
    if colon and (not count.isdecimal() or not 1 <= int(count) <= MAX_COUNT):
        raise InvalidError(f"gpu is {item!r}: the count after the colon must be a whole number from 1 to {MAX_COUNT}")
    kinds = _OR_BETTER.get(kind) if is_least else (kind,)
    if kinds is None:
        known = ", ".join(f'"{one}+"' for one in _OR_BETTER)
        raise InvalidError(f'gpu is {item!r}: "or better" is {known} alone; name the types in a list')
    return tuple(Gpu("any" if one == "ANY" else one, int(count) if colon else 1) for one in kinds)
