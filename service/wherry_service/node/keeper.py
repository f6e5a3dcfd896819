"""The process above an exec's command: the engine's own init, where the container and its runtime can have it so."""

from wherry_service.engines.engine import Engine, ExecSpec

_INIT = "/sbin/docker-init"
# What the command leaves behind becomes its child, so that all that it has started can be found below it, whatever
# their environment and session.
KEEPER = (_INIT, "-s", "--")
# How its own errors begin.
KEEPERS_WORD = "[FATAL tini"
# It ends with 1 at once where the kernel has no such thing.
_ABLE, _UNABLE = 0, 1


class Keepers:
    """Knows which containers can have a process above an exec's: gVisor can't have a child adopt what others leave."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # By OCI runtime, as the engine's configuration names it. These share the host's kernel; others are tried.
        self._able = dict.fromkeys(("runc", "crun", "io.containerd.runc.v2"), True)

    async def above(self, engine_id: str) -> tuple[str, ...]:
        """Return the words that go before an exec's command, () where there can be none; raise `EngineError`."""
        runtime = await self._engine.runtime_with_init(engine_id)
        if runtime is None:
            return ()
        if runtime not in self._able:
            code = await self._tried(engine_id)
            if code not in (_ABLE, _UNABLE):
                return ()
            self._able[runtime] = code == _ABLE
        return KEEPER if self._able[runtime] else ()

    async def _tried(self, engine_id: str) -> int | None:
        exec = await self._engine.exec(engine_id, ExecSpec((*KEEPER, _INIT, "--version"), user="0"))
        try:
            while await exec.read() is not None:
                pass
            return await exec.exit_code()
        finally:
            exec.close()
