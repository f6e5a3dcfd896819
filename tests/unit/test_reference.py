"""docs/reference.md covers every public name."""

import inspect
from pathlib import Path

import wherry
from docs import make_reference
from wherry._base.elsewhere import Refused

DOCS = Path(__file__).parents[2] / "docs"


def test_the_reference_has_every_public_name_and_is_up_to_date() -> None:
    text = (DOCS / "reference.md").read_text()
    # What there can't be here is in the page about Modal.
    own = [name for name in wherry.__all__ if not isinstance(getattr(wherry, name), Refused)]
    missing = [name for name in own if name != "__version__" and f"## wherry.{name}\n" not in text]
    assert missing == []
    assert text == make_reference.page()


def test_every_public_name_says_what_it_is() -> None:
    undocumented = []
    for name in wherry.__all__:
        item = getattr(wherry, name)
        if name != "__version__" and not inspect.getdoc(item):
            undocumented.append(name)
        if inspect.isclass(item):
            undocumented += [
                f"{name}.{own}"
                for own, member in vars(item).items()
                if not own.startswith("_") and callable(member) and not inspect.getdoc(member)
            ]
    assert undocumented == []
