"""Who may call endpoints with requires_proxy_auth."""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterable
from typing import Protocol

Headers = Iterable[tuple[bytes, bytes]]
# As tokens.py makes them.
_TOKEN = re.compile(rb"tk-[0-9A-HJKMNP-TV-Z]{26}:", re.IGNORECASE)


class ProxyAuth(Protocol):
    """Decides over requests; a table of tokens implements it as well as a setting."""

    def allowed(self, headers: Headers, environment: str) -> bool:
        """Say whether a request with these headers may call endpoints of that environment."""

    def is_token(self, credential: bytes) -> bool:
        """Say whether that, "id:secret", is a token of Wherry's, for whatever it is good: apps are not to see it."""


class StaticProxyAuth:
    """Tokens from a setting, each "id:secret", good for every environment."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._tokens = [token.encode() for token in tokens]

    def allowed(self, headers: Headers, environment: str) -> bool:
        given = token_of(headers)
        # All are compared, so that the time tells nothing.
        known = [hmac.compare_digest(given, token) for token in self._tokens]
        return bool(given) and any(known)

    def is_token(self, credential: bytes) -> bool:
        known = [hmac.compare_digest(credential, token) for token in self._tokens]
        return any(known)


class TokenProxyAuth:
    """Tokens of the service; `invokes` says whether an id and its secret may call functions of an environment."""

    def __init__(self, invokes: Callable[[str, str, str], bool]) -> None:
        self._invokes = invokes

    def allowed(self, headers: Headers, environment: str) -> bool:
        token_id, _, secret = token_of(headers).decode("latin-1").partition(":")
        return bool(secret) and self._invokes(token_id, secret, environment)

    def is_token(self, credential: bytes) -> bool:
        # Also one that was revoked, is mistyped, or is another service's.
        return _TOKEN.match(credential) is not None


class EitherProxyAuth:
    """Whoever one of these lets through."""

    def __init__(self, *auths: ProxyAuth) -> None:
        self._auths = auths

    def allowed(self, headers: Headers, environment: str) -> bool:
        headers = list(headers)
        return any(auth.allowed(headers, environment) for auth in self._auths)

    def is_token(self, credential: bytes) -> bool:
        return any(auth.is_token(credential) for auth in self._auths)


def token_of(headers: Headers) -> bytes:
    """Return the "id:secret" that a request carries, b"" if none.

    As Wherry-Key and Wherry-Secret (or, as in the reference, Modal-Key and Modal-Secret), or as authorization, basic or
    bearer.
    """
    found = {name: value for name, value in headers if name.endswith((b"-key", b"-secret")) or name == b"authorization"}
    for prefix in (b"wherry", b"modal"):
        key, secret = found.get(prefix + b"-key"), found.get(prefix + b"-secret")
        if key and secret:
            return key + b":" + secret
    return credential_of(found.get(b"authorization", b""))


def credential_of(authorization: bytes) -> bytes:
    """Return what an authorization carries, basic or bearer; b"" where it is neither."""
    scheme, _, value = authorization.strip().partition(b" ")
    if scheme.lower() == b"bearer":
        return value.strip()
    if scheme.lower() == b"basic":
        try:
            return base64.b64decode(value.strip(), validate=True)
        except binascii.Error:
            return b""
    return b""
