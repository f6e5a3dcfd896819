"""Runs every file of a directory as a program, against a service of its own: `./dev cases [--show] DIR`.

A file says in its docstring what is expected, and exits with 0 where it is so; one that has a local entrypoint is run
with `wherry run`. Some say what is to be printed, which is for a person to compare: `--show` shows it for all.
"""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.acceptance.service import OwnService

DEADLINE_S = 180.0


def main(names: list[str]) -> int:
    """Return 0 if every file does what it says."""
    shows = "--show" in names
    names = [name for name in names if name != "--show"]
    files = [
        file for name in names for file in ([Path(name)] if name.endswith(".py") else sorted(Path(name).glob("*.py")))
    ]
    if not files:
        print(f"no case in {', '.join(names)}: a case is a .py file", file=sys.stderr)
        return 2
    state_dir = Path(tempfile.mkdtemp(prefix="wherry-"))
    service = OwnService(state_dir)
    service.start()
    try:
        failed = [file for file in files if not _holds(file.resolve(), state_dir, shows)]
    finally:
        service.stop()
        shutil.rmtree(state_dir)
    print(f"{len(files) - len(failed)} of {len(files)} cases hold")
    return 1 if failed else 0


def _command(file: Path) -> list[str]:
    if "local_entrypoint" in file.read_text(encoding="utf-8"):
        return [sys.executable, "-m", "wherry.cli.main", "run", str(file)]
    return [sys.executable, str(file)]


def _holds(file: Path, state_dir: Path, shows: bool) -> bool:
    environment = {**os.environ, "WHERRY_STATE_DIR": str(state_dir)}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment.pop("WHERRY_SERVER_URL", None)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        try:
            done = subprocess.run(
                _command(file),
                cwd=directory,
                env=environment,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=DEADLINE_S,
                check=False,
            )
            code, said = str(done.returncode), done.stdout + done.stderr
        except subprocess.TimeoutExpired:
            code, said = f"none within {DEADLINE_S:g} s", ""
    took = f"{time.monotonic() - began:.1f} s"
    holds = code == "0"
    print(f"✓ {file.name} ({took})" if holds else f"✗ {file.name}: exit code {code} ({took})", flush=True)
    if holds and not shows:
        return True
    expected = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "(it does not say what is expected)"
    print(*(f"    {line}" for line in [*expected.splitlines(), "", *said.splitlines()[-10:]]), sep="\n", flush=True)
    return holds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
