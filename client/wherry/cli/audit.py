"""`wherry audit`: who did what."""

import typer

from wherry._connection.client import default_client
from wherry.cli._common import JSON_OPTION, show_json, show_table, time_of
from wherry_proto.messages import AuditListRequest, AuditListResponse

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
    rows = [[time_of(e.at_ms), e.token_name or e.token_id, e.action, e.target, e.outcome, e.peer] for e in entries]
    show_table(["at", "who", "action", "target", "outcome", "peer"], rows)
