"""What a Dockerfile may not take: images of this service, which may be another environment's.

They have names that the engine knows, whoever asks. Of a Dockerfile's text only BuildKit knows what it names, once
variables are replaced; it says so before it uses it.
"""

import re

from wherry_service.errors import InvalidRequest
from wherry_service.images.dockerfiles import DIRECTIVE

_OWN = r"(?:(?:index\.)?docker\.io/)?(wherry/(?:image|ready|plain)(?:[:@][\w.:@-]*)?)"
_REFERENCE = re.compile(rf"{_OWN}\Z")
_TAKEN = re.compile(rf"#\d+ (?:\[internal\] load metadata for|(?:\[[^\]]*\] )?FROM) {_OWN}(?:\s|\Z)")
_SYNTAX = re.compile(r"(?:docker\.io/)?docker/dockerfile(?:-upstream)?(?:[:@][\w.:@-]+)?\Z")
# A build argument that says the same as `# syntax=`.
_SYNTAX_ARGUMENT = "BUILDKIT_SYNTAX"


class Borrowing:
    """Hears BuildKit's lines, and finds what a build takes of this service's images beside what it is built on."""

    def __init__(self, base: str) -> None:
        self._base = base
        # What it took that it may not; "" for nothing.
        self.taken = ""

    def line(self, line: str) -> bool:
        """Hear one line; return whether the build may go on."""
        if (match := _TAKEN.match(line)) and match[1].partition("@")[0] != self._base:
            self.taken = self.taken or match[1]
        return not self.taken


def check_reference(what: str, reference: str) -> None:
    """Raise `InvalidRequest` where a reference is an image of this service's."""
    if match := _REFERENCE.match(reference):
        raise InvalidRequest(refusal(what, match[1]))


def check_reader(directives: list[str], arguments: dict[str, str]) -> None:
    """Raise `InvalidRequest` where another program than Docker's is to read a Dockerfile: it tells nothing."""
    named = [match[2] for line in directives if (match := DIRECTIVE.match(line)) and match[1].lower() == "syntax"]
    if _SYNTAX_ARGUMENT in arguments:
        named.append(arguments[_SYNTAX_ARGUMENT])
    for one in named:
        if not _SYNTAX.match(one):
            raise InvalidRequest(
                f"from_dockerfile: it is to be read by {one[:80]!r}: only docker/dockerfile is allowed as `# syntax=`"
            )


def refusal(what: str, reference: str) -> str:
    """Return why an image of this service's can't be taken so, and what to do instead."""
    return f"{what} takes {reference}, an image of this service's: begin with Image.from_id(…), which asks whose it is"
