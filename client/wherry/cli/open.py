"""`wherry open`: a web endpoint in the browser."""

import os
import sys
import webbrowser
from urllib.parse import urlsplit

import typer

from wherry._screen.harmless import harmless
from wherry.cli._common import ENVIRONMENT_OPTION
from wherry.cli._find import functions_in
from wherry.cli._functions import function_of
from wherry.cli._ids import running_app
from wherry.cli._usage import UsageError
from wherry.exception import InvalidError, NotFoundError
from wherry_proto.views import urls_of

# URLs that an error lists.
_LISTED = 20


def open_endpoint(
    name: str = typer.Argument("", metavar="APP[/FUNCTION]", help="Whose. Not needed if there is only one."),
    environment: str | None = ENVIRONMENT_OPTION,
    prints: bool = typer.Option(False, "--print", help="Print the URL, and open no browser."),
) -> None:
    """Open a web endpoint in the browser; print its URL where there is no browser."""
    url = _url_of(name, environment)
    if urlsplit(url).scheme not in ("http", "https"):
        raise InvalidError(f"the service gives {url!r} for {name}, which is no address of a web page")
    if prints or not has_browser() or not webbrowser.open(url):
        typer.echo(harmless(url))
    else:
        typer.echo(f"Opened {harmless(url)}", err=True)


def _url_of(name: str, environment: str | None) -> str:
    app, slash, function = name.partition("/")
    if slash and not (app and function):
        raise UsageError(f"{name!r} is not APP/FUNCTION: leave the slash out, or name both")
    app_id = running_app(app, environment) if app else ""
    found: dict[str, str] = {}
    for status in functions_in(environment, app_id):
        known = function_of(status)
        found.update({f"{known.app_name}/{own}": url for own, url in urls_of(known)})
    if function:
        own = {key: url for key, url in found.items() if key.partition("/")[2] == function}
        # A class with one endpoint.
        own = own or {key: url for key, url in found.items() if key.partition("/")[2].startswith(f"{function}.")}
        if not own:
            raise NotFoundError(f"{app} has no web endpoint {function!r}{_listed(found, '; it has:')}")
        found = own
    if not found:
        whose = f"{app} has" if app else "The apps that run have"
        raise NotFoundError(f"{whose} no web endpoint. `wherry deploy FILE.py` starts one; see docs/web.md")
    if len(found) > 1:
        raise UsageError(f"there are {len(found)} web endpoints{_listed(found, '; say which:')}")
    return next(iter(found.values()))


def _listed(found: dict[str, str], begin: str) -> str:
    if not found:
        return ""
    names = [f"  {key}  {url}" for key, url in sorted(found.items())]
    more = [f"  and {len(names) - _LISTED} more"] if len(names) > _LISTED else []
    return "\n".join([begin, *names[:_LISTED], *more])


def has_browser() -> bool:
    """Whether there is a window for one: a browser in the terminal would take the terminal away."""
    if sys.platform in ("darwin", "win32") or os.environ.get("BROWSER"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
