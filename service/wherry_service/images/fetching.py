"""What a build may not have the engine fetch: that is from the host's network, which reaches what nobody else does.

`ADD` takes URLs. Its sources that are none are written so that they stay paths, whatever their variables are. What a
builder might read otherwise than Wherry does is refused; and what is fetched all the same, for an image that is pulled
and says so itself (ONBUILD), is heard as BuildKit says it.
"""

import json
import re
from collections.abc import Iterable

from wherry_service.errors import InvalidRequest
from wherry_service.images.dockerfiles import Line, parsed, split

_URL = re.compile(r"[a-z][a-z0-9+.-]*://|[\w.-]+@[\w.-]+:", re.IGNORECASE)
_QUOTES = re.compile(r"[\"'\\`]")
# Nothing that stands before it makes it a URL, whichever variables follow.
_PATHS = ("/", "./", "../", "<<")
# Without variables, quotes and colons.
_PLAIN = re.compile(r"(?!github\.com/)[\w./*?=+~,-]*\Z", re.ASCII)
_ADD_IN_TEXT = re.compile(r"\s*(?:onbuild\s+)*add\s+(.*)", re.IGNORECASE)
_PASSED_OVER = re.compile(r"^[ \t]*(?:#.*)?\n", re.MULTILINE)
_HEARD = re.compile(
    r"#\d+ (?:\[[^\]]*\] (?:ONBUILD )?ADD .*?)?((?:https?|git|ssh)://\S+|[\w-]+@(?!sha256:)[\w.-]+:\S+)", re.IGNORECASE
)
_INSTEAD = (
    "the engine would fetch it from the host's network: write `RUN curl -fsSL -o FILE URL`, or `git clone`, instead; "
    "who runs the service can allow it with images.add_urls: allow"
)


class Fetching:
    """Hears BuildKit's lines, and finds what the engine fetches."""

    def __init__(self) -> None:
        # The URL; "" for nothing.
        self.url = ""

    def line(self, line: str) -> bool:
        """Hear one line; return whether the build may go on."""
        if match := _HEARD.match(line):
            self.url = self.url or match[1]
        return not self.url


def without(line: Line) -> str:
    """Return an instruction with which the engine fetches nothing; raise `InvalidRequest` where it would."""
    head, *body = line.text.split("\n")
    if head.endswith("\\"):
        raise InvalidRequest(
            f"{line.word}: the line ends with a backslash, which not all builders read alike: {head[-80:]}"
        )
    _check_text(body)
    if line.word == "ONBUILD" and line.rest:
        return f"ONBUILD {without(parsed(line.rest))}"
    return "\n".join([_add(line), *body]) if line.word == "ADD" else line.text


def check_triggers(reference: str, on_build: Iterable[str]) -> None:
    """Raise `InvalidRequest` where what an image has the next build do (ONBUILD) may fetch something."""
    for text in on_build:
        for line in split(text):
            words = _words(line)[:-1] if line.word == "ADD" else []
            if not all(word.startswith(_PATHS) or _PLAIN.match(word) for word in words):
                raise InvalidRequest(f"{reference} has `ONBUILD {text[:200]}`, which may name a URL: {_INSTEAD}")


def refusal(what: str, url: str) -> str:
    """Return why what a URL names is not fetched, and what to do instead."""
    return f"{what} has ADD fetch {url[:200]}: {_INSTEAD}"


def _add(line: Line) -> str:
    if "\\" in line.flags:
        raise InvalidRequest(
            f"ADD: a backslash in an option is not read alike by all builders: {line.flags.strip()[:80]}"
        )
    words = _words(line)
    for word in words[:-1]:
        if _URL.match(_QUOTES.sub("", word)):
            raise InvalidRequest(refusal("a Dockerfile's line", word))
    words = [*(word if word.startswith(_PATHS) else f"./{word}" for word in words[:-1]), *words[-1:]]
    return f"ADD {line.flags}{' '.join(words) if line.is_shell else json.dumps(words)}"


def _words(line: Line) -> list[str]:
    return line.rest.partition("\n")[0].split() if line.is_shell else list(line.words)


def _check_text(body: list[str]) -> None:
    """Raise `InvalidRequest` where a here-document fetches something for a builder that takes it for instructions."""
    text = _PASSED_OVER.sub("", "".join(f"{line}\n" for line in body))
    if text.rstrip().endswith(("\\", "`")):
        raise InvalidRequest(f"a here-document ends with {text.rstrip()[-1]}: end it with the word that it began with")
    for escape in "\\`":
        for one in re.sub(re.escape(escape) + r"[ \t]*\n", "", text).split("\n"):
            if (match := _ADD_IN_TEXT.match(one)) and not all(_PLAIN.match(word) for word in match[1].split()):
                raise InvalidRequest(
                    f"a here-document has the line {one.strip()[:80]!r}, which builders without here-documents take "
                    f"for an ADD; {_INSTEAD}"
                )
