"""Times as people read them."""

from wherry_proto.times import iso

_SECOND, _MINUTE, _HOUR, _DAY = 1, 60, 3600, 86_400
# From then on the date says more.
_LONGEST = 30 * _DAY
_UNITS = ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute"), (_SECOND, "second"))


def relative(ms: int, now_ms: int) -> str:
    """Return "3 minutes ago", "in 2 hours", or the date of what is a month away; "" for 0."""
    if not ms:
        return ""
    seconds = abs(now_ms - ms) // 1000
    if seconds >= _LONGEST:
        return iso(ms)[:10]
    if not seconds:
        return "now"
    size, name = next(unit for unit in _UNITS if seconds >= unit[0])
    number = seconds // size
    span = f"{number} {name}{'s' if number > 1 else ''}"
    return f"{span} ago" if ms <= now_ms else f"in {span}"
