"""`wherry audit`: who did what."""

import typer

from wherry._connection.client import default_client
from wherry._screen.table import Column, Kind
from wherry.cli._listing import Listed, Listing
from wherry_proto import views
from wherry_proto.messages import AuditEntry, AuditListRequest, AuditListResponse

# What was done, by the method of the service that does it.
_WORDS = {
    "login": "log in",
    "Apps.Open": "open app",
    "Apps.Publish": "publish app",
    "Apps.SetTags": "tag app",
    "Apps.Stop": "stop app",
    "Containers.Stop": "stop container",
    "Deployments.Create": "deploy app",
    "Deployments.Rollback": "roll app back",
    "Execs.Run": "run a command in",
    "Images.Prune": "remove unused images",
    "Images.Publish": "name image",
    "Images.Unpublish": "remove image's name",
    "Sandboxes.CreateConnectToken": "create connect token",
    "Sandboxes.Mount": "mount image in sandbox",
    "Sandboxes.SetOutbound": "change what sandbox reaches",
    "Sandboxes.Snapshot": "snapshot sandbox",
    "Secrets.Rotate": "rotate secrets' key",
}


def words_of(action: str) -> str:
    """Return "delete volume" for `Volumes.Delete`, and what people call the others."""
    if action in _WORDS:
        return _WORDS[action]
    nouns, dot, verb = action.partition(".")
    if not dot:
        return action
    noun = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in nouns).strip()
    return f"{verb.lower()} {noun.removesuffix('es') if noun.endswith('xes') else noun.removesuffix('s')}"


group = typer.Typer(help="Read the audit log: who did what.", no_args_is_help=True)


@group.callback()
def audit() -> None:
    """The audit log: who did what."""


def _who(entry: AuditEntry) -> str:
    return "this machine's user" if entry.token_id == "local" else entry.token_name or entry.token_id


def _outcome(outcome: str) -> str:
    """Return "not found" for NOT_FOUND."""
    return outcome.lower().replace("_", " ")


_ENTRIES = Listed[AuditEntry](
    Column("who", _who),
    Column("action", lambda entry: words_of(entry.action)),
    Column("target", lambda entry: entry.target, leaves=3, cut=True),
    Column("outcome", lambda entry: _outcome(entry.outcome), Kind.STATE, leaves=2),
    Column("peer", lambda entry: entry.peer, leaves=4),
    Column("at", lambda entry: entry.at_ms, Kind.TIME),
    key=lambda entry: entry.target,
    keys="targets",
    described=views.audit_entry,
    empty="Nothing was changed yet, and nobody was refused.",
)


@group.command("list")
@_ENTRIES.command(limit=False, watch=False)
def list_entries(
    limit: int = typer.Option(
        100, "-n", "--limit", metavar="N", min=1, max=10_000, help="Show at most N, the latest first."
    ),
    *,
    listing: Listing[AuditEntry],
) -> None:
    """Show what was changed, and who was refused."""
    request = AuditListRequest(limit=limit)
    listing.show(lambda: default_client().call("Audit.List", request, AuditListResponse).entries)
