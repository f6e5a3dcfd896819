"""The instructions of a Dockerfile's text, as far as Wherry has to know them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

DIRECTIVE = re.compile(r"\s*#\s*(syntax|escape|check)\s*=\s*(\S.*?)\s*\Z", re.IGNORECASE)
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)([A-Za-z_][A-Za-z0-9_]*)\1")
_WITH_HEREDOCS = frozenset({"RUN", "COPY", "ADD"})
# A flag, its value perhaps quoted, and the blanks and continued lines up to what follows.
_FLAG = {
    escape: re.compile(
        r"--[A-Za-z][A-Za-z-]*(?:=(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s\"'])*)?"
        rf"(?:[ \t]|{re.escape(escape)}[ \t]*\n)+"
    )
    for escape in "\\`"
}


@dataclass(frozen=True, slots=True)
class Line:
    """One instruction, its lines joined as they were."""

    word: str
    # "--mount=... " and others, with the blanks and line ends after them.
    flags: str
    rest: str
    text: str
    # What continues a line and makes the next character an ordinary one.
    escape: str = "\\"

    @property
    def is_shell(self) -> bool:
        """Whether a shell reads the rest: not the JSON form."""
        return not _is_json(self._joined)

    @property
    def is_script(self) -> bool:
        """Whether the whole command is a here-document: its lines are run by the shell."""
        first, _, body = self.rest.partition("\n")
        return bool(_HEREDOC.fullmatch(first.strip())) and not body.startswith("#!")

    @property
    def _joined(self) -> str:
        return re.sub(re.escape(self.escape) + r"[ \t]*\n", "", self.rest)

    @property
    def words(self) -> tuple[str, ...]:
        """The words of an instruction in JSON form, of another form the whole as one."""
        return tuple(json.loads(self._joined)) if _is_json(self._joined) else (self.rest,)


def directives(text: str) -> list[str]:
    """Return the lines at the top that tell the builder how to read the rest: `# syntax=`, `# escape=`, `# check=`."""
    found: list[str] = []
    for line in text.removeprefix("\ufeff").splitlines():
        if not DIRECTIVE.match(line):
            break
        found.append(line.strip())
    return found


def split(text: str) -> list[Line]:
    """Return the instructions, without comments."""
    found = (match for line in directives(text) if (match := DIRECTIVE.match(line)))
    escape = next((match[2] for match in found if match[1].lower() == "escape"), "\\")
    return [_parsed(item, escape) for item in _logical(text.removeprefix("\ufeff"), escape)]


def _parsed(item: str, escape: str) -> Line:
    item = item.strip()
    word, *others = re.split(rf"(?:\s|{re.escape(escape)}[ \t]*\n)+", item, maxsplit=1)
    rest = others[0].strip() if others else ""
    flags = ""
    while match := _FLAG[escape if escape in _FLAG else "\\"].match(rest):
        flags += match[0]
        rest = rest[match.end() :]
    return Line(word.upper(), flags, rest, item, escape)


def _logical(text: str, escape: str) -> Iterator[str]:
    lines = iter(text.splitlines())
    waiting: list[str] = []
    for line in lines:
        # Docker passes over comments and empty lines also inside of an instruction.
        if line.lstrip().startswith("#") or not line.strip():
            continue
        waiting.append(line)
        begun = waiting[0].split(maxsplit=1)[0].upper()
        for _, end in _HEREDOC.findall(line) if begun in _WITH_HEREDOCS else ():
            for inner in lines:
                waiting.append(inner)
                if inner.strip() == end:
                    break
        if waiting[-1] is line and line.rstrip().endswith(escape):
            continue
        yield "\n".join(waiting)
        waiting = []
    if waiting:
        yield "\n".join(waiting)


def _is_json(text: str) -> bool:
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, list) and all(isinstance(word, str) for word in found)
