"""The disk with the service's state is full to the last byte."""

import errno
import os

from chaos.faults.fault import Hit, Scene, Step


def fill(scene: Scene, step: Step) -> Hit | None:
    """Take all the room that is left."""
    if not scene.stage.has_small_disk:
        return None
    path = scene.stage.state_dir / "full"
    taken = 0
    file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    try:
        for size in (1 << 20, 1 << 12, 1):
            piece = b"\0" * size
            while True:
                try:
                    taken += os.write(file, piece)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    break
    finally:
        os.close(file)
    return Hit(f"{taken >> 20} MiB", lambda: path.unlink(missing_ok=True))
