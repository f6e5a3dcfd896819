"""Clients are killed and come back, or stopped for some seconds."""

import signal

from chaos.faults.fault import Hit, Scene, Step


def kill(scene: Scene, step: Step) -> Hit | None:
    """SIGKILL; the step's time later it is started again, and reads its journal."""
    member = step.pick(scene.crew.members)
    if member is None or not member.kill():
        return None
    return Hit(member.name, member.start)


def stop(scene: Scene, step: Step) -> Hit | None:
    """SIGSTOP."""
    member = step.pick(scene.crew.members)
    if member is None or not member.send(signal.SIGSTOP):
        return None
    return Hit(member.name, lambda: member.send(signal.SIGCONT))
