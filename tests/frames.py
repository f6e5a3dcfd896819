"""Whether a frame of the runner protocol is as it is declared (service/wherry_service/node/runner_protocol.py)."""

from collections.abc import Mapping, Sequence
from typing import Any

from wherry_service.node.runner_protocol import FROM_RUNNER, WEB, Frame


def complaint(declared: Mapping[str, Frame], header: Mapping[str, Any], parts: Sequence[bytes]) -> str:
    """Return what of a frame is not declared; "" if all is."""
    kind = header["t"]
    frame = declared.get(kind)
    if frame is None:
        return f"a frame {kind!r}"
    fields, optional = frame.fields, frame.optional
    if kind == "web":
        said = header.get("k")
        web = WEB.get(said) if isinstance(said, str) else None
        if web is None:
            return f"a kind {said!r}"
        if not (web.by_runner if declared is FROM_RUNNER else web.by_agent):
            return f"{said!r} of the other side"
        kind, fields, optional = said, (*fields, *web.fields), (*optional, *web.optional)
    for name in fields:
        if name not in header:
            return f"{kind!r} without {name!r}"
    for name in header:
        if name not in (*fields, *optional, "t", "parts"):
            return f"{kind!r} with {name!r}"
    return _rows(kind, frame, header.get("rows", ()), parts)


def _rows(kind: str, frame: Frame, rows: Sequence[Sequence[Any]], parts: Sequence[bytes]) -> str:
    sizes = (len(frame.row), len(frame.row) + bool(frame.row_end))
    for row in rows:
        if len(row) not in sizes:
            return f"{kind!r} with a row of {len(row)}"
    if frame.parts_by_row:
        return f"{kind!r} with {len(parts)} parts for {len(rows)} rows" if len(parts) != len(rows) else ""
    return f"{kind!r} with {len(parts)} parts" if len(parts) > frame.max_parts else ""
