"""Who may call what over TCP: one rule for every rpc. One without a rule is refused, and fails a test."""

from enum import Enum
from typing import NamedTuple

ANY = ("deploy", "invoke")
DEPLOY = ("deploy",)
INVOKE = ("invoke",)
# Of every scope that there is, only "admin" has this; it is in every rule.
ADMIN: tuple[str, ...] = ()


class Where(Enum):
    """How the environment of a request is found."""

    # Its field `environment`; empty means "main".
    FIELD = "field"
    # That of the object it names.
    APP = "app"
    FUNCTION = "function"
    CALL = "call"
    # By the function's id, else by the field.
    LOOKUP = "lookup"
    # In any environment at all: what is asked belongs to none.
    ANYWHERE = "anywhere"
    # In all environments: it concerns the whole service.
    EVERYWHERE = "everywhere"
    # Each call within the session is checked (access.py).
    SESSION = "session"
    # The handler is given the token, and checks.
    HANDLER = "handler"
    # Only on the service's machine.
    NOWHERE = "nowhere"


class Rule(NamedTuple):
    """Any one of these scopes (or admin) in the request's environment."""

    scopes: tuple[str, ...]
    where: Where
    # Whether the audit log has it.
    audited: bool = False


RULES: dict[str, Rule] = {
    "Apps.Open": Rule(DEPLOY, Where.FIELD, True),
    "Apps.Publish": Rule(DEPLOY, Where.APP, True),
    "Apps.Stop": Rule(DEPLOY, Where.APP, True),
    "Apps.List": Rule(ANY, Where.FIELD),
    "Functions.Lookup": Rule(ANY, Where.LOOKUP),
    "Functions.Stats": Rule(ANY, Where.FUNCTION),
    "Functions.Bind": Rule(ANY, Where.FUNCTION),
    "Functions.Update": Rule(DEPLOY, Where.FUNCTION, True),
    "Images.Ensure": Rule(DEPLOY, Where.ANYWHERE),
    "Blobs.Missing": Rule(DEPLOY, Where.HANDLER),
    "Blobs.Put": Rule(ANY, Where.HANDLER),
    "Blobs.PutSource": Rule(DEPLOY, Where.HANDLER),
    # The id of a payload is 80 random bits, told only to those it is for.
    "Blobs.Get": Rule(ANY, Where.HANDLER),
    "Blobs.Adopt": Rule(ADMIN, Where.NOWHERE),
    "Blobs.Locate": Rule(ADMIN, Where.NOWHERE),
    "Calls.Session": Rule(ANY, Where.SESSION),
    "Calls.Graph": Rule(INVOKE, Where.CALL),
    "Calls.Values": Rule(INVOKE, Where.CALL),
    "Server.Info": Rule(ANY, Where.HANDLER),
    "Server.Stop": Rule(ADMIN, Where.EVERYWHERE, True),
    "Tokens.Create": Rule(ADMIN, Where.HANDLER, True),
    "Tokens.List": Rule(ADMIN, Where.HANDLER),
    "Tokens.Revoke": Rule(ADMIN, Where.HANDLER, True),
    "Tokens.Who": Rule(ANY, Where.HANDLER),
    "Audit.List": Rule(ADMIN, Where.EVERYWHERE),
}
