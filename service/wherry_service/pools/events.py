"""What pools tell of their containers and inputs: the events of containers, and what follows from them."""

from collections.abc import Sequence
from typing import Generic

from wherry_proto.messages import Failure
from wherry_service.node.events import ContainerEvents, ContainerExit
from wherry_service.pools.container import A, Container, Home


class PoolEvents(ContainerEvents[Container[A]], Generic[A]):
    """The dispatcher, or who watches how a new version comes up: of what it does not care for, nothing follows."""

    def on_warm(self, pool: Home) -> None:
        """Hear that as many containers are ready as are to stand, or as many as the host carries."""

    def on_room(self, pool: Home) -> None:
        """Hear that a container may take inputs."""

    def on_claims(self, container: Container[A], input_ids: Sequence[str]) -> None:
        """Hear that a container came back from an earlier life holding these inputs."""

    def on_back(self, pool: Home, inputs: Sequence[A]) -> None:
        """Hear that inputs came back without having run."""

    def on_lost(self, container: Container[A], inputs: Sequence[A], exit: ContainerExit) -> None:
        """Hear that inputs were running in a container that ended."""

    def on_start_failed(self, pool: Home, failure: Failure) -> None:
        """Hear that the pool can't get a container to run; what waits must not wait on."""

    def on_crashing(self, pool: Home, error: str) -> None:
        """Hear that containers end, one after the other, before they have imported the user's code."""

    def on_notice(self, pool: Home, text: str) -> None:
        """Hear something the people who wait should know."""
