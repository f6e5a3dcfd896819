"""Running and deploying an app from a program of one's own, by the names of the reference's `runner` module."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wherry._base.blocking import Bound
from wherry._base.elsewhere import refusal, refused

if TYPE_CHECKING:
    from wherry._calling.app_run import AppRun
    from wherry._connection.client import Client
    from wherry.app import App

__all__ = ["DeployResult", "deploy_app", "interactive_shell", "run_app"]


@dataclass(frozen=True)
class DeployResult:
    """What was deployed. The URLs are empty: `wherry dashboard` opens the dashboard. (reference: DeployResult)"""

    app_id: str
    app_page_url: str
    app_logs_url: str
    warnings: list[str] = field(default_factory=list)


def _run_app(
    app: App,
    *,
    name: str | None = None,
    client: Client | None = None,
    detach: bool = False,
    environment_name: str | None = None,
    interactive: bool = False,
    deployment_strategy: str = "rolling",
    stream_output: bool = True,
) -> AppRun[App]:
    """As `app.run(…)`, for `with` and `async with`. (reference: run_app)

    `deployment_strategy` and `stream_output` make no difference: `wherry.enable_output()` shows what containers print.
    Raises InvalidError for `interactive`: that is `wherry run -i`.
    """
    return app.run(client, None, detach, environment_name, name=name, interactive=interactive)


def _deploy_app(
    app: App,
    name: str | None = None,
    *,
    environment_name: str | None = None,
    tag: str = "",
    deployment_strategy: str = "rolling",
    client: Client | None = None,
    staged: bool = False,
) -> DeployResult:
    """As `app.deploy(…)`; return the app's id. (reference: deploy_app)

    Raises DeploymentError where the version does not start; InvalidError for `staged`.
    """
    if staged:
        raise refusal("staged", "modal.runner.deploy_app(staged=)")
    app.deploy(name, environment_name, client, tag, deployment_strategy)
    return DeployResult(app.app_id or "", "", "")


run_app: Any = _run_app
# What it returns serves `async with`, too.
run_app.aio = _run_app
deploy_app: Bound[..., DeployResult] = Bound((), _deploy_app, None)
# As they were called in 2023.
run_stub, deploy_stub = run_app, deploy_app
interactive_shell = refused("modal.runner.interactive_shell")
