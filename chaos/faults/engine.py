"""The engine is killed, and started again: one of the campaign's own, never the machine's."""

from chaos.faults.fault import Hit, Scene, Step


def kill(scene: Scene, step: Step) -> Hit | None:
    """SIGKILL for dockerd. Its containers run on until the next one ends them."""
    engine = scene.stage.engine
    if engine is None:
        return None
    engine.kill()
    return Hit("dockerd", engine.start)
