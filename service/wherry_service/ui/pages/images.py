"""Images: which there are, what they are made of, and how their builds went."""

from contextlib import aclosing

from wherry_proto import views
from wherry_proto.messages import ImageInfo, ImageListRequest, ImageLogsRequest, ImageShowRequest
from wherry_service.api.callers import follow
from wherry_service.errors import NotFound, ServiceError
from wherry_service.ui import words
from wherry_service.ui.page import Asked, Data, Page
from wherry_service.ui.table import Column, identity, state, table, when, word

# Characters of a build's log that are shown: its end.
MOST_OF_A_LOG = 200_000
# Seconds that a list is shown again: the engine is asked for sizes.
LIST_S = 3.0

_COLUMNS = (
    Column("Image", lambda one: identity(one.image_id, f"/images/{one.image_id}")),
    Column("State", lambda one: state(views.IMAGE_STATES.get(one.state, "unknown"))),
    Column("Made of", lambda one: word(words.short(one.summary, 120))),
    Column("Size", lambda one: word(words.size(one.size_bytes) if one.size_bytes else ""), number=True),
    Column("Build took", lambda one: word(words.seconds(one.seconds) if one.seconds else ""), number=True),
    Column("Last used", lambda one: when(one.used_at_ms)),
    Column("Apps", lambda one: word(", ".join(one.apps))),
)


def _steps(text: str) -> list[tuple[str, float, bool]]:
    """Return the steps of a build's log: their titles, seconds, and whether each was taken from an earlier build."""
    found = []
    for line in text.splitlines():
        title, _, took = line.rpartition(": ")
        if not title or line.startswith(" "):
            continue
        if took == "cached":
            found.append((title, 0.0, True))
        elif took.endswith(" s") and took[:-2].replace(".", "", 1).isdigit():
            found.append((title, float(took[:-2]), False))
    return found


async def of_all(asked: Asked) -> Data:
    """Return all images that there are."""
    listed = await asked.kept("Images.List", ImageListRequest(), LIST_S)

    def row_id(one: ImageInfo) -> str:
        return one.image_id

    empty = "No image was built yet: the first deploy or run builds one."
    return {"heading": "Images", "tables": [table("", _COLUMNS, listed.images, row_id, empty)]}


async def of_one(asked: Asked) -> Data:
    """Return one image, with the log of its last build."""
    image_id = asked.parts["image"]
    if not image_id.startswith("im-") or len(image_id) > 64:
        raise NotFound(f"{image_id[:64]!r} is no image id")
    info: ImageInfo = await asked.ask("Images.Show", ImageShowRequest(image_id=image_id))
    log = await _log(asked, image_id)
    steps = _steps(log)
    longest = max((seconds for _, seconds, _ in steps), default=0.0)
    return {
        "image": info,
        "image_state": views.IMAGE_STATES.get(info.state, "unknown"),
        "log": log,
        "steps": [
            (title, seconds, cached, 100 * seconds / longest if longest else 0) for title, seconds, cached in steps
        ],
    }


async def _log(asked: Asked, image_id: str) -> str:
    text = ""
    try:
        async with aclosing(follow(asked.caller, "Images.Logs", ImageLogsRequest(image_id=image_id))) as chunks:
            async for chunk in chunks:
                text = (text + chunk.text)[-MOST_OF_A_LOG:]
    except ServiceError as error:
        return text or f"There is no log: {error}"
    return text


PAGES = (
    Page("/images", "list.html", of_all, live=("tables",), section="Images"),
    Page("/images/{image}", "image.html", of_one, live=("build",), section="Images"),
)
