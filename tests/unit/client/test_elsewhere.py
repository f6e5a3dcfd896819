"""What Modal has and means nothing on one's own machines: it can be imported, and says why it can't be used."""

from fnmatch import fnmatchcase
from typing import Any

import pytest

import wherry
import wherry.billing
import wherry.cluster
import wherry.partial_function
import wherry.sandbox
import wherry.types
import wherry.workspace
from wherry._base.elsewhere import ROWS, row_of
from wherry.exception import InvalidError


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (
            lambda: wherry.Workspace.from_context(client=None),
            "Workspace is not in Wherry: there are no accounts",
        ),
        (
            lambda: wherry.workspace.WorkspaceMembersManager(None),
            "create one for each person or program",
        ),
        (lambda: wherry.Proxy.from_name("p"), "Proxy is not .* allow that address"),
        (lambda: wherry.clustered(size=2), "clustered is not .* one container with more GPUs"),
        (lambda: wherry.partial_function.clustered(4), "clustered is not in Wherry: containers"),
        (lambda: wherry.experimental.clustered(2), "clustered is not in Wherry: containers"),
        (
            lambda: wherry.billing.workspace_billing_report(start=None),
            "workspace_billing_report is not",
        ),
        (lambda: wherry.billing.workspace_billing_report.aio(start=None), "nobody sends you a bill"),
        (lambda: wherry.SandboxSnapshot.from_id("sn-1"), "SandboxSnapshot .*snapshot_filesystem"),
        (lambda: wherry.experimental.Stream.from_name("s"), "Stream .* use a Queue"),
        (wherry.experimental.stop_fetching_inputs, "is decided outside of it"),
        (lambda: wherry.sandbox.SidecarManager.create("ls"), "SidecarManager .* start a second sandbox"),
        (lambda: wherry.types.SandboxStats(None), "SandboxStats .* nobody sends you a bill"),
        (lambda: wherry.types.TokenData("a", "b"), "TokenData .* there are no accounts"),
        (lambda: wherry.App("x").sandboxes, "App.sandboxes .* nobody sends you a bill"),
        (lambda: wherry.App("x").get_dashboard_url(), "the dashboard is opened by a link"),
        (lambda: wherry.Client.from_oauth_credentials("r", oauth_client_id="i"), "Wherry is no identity provider"),
        (lambda: wherry.Mount.from_name("m"), "Mount.from_name is not in Wherry: .*add_local_dir"),
    ],
)
def test_a_name_that_is_refused_says_why_and_what_to_use(use: Any, said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        use()


def test_a_name_that_is_refused_serves_in_type_hints_and_isinstance() -> None:
    def f(proxy: wherry.Proxy | None) -> None: ...

    assert not isinstance(f, wherry.Proxy)
    assert wherry.cluster.Cluster.__doc__ == (
        "Not in Wherry: containers have no private network between them, so several can't work on one input; use one "
        "container with more GPUs, or `map` over parts."
    )
    assert not hasattr(wherry.Proxy, "_private")


def test_a_placement_of_a_cloud_is_accepted() -> None:
    assert wherry.SchedulerPlacement(region="us-east", spot=True).region == "us-east"


def test_the_table_is_in_order() -> None:
    for row in ROWS:
        assert row.how in ("accepted", "ignored", "refused", "differs", "inner")
        assert row.why[0].islower() or row.why.startswith(("Wherry", "Modal")), row.title
        assert not row.sentence.endswith((".", ";")), row.title
    assert row_of("modal.App.function(region=)") is row_of("modal.Sandbox.create(region=)")
    assert not any(fnmatchcase("modal.App.function(image=)", name) for row in ROWS for name in row.names)
