"""`wherry dashboard`: the service's web pages."""

import webbrowser
from urllib.parse import urlsplit

import typer

from wherry._connection.client import default_client
from wherry._screen.harmless import harmless
from wherry.cli._common import JSON_OPTION, show_json
from wherry.cli.open import has_browser
from wherry.exception import InvalidError
from wherry_proto.messages import DashboardLink, DashboardLinkRequest


def dashboard(
    prints: bool = typer.Option(False, "--print", help="Print the link, and open no browser."),
    plain: bool = typer.Option(
        False, "--plain", help="Use an address: for browsers that find no name below localhost."
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Open the dashboard in the browser, signed in.

    The link works once, within a minute. Where there is no browser, it is printed.
    """
    link = default_client().call("Dashboard.Link", DashboardLinkRequest(), DashboardLink)
    if as_json:
        show_json({"url": link.url, "plain_url": link.plain_url, "seconds": link.seconds})
        return
    url = link.plain_url if plain else link.url
    if urlsplit(url).scheme not in ("http", "https"):
        raise InvalidError(f"the service gives {url!r}, which is no address of a web page")
    if prints or not has_browser() or not webbrowser.open(url):
        typer.echo(harmless(url))
    else:
        typer.echo("Opened the dashboard.", err=True)
