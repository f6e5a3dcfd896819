"""The image of the containers that this service starts for itself."""

from wherry_proto.messages import ImageDefinition, ImageStep
from wherry_service.images.build import OnEvent
from wherry_service.images.builder import ImageBuilder

# What mounts buckets: the runner's program in it drives rclone.
MOUNTS_BUCKETS = ImageDefinition(
    steps=[ImageStep(kind="debian_slim"), ImageStep(kind="apt_install", args=["fuse3", "rclone"])]
)


class HelperImage:
    """An image that is built when it is first asked for, and again when it was pruned."""

    def __init__(self, builder: ImageBuilder, definition: ImageDefinition = MOUNTS_BUCKETS) -> None:
        self._builder = builder
        self._definition = definition

    async def __call__(self) -> str:
        """Return what the engine calls it; raise `ImageBuildError`."""
        silently = OnEvent(lambda line: None, lambda title, seconds, cached: None)
        built = await self._builder.ensure(self._definition, silently)
        await self._builder.records.used([built.image_id])
        return await self._builder.ready(built.image_id)
