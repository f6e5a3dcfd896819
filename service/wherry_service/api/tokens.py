"""Tokens: who may do what over TCP. Secrets are random, 256 bits, and known here only as hashes."""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable

from wherry_proto.messages import TokenInfo
from wherry_service.errors import Exhausted, InvalidRequest, NotFound, Unauthenticated
from wherry_service.ids import new_id
from wherry_service.store.tokens import TokenStore

SCOPES = ("admin", "deploy", "invoke", "metrics")
EVERYWHERE = "*"
FAILURES_WITHIN_S = 60.0
# Addresses whose failures are remembered.
MAX_FAILING = 10_000
_ENVIRONMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SECRET_PREFIX = "ws-"


class Tokens:
    """All tokens, in memory and on disk."""

    def __init__(self, store: TokenStore, max_failures: int, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._now = now
        self._max_failures = max_failures
        self._tokens: dict[str, tuple[TokenInfo, bytes]] = {}
        # Of an address: when its minute began, and how often it has failed since.
        self._failures: dict[str, tuple[float, int]] = {}
        # Addresses and the tokens they have proven: others at the same address (a proxy's) can't lock them out.
        self._proven_at: set[tuple[str, str]] = set()
        # Log-ins since the service began: that proved a token, and that did not.
        self.num_proven = self.num_refused = 0

    async def begin(self) -> None:
        """Read them from disk."""
        self._tokens = {token.token_id: (token, secret_hash) for token, secret_hash in await self._store.all()}

    def all(self) -> list[TokenInfo]:
        """Return every token, also those that were revoked."""
        return [token for token, _ in self._tokens.values()]

    async def create(
        self, name: str, scopes: list[str], environments: list[str], expect: Callable[[str], None]
    ) -> tuple[TokenInfo, str]:
        """Make a token; return it with its secret. Raises `InvalidRequest` for scopes that don't exist and the like.

        `expect` raises `NotFound` for an environment that is not there.
        """
        if not name or len(name) > 64 or not name.isprintable():
            raise InvalidRequest("a token's name has 1 to 64 printable characters: say what the token is for")
        for scope in scopes:
            if scope not in SCOPES:
                raise InvalidRequest(f"there is no scope {scope[:64]!r}: use {', '.join(SCOPES)}")
        for environment in environments:
            if environment != EVERYWHERE and not _ENVIRONMENT.fullmatch(environment):
                raise InvalidRequest(f"{environment[:64]!r} can't be an environment's name")
            if environment != EVERYWHERE:
                expect(environment)
        if not scopes or not environments:
            raise InvalidRequest(f"a token has scopes ({', '.join(SCOPES)}) and environments, at least one of each")
        token = TokenInfo(
            token_id=new_id("tk"),
            name=name,
            scopes=sorted(set(scopes)),
            environments=sorted(set(environments)),
            created_at_ms=int(self._now() * 1000),
        )
        secret = _SECRET_PREFIX + secrets.token_urlsafe(32)
        await self._store.add(token, _hash(secret))
        self._tokens[token.token_id] = (token, _hash(secret))
        return token, secret

    async def revoke(self, token_id: str) -> TokenInfo:
        """End a token; one that has ended stays as it is."""
        token = self.get(token_id)
        if not token.revoked_at_ms:
            at_ms = int(self._now() * 1000)
            await self._store.revoke(token_id, at_ms)
            token.revoked_at_ms = at_ms
        return token

    async def environment_changed(self, name: str, new_name: str) -> None:
        """Have tokens reach an environment under its new name; where that is "", it is gone, and they don't reach it.

        A token that reached no other is revoked: one made later under the same name is not for who holds it.
        """
        for token, _ in list(self._tokens.values()):
            if name not in token.environments:
                continue
            environments = {new_name if one == name else one for one in token.environments} - {""}
            if environments:
                await self._store.set_environments(token.token_id, sorted(environments))
                token.environments = sorted(environments)
            else:
                await self.revoke(token.token_id)

    def get(self, token_id: str) -> TokenInfo:
        """Return a token; raise `NotFound`."""
        if token_id not in self._tokens:
            raise NotFound(f"there is no token {token_id[:64]!r}")
        return self._tokens[token_id][0]

    def check(self, token_id: str, secret: str, address: str) -> TokenInfo:
        """Return the token that these prove; raise `Unauthenticated`, or `Exhausted` after too many failures.

        Why it is refused is not told: a wrong id, a wrong secret and a revoked token look alike.
        """
        began, count = self._failures.get(address, (0.0, 0))
        now = self._now()
        if now - began >= FAILURES_WITHIN_S:
            began, count = now, 0
        elif count >= self._max_failures and (address, token_id) not in self._proven_at:
            wait = FAILURES_WITHIN_S - (now - began)
            raise Exhausted(f"too many failed log-ins from this address: try again in {wait:.0f} s")
        token = self._proven(token_id, secret)
        if token is not None:
            if len(self._proven_at) >= MAX_FAILING:
                self._proven_at.clear()
            self._proven_at.add((address, token_id))
            self.num_proven += 1
            return token
        self.num_refused += 1
        if not token_id and not secret:
            raise Unauthenticated(
                "this service wants a token: set WHERRY_TOKEN_ID and WHERRY_TOKEN_SECRET, or a profile"
            )
        if len(self._failures) >= MAX_FAILING:
            self._failures.clear()
        self._failures[address] = (began, count + 1)
        raise Unauthenticated(
            "this token is not valid here: check WHERRY_TOKEN_ID and WHERRY_TOKEN_SECRET, or ask for another"
        )

    def unrevoked(self, token_id: str) -> TokenInfo:
        """Return a token that was proven before; raise `Unauthenticated` if it was revoked since."""
        token, _ = self._tokens.get(token_id, (None, b""))
        if token is None or token.revoked_at_ms:
            raise Unauthenticated("the token of this log-in is not valid any more: log in with another")
        return token

    def is_valid(self, token_id: str, secret: str) -> bool:
        """Whether these prove a token. Failures are not counted: `check` does that."""
        return self._proven(token_id, secret) is not None

    def invokes(self, token_id: str, secret: str, environment: str) -> bool:
        """Whether these prove a token that may call functions of that environment."""
        token = self._proven(token_id, secret)
        return token is not None and allows(token, ("invoke",), environment)

    def _proven(self, token_id: str, secret: str) -> TokenInfo | None:
        """Return the token, if there is one, it is not revoked, and the secret is its own."""
        token, secret_hash = self._tokens.get(token_id, (None, b"\0" * 32))
        proven = hmac.compare_digest(_hash(secret), secret_hash)
        return token if token is not None and proven and not token.revoked_at_ms else None


def reaches(token: TokenInfo, environment: str) -> bool:
    """Whether a token is for that environment; "*" asks for all of them."""
    return EVERYWHERE in token.environments or environment in token.environments


def allows(token: TokenInfo, scopes: Iterable[str], environment: str) -> bool:
    """Whether a token has one of these scopes in that environment; "deploy+invoke" are two at once."""
    if not reaches(token, environment):
        return False
    return "admin" in token.scopes or any(set(one.split("+")) <= set(token.scopes) for one in scopes)


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
