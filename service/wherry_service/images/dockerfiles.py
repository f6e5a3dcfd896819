"""The instructions of a Dockerfile's text, as far as Wherry has to know them."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

DIRECTIVE = re.compile(r"\s*#\s*(syntax|escape|check)\s*=\s*(\S.*?)\s*\Z", re.IGNORECASE)
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)([A-Za-z_][A-Za-z0-9_]*)\1")
_WITH_HEREDOCS = frozenset({"RUN", "COPY", "ADD"})
# A flag, its value perhaps quoted, and the blanks up to what follows.
_FLAG = re.compile(r"--[A-Za-z][A-Za-z-]*(?:=(?:\"[^\"\n]*\"|'[^'\n]*'|[^\s\"'])*)?[ \t]+")


@dataclass(frozen=True, slots=True)
class Line:
    """One instruction: one line, so that every builder reads the same, and then its here-documents."""

    word: str
    # "--mount=... " and others, with the blanks after them.
    flags: str
    rest: str
    text: str

    @property
    def is_shell(self) -> bool:
        """Whether a shell reads the rest: not the JSON form."""
        return not _is_json(self.rest)

    @property
    def is_script(self) -> bool:
        """Whether the whole command is a here-document: its lines are run by the shell."""
        first, _, body = self.rest.partition("\n")
        return bool(_HEREDOC.fullmatch(first.strip())) and not body.startswith("#!")

    @property
    def words(self) -> tuple[str, ...]:
        """The words of an instruction in JSON form, of another form the whole as one."""
        return tuple(json.loads(self.rest)) if _is_json(self.rest) else (self.rest,)


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
    escape = next((match[2][:1] for match in found if match[1].lower() == "escape"), "\\")
    return [parsed(head, body) for head, body in _logical(text.removeprefix("\ufeff"), escape) if head.strip()]


def parsed(head: str, body: Sequence[str] = ()) -> Line:
    """Return an instruction, of its first line and the lines of its here-documents."""
    head = head.strip()
    word, *others = head.split(maxsplit=1)
    rest = others[0].strip() if others else ""
    flags = ""
    while match := _FLAG.match(rest):
        flags += match[0]
        rest = rest[match.end() :]
    return Line(word.upper(), flags, "\n".join([rest, *body]), "\n".join([head, *body]))


def _logical(text: str, escape: str) -> Iterator[tuple[str, list[str]]]:
    lines = iter(text.splitlines())
    head, begun = "", False
    for line in lines:
        # Docker passes over comments and empty lines also inside of an instruction.
        if line.lstrip().startswith("#") or not line.strip():
            continue
        begun = line.rstrip().endswith(escape)
        head += line.rstrip().removesuffix(escape) if begun else line
        if not begun:
            yield head, _here_documents(head, lines)
            head = ""
    if begun:
        yield head.rstrip().rstrip(escape), []


def _here_documents(head: str, lines: Iterator[str]) -> list[str]:
    """Take the lines of the here-documents that an instruction begins."""
    found: list[str] = []
    first = head.split(maxsplit=1)[0].upper()
    for _, end in _HEREDOC.findall(head) if first in _WITH_HEREDOCS else ():
        for inner in lines:
            found.append(inner)
            if inner.strip() == end:
                break
    return found


def _is_json(text: str) -> bool:
    try:
        found = json.loads(text)
    except ValueError:
        return False
    return isinstance(found, list) and all(isinstance(word, str) for word in found)
