"""`./dev chaos [--minutes N] [--seed S]`: a mixed load, while what it runs on is killed, stopped, cut and filled.

Ends with code 1 when a promise was broken, and says the seed: the same faults come again with it.
"""

import argparse
import json
import secrets
import shutil
import signal
import sys
import time
from pathlib import Path

from chaos.campaign import Campaign
from chaos.faults.table import faults
from chaos.invariants.judge import judge
from chaos.report import Report
from chaos.stage import Choice, Stage

EVERY_S = 3.0


def main() -> int:
    """Run a campaign; return the exit code."""
    parser = argparse.ArgumentParser(prog="./dev chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="of faults; the load's start and end come on top")
    parser.add_argument("--seed", default="", help="the same seed makes the same faults; default: a new one")
    parser.add_argument("--every", type=float, default=EVERY_S, metavar="SECONDS", help="between faults, on average")
    parser.add_argument("--only", default="", metavar="WORDS", help="only faults whose name has these words in it")
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL of its own, which crashes too")
    parser.add_argument("--tcp", action="store_true", help="clients come over TCP, by a network that breaks")
    parser.add_argument("--engine", action="store_true", help="on an engine of its own, which is killed too")
    parser.add_argument("--gvisor", action="store_true", help="on an engine of its own, with gVisor as the runtime")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep journals and the service's log there")
    options = parser.parse_args()
    if options.minutes <= 0 or options.every < 0.5:
        parser.error("--minutes has to be more than 0, and --every at least 0.5")
    seed = options.seed or secrets.token_hex(4)
    choice = Choice(options.postgres, options.tcp, options.engine, options.gvisor)
    kinds = tuple(kind for kind in faults(choice) if options.only in kind.name)
    if not kinds:
        names = ", ".join(kind.name for kind in faults(choice))
        parser.error(f"no fault has {options.only!r} in its name; there are: {names}")
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {what}", file=sys.stderr, flush=True)

    # As Ctrl-C: nothing of it may stay.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    say(f"seed {seed}")
    with Stage(choice) as stage:
        try:
            evidence = Campaign(stage, seed, kinds, options.every, say).run(options.minutes * 60)
        finally:
            if options.keep:
                keep(stage, options.keep)
    report = Report(seed, time.monotonic() - began, evidence, judge(evidence))
    print(report.table())
    if options.json:
        options.json.write_text(json.dumps(report.json(), indent=2) + "\n")
    if not report.holds:
        print(f"\nA promise was broken. Again with: ./dev chaos --seed {seed} …", file=sys.stderr)
    return 0 if report.holds else 1


def keep(stage: Stage, folder: Path) -> None:
    """Copy what tells how it went."""
    shutil.copytree(stage.journals, folder, dirs_exist_ok=True)
    (folder / "server.log").write_text(stage.log)


if __name__ == "__main__":
    sys.exit(main())
