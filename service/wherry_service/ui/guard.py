"""Who may ask a page at all, before it is asked who they are: what browsers say of where a request comes from.

User's endpoints are pages of other people, on sibling names of the same port and, at plain addresses, at the same
origin. The cookie alone proves nothing there: what is fetched by a script or sent by a form also carries what only our
own pages know (`logins.proof_of`), and a whole page is given to a browser's own navigation alone.
"""

import hmac
import ipaddress

from wherry_service.api.logins import proof_of
from wherry_service.ingress.heads import Peer
from wherry_service.ui.web import Headers, Request, WebError

# What a page's script sends with what it fetches; a form has the same in a field, a stream in its query.
PROOF_HEADER = b"x-wherry-page"
PROOF_FIELD = "wherry_page"
_STRANGERS = ("cross-site", "same-site")
_READING = ("GET", "HEAD")


def is_near(peer: Peer) -> bool:
    """Whether a browser is on this machine."""
    try:
        return ipaddress.ip_address(peer.host.strip("[]")).is_loopback
    except ValueError:
        # A socket without an address, or a proxy's nonsense.
        return False


def check_way(peer: Peer, remote: bool) -> None:
    """Raise `WebError` where the dashboard is not for the machine that asks, or what it is told could be read."""
    if is_near(peer):
        return
    if not remote:
        raise WebError(403, "The dashboard is open on the service's own machine only. The setting ui.remote opens it.")
    if peer.scheme != "https":
        raise WebError(403, "The dashboard needs TLS for other machines: open its https address.")


def is_navigation(request: Request) -> bool:
    """Whether a browser's own navigation asks for a whole page, and no script."""
    return (
        request.header(b"sec-fetch-mode") == "navigate"
        and request.header(b"sec-fetch-dest") == "document"
        and request.method in _READING
    )


def check_source(request: Request) -> None:
    """Raise `WebError` for what other pages send: by a form, a script, a frame or an image."""
    site = request.header(b"sec-fetch-site")
    if site in _STRANGERS and not is_navigation(request):
        raise WebError(403, "Another page asked for this. Only the dashboard's own pages may.")
    if request.place.is_shared and not site:
        raise WebError(
            403,
            "Apps answer at this address too, and this browser does not say which page asks. Open the dashboard at its "
            "own name, or by TLS.",
        )
    origin = request.header(b"origin")
    if request.scope["type"] == "websocket" or request.method not in _READING:
        if origin != request.origin and not (not origin and site == "same-origin"):
            raise WebError(403, "This came from another page than the dashboard's own.")
    elif origin and origin != request.origin:
        raise WebError(403, "Another page asked for this. Only the dashboard's own pages may.")


def check_proof(request: Request, cookie: str, given: str) -> None:
    """Raise `WebError` unless a request carries what only our own pages know."""
    if not hmac.compare_digest(given.encode("utf-8", "replace"), proof_of(cookie).encode()):
        raise WebError(403, "This page is out of date: load it again.")


def proof_in(request: Request) -> str:
    """Return what a script or a stream sends of it."""
    if found := request.header(PROOF_HEADER):
        return found
    return request.query.get(PROOF_FIELD, "")


def shielded(request: Request, is_private: bool, styles_inline: bool = False) -> Headers:
    """Return the headers that every response has. `styles_inline`: for a terminal, which makes its own style sheet."""
    base = f"{request.origin}{request.place.prefix}"
    policy = (
        "default-src 'none'",
        f"script-src {base}/static/",
        f"style-src {base}/static/" + (" 'unsafe-inline'" if styles_inline else ""),
        f"img-src {base}/static/ data:",
        f"connect-src 'self' {request.origin.replace('http', 'ws', 1)}",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
    found = [
        (b"content-security-policy", "; ".join(policy).encode("latin-1")),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    ]
    if is_private:
        found.append((b"cache-control", b"no-store"))
    return found
