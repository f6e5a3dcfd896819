"""Creates sandboxes, with all that they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wherry._publish.bring_up import bring_up
from wherry._publish.images import ensure_images
from wherry._publish.mounts import modules_at
from wherry.exception import NotFoundError
from wherry_proto.messages import SandboxCreateRequest, SandboxInfo

if TYPE_CHECKING:
    from wherry._connection.client import Client
    from wherry._define.recipe import Recipe
    from wherry._publish.needs import Needs

# Where modules of this machine are in a sandbox, as in functions.
MODULES = "/root"


def create_sandbox(client: Client, request: SandboxCreateRequest, image: Recipe, needs: Needs) -> str:
    """Create it, its image built if it is not known to be; return the sandbox's id."""
    known = client.built_images
    wanted = image, request.environment
    # A name may be another image's by now.
    is_sure = wanted not in known or image.is_forced or image.steps[0].kind == "from_name"
    if is_sure:
        known[wanted] = built(client, image, request.environment)
    spec = request.spec
    assert spec is not None
    brought = bring_up(
        client, [needs], app_id=request.app_id, environment=request.environment, built={image: known[wanted]}
    )
    brought.ready[0].fill(spec)
    spec.image_id = known[wanted]
    if modules := modules_at(client, image.mounted, MODULES):
        spec.local_mounts = [*modules, *spec.local_mounts]
        spec.env.setdefault("PYTHONPATH", MODULES)
    spec.copies_local_mounts = bool(spec.local_mounts)
    try:
        return client.call("Sandboxes.Create", request, SandboxInfo).sandbox_id
    except NotFoundError as error:
        # It may have been removed from the host since this process had it built.
        if is_sure or known.pop(wanted) not in str(error):
            raise
    spec.image_id = known[wanted] = built(client, image, request.environment)
    return client.call("Sandboxes.Create", request, SandboxInfo).sandbox_id


def built(client: Client, image: Recipe, environment: str) -> str:
    """Return the id of an image, which is built if need be; raise ImageBuildError."""
    (image_id,) = ensure_images(client, [image], environment=environment, bare=True)
    return image_id
