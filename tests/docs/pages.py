"""The programs and sessions of a page: files that it names, and what is typed and shown."""

import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"(?:^`([\w./-]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass
class Section:
    """What stands below one heading of the second level, or before the first one."""

    page: str
    heading: str
    files: dict[str, str] = field(default_factory=dict)  # by name
    steps: list[tuple[str, str]] = field(default_factory=list)  # what is typed, what is then shown

    @property
    def name(self) -> str:
        """What tests call it."""
        return f"{Path(self.page).stem}: {self.heading}"


def sections(page: str) -> list[Section]:
    """Return the sections of a page that have files or sessions; `page` is a path below the repository's root."""
    found = []
    for part in re.split(r"^## ", (ROOT / page).read_text(), flags=re.MULTILINE):
        section = Section(page, part.splitlines()[0].strip("# "))
        for name, language, text in _BLOCK.findall(part):
            if name:
                section.files[name] = text
            elif language == "console":
                section.steps += _steps(text)
        if section.files or section.steps:
            found.append(section)
    return found


def _steps(text: str) -> list[tuple[str, str]]:
    steps = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        typed, _, shown = part.partition("\n")
        steps.append((typed, shown))
    return steps


def is_shown(expected: str, printed: str) -> bool:
    """Tell whether something was printed as a page shows it: `…` stands for anything, alone on a line for any lines."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "…" else ".*".join(map(re.escape, line.split("…"))) + "\n"
        for line in expected.splitlines()
    )
    return re.fullmatch(pattern, printed) is not None
