"""What a build can end in."""

from wherry_service.errors import ServiceError

_FULL = "no space left on device"
_WHAT_TO_DO = (
    "the disk is full: `wherry image prune --all` removes images that nothing uses, "
    "`docker builder prune` what builds have cached"
)


class ImageBuildError(ServiceError):
    """An image could not be built; the message has the step, the reason and the log's tail."""

    def __init__(self, image_id: str, reason: str, log_tail: list[str]) -> None:
        if any(_FULL in text.lower() for text in (reason, *log_tail)):
            reason += f"; {_WHAT_TO_DO}"
        tail = "\n".join(log_tail)
        # What happened, without whose image it is.
        self.what = reason + (f"\n{tail}" if tail else "")
        super().__init__(f"Image {image_id} could not be built: {self.what}")
        self.image_id = image_id
        self.reason = reason
        self.log_tail = log_tail
