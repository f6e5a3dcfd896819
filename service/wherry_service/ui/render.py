"""Makes pages of templates."""

import html
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wherry_service.ui import words
from wherry_service.ui.assets import Assets
from wherry_service.ui.menu import MENU
from wherry_service.ui.stream import tag_of
from wherry_service.ui.web import address

if TYPE_CHECKING:
    import jinja2

TEMPLATES = Path(__file__).parent / "templates"


# Of the page that is being rendered: the tags of its parts.
_TAGS: ContextVar[dict[str, str]] = ContextVar("tags")
_STREAM = "address-of-the-stream"


def _part(name: str, text: str) -> str:
    """Note the tag of a part of the page."""
    _TAGS.get({})[name] = tag_of(text)
    return text


class Renderer:
    """Renders for one place: at the own host name, or below a prefix."""

    def __init__(self, prefix: str, assets: Assets) -> None:
        self._prefix = prefix
        self._assets = assets

    @cached_property
    def _templates(self) -> "jinja2.Environment":
        import jinja2  # noqa: PLC0415 - start-up cost: 40 ms, only where somebody looks

        made = jinja2.Environment(
            loader=jinja2.FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        made.filters |= {
            "size": words.size, "seconds": words.seconds, "moment": words.moment, "iso": words.iso,
            "counted": words.counted, "short": words.short, "plain": words.plain,
        }  # fmt: skip
        made.globals |= {
            "url": lambda path, **query: address(self._prefix, path, {key: str(value) for key, value in query.items()}),
            "asset": lambda name: self._assets.address(self._prefix, name),
            "menu": MENU,
            "now_ms": lambda: int(time.time() * 1000),
        }
        made.globals["part"] = _part
        made.globals["ui"] = made.get_template("_parts.html").module
        return made

    def page(self, template: str, data: dict[str, Any], stream: Callable[[dict[str, str]], str] | None = None) -> str:
        """Return a whole page. `stream` makes the address of what brings its changed parts, of the parts' tags."""
        found = self._templates.get_template(template)
        if stream is None:
            return found.render(data)
        tags: dict[str, str] = {}
        before = _TAGS.set(tags)
        try:
            # Each part is rendered once, though its tag stands further up.
            text = found.render({**data, "stream": _STREAM})
        finally:
            _TAGS.reset(before)
        return text.replace(_STREAM, html.escape(stream(tags), quote=True), 1)

    def block(self, template: str, name: str, data: dict[str, Any]) -> str:
        """Return one of a page's blocks."""
        found = self._templates.get_template(template)
        return "".join(found.blocks[name](found.new_context(data)))
