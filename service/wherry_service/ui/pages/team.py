"""Environments, tokens, and who did what."""

import itertools
from collections.abc import Mapping

from wherry_proto.messages import (
    AuditEntry,
    AuditListRequest,
    EnvironmentInfo,
    EnvironmentListRequest,
    TokenInfo,
    TokenListRequest,
    TokenRevokeRequest,
)
from wherry_service.ids import check_id
from wherry_service.ui.page import Action, Asked, Data, Done, Page
from wherry_service.ui.table import Button, Cell, Column, count, identity, state, table, when, word

ENTRIES = 300

_ENVIRONMENTS = (
    Column("Environment", lambda one: word(one.name)),
    Column("Apps", lambda one: count(one.num_apps), number=True),
    Column("Sandboxes", lambda one: count(one.num_sandboxes), number=True),
    Column("Stored under names", lambda one: count(one.num_objects), number=True),
    Column("Made", lambda one: when(one.created_at_ms)),
)
_TOKENS = (
    Column("Token", lambda one: identity(one.token_id)),
    Column("Name", lambda one: word(one.name)),
    Column("Scopes", lambda one: word(", ".join(one.scopes))),
    Column("Environments", lambda one: word(", ".join(one.environments) or "all")),
    Column("Made", lambda one: when(one.created_at_ms)),
    Column("State", lambda one: state("revoked" if one.revoked_at_ms else "valid")),
)
_AUDIT = (
    Column("When", lambda one: when(one.at_ms)),
    Column("Who", lambda one: word(one.token_name or one.token_id)),
    Column("Action", lambda one: word(one.action)),
    Column("Environment", lambda one: word(one.environment)),
    Column("What", lambda one: word(one.target[:120])),
    Column("Outcome", lambda one: Cell(one.outcome, kind="" if one.outcome == "ok" else "bad")),
    Column("From", lambda one: word(one.peer)),
)


async def environments(asked: Asked) -> Data:
    """Return the environments that may be seen."""
    listed = await asked.ask("Environments.List", EnvironmentListRequest())

    def row_id(one: EnvironmentInfo) -> str:
        return one.name

    return {"heading": "Environments", "tables": [table("", _ENVIRONMENTS, listed.environments, row_id, "None.")]}


async def tokens(asked: Asked) -> Data:
    """Return all tokens: without their secrets, which nobody has."""
    listed = await asked.ask("Tokens.List", TokenListRequest(include_revoked=True))

    def row_id(one: TokenInfo) -> str:
        return one.token_id

    def buttons(one: TokenInfo) -> list[Button]:
        question = f"Revoke {one.name or one.token_id}? Whoever uses it is refused from then on."
        revoke = Button("Revoke", "/tokens/revoke", {"token_id": one.token_id}, question)
        return [] if one.revoked_at_ms else [revoke]

    rows = sorted(listed.tokens, key=lambda one: (bool(one.revoked_at_ms), one.name))
    empty, command = "There is no token: only this machine's user reaches the service.", "wherry token create NAME"
    return {"heading": "Tokens", "tables": [table("", _TOKENS, rows, row_id, empty, command, buttons)]}


async def revoke(asked: Asked, form: Mapping[str, str]) -> Done:
    """Revoke a token."""
    token_id = check_id(form.get("token_id", ""), "tk", "token id")
    await asked.ask("Tokens.Revoke", TokenRevokeRequest(token_id=token_id))
    return Done("/tokens", f"{token_id} is revoked.")


async def audit(asked: Asked) -> Data:
    """Return what was done last, and by whom."""
    listed = await asked.ask("Audit.List", AuditListRequest(limit=ENTRIES))

    numbers = itertools.count()

    def row_id(one: AuditEntry) -> str:
        return str(next(numbers))

    note = f"The last {ENTRIES} entries, of all environments. wherry audit list shows more."
    empty = "Nothing is in the audit log."
    return {"heading": "Audit log", "note": note, "tables": [table("", _AUDIT, listed.entries, row_id, empty)]}


PAGES = (
    Page("/environments", "list.html", environments, live=("tables",), section="Environments"),
    Page("/tokens", "list.html", tokens, live=("tables",), section="Tokens"),
    Page("/audit", "list.html", audit, live=("tables",), section="Audit log"),
)
ACTIONS = (Action("/tokens/revoke", revoke),)
