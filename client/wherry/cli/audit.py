"""`wherry audit`: who did what."""

import typer

from wherry._connection.client import default_client
from wherry.cli._common import JSON_OPTION, show_json, show_table, time_of
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


@group.command("list")
def list_entries(
    limit: int = typer.Option(100, "-n", "--limit", min=1, max=10_000, help="How many, the latest first."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Show what was changed, and who was refused."""
    entries = default_client().call("Audit.List", AuditListRequest(limit=limit), AuditListResponse).entries
    names = ("token_id", "token_name", "action", "environment", "target", "outcome", "peer")
    if as_json:
        show_json([{"at": time_of(e.at_ms), **{name: getattr(e, name) for name in names}} for e in entries])
        return
    rows = [[time_of(e.at_ms), _who(e), words_of(e.action), e.target, _outcome(e.outcome), e.peer] for e in entries]
    show_table(["at", "who", "action", "target", "outcome", "peer"], rows)


def _who(entry: AuditEntry) -> str:
    return "this machine's user" if entry.token_id == "local" else entry.token_name or entry.token_id


def _outcome(outcome: str) -> str:
    """Return "not found" for NOT_FOUND."""
    return outcome.lower().replace("_", " ")
