"""`wherry image`: what images there are, what they are made of, and how their builds went."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import typer

from wherry._base.words import counted
from wherry._connection.client import default_client
from wherry._define.recipe import Recipe
from wherry._publish.image_files import resolve
from wherry._publish.images import ensure_images, publish
from wherry._screen.harmless import harmless
from wherry._screen.output import waited
from wherry._screen.table import Column, Kind, size_of
from wherry.cli._common import ENVIRONMENT_OPTION, JSON_OPTION, say, show_json, use_environment
from wherry.cli._ids import whole
from wherry.cli._listing import Listed, Listing
from wherry.cli._ref import images_of
from wherry.cli._usage import UsageError
from wherry.cli.image_names import names
from wherry.image import Image
from wherry.output import screen_for_stderr, screen_for_stdout
from wherry.secret import Secret
from wherry_proto import views
from wherry_proto.messages import (
    ImageInfo,
    ImageListRequest,
    ImageListResponse,
    ImageLogChunk,
    ImageLogsRequest,
    ImagePruneRequest,
    ImagePruneResponse,
    ImageShowRequest,
)

group = typer.Typer(help="Manage images: what containers are made of.", no_args_is_help=True)
group.add_typer(names, name="names")

_REF = typer.Argument(help="An image's id (im-...), file.py::function, file.py::variable, or file.py for all it has.")
_NAME = typer.Option(None, "-t", "--name", metavar="[ENV/]NAME[:TAG]", help="Publish it under this name.")
_REGISTRY_SECRET = typer.Option(None, "--registry-secret", help="The secret with the registry's credentials.")
_REGISTRY_VARIABLES = typer.Option(
    None, "--registry-secret-from-env", metavar="NAME,…", help="Variables here that hold the registry's credentials."
)
_NO_ENVIRONMENT = typer.Option(
    None, "-e", "--env", metavar="NAME", help="Accepted for scripts: images belong to no environment."
)
_IMAGES = Listed[ImageInfo](
    Column("steps", lambda image: image.summary if len(image.summary) <= 60 else image.summary[:59] + "…", cut=True),
    Column("id", lambda image: image.image_id, Kind.ID),
    Column("state", lambda image: views.IMAGE_STATES.get(image.state, "not built"), Kind.STATE),
    Column("size", lambda image: image.size_bytes, Kind.SIZE, leaves=2),
    Column("used", lambda image: image.used_at_ms, Kind.TIME, leaves=3),
    Column("apps", lambda image: ", ".join(image.apps), leaves=1, cut=True),
    key=lambda image: image.image_id,
    described=views.image,
    empty="There are no images yet. `wherry run`, `wherry deploy` and `wherry image build` build them.",
)


@group.command("list")
@_IMAGES.command()
def list_images(environment: str | None = _NO_ENVIRONMENT, *, listing: Listing[ImageInfo]) -> None:
    """List images, the latest used first."""
    listing.show(lambda: default_client().call("Images.List", ImageListRequest(), ImageListResponse).images)


@group.command()
def show(
    ref: str = _REF,
    environment: str | None = _NO_ENVIRONMENT,
    full: bool = typer.Option(False, "--full", help="The whole Dockerfile, as it is built."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Show the steps that an image is made of; builds nothing."""
    found = [_shown(request) for request in _requests(ref)]
    if as_json:
        show_json([{**views.image(info), "dockerfile": info.dockerfile} for info in found])
        return
    texts = [info.dockerfile if full else "\n".join([f"# {info.image_id}", *info.steps]) for info in found]
    # Others may have written what is in them.
    say("\n\n".join(text.rstrip("\n") for text in texts))


@group.command()
def build(
    ref: str = typer.Argument(help="file.py::function, file.py::variable, file.py for all it has, or a folder."),
    file: Path | None = typer.Option(None, "-f", "--file", help="Of a folder: the Dockerfile; FOLDER/Dockerfile."),
    force: bool = typer.Option(False, "--force", "--force-build", help="Run every step anew."),
    name: str | None = _NAME,
    registry_secret: str | None = _REGISTRY_SECRET,
    registry_variables: str | None = _REGISTRY_VARIABLES,
    environment: str | None = ENVIRONMENT_OPTION,
    verbose: bool = typer.Option(False, "-v", "--verbose", help="Show every line of the build."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Build images now: those of a program, or of a Dockerfile.

    Of a folder its Dockerfile is built; the files that it copies are those of the folder.
    """
    use_environment(environment)
    if not Path(ref).is_dir():
        if file is not None:
            raise UsageError(f"--file names the Dockerfile of a folder, and {ref} is none")
        images = images_of(ref)
        if name is not None and len(images) > 1:
            raise UsageError(f"--name names one image, and {ref} has {len(images)}: say which")
        _build(images, force, False, verbose, as_json, name)
        return
    dockerfile = file or Path(ref) / "Dockerfile"
    if not dockerfile.is_file():
        raise UsageError(f"there is no file {dockerfile}: name the Dockerfile with --file")
    secret = _registry_secret(registry_secret, registry_variables)
    image = Image.from_dockerfile(dockerfile, context_dir=ref, registry_secret=secret)
    _build([image], force, True, verbose, as_json, name)


@group.command()
def pull(
    image: str = typer.Argument(help="A registry's image, such as docker.io/node:20."),
    name: str | None = _NAME,
    registry_secret: str | None = _REGISTRY_SECRET,
    registry_variables: str | None = _REGISTRY_VARIABLES,
    force: bool = typer.Option(False, "--force-build", help="Pull it again, where it was pulled before."),
    environment: str | None = ENVIRONMENT_OPTION,
    verbose: bool = typer.Option(False, "-v", "--verbose", help="Show every line of the build."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Pull a registry's image, for Image.from_id and shells."""
    use_environment(environment)
    secret = _registry_secret(registry_secret, registry_variables)
    _build([Image.from_registry(image, secret=secret)], force, True, verbose, as_json, name)


def _build(
    images: Sequence[Recipe], force: bool, bare: bool, verbose: bool, as_json: bool, name: str | None = None
) -> None:
    client = default_client()
    if force:
        images = [image.forced() for image in images]
    client.listener.screen = screen = screen_for_stdout(quiet=as_json, verbose=verbose)
    try:
        ids = ensure_images(client, list(images), bare=bare)
        if name is not None:
            publish(client, images[0], name)
    finally:
        screen.close()
    if as_json:
        show_json(ids)
        return
    for image_id in dict.fromkeys(ids):
        typer.echo(image_id)


def _registry_secret(name: str | None, variables: str | None) -> Secret | None:
    if name is not None and variables is not None:
        raise UsageError("--registry-secret and --registry-secret-from-env both name credentials: use one of them")
    if name is not None:
        return Secret.from_name(name)
    return Secret.from_local_environ([item.strip() for item in variables.split(",")]) if variables else None


@group.command()
def logs(
    image_id: str = typer.Argument(help="The image's id (im-...)."),
    follow: bool = typer.Option(False, "-f", "--follow", help="Go on until the build that runs has ended."),
    everything: bool = typer.Option(False, "--all", help="Of all steps that were run; so it is."),
    environment: str | None = _NO_ENVIRONMENT,
) -> None:
    """Print the log of an image's last build."""
    for chunk in default_client().stream(
        "Images.Logs", ImageLogsRequest(image_id=whole(image_id, prefix="im"), follow=follow)
    ):
        text = cast("ImageLogChunk", chunk).text
        sys.stdout.write(harmless(text) if sys.stdout.isatty() else text)
        sys.stdout.flush()


@group.command()
def prune(
    days: float | None = typer.Option(None, "--days", min=0, help="Not used for so many days; the service's setting."),
    everything: bool = typer.Option(False, "--all", help="All that nothing uses, however recent."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would go, and leave it."),
    yes: bool = typer.Option(False, "-y", "--yes", help="Do not ask."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Remove images that no app uses; the same steps build them again."""
    client = default_client()
    older_than = 0.0 if everything else days if days is not None else -1.0
    first = ImagePruneRequest(older_than_days=older_than, dry_run=True)
    found = client.call("Images.Prune", first, ImagePruneResponse)
    if found.removed and not dry_run:
        if not yes:
            for image in found.removed:
                typer.echo(f"{image.image_id}  {size_of(image.size_bytes)}  {image.summary}", err=True)
            typer.confirm(f"Remove {counted(len(found.removed), 'image')}?", abort=True, err=True)
        request = ImagePruneRequest(older_than_days=older_than)
        with waited(screen_for_stderr(), f"{counted(len(found.removed), 'image')} are removed"):
            found = client.call("Images.Prune", request, ImagePruneResponse)
    if as_json:
        show_json({"removed": [views.image(image) for image in found.removed], "freed_bytes": found.freed_bytes})
        return
    would = "would go" if dry_run else "removed"
    for image in found.removed:
        typer.echo(f"{image.image_id}  {size_of(image.size_bytes)}  {image.summary}")
    typer.echo(f"{counted(len(found.removed), 'image')} {would}; layers that others share stay.")


def _requests(ref: str) -> list[ImageShowRequest]:
    if ref.startswith("im-") and not Path(ref).exists():
        return [ImageShowRequest(image_id=whole(ref, prefix="im"))]
    return [ImageShowRequest(definition=resolve(image, None).definition) for image in images_of(ref)]


def _shown(request: ImageShowRequest) -> ImageInfo:
    return default_client().call("Images.Show", request, ImageInfo)
