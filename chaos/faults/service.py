"""The service is killed, killed again while it starts, and stopped."""

import signal
import time

from chaos.faults.fault import Hit, Scene, Step

# What a start takes, more or less: the second kill comes at some point of it.
_START_S = 1.0
_FOUND_S = 3.0


def kill(scene: Scene, step: Step) -> Hit | None:
    """SIGKILL. Whoever needs it starts it again."""
    process = scene.stage.service()
    if process is None or not process.send(signal.SIGKILL):
        return None
    return Hit(f"process {process.pid}")


def kill_starting(scene: Scene, step: Step) -> Hit | None:
    """SIGKILL, and once more to the one that starts in its place."""
    first = scene.stage.service()
    if first is None or not first.send(signal.SIGKILL):
        return None
    deadline = time.monotonic() + _FOUND_S
    while time.monotonic() < deadline:
        second = scene.stage.service()
        if second is not None and second.pid != first.pid:
            time.sleep(step.chance * _START_S)
            if second.send(signal.SIGKILL):
                return Hit(f"processes {first.pid} and {second.pid}")
            break
        time.sleep(0.005)
    return Hit(f"process {first.pid}")


def stop(scene: Scene, step: Step) -> Hit | None:
    """SIGSTOP, for some seconds."""
    process = scene.stage.service()
    if process is None or not process.send(signal.SIGSTOP):
        return None
    return Hit(f"process {process.pid}", lambda: process.send(signal.SIGCONT))
