"""`./dev parity`: how many of Modal's names work, stand in the table, and are missing.

`--missing [TEXT]` shows the missing ones (with TEXT in them) and what is amiss; `--shrink` takes names that work now
off the list, and off the page that shows it.
"""

import argparse
import subprocess
import sys

from tests.unit.parity.standing import MISSING, listed, missing, numbers


def main() -> None:
    """Print, and shrink the list if asked to."""
    parser = argparse.ArgumentParser(prog="./dev parity", description=__doc__)
    parser.add_argument("--missing", nargs="?", const="", metavar="TEXT")
    parser.add_argument("--shrink", action="store_true")
    given = parser.parse_args()
    if given.missing is not None:
        for name, fault in missing().items():
            if given.missing in name:
                print(f"{name:70} {fault}")
    if given.shrink:
        left = [name for name in listed() if name in missing()]
        MISSING.write_text("".join(f"{name}\n" for name in left))
        subprocess.run([sys.executable, "-m", "docs.make_from_modal"], check=True)
    print(", ".join(f"{count} {state}" for state, count in sorted(numbers().items(), reverse=True)))


if __name__ == "__main__":
    main()
