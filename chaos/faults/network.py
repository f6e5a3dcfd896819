"""Connections between clients and the service break, stall, and can't be made."""

import time

from chaos.faults import database
from chaos.faults.fault import Hit, Scene, Step

_STALL_S = 0.1


def cut(scene: Scene, step: Step) -> Hit | None:
    """Reset all connections."""
    if scene.stage.proxy is None:
        return None
    return Hit(f"{scene.stage.proxy.cut()} connections")


def stall(scene: Scene, step: Step) -> Hit | None:
    """Nothing comes through, in either direction."""
    if scene.stage.proxy is None:
        return None
    scene.stage.proxy.hold()
    return Hit("all connections", scene.stage.proxy.release)


def down(scene: Scene, step: Step) -> Hit | None:
    """Reset all connections, and refuse new ones."""
    if scene.stage.proxy is None:
        return None
    return Hit(f"{scene.stage.proxy.take_down()} connections", scene.stage.proxy.bring_up)


def cut_slow(scene: Scene, step: Step) -> Hit | None:
    """Reset all connections while the disk is slow, and after answers were held up: what is asked for arrives."""
    proxy = scene.stage.proxy
    if proxy is None:
        return None
    held = database.lock(scene, step)
    proxy.hold(answers_only=True)
    time.sleep(step.chance * _STALL_S)
    cut_off = proxy.cut()
    proxy.release()
    return Hit(f"{cut_off} connections", held.undo if held is not None else None)
