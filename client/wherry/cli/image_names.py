"""`wherry image names`: names of images in environments."""

import typer

from wherry._connection.client import default_client
from wherry._screen.table import Column, Kind
from wherry.cli._common import ENVIRONMENT_OPTION, JSON_OPTION, YES_OPTION, confirm, show_json
from wherry.cli._listing import Listed, Listing
from wherry_proto import views
from wherry_proto.messages import (
    ImageName,
    ImageNameRequest,
    ImageNamesRequest,
    ImageNamesResponse,
)

names = typer.Typer(help="Manage names of images, for Image.from_name.", no_args_is_help=True)

_NAME = typer.Argument(metavar="NAME[:TAG]", help="The name; without a tag NAME:latest.")


_NAMES = Listed[ImageName](
    Column("name", lambda one: one.name),
    Column("image", lambda one: one.image_id, Kind.ID),
    Column("published", lambda one: one.published_at_ms, Kind.TIME, leaves=1),
    key=lambda one: one.name,
    keys="names",
    described=views.image_name,
    empty="No image has a name here. Give one with `wherry image build FILE.py -t NAME`.",
)
_HISTORY = Listed[ImageName](
    *_NAMES.table.columns,
    key=lambda one: one.image_id,
    described=views.image_name,
    empty="No image has had that name.",
)


@names.command("list")
@_NAMES.command()
def list_names(
    prefix: str = typer.Option("", "--prefix", metavar="TEXT", help="Show only names that begin so."),
    environment: str | None = ENVIRONMENT_OPTION,
    *,
    listing: Listing[ImageName],
) -> None:
    """List the names of an environment, and their images."""
    listing.show(lambda: _named(environment, prefix=prefix))


@names.command()
@_HISTORY.command()
def history(name: str = _NAME, environment: str | None = ENVIRONMENT_OPTION, *, listing: Listing[ImageName]) -> None:
    """List the images that have had a name, the latest first."""
    listing.show(lambda: _named(environment, name=name))


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
        show_json(views.image_name(found))
    else:
        typer.echo(f"Deleted the name {found.name}; image {found.image_id} stays.")


def _named(environment: str | None, name: str = "", prefix: str = "") -> list[ImageName]:
    client = default_client()
    request = ImageNamesRequest(environment=environment or client.environment, name=name, prefix=prefix)
    return client.call("Images.Names", request, ImageNamesResponse).names
