"""`wherry token`: who may reach the service over TCP."""

import typer

from wherry._connection.client import default_client
from wherry._connection.profiles import Profiles, profiles_path
from wherry._screen.table import Column, Kind
from wherry.cli._common import JSON_OPTION, show_json
from wherry.cli._ids import whole
from wherry.cli._listing import Listed, Listing
from wherry.exception import InvalidError
from wherry_proto import views
from wherry_proto.messages import (
    TokenCreated,
    TokenCreateRequest,
    TokenInfo,
    TokenListRequest,
    TokenListResponse,
    TokenRevokeRequest,
    TokenWhoRequest,
)

group = typer.Typer(help="Manage tokens: who may reach the service over TCP.", no_args_is_help=True)


@group.command()
def new(
    name: str = typer.Argument(help="What it is for."),
    scopes: list[str] = typer.Option(
        ["deploy", "invoke"], "--scope", help="admin, deploy, invoke, metrics; repeatable."
    ),
    environments: list[str] = typer.Option(
        [], "-e", "--env", help="An environment it is for, '*' for all; repeatable. Default: the one in force."
    ),
    profile: str | None = typer.Option(None, "--profile", help="Write it into this profile instead of showing it."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Make a token. Its secret is shown once."""
    client = default_client()
    request = TokenCreateRequest(name=name, scopes=scopes, environments=environments or [client.environment])
    made = client.call("Tokens.Create", request, TokenCreated)
    assert made.token is not None
    if profile is not None:
        if not made.server_url:
            raise InvalidError("the service listens on no TCP port: set listen.address and start it again")
        first = next((item for item in made.token.environments if item != "*"), client.environment)
        values = {
            "server_url": made.server_url,
            "token_id": made.token.token_id,
            "token_secret": made.secret,
            "environment": first,
            "certificate": made.certificate,
        }
        # Not used at once: who makes a token here goes on as the service's own user.
        Profiles(profiles_path()).set(profile, values, activate=False)
    if as_json:
        shown = {} if profile is not None else {"token_secret": made.secret}
        show_json({**views.token(made.token), **shown, "server_url": made.server_url, "certificate": made.certificate})
    elif profile is not None:
        typer.echo(
            f"Wrote token {made.token.token_id} into profile {profile!r} ({profiles_path()}); "
            f"`wherry profile use {profile}` uses it."
        )
    else:
        if made.server_url:
            typer.echo(f"WHERRY_SERVER_URL={made.server_url}")
        typer.echo(f"WHERRY_TOKEN_ID={made.token.token_id}")
        typer.echo(f"WHERRY_TOKEN_SECRET={made.secret}")
        typer.echo("The secret is not shown again.", err=True)


_LISTED = Listed[TokenInfo](
    Column("name", lambda token: token.name),
    Column("id", lambda token: token.token_id, Kind.ID),
    Column("scopes", lambda token: ", ".join(token.scopes), leaves=1),
    Column("environments", lambda token: ", ".join(token.environments), leaves=3, cut=True),
    Column("created", lambda token: token.created_at_ms, Kind.TIME, leaves=4),
    Column("revoked", lambda token: token.revoked_at_ms, Kind.TIME, leaves=2),
    key=lambda token: token.token_id,
    described=views.token,
    empty="There are no tokens. `wherry token new NAME` makes one.",
)


@group.command("list")
@_LISTED.command()
def list_tokens(
    revoked: bool = typer.Option(False, "--all", help="Show revoked ones too."), *, listing: Listing[TokenInfo]
) -> None:
    """List tokens."""
    request = TokenListRequest(include_revoked=revoked)
    listing.show(lambda: default_client().call("Tokens.List", request, TokenListResponse).tokens)


@group.command()
def revoke(token_id: str = typer.Argument(help="Its id."), as_json: bool = JSON_OPTION) -> None:
    """End a token at once; its open sessions end too."""
    token = default_client().call(
        "Tokens.Revoke", TokenRevokeRequest(token_id=whole(token_id, prefix="tk", ends=True)), TokenInfo
    )
    if as_json:
        show_json(views.token(token))
    else:
        typer.echo(f"Revoked token {token.token_id} ({token.name}).")


@group.command()
def info(as_json: bool = JSON_OPTION) -> None:
    """Show what the token in use allows."""
    token = default_client().call("Tokens.Who", TokenWhoRequest(), TokenInfo)
    if as_json:
        show_json(views.token(token))
        return
    who = f"token {token.token_id} ({token.name})" if token.token_id else "the service's own user, on its socket"
    typer.echo(f"{who}: {', '.join(token.scopes)} in {', '.join(token.environments)}")
