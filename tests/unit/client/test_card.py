"""What notebooks show of handles."""

from typing import Any

import pytest

import wherry
from tests.fakes.service import FakeService
from wherry._base.card import card


def test_a_card_holds_no_markup_of_others() -> None:
    shown = card("<b>", {"a<": "<script>", "list": ["&", "x"], "none": None, "empty": [], "URL": 'https://h/"'})
    assert "<script>" not in shown
    assert "<b>" not in shown
    assert "&amp;<br>x" in shown
    assert "none" not in shown
    assert "empty" not in shown
    assert '<a href="https://h/&quot;">' in shown
    assert card("t", {}) == "<div><code>t</code></div>"
    assert len(card("t", {"long": "x" * 10_000})) < 3000


@pytest.mark.parametrize(
    "handle",
    [
        wherry.Function.from_name("a", "f"),
        wherry.Cls.from_name("a", "C"),
        wherry.Volume.from_name("v"),
        wherry.Dict.from_name("d"),
        wherry.Queue.from_name("q"),
        wherry.Secret.from_name("s"),
        wherry.FunctionCall.from_id("fc-01JZZZZZZZZZZZZZZZZZZZZZZZ"),
        wherry.Image.debian_slim(),
        wherry.App("a"),
    ],
    ids=repr,
)
def test_showing_a_handle_asks_nobody(handle: Any, service: FakeService) -> None:
    assert handle._repr_html_().startswith("<div><code>")
    assert service.requests == []


def test_a_running_app_says_so(service: FakeService) -> None:
    app = wherry.App("a")

    @app.function(serialized=True)
    def f() -> None: ...

    assert "not running" in app._repr_html_()
    assert "not running" in f._repr_html_()
    with app.run():
        assert "not running" not in app._repr_html_()
        assert f"{app.app_id}</td>" in app._repr_html_()
        assert f"{f.object_id}</td>" in f._repr_html_()
