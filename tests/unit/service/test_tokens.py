"""Tokens: made, proven, limited, revoked; and what lets requests to web endpoints in."""

import asyncio
import base64

import pytest

from wherry_proto.messages import TokenInfo
from wherry_service.api import tokens as tokens_module
from wherry_service.api.tokens import FAILURES_WITHIN_S, Tokens, allows
from wherry_service.errors import Exhausted, InvalidRequest, NotFound, Unauthenticated
from wherry_service.ingress.auth import EitherProxyAuth, StaticProxyAuth, TokenProxyAuth
from wherry_service.store.tokens import TokenStore


class Memory(TokenStore):
    """Keeps the table in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[TokenInfo, bytes]] = {}

    async def add(self, token: TokenInfo, secret_hash: bytes) -> None:
        self.rows[token.token_id] = (token, secret_hash)

    async def revoke(self, token_id: str, at_ms: int) -> None:
        self.rows[token_id][0].revoked_at_ms = at_ms

    async def all(self) -> list[tuple[TokenInfo, bytes]]:
        return list(self.rows.values())


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def made(tokens: Tokens, scopes: list[str], environments: list[str]) -> tuple[str, str]:
    token, secret = asyncio.run(tokens.create("test", scopes, environments, lambda environment: None))
    return token.token_id, secret


def test_a_secret_is_kept_as_its_hash_alone_and_proves_its_token() -> None:
    store = Memory()
    tokens = Tokens(store, 3)
    token_id, secret = made(tokens, ["invoke"], ["main"])
    assert secret.encode() not in store.rows[token_id][1]
    again = Tokens(store, 3)
    asyncio.run(again.begin())
    assert again.check(token_id, secret, "a").token_id == token_id
    for wrong in ((token_id, secret + "x"), ("tk-1", secret), (token_id, "\udcff")):
        with pytest.raises(Unauthenticated, match="this token is not valid here"):
            again.check(*wrong, "b")
    with pytest.raises(Unauthenticated, match="wants a token"):
        again.check("", "", "c")


def test_failed_log_ins_of_an_address_are_limited_and_lock_nobody_out_who_was_let_in_there() -> None:
    clock = Clock()
    tokens = Tokens(Memory(), 3, clock)
    known, other = made(tokens, ["invoke"], ["main"]), made(tokens, ["invoke"], ["main"])
    tokens.check(*known, "proxy")
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            tokens.check("tk-1", "guess", "proxy")
    with pytest.raises(Exhausted, match="try again in 60 s"):
        tokens.check(*other, "proxy")
    assert tokens.check(*known, "proxy")
    assert tokens.check(*other, "elsewhere")
    clock.now += FAILURES_WITHIN_S
    assert tokens.check(*other, "proxy")


def test_so_many_addresses_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens_module, "MAX_FAILING", 50)
    tokens = Tokens(Memory(), 3)
    known = made(tokens, ["invoke"], ["main"])
    for number in range(500):
        with pytest.raises(Unauthenticated):
            tokens.check("tk-1", "guess", f"address {number}")
        assert tokens.check(*known, f"other {number}")
        assert len(tokens._failures) <= 50
        assert len(tokens._proven_at) <= 50


def test_a_revoked_token_is_known_and_proves_nothing() -> None:
    tokens = Tokens(Memory(), 3)
    token_id, secret = made(tokens, ["admin"], ["*"])
    first = asyncio.run(tokens.revoke(token_id)).revoked_at_ms
    assert asyncio.run(tokens.revoke(token_id)).revoked_at_ms == first > 0
    with pytest.raises(Unauthenticated):
        tokens.check(token_id, secret, "a")
    with pytest.raises(NotFound, match="there is no token 'tk-1'"):
        asyncio.run(tokens.revoke("tk-1"))


@pytest.mark.parametrize(
    ("name", "scopes", "environments", "told"),
    [
        ("", ["invoke"], ["main"], "1 to 64 printable"),
        ("a\nb", ["invoke"], ["main"], "1 to 64 printable"),
        ("a", ["invoice"], ["main"], "there is no scope 'invoice': use admin, deploy, invoke"),
        ("a", [], ["main"], "at least one of each"),
        ("a", ["invoke"], [], "at least one of each"),
        ("a", ["invoke"], ["../x"], "can't be an environment's name"),
    ],
)
def test_what_is_no_token_is_told(name: str, scopes: list[str], environments: list[str], told: str) -> None:
    with pytest.raises(InvalidRequest, match=told):
        asyncio.run(Tokens(Memory(), 3).create(name, scopes, environments, lambda environment: None))


def test_scopes() -> None:
    both = TokenInfo(scopes=["deploy", "invoke"], environments=["main"])
    one = TokenInfo(scopes=["deploy"], environments=["main"])
    admin = TokenInfo(scopes=["admin"], environments=["*"])
    assert allows(both, ("deploy+invoke",), "main")
    assert not allows(one, ("deploy+invoke",), "main")
    assert allows(one, ("deploy", "invoke"), "main")
    assert not allows(both, ("deploy",), "dev")
    assert not allows(both, ("deploy",), "*")
    assert not allows(both, (), "main")
    assert allows(admin, (), "anything")
    assert allows(admin, ("deploy+invoke",), "*")


def test_proxy_auth_takes_tokens_that_may_invoke_and_those_of_the_setting() -> None:
    tokens = Tokens(Memory(), 3)
    invoker, deployer = made(tokens, ["invoke"], ["main"]), made(tokens, ["deploy"], ["main"])
    auth = EitherProxyAuth(StaticProxyAuth(["a:b"]), TokenProxyAuth(tokens.invokes))

    def headers(token_id: str, secret: str) -> list[tuple[bytes, bytes]]:
        return [(b"wherry-key", token_id.encode()), (b"wherry-secret", secret.encode())]

    assert auth.allowed(iter(headers(*invoker)), "main")
    basic = base64.b64encode(":".join(invoker).encode())
    assert auth.allowed([(b"authorization", b"Basic " + basic)], "main")
    assert auth.allowed(headers("a", "b"), "dev")
    assert not auth.allowed(headers(*invoker), "dev")
    assert not auth.allowed(headers(*deployer), "main")
    assert not auth.allowed(headers(invoker[0], "wrong"), "main")
    assert not auth.allowed([], "main")
    asyncio.run(tokens.revoke(invoker[0]))
    assert not auth.allowed(headers(*invoker), "main")
