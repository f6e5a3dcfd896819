"""What notebooks show of a handle: a small table of what is known of it without asking anybody."""

from __future__ import annotations

from wherry._base.hints import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST = 2000


def card(title: str, facts: Mapping[str, Any]) -> str:
    """Return a title and facts as HTML. A list is shown one item a line; what is empty is left out."""
    rows = [
        f'<tr><td style="text-align:left">{_escaped(name)}</td><td style="text-align:left">{_lines(value)}</td></tr>'
        for name, value in facts.items()
        if value not in (None, "", [], ())
    ]
    table = f"<table>{''.join(rows)}</table>" if rows else ""
    return f"<div><code>{_escaped(title)}</code>{table}</div>"


def _lines(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "<br>".join(map(_lines, value))
    text = str(value)
    if text.startswith(("https://", "http://")):
        return f'<a href="{_escaped(text)}">{_escaped(text)}</a>'
    return _escaped(text)


def _escaped(text: str) -> str:
    import html  # noqa: PLC0415 - start-up cost: only notebooks show this

    return html.escape(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…")
