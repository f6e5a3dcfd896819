"""What receives a runner's large values: the agent's own, in a directory of a test's."""

import os
import socket
from pathlib import Path

from wherry_service.node.value_receiver import ValueReceiver


class Values:
    """Listens at `values.sock` of a directory; values that are whole are in `values/`."""

    def __init__(self, folder: Path, **limits: int) -> None:
        self.folder = folder / "values"
        self.folder.mkdir(exist_ok=True)
        path = folder / "values.sock"
        path.unlink(missing_ok=True)
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(str(path))
        bound.listen()
        self._receiver = ValueReceiver(**limits)
        self.desk = self._receiver.open("co-1", os.open(self.folder, os.O_RDONLY), bound)

    def close(self) -> None:
        """Hang up."""
        self.desk.close()
        self._receiver.close()
