"""The dashboard's ASGI app: who asks, what for, and the page, the stream or the action that answers."""

import asyncio
import contextlib
import html
import logging
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from wherry_proto.messages import EnvironmentListRequest
from wherry_service.api.callers import Callers, ask
from wherry_service.api.logins import Logins, proof_of
from wherry_service.api.statuses import status_of
from wherry_service.apps.endpoints import Site
from wherry_service.errors import ServiceError, Unauthenticated
from wherry_service.ingress.heads import Peer, host_of
from wherry_service.ingress.own import FOLDER, PEER, is_plain
from wherry_service.ui import guard
from wherry_service.ui.assets import Assets
from wherry_service.ui.entry import Entry, SignedIn
from wherry_service.ui.page import Asked, Data, Kept, Page, Routes
from wherry_service.ui.pages import ACTIONS, FEEDS, FOLLOWS, PAGES
from wherry_service.ui.render import Renderer
from wherry_service.ui.settings import UiSettings
from wherry_service.ui.stream import Streams
from wherry_service.ui.terminal import Terminals, refuse
from wherry_service.ui.web import Pieces, Place, Request, Response, WebError, address, led_to, phrase

log = logging.getLogger(__name__)

# Its name below `/.wherry/`.
NAME = "ui"
_STATUSES = {"NOT_FOUND": 404, "PERMISSION_DENIED": 403, "UNAUTHENTICATED": 401, "RESOURCE_EXHAUSTED": 429}
MAX_SAID = 500
_ENVIRONMENT = "wherry-environment"
_TERMINAL = re.compile(r"/terminals/((?:co|sb)-[0-9A-Z]{26})")


class Dashboard:
    """Answers at the service's own host, and at plain addresses (an `own.App`)."""

    def __init__(
        self,
        settings: UiSettings,
        site: Callable[[], Site],
        callers: Callers,
        logins: Logins,
        instance: str,
        stopping: asyncio.Event,
    ) -> None:
        self._settings = settings
        self._site = site
        self._callers = callers
        self._entry = Entry(logins, callers, instance)
        self._streams = Streams(logins, stopping)
        self._terminals = Terminals(logins, stopping)
        self._assets = Assets()
        self._kept = Kept()
        # By session: what its next page says of what was done.
        self._said: dict[str, str] = {}
        self._renderers: dict[str, Renderer] = {}
        self._pages, self._feeds = Routes(PAGES), Routes(FEEDS)
        self._follows, self._actions = Routes(FOLLOWS), Routes(ACTIONS)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request."""
        peer: Peer = scope[PEER]
        site, host = self._site(), host_of(scope)
        place = Place(host, scope["root_path"], not site.is_own(host))
        request = Request(scope, receive, place, peer.scheme, f"{peer.host}:{peer.port}")
        if scope["type"] == "websocket":
            await self._socket(request, peer, send)
            return
        try:
            self._check_place(request, peer)
            found = await self._answer(request)
        except WebError as error:
            found = self._refused(request, error)
        except ServiceError as error:
            found = self._refused(request, WebError(_STATUSES.get(status_of("", error)[0], 400), str(error)))
        except Exception as error:  # noqa: BLE001 - every error is answered; this one is logged with its stack
            found = self._refused(request, WebError(500, status_of(f"the page {request.path}", error)[1]))
        if isinstance(found, Response):
            await _send_whole(request, found, send)
        else:
            await self._send_stream(request, found, send)

    # Who asks, and what for

    def _check_place(self, request: Request, peer: Peer) -> None:
        """Raise `WebError` where the dashboard does not answer, or not to that machine."""
        site, place = self._site(), request.place
        if place.is_shared and not (place.prefix and is_plain(place.host, site.domain)):
            # Some other host name that leads here; or the domain itself, where endpoints answer by path.
            raise WebError(404, f"The dashboard is at {site.own or site.origin + FOLDER + NAME}.")
        guard.check_way(peer, self._settings.remote)

    async def _socket(self, request: Request, peer: Peer, send: Any) -> None:
        """Serve a terminal."""
        await request.received()
        try:
            self._check_place(request, peer)
            guard.check_source(request)
            found = self._entry.find(request)
            if found is None:
                raise WebError(401, "Sign in first: run `wherry dashboard`.")
            guard.check_proof(request, found.cookie, guard.proof_in(request))
            match = _TERMINAL.fullmatch(request.path)
            if match is None:
                raise WebError(404, "There is no terminal at this address.")
        except WebError as error:
            await refuse(send, error)
            return
        await self._terminals.serve(self._asked(request, found, request.query), match[1], send)

    async def _answer(self, request: Request) -> Response | Pieces:
        if request.path.startswith("/static/"):
            return self._static(request)
        guard.check_source(request)
        if missing := self._assets.missing:
            raise WebError(
                503,
                f"The dashboard's scripts are missing ({', '.join(missing)}). In a checkout, run ./dev setup; "
                "otherwise install Wherry again from its wheel.",
            )
        if request.path == "/login":
            return await self._login(request)
        found = self._entry.find(request)
        if found is None:
            return self._to_login(request)
        if request.method not in ("GET", "HEAD"):
            return await self._post(request, found)
        if request.place.is_shared and not guard.is_navigation(request):
            guard.check_proof(request, found.cookie, guard.proof_in(request))
        try:
            return await self._get(request, found)
        except Unauthenticated:
            # Its token was revoked.
            return self._entry.end(request, found.session)

    async def _get(self, request: Request, found: SignedIn) -> Response | Pieces:
        if request.path == "/events":
            return await self._events(request, found)
        asked = self._asked(request, found, request.query)
        if (feed := self._feeds.find(request.path)) is not None:
            asked.parts = feed[1]
            return await feed[0].answer(asked)
        if (follow := self._follows.find(request.path)) is not None:
            asked.parts = follow[1]
            pieces = self._streams.others(asked, follow[0].pieces(asked))
            name = follow[0].file_name
            # Of a file among others, its own name.
            return Pieces(pieces, follow[0].kind, request.path.rpartition("/")[2] if name == "file" else name)
        if (page := self._pages.find(request.path)) is None:
            raise WebError(404, "There is no page at this address.")
        asked.parts = page[1]
        return await self._page(asked, page[0], found)

    def _static(self, request: Request) -> Response:
        asset = self._assets.get(request.path.removeprefix("/static/"))
        if asset is None or request.method not in ("GET", "HEAD"):
            raise WebError(404, "There is no such file.")
        is_named = request.query.get("v") == asset.tag
        keep = b"public, max-age=31536000, immutable" if is_named else b"no-cache"
        return Response(asset.data, kind=asset.kind, headers=[(b"cache-control", keep)])

    # Signing in and out

    async def _login(self, request: Request) -> Response:
        then = request.query.get("next", "")
        # A path of ours: `address` makes nothing of it that a browser takes for another host.
        then = then if then.startswith("/") and not then.startswith(("//", "/\\")) else "/"
        if request.method == "POST":
            form = await request.form()
            try:
                return await self._entry.by_token(request, form.get("id", ""), form.get("secret", ""), then)
            except WebError as error:
                return self._login_page(request, error.text, error.status)
        if (code := request.query.get("code", "")) and request.method == "GET":
            signed_in = self._entry.by_code(request, code)
            said = "This link was used already, or is older than a minute. `wherry dashboard` gives another."
            return signed_in or self._login_page(request, said, 403)
        if self._entry.find(request) is not None:
            return led_to(request.place.prefix, then)
        return self._login_page(request, "", 200)

    def _login_page(self, request: Request, problem: str, status: int) -> Response:
        text = self._renderer(request).page("login.html", {"problem": problem, "next": request.query.get("next", "")})
        return Response(text.encode(), status)

    def _to_login(self, request: Request) -> Response:
        if request.header(b"sec-fetch-site") == "cross-site" and guard.is_navigation(request):
            # Of a link on another page browsers leave the cookie out: what follows from here has it.
            there = html.escape(address(request.place.prefix, request.path, request.query), quote=True)
            return Response(f'<!doctype html><meta http-equiv="refresh" content="0; url={there}">'.encode())
        if request.method not in ("GET", "HEAD") or request.header(b"sec-fetch-dest") in ("empty", "iframe"):
            raise WebError(401, "Sign in first: run `wherry dashboard`.")
        then = {} if request.path == "/" else {"next": request.path}
        return led_to(request.place.prefix, "/login", then)

    # Pages

    def _asked(self, request: Request, found: SignedIn, query: dict[str, str]) -> Asked:
        token_id = found.session.token_id
        caller = self._callers.by_token(token_id, request.peer) if token_id else self._callers.local()
        kept = (request.cookies(_ENVIRONMENT) or [""])[0]
        environment = query.get("env", "") or kept or "main"
        return Asked(request, found.session, caller, self._kept, environment[:64], query=query)

    async def _page(self, asked: Asked, page: Page, found: SignedIn) -> Response:
        request = asked.request
        renderer = self._renderer(request)
        listed = await ask(asked.caller, "Environments.List", EnvironmentListRequest())
        names = [one.name for one in listed.environments]
        if asked.environment not in names and not asked.query.get("env"):
            # The one that was looked at last is gone, or is another token's.
            asked.environment = "main" if "main" in names or not names else names[0]
        data = {**_around(asked, found), **await page.data(asked)}
        kept = {key: value for key, value in asked.query.items() if key not in ("env", "page")}
        about = {**kept, "env": asked.environment, "page": request.path, guard.PROOF_FIELD: proof_of(found.cookie)}

        def stream(tags: dict[str, str]) -> str:
            seen = " ".join(f"{name}:{tag}" for name, tag in tags.items())
            return address(request.place.prefix, "/events", {**about, "seen": seen})

        around = {"page": page, "environments": names, "said": self._said.pop(found.session.key, ""), "stream": ""}
        shown = {**data, **around}
        make = stream if page.live else None
        text = renderer.page(page.template, shown, make)
        response = Response(text.encode("utf-8", "replace"), styles_inline=page.styles_inline)
        if asked.query.get("env") in names:
            path = request.place.prefix or "/"
            cookie = f"{_ENVIRONMENT}={asked.environment}; Path={path}; HttpOnly; SameSite=Strict"
            response.headers.append((b"set-cookie", cookie.encode()))
        return response

    async def _events(self, request: Request, found: SignedIn) -> Pieces:
        query = {key: value for key, value in request.query.items() if key not in ("page", "seen", guard.PROOF_FIELD)}
        page = self._pages.find(request.query.get("page", ""))
        if page is None or not page[0].live:
            raise WebError(404, "There is no such page.")
        seen = dict(item.split(":", 1) for item in request.query.get("seen", "").split() if ":" in item)
        asked = self._asked(request, found, query)
        asked.parts = page[1]
        renderer, around = self._renderer(request), _around(asked, found)
        parts = self._streams.of_page(
            asked, page[0], lambda name, data: renderer.block(page[0].template, name, {**around, **data}), seen
        )
        return Pieces(parts)

    async def _post(self, request: Request, found: SignedIn) -> Response:
        if request.method != "POST":
            raise WebError(405, "Pages are read, and forms are sent; there is nothing else here.")
        form = await request.form()
        guard.check_proof(request, found.cookie, guard.proof_in(request) or form.get(guard.PROOF_FIELD, ""))
        if request.path == "/logout":
            return self._entry.end(request, found.session)
        action = self._actions.find(request.path)
        if action is None:
            raise WebError(404, "There is nothing that does this.")
        asked = self._asked(request, found, request.query)
        asked.parts = action[1]
        done = await action[0].do(asked, form)
        if done.said:
            if len(self._said) > MAX_SAID:
                self._said.clear()
            self._said[found.session.key] = done.said
        return led_to(request.place.prefix, done.path)

    # Answers

    def _renderer(self, request: Request) -> Renderer:
        prefix = request.place.prefix
        if prefix not in self._renderers:
            self._renderers[prefix] = Renderer(prefix, self._assets)
        return self._renderers[prefix]

    def _refused(self, request: Request, error: WebError) -> Response:
        if request.header(b"hx-request") or "json" in request.header(b"accept"):
            return Response(error.text.encode("utf-8", "replace"), error.status, "text/plain; charset=utf-8")
        if self._assets.missing:
            text = f"<!doctype html><title>Wherry</title><p>{html.escape(error.text)}</p>"
        else:
            data = {"status": error.status, "phrase": phrase(error.status), "text": error.text}
            text = self._renderer(request).page("error.html", data)
        return Response(text.encode("utf-8", "replace"), error.status)

    async def _send_stream(self, request: Request, pieces: Pieces, send: Any) -> None:
        """Send what comes, until the browser has gone."""
        headers = [(b"content-type", pieces.kind.encode()), *guard.shielded(request, is_private=True)]
        if pieces.file_name:
            name = f"attachment; filename*=UTF-8''{quote(pieces.file_name, safe='')}"
            headers.append((b"content-disposition", name.encode()))

        async def pass_on() -> None:
            begun = False
            try:
                async for piece in pieces.pieces:
                    if not begun:
                        await send({"type": "http.response.start", "status": 200, "headers": headers})
                        begun = True
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            except WebError as error:
                if not begun:
                    await _send_whole(request, self._refused(request, error), send)
                    return
            if not begun:
                await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        sending, gone = asyncio.ensure_future(pass_on()), asyncio.ensure_future(request.gone())
        try:
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            if not sending.done():
                sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending


def _around(asked: Asked, found: SignedIn) -> Data:
    """Return what every part of a page is given."""
    return {
        "environment": asked.environment,
        "here": asked.request.path,
        "proof": proof_of(found.cookie),
        "proof_field": guard.PROOF_FIELD,
        "proof_header": guard.PROOF_HEADER.decode(),
        "query": asked.query,
    }


async def _send_whole(request: Request, response: Response, send: Any) -> None:
    is_static = any(name == b"cache-control" for name, _ in response.headers)
    headers = [
        (b"content-type", response.kind.encode()),
        (b"content-length", str(len(response.body)).encode()),
        *guard.shielded(request, not is_static, response.styles_inline),
        *response.headers,
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    body = b"" if request.method == "HEAD" else response.body
    await send({"type": "http.response.body", "body": body, "more_body": False})
