"""`python -m chaos.client KIND NUMBER FOLDER SEED`: one client process, until it is told to stop."""

import faulthandler
import importlib
import logging
import random
import signal
import sys
import time
from pathlib import Path

from chaos.journal import Answer, Journal, Operation, operations, records

# Files in the campaign's folder that say what is to be done now.
STOP = "stop"  # what makes work ends what it has begun, and ends
DRAIN = "drain"  # what takes work ends when there is none left


class Client:
    """What a kind of load has at hand: its journal, its own chance, and when to stop."""

    def __init__(self, kind: str, number: int, folder: Path, seed: str) -> None:
        self.kind = kind
        self.number = number
        self.name = f"{kind}-{number}"
        self._folder = folder
        self._path = folder / f"{self.name}.jsonl"
        self.before = operations(self.name, records(self._path))
        """What earlier lives of this client have asked for."""
        self.journal = Journal(self._path)
        self.random = random.Random(f"{seed}/{self.name}/{self.journal.life}")
        self.asking = self.journal.asking

    @property
    def life(self) -> str:
        return self.journal.life

    @property
    def stopping(self) -> bool:
        """Whether to begin nothing more."""
        return (self._folder / STOP).exists()

    @property
    def draining(self) -> bool:
        """Whether nobody makes work any more."""
        return (self._folder / DRAIN).exists()

    def pause(self, longest_s: float) -> None:
        """Do nothing for some time."""
        time.sleep(self.random.uniform(0, longest_s))

    def idle(self, seconds: float) -> None:
        """Do nothing for so long, or until told to stop."""
        until = time.monotonic() + seconds
        while not self.stopping and time.monotonic() < until:
            time.sleep(0.1)

    def rest(self, answer: Answer) -> None:
        """After an error: leave the service a moment, as a program that tries again would."""
        if answer.error:
            time.sleep(0.3)

    def others(self, kind: str, number: int) -> list[Operation]:
        """Return what another client has asked for until now."""
        name = f"{kind}-{number}"
        return operations(name, records(self._folder / f"{name}.jsonl"))


def main() -> None:
    """Run one client."""
    kind, number, folder, seed = sys.argv[1:]
    logging.basicConfig(format="%(asctime)s %(message)s")
    # A client that hangs says where.
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)
    # Ctrl-C is the campaign's; it tells us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    importlib.import_module(f"chaos.load.{kind}").run(Client(kind, int(number), Path(folder), seed))


if __name__ == "__main__":
    main()
