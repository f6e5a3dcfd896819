"""Every public name of Modal works, stands in one table with a reason, or is listed as missing; that list only shrinks.

`./dev parity --missing` says what is amiss with each; `./dev parity --shrink` takes those that work off the list.
"""

from collections import Counter
from fnmatch import fnmatchcase

from tests.unit.parity.facts import everything
from tests.unit.parity.standing import listed, missing
from wherry._base.elsewhere import ROWS


def test_no_name_is_missing_that_is_not_listed() -> None:
    lacking = missing()
    assert {name: lacking[name] for name in sorted(lacking.keys() - set(listed()))} == {}


def test_no_name_is_listed_as_missing_that_works() -> None:
    found = listed()
    assert found == sorted(set(found))
    gone = sorted(set(found) - missing().keys())
    assert gone == [], "these work now: ./dev parity --shrink takes them off the list"


def test_each_pattern_of_the_table_stands_for_a_name() -> None:
    names = [fact.name for fact in everything()]
    patterns = [pattern for row in ROWS for pattern in row.names]
    assert [one for one in patterns if not any(fnmatchcase(name, one) for name in names)] == []
    assert [one for one, count in Counter(patterns).items() if count > 1] == []
