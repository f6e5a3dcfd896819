"""Prometheus fetches the metrics of a loaded service: every expression that is shipped finds series there."""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import wherry
from tests.acceptance.service import OwnService, own_service
from tests.monitoring import expressions, without_comparisons
from tests.waiting import wait_until
from wherry import exception
from wherry._connection import client
from wherry.cli._monitoring import ALERTS
from wherry_proto.messages import ContainerUsagePoint, ContainerUsageRequest, ContainerUsageResponse

pytestmark = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="there is no prometheus here; its files are checked in tests/unit/client/test_monitoring.py too",
)
APP = Path(__file__).with_name("monitored.py")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def metrics() -> str:
    """Where the service's metrics are: HOST:PORT."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def loaded(metrics: str) -> Iterator[OwnService]:
    """A service that has done some of everything."""
    with own_service(environment={"WHERRY_METRICS_LISTEN": metrics, "WHERRY_CONTAINERS_SAMPLE_SECONDS": "1"}) as own:
        _load()
        yield own


def _function(name: str) -> wherry.Function[..., Any]:
    return wherry.Function.from_name("monitored", name)


def _load() -> None:
    deployed = subprocess.run(
        [sys.executable, "-m", "wherry.cli.main", "deploy", str(APP)], capture_output=True, text=True, check=False
    )
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    works, fails, dies, page = map(_function, ("works", "fails", "dies", "page"))
    assert list(works.map(range(50))) == list(range(0, 100, 2))
    assert works.spawn(4).get() == 8
    for number in range(3):
        with pytest.raises(ValueError, match=f"not {number}"):
            fails.remote(number)
    with pytest.raises(exception.Error):
        dies.remote()
    url = page.get_web_url()
    assert url is not None
    host = urllib.parse.urlsplit(url)
    for path, status in (("/", 200), ("/broken", 500)):
        got = httpx.get(
            f"http://127.0.0.1:{host.port}{path}", headers={"host": host.netloc}, timeout=60, trust_env=False
        )
        assert got.status_code == status
    with pytest.raises(exception.Error):
        wherry.Image.debian_slim().run_commands("exit 3").build()


class Prometheus:
    """A server that fetches every second, with the alert rules."""

    def __init__(self, folder: Path, target: str) -> None:
        (folder / "alerts.yaml").write_text(ALERTS.read_text())
        scrape = {"job_name": "wherry", "static_configs": [{"targets": [target]}]}
        every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        (folder / "prometheus.yml").write_text(
            json.dumps({"global": every, "rule_files": ["alerts.yaml"], "scrape_configs": [scrape]})
        )
        self.url = f"http://127.0.0.1:{free_port()}"
        self._log = open(folder / "log", "wb")  # noqa: SIM115 - it is closed with the server
        self._process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={self.url.removeprefix('http://')}",
            ],
            stdout=self._log,
            stderr=self._log,
        )

    def get(self, path: str, **parameters: str) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def is_there(self) -> bool:
        assert self._process.poll() is None, "prometheus has ended"
        with contextlib.suppress(OSError):
            return bool(self.finds("up"))
        return False

    def finds(self, expression: str) -> bool:
        """Whether an expression has series."""
        return bool(self.get("query", query=expression)["result"])

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()


@pytest.fixture(scope="module")
def prometheus(loaded: OwnService, metrics: str) -> Iterator[Prometheus]:
    with tempfile.TemporaryDirectory() as folder:
        server = Prometheus(Path(folder), metrics)
        try:
            wait_until(server.is_there, "prometheus has fetched something", 60)
            yield server
        finally:
            server.close()


def test_what_containers_use_is_shown_and_kept(loaded: OwnService) -> None:
    wherry.Function.from_name("monitored", "works").remote(1)
    listed = subprocess.run(
        [sys.executable, "-m", "wherry.cli.main", "container", "list", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    (one,) = [one for one in json.loads(listed.stdout) if one["function_name"] == "works"]

    def points() -> list[ContainerUsagePoint]:
        request = ContainerUsageRequest(container_id=one["container_id"])
        return client.default_client().call("Containers.Usage", request, ContainerUsageResponse).points

    wait_until(lambda: len(points()) >= 3, "it was looked at again and again", 30)
    found = points()
    assert [point.at_ms for point in found] == sorted({point.at_ms for point in found})
    assert 0 < found[0].cpu_ns <= found[-1].cpu_ns
    assert found[-1].memory_bytes > 1 << 20
    later = ContainerUsageRequest(container_id=one["container_id"], since_ms=found[1].at_ms)
    newer = client.default_client().call("Containers.Usage", later, ContainerUsageResponse).points
    assert newer[0] == found[1]


def test_promtool_finds_nothing_wrong(loaded: OwnService, metrics: str) -> None:
    checked = subprocess.run(["promtool", "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    text = httpx.get(f"http://{metrics}/metrics", trust_env=False).text
    linted = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout + linted.stderr) == (0, "")


def test_every_expression_of_dashboard_and_alerts_finds_series(prometheus: Prometheus) -> None:
    # Of GPUs there are none here.
    asked = {without_comparisons(one) for one in expressions() if "_gpu" not in one}

    def missing() -> list[str]:
        return [one for one in sorted(asked) if not prometheus.finds(one)]

    wait_until(lambda: not missing(), "all expressions find series", 60)
    rules = [rule for group in prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {rule["health"] for rule in rules} == {"ok"}


def test_what_was_done_is_what_is_counted(prometheus: Prometheus) -> None:
    def value(expression: str) -> float:
        found = prometheus.get("query", query=expression)["result"]
        return sum(float(one["value"][1]) for one in found)

    of = 'app="monitored",environment="main"'
    counted = {
        f'wherry_inputs_total{{{of},function="works",outcome="success"}}': 51,
        f'wherry_inputs_total{{{of},function="fails",outcome="exception"}}': 3,
        f'wherry_calls_total{{{of},function="works",kind="map"}}': 1,
        f'wherry_calls_total{{{of},function="works",kind="spawn"}}': 1,
        f'wherry_input_run_seconds_count{{{of},function="works"}}': 51,
        f'wherry_http_requests_total{{{of},function="page",code="500"}}': 1,
        'wherry_image_builds_total{outcome="failed"}': 1,
        'wherry_deploys_total{app="monitored",outcome="deployed"}': 1,
    }

    def other() -> dict[str, tuple[float, int]]:
        return {one: (value(one), wanted) for one, wanted in counted.items() if value(one) != wanted}

    # A second or two after the last of them.
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not other(), "the counts have arrived", 15)
    assert other() == {}
    assert value(f'wherry_container_exits_total{{{of},function="dies",reason="error"}}') > 0
    assert value(f"wherry_container_cpu_seconds_total{{{of}}}") > 0
    assert value(f"wherry_container_memory_bytes{{{of}}}") > 1 << 20
