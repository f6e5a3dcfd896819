"""The instructions of a Dockerfile's text, as far as Wherry has to know them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

_FLAG = re.compile(r"--[a-z]+(=\S+)?\s+")
_HEREDOC = re.compile(r"<<-?\s*['\"]?([A-Za-z_][A-Za-z0-9_]*)['\"]?")


@dataclass(frozen=True, slots=True)
class Line:
    """One instruction, its lines joined as they were."""

    word: str
    # "--mount=... " and others, with the blank after them.
    flags: str
    rest: str
    text: str

    @property
    def is_shell(self) -> bool:
        """Whether a shell reads the rest; not the JSON form, and no here-document."""
        return not self.rest.startswith("[") and "<<" not in self.rest


def split(text: str) -> list[Line]:
    """Return the instructions, without comments."""
    return [_parsed(item) for item in _logical(text)]


def words(line: Line) -> tuple[str, ...]:
    """Return the words of an instruction in JSON form, of another form the whole as one."""
    try:
        found = json.loads(line.rest)
    except ValueError:
        return (line.rest,)
    return tuple(str(word) for word in found)


def _parsed(item: str) -> Line:
    word, _, rest = item.strip().partition(" ")
    rest = rest.strip()
    flags = ""
    while match := _FLAG.match(rest):
        flags += match[0]
        rest = rest[match.end() :]
    return Line(word.upper(), flags, rest, item.strip())


def _logical(text: str) -> Iterator[str]:
    lines = iter(text.splitlines())
    waiting: list[str] = []
    for line in lines:
        if line.lstrip().startswith("#") or (not waiting and not line.strip()):
            continue
        waiting.append(line)
        for end in _HEREDOC.findall(line) if waiting[0].lstrip().upper().startswith(("RUN", "COPY", "ADD")) else ():
            for inner in lines:
                waiting.append(inner)
                if inner.strip() == end:
                    break
        if line.rstrip().endswith("\\"):
            continue
        yield "\n".join(waiting)
        waiting = []
    if waiting:
        yield "\n".join(waiting)
