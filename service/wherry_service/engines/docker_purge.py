"""An engine from which all of a service is removed."""

from wherry_service.engines.docker import DockerEngine
from wherry_service.engines.docker_stock import Stock, stock_of
from wherry_service.engines.endpoint import path_of
from wherry_service.engines.engine import ContainerMissing, EngineError


class DockerStock(DockerEngine):
    """An engine that is asked what Wherry keeps there. Its methods raise `EngineError`."""

    async def stock(self) -> Stock:
        """Return what has Wherry's labels; images also have a name of Wherry's, since others' inherit its labels."""
        return await self._run("list what Wherry keeps there", stock_of)

    def is_local(self) -> bool:
        """Whether the engine is this machine's, as far as its address says: then paths are the same there."""
        try:
            return bool(path_of(self._connection.endpoint().address))
        except EngineError:
            return False

    async def remove_network(self, engine_id: str) -> None:
        """Remove a network; one that is gone is fine."""
        try:
            await self._run("remove a network", lambda client: client.remove_network(engine_id))
        except ContainerMissing:
            return
