"""`wherry image names`: names of images in environments."""

import typer

from wherry._connection.client import default_client
from wherry.cli._common import ENVIRONMENT_OPTION, JSON_OPTION, YES_OPTION, confirm, show_json, show_table, time_of
from wherry_proto.messages import (
    ImageName,
    ImageNameRequest,
    ImageNamesRequest,
    ImageNamesResponse,
)

names = typer.Typer(help="Manage names of images, for Image.from_name.", no_args_is_help=True)

_NAME = typer.Argument(metavar="NAME[:TAG]", help="The name; without a tag NAME:latest.")


@names.command("list")
def list_names(
    prefix: str = typer.Option("", "--prefix", help="Only names that begin so."),
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """List the names of an environment, and their images."""
    client = default_client()
    request = ImageNamesRequest(environment=environment or client.environment, prefix=prefix)
    _show(client.call("Images.Names", request, ImageNamesResponse).names, as_json)


@names.command()
def history(
    name: str = _NAME,
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """List the images that have had a name, the latest first."""
    client = default_client()
    request = ImageNamesRequest(environment=environment or client.environment, name=name)
    _show(client.call("Images.Names", request, ImageNamesResponse).names, as_json)


@names.command()
def delete(
    name: str = _NAME,
    yes: bool = YES_OPTION,
    environment: str | None = ENVIRONMENT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Delete a name and its history; the image stays."""
    client = default_client()
    request = ImageNameRequest(name=name, environment=environment or client.environment)
    found = client.call("Images.Named", request, ImageName)
    confirm(f"Delete the name {found.name} of image {found.image_id}?", yes)
    client.call("Images.Unpublish", request, ImageName)
    if as_json:
        show_json(_described(found))
    else:
        typer.echo(f"Deleted the name {found.name}; image {found.image_id} stays.")


def _show(found: list[ImageName], as_json: bool) -> None:
    if as_json:
        show_json([_described(one) for one in found])
        return
    show_table(
        ["name", "image", "published"], [[one.name, one.image_id, time_of(one.published_at_ms)] for one in found]
    )


def _described(one: ImageName) -> dict[str, object]:
    return {
        "name": one.name,
        "environment": one.environment,
        "image_id": one.image_id,
        "published_at": time_of(one.published_at_ms),
    }
