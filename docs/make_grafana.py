"""Writes the dashboard for Grafana: `python -m docs.make_grafana [--check]`."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from docs.made_page import write

PLACE = Path(__file__).parents[1] / "client/wherry/cli/monitoring/grafana.json"
COMMAND = "python -m docs.make_grafana"
# Of 24 columns.
WIDTH, HEIGHT = 8, 7
SOURCE = {"type": "prometheus", "uid": "${source}"}
# What a viewer chooses.
OF = 'environment=~"$environment",app=~"$app",function=~"$function"'
BY = "environment, app, function"


class Panel(NamedTuple):
    """A graph: its title, its unit as Grafana calls it, and its curves, each an expression and a legend."""

    title: str
    unit: str
    curves: tuple[tuple[str, str], ...]


def _rate(metric: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{OF}{more}}}[$__rate_interval]))"


def _quantile(part: float, metric: str, by: str, of: str = OF) -> str:
    return f"histogram_quantile({part}, sum by ({by}, le) (rate({metric}_bucket{{{of}}}[$__rate_interval])))"


FUNCTION = "{{app}}/{{function}}"
ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Calls",
        (
            Panel("Inputs that ended", "ops", ((_rate("wherry_inputs_total", "outcome"), "{{outcome}}"),)),
            Panel("Inputs by function", "ops", ((_rate("wherry_inputs_total", "app, function"), FUNCTION),)),
            Panel("Calls by kind", "ops", ((_rate("wherry_calls_total", "kind"), "{{kind}}"),)),
            Panel(
                "Waiting and running",
                "short",
                (
                    (f"sum(wherry_inputs_waiting{{{OF}}})", "waiting"),
                    (f"sum(wherry_inputs_running{{{OF}}})", "running"),
                ),
            ),
            Panel(
                "Time in the queue",
                "s",
                (
                    (_quantile(0.5, "wherry_input_queue_seconds", "job"), "p50"),
                    (_quantile(0.95, "wherry_input_queue_seconds", "job"), "p95"),
                ),
            ),
            Panel(
                "Run time, 95 of 100",
                "s",
                ((_quantile(0.95, "wherry_input_run_seconds", "app, function"), FUNCTION),),
            ),
        ),
    ),
    (
        "Containers",
        (
            Panel("Containers", "short", ((f"sum by (state) (wherry_containers{{{OF}}})", "{{state}}"),)),
            Panel("Starts", "ops", ((_rate("wherry_container_starts_total", "app, function"), FUNCTION),)),
            Panel("Ends", "ops", ((_rate("wherry_container_exits_total", "reason"), "{{reason}}"),)),
            Panel(
                "Time to start, 95 of 100",
                "s",
                ((_quantile(0.95, "wherry_container_start_seconds", "phase"), "{{phase}}"),),
            ),
            Panel("Processors", "short", ((_rate("wherry_container_cpu_seconds_total", "app, function"), FUNCTION),)),
            Panel(
                "GPUs that work", "short", ((f"sum by (app, function) (wherry_container_gpus_busy{{{OF}}})", FUNCTION),)
            ),
            Panel(
                "Memory",
                "bytes",
                ((f"sum by (app, function) (wherry_container_memory_bytes{{{OF}}})", FUNCTION),),
            ),
            Panel(
                "Memory of GPUs",
                "bytes",
                ((f"sum by (app, function) (wherry_container_gpu_memory_bytes{{{OF}}})", FUNCTION),),
            ),
        ),
    ),
    (
        "Web",
        (
            Panel("Requests", "reqps", ((_rate("wherry_http_requests_total", "code"), "{{code}}"),)),
            Panel(
                "Time to answer",
                "s",
                (
                    (_quantile(0.5, "wherry_http_request_seconds", "job"), "p50"),
                    (_quantile(0.95, "wherry_http_request_seconds", "job"), "p95"),
                ),
            ),
            Panel(
                "Open",
                "short",
                (("sum(wherry_http_in_flight)", "requests"), ("sum(wherry_websockets_open)", "websockets")),
            ),
        ),
    ),
    (
        "Service",
        (
            Panel(
                "Cores",
                "short",
                (('wherry_host_cores{kind="total"}', "total"), ('wherry_host_cores{kind="reserved"}', "reserved")),
            ),
            Panel(
                "Memory for containers",
                "bytes",
                (
                    ('wherry_host_memory_bytes{kind="total"}', "total"),
                    ('wherry_host_memory_bytes{kind="reserved"}', "reserved"),
                ),
            ),
            Panel("Free disk", "bytes", (("wherry_state_disk_free_bytes", "{{instance}}"),)),
            Panel(
                "Requests to the engine, 95 of 100",
                "s",
                ((_quantile(0.95, "wherry_engine_call_seconds", "call", ""), "{{call}}"),),
            ),
            Panel(
                "Database",
                "s",
                ((_quantile(0.95, "wherry_db_commit_seconds", "job", ""), "commit, 95 of 100"),),
            ),
            Panel(
                "Event loop lag, 99 of 100",
                "s",
                ((_quantile(0.99, "wherry_event_loop_lag_seconds", "job", ""), "lag"),),
            ),
            Panel("Builds of images", "short", (("increase(wherry_image_builds_total[1h])", "{{outcome}}"),)),
            Panel("Lines of logs", "ops", (("rate(wherry_log_lines_total[$__rate_interval])", "lines"),)),
            Panel("The service's memory", "bytes", (('process_resident_memory_bytes{job="$job"}', "resident"),)),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS:
        panels.append({"type": "row", "title": title, "id": len(panels) + 1, "gridPos": _place(0, top, 24, 1)})
        top += 1
        for position, panel in enumerate(row):
            across, down = position % 3, position // 3
            place = _place(across * WIDTH, top + down * HEIGHT, WIDTH, HEIGHT)
            panels.append(_graph(panel, len(panels) + 1, place))
        top += -(-len(row) // 3) * HEIGHT
    return {
        "title": "Wherry",
        "uid": "wherry",
        "tags": ["wherry"],
        "schemaVersion": 39,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": _choices()},
        "panels": panels,
    }


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _graph(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"datasource": SOURCE, "expr": expr, "legendFormat": legend, "refId": chr(ord("A") + position)}
        for position, (expr, legend) in enumerate(panel.curves)
    ]
    return {
        "type": "timeseries",
        "title": panel.title,
        "id": number,
        "gridPos": place,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": {"fillOpacity": 10}}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": targets,
    }


def _choices() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": "source", "label": "Source", "type": "datasource", "query": "prometheus"},
        _choice("job", "label_values(wherry_build_info, job)", several=False),
    ]
    above: list[str] = []
    for name in ("environment", "app", "function"):
        selector = ",".join(f'{one}=~"${one}"' for one in above)
        found.append(_choice(name, f"label_values(wherry_containers{{{selector}}}, {name})"))
        above.append(name)
    return found


def _choice(name: str, query: str, several: bool = True) -> dict[str, Any]:
    more = {"multi": True, "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}}
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": SOURCE,
        "query": query,
        "refresh": 2,
        **(more if several else {}),
    }


def text() -> str:
    """Return the file's text."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    write(PLACE, text, COMMAND, __doc__)
