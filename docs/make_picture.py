"""Writes docs/terminal.svg, a picture of a terminal in which README's program runs: `python -m docs.make_picture`.

It needs a service and an engine, so it is made when somebody asks for it. What is in the picture was printed by the
commands in it. It has text and colours alone: no fonts of others, no addresses.
"""

import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.syntax import Syntax
from rich.terminal_theme import TerminalTheme
from rich.text import Text

HERE = Path(__file__).parent
PICTURE = HERE / "terminal.svg"
WIDTH = 92
COMMANDS = (
    "wherry run hello.py",
    "wherry deploy hello.py",
    """python -c 'import wherry; print(wherry.Function.from_name("hello", "square").remote(12))'""",
)
THEME = TerminalTheme(
    (27, 31, 38),
    (214, 220, 228),
    [(60, 66, 76), (240, 113, 120), (134, 205, 130), (229, 192, 123), (97, 175, 239), (198, 120, 221), (86, 182, 194),
     (214, 220, 228)],
    [(110, 118, 130), (240, 113, 120), (134, 205, 130), (229, 192, 123), (97, 175, 239), (198, 120, 221),
     (86, 182, 194), (255, 255, 255)],
)  # fmt: skip
# Rich's own has fonts of another host in it.
FORMAT = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">{backgrounds}
<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""


def program() -> str:
    """Return README's program."""
    found = re.search(r"^`hello\.py`:\n\n```python\n(.*?)^```$", (HERE.parent / "README.md").read_text(), re.S | re.M)
    assert found is not None
    return found[1]


def record(folder: Path) -> list[tuple[str, str]]:
    """Run the commands, and return each with what it printed; the image is built before."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "COLUMNS": str(WIDTH),
    }

    def run(command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, stdout=-1, stderr=-2, text=True, check=True
        )
        return done.stdout

    run(COMMANDS[0])
    printed = [(command, run(command)) for command in COMMANDS]
    run("wherry app stop hello")
    return printed


def picture(printed: list[tuple[str, str]]) -> str:
    """Return the picture's text."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text("$ cat hello.py", style="bold green"))
    console.print(Syntax(program().rstrip(), "python", theme="ansi_dark", background_color="default"))
    for command, text in printed:
        console.print()
        console.print(Text(f"$ {command}", style="bold green"))
        console.print(Text.from_ansi(text.rstrip()))
    svg = console.export_svg(title="hello.py", theme=THEME, code_format=FORMAT, unique_id="wherry")
    assert str(Path.home()) not in svg
    assert "/tmp/" not in svg
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def main() -> None:
    """Run the program, and write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "hello.py").write_text(program())
        PICTURE.write_text(picture(record(Path(folder))))


if __name__ == "__main__":
    main()
