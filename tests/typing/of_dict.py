"""Dicts, of anything or of what is said. Checked, never executed."""

from collections.abc import Iterator
from typing import Any, assert_type

import wherry


def of_anything() -> None:
    kept = wherry.Dict.from_name("x", create_if_missing=True)
    assert_type(kept, wherry.Dict[Any, Any])
    assert_type(kept["a"], Any)
    assert_type(kept.put("a", 1, skip_if_exists=True), bool)
    assert_type(wherry.Dict.lookup("x"), wherry.Dict[Any, Any])
    named: wherry.Dict = kept
    assert_type(named["a"], Any)


def of_something() -> None:
    counts = wherry.Dict[str, int].from_name("counts")
    assert_type(counts, wherry.Dict[str, int])
    assert_type(counts["a"], int)
    assert_type(counts.get("a"), int | None)
    assert_type(counts.get("a", 0), int)
    assert_type(counts.get("a", b""), int | bytes)
    assert_type(counts.pop("a"), int)
    assert_type(counts.pop("a", None), int | None)
    assert_type(list(counts.keys()), list[str])
    assert_type(list(counts.values()), list[int])
    assert_type(list(counts.items()), list[tuple[str, int]])
    assert_type(iter(counts), Iterator[str])
    assert_type(counts.contains("a"), bool)
    assert_type("a" in counts, bool)
    assert_type(counts.len(), int)
    counts["a"] = 1
    counts.update({"a": 1}, b=2)
    counts["a"] = "b"  # type: ignore[assignment]
    counts[1]  # type: ignore[arg-type]
    counts.put(1, 1)  # type: ignore[arg-type]
    counts.put("a", "b")  # type: ignore[arg-type]
    counts.update({"a": "b"})  # type: ignore[dict-item]
    counts.get(1)  # type: ignore[call-overload]
    known: wherry.Dict[str, int] = wherry.Dict.from_name("counts")
    assert_type(known["a"], int)


async def awaiting() -> None:
    counts = wherry.Dict[str, int].from_name("counts")
    assert_type(await counts.get.aio("a"), int | None)
    assert_type(await counts.get.aio("a", 0), int)
    assert_type(await counts.pop.aio("a"), int)
    assert_type(await counts.put.aio("a", 1), bool)
    async for key in counts.keys.aio():
        assert_type(key, str)
    async with wherry.Dict.ephemeral({"a": 1}) as other:
        assert_type(other, wherry.Dict[Any, Any])
