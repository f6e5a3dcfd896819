"""What containers print, and names others gave, as a terminal may have them: nothing that steers it but colours."""

import re

# Colours, which are kept; strings, such as a title or what goes to the clipboard, with what ends them; other sequences;
# control characters that are left, those of the upper half too: terminals take U+009B for ESC [.
_STEERING = re.compile(
    r"(\x1b\[[0-9;:]*m)"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\r\n]*(?:\x07|\x1b\\|\x9c)?"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-Z\\^-~]?"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def harmless(text: str) -> str:
    """Return text without what steers a terminal; colours, tabs and line ends stay.

    It holds for text in pieces too: one that ends in the midst of a sequence leaves nothing that another completes.
    """
    return text if text.isprintable() else _STEERING.sub(lambda match: match[1] or "", text)


def in_one_line(text: str) -> str:
    """Return text with its control characters as Python writes them, for a name in a table."""
    return text if text.isprintable() else _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)
