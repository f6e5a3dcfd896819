"""`wherry server metrics`: files for those who watch a service with Prometheus and Grafana."""

from pathlib import Path

import typer

from wherry.cli._usage import UsageError

_FOLDER = Path(__file__).with_name("monitoring")
GRAFANA, ALERTS = _FOLDER / "grafana.json", _FOLDER / "alerts.yaml"


def metrics(
    grafana: bool = typer.Option(False, "--grafana", help="A dashboard, as Grafana imports it."),
    alerts: bool = typer.Option(False, "--alerts", help="Alert rules, as Prometheus reads them."),
) -> None:
    """Print a dashboard or alert rules for the service's metrics.

    The service has metrics where `metrics.listen` is set.
    """
    if grafana == alerts:
        raise UsageError("say which file: --grafana for a dashboard, or --alerts for alert rules")
    typer.echo((GRAFANA if grafana else ALERTS).read_text(encoding="utf-8"), nl=False)
