"""How each fact stands: it works, it stands in the table of `wherry._base.elsewhere`, or it is missing."""

from collections import Counter
from functools import cache
from pathlib import Path

from tests.unit.parity.facts import Fact, everything
from tests.unit.parity.ours import amiss
from wherry._base.elsewhere import Row, row_of

MISSING = Path(__file__).parent / "missing.txt"


def row_for(fact: Fact) -> Row | None:
    """Return the row of the table that the fact stands in."""
    return row_of(fact.name)


@cache
def missing() -> dict[str, str]:
    """Return the facts that neither work nor do what the table says, each with what is amiss."""
    found = {}
    for fact in everything():
        row = row_for(fact)
        if row is not None and row.how == "inner":
            continue
        fault = amiss(fact)
        if row is not None and row.how == "differs" and fault is not None and fault.startswith("its default"):
            continue
        if fault is not None:
            found[fact.name] = fault
    return found


def listed() -> list[str]:
    """Return the names that may still be missing."""
    return MISSING.read_text().splitlines()


def numbers() -> Counter[str]:
    """Return how many facts work, stand in the table and are missing."""
    lacking = missing()
    counted: Counter[str] = Counter()
    for fact in everything():
        if fact.name in lacking:
            counted["missing"] += 1
        else:
            counted["works" if row_for(fact) is None else "in the table"] += 1
    return counted
