"""Requirements files as pip reads them: what they include, how they are encoded, what of this machine they name."""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from wherry.exception import InvalidError

_COMMENT = re.compile(r"(^|\s)#.*$")
_INCLUDE = re.compile(r"(?:(-r|-c)\s*=?\s*|(--requirement|--constraint)(?:\s+|=\s*))(\S.*)")
_EDITABLE = re.compile(r"(?:-e\s*|--editable(?:\s+|=\s*))(?=\S)")
_LINKS = re.compile(r"(?:-f\s*|--find-links(?:\s+|=\s*))(\S.*)")
_EXTRAS = re.compile(r"\[[^\]]*\]\Z")
_CODING = re.compile(rb"coding[:=]\s*([-\w.]+)")
# The longer ones first: UTF-32's begins as UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def read_requirements(what: str, path: Path, lines: list[str], constraints: list[str]) -> None:
    """Add what a file, and those that it includes, list; raise InvalidError for what a build can't have."""
    _read(what, path, lines, constraints, [])


def _read(what: str, path: Path, lines: list[str], constraints: list[str], within: list[Path]) -> None:
    if path in within:
        return
    for line in _logical_lines(_text(what, path)):
        include = _INCLUDE.fullmatch(line)
        if include is not None and "://" not in include[3]:
            into = constraints if (include[1] or include[2]) in ("-c", "--constraint") else lines
            _read(what, path.parent / include[3].strip(), into, constraints, [*within, path])
        elif _is_of_this_machine(line):
            raise InvalidError(
                f"{path} names a path of this machine ({line}), which a build does not see: add it with "
                "Image.add_local_dir(copy=True) and Image.run_commands"
            )
        elif line not in lines or line.startswith("-"):
            lines.append(line)


def _is_of_this_machine(line: str) -> bool:
    links = _LINKS.fullmatch(line)
    if links is not None:
        return "://" not in links[1] or links[1].startswith("file:")
    wanted = _EDITABLE.sub("", line, count=1)
    if wanted.startswith("-"):
        return False
    # Behind "name @" stands a place, behind a blank what goes for it.
    place = wanted.partition(" @ ")[2] or wanted
    place = _EXTRAS.sub("", re.split(r"\s|;", place, maxsplit=1)[0])
    if "://" in place:
        return place.startswith("file:")
    return wanted != line or place.startswith((".", "~", "file:")) or "/" in place or place.lower().endswith(_ARCHIVES)


def _logical_lines(text: str) -> Iterator[str]:
    """Yield the lines without comments, those that a backslash ends joined to the next."""
    waiting = ""
    for raw in text.splitlines():
        line = _COMMENT.sub("", raw) if not raw.rstrip().endswith("\\") else raw
        if line.rstrip().endswith("\\"):
            waiting += line.rstrip()[:-1] + " "
            continue
        if whole := " ".join((waiting + line).split()):
            yield whole
        waiting = ""
    if waiting.strip():
        yield " ".join(waiting.split())


def _text(what: str, path: Path) -> str:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InvalidError(f"{what}: {path} does not exist") from None
    except OSError as error:
        raise InvalidError(f"{what}: {path} can't be read: {error}") from None
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", "utf-8"))
    if not mark:
        # As Python's own source says it, in the first two lines.
        for line in data.split(b"\n", 2)[:2]:
            if line.startswith(b"#") and (told := _CODING.search(line)) is not None:
                encoding = told[1].decode("ascii")
    try:
        return data[len(mark) :].decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise InvalidError(f"{what}: {path} can't be read: {error}") from None
