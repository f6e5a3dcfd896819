"""A shell in a container or a sandbox."""

from wherry_service.ids import check_id
from wherry_service.ui.page import Asked, Data, Page


async def of_container(asked: Asked) -> Data:
    """Return what the page of a function's container shows."""
    return _shown(asked, "co", "Containers", "/containers")


async def of_sandbox(asked: Asked) -> Data:
    """Return what the page of a sandbox shows."""
    return _shown(asked, "sb", "Sandboxes", "/sandboxes")


def _shown(asked: Asked, prefix: str, section: str, path: str) -> Data:
    container_id = check_id(asked.parts["container"], prefix, "id")
    return {"container_id": container_id, "listed": section, "listed_path": path}


PAGES = (
    Page("/containers/{container}/shell", "shell.html", of_container, section="Containers", styles_inline=True),
    Page("/sandboxes/{container}/shell", "shell.html", of_sandbox, section="Sandboxes", styles_inline=True),
)
