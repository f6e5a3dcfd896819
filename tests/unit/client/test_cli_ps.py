"""`wherry ps` and `wherry top`, on a fake service."""

import json
import re
import sys
import time
from collections.abc import Callable

import pytest

from tests.fakes.service import FakeService
from wherry.cli.top import Looks
from wherry_proto.messages import (
    AppInfo,
    AppListResponse,
    AppShowResponse,
    AppState,
    ContainerInfo,
    ContainerListRequest,
    ContainerListResponse,
    FunctionInfo,
    FunctionStatus,
    Message,
    OutcomeCounts,
    Percentiles,
    RecordStats,
    SandboxInfo,
    SandboxListResponse,
    SandboxState,
    StatsRequest,
    StatsResponse,
)

Run = Callable[..., int]

APP = "ap-01KB8ZQ4M3AAAAAAAAAAAAAAAA"
CONTAINER = "co-01KB8ZQ4M3AAAAAAAAAAAAAAAA"
SANDBOX = "sb-01KB8ZQ4M3AAAAAAAAAAAAAAAA"


class Busy(FakeService):
    """A fake with an app of two functions, one of which works."""

    def __init__(self) -> None:
        super().__init__()
        self.apps = [AppInfo(app_id=APP, name="shop", state=AppState.DEPLOYED, last_error="KeyError: 'tea'")]
        self.statuses = [self.status("slow"), self.status("price", backlog=7, num_running=2, num_active_containers=1)]
        self.container = ContainerInfo(
            container_id=CONTAINER, app_id=APP, app_name="shop", function_name="price", state="busy", num_inputs=2
        )
        self.with_usage: list[bool] = []
        self.since_ms: list[int] = []

    @staticmethod
    def status(name: str, **values: int) -> FunctionStatus:
        function = FunctionInfo(function_id=f"fu-{name}", name=name, app_name="shop", app_id=APP)
        return FunctionStatus(function=function, num_containers=1 if values else 0, **values)

    def _apps_list(self, request: Message) -> AppListResponse:
        return AppListResponse(apps=self.apps)

    def _apps_show(self, request: Message) -> AppShowResponse:
        return AppShowResponse(functions=self.statuses)

    def _containers_list(self, request: ContainerListRequest) -> ContainerListResponse:
        self.with_usage.append(request.with_usage)
        return ContainerListResponse(containers=[self.container] if self.apps else [])

    def _sandboxes_list(self, request: Message) -> SandboxListResponse:
        sandbox = SandboxInfo(sandbox_id=SANDBOX, name="agent", state=SandboxState.RUNNING)
        return SandboxListResponse(sandboxes=[sandbox] if self.apps else [])

    def _records_stats(self, request: StatsRequest) -> StatsResponse:
        self.since_ms.append(request.since_ms)
        counts = OutcomeCounts(succeeded=9, failed=1, timeout=2)
        run, queue = Percentiles(p50=0.25, p95=3.5, count=10), Percentiles(p95=0.012, count=10)
        named = {"app_name": "shop", "function_name": "price"}
        variant = RecordStats(**named, counts=OutcomeCounts(lost=1), run=Percentiles(p50=9, count=1))
        return StatsResponse(functions=[variant, RecordStats(**named, counts=counts, run=run, queue=queue)])

    def work(self) -> None:
        """Two seconds go by, in which 9 inputs succeed and 1 fails, and one processor is busy for a second."""
        price = self.statuses[1]
        price.num_succeeded += 9
        price.num_failed += 1
        self.container.cpu_ns += 10**9
        self.container.memory_bytes = 50_000_000
        self.container.measured_at_ms = (self.container.measured_at_ms or 1000) + 2000


@pytest.fixture
def service() -> Busy:
    return Busy()


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch, service: Busy) -> None:
    now = [100.0]

    def sleep(seconds: float) -> None:
        now[0] += 2
        service.work()

    monkeypatch.setattr("wherry.cli.top.time.sleep", sleep)
    monkeypatch.setattr("wherry.cli.top.time.monotonic", lambda: now[0])


def test_everything_is_on_one_screen(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("", "ps") == 0
    titles = [line for line in capsys.readouterr().out.splitlines() if line and " " not in line]
    assert titles == ["apps", "functions", "containers", "sandboxes"]
    assert run("", "ps", "-q") == 0
    assert capsys.readouterr().out == f"{CONTAINER}\n{SANDBOX}\n"
    assert run("", "ps", "--json") == 0
    assert json.loads(capsys.readouterr().out)["apps"][0]["last_error"] == "KeyError: 'tea'"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    assert run("", "ps") == 0
    text = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert all(len(line) <= 60 for line in text.splitlines())
    assert "shop/price" in text


def test_where_nothing_runs_that_is_said(run: Run, service: Busy, capsys: pytest.CaptureFixture[str]) -> None:
    service.apps = []
    assert run("", "ps") == 0
    assert "Nothing runs in environment main." in capsys.readouterr().err
    assert run("", "top", "--once") == 0
    assert "No running app has functions in environment main." in capsys.readouterr().err


def test_top_compares_two_looks(run: Run, service: Busy, capsys: pytest.CaptureFixture[str]) -> None:
    service.work()
    assert run("", "top", "--once", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first == {
        "app_name": "shop",
        "function_name": "price",
        "function_id": "fu-price",
        "queued": 7,
        "running": 2,
        "containers": 1,
        "active_containers": 1,
        "calls_per_second": 5.0,
        "failures_per_second": 0.5,
        "succeeded": 18,
        "failed": 2,
        "cores": 0.5,
        "memory_bytes": 50_000_000,
        "last_error": None,
        "errors_5min": 4,
        "run_p50_seconds": 0.25,
        "run_p95_seconds": 3.5,
        "queue_p95_seconds": 0.012,
    }
    assert service.since_ms[0] < time.time() * 1000 - 5 * 60_000 + 1
    assert (second["function_name"], second["calls_per_second"], second["cores"]) == ("slow", 0, None)
    assert service.with_usage == [True, True]


def test_top_in_a_pipe_is_a_table(run: Run, service: Busy, capsys: pytest.CaptureFixture[str]) -> None:
    service.work()
    assert run("", "top", "--once") == 0
    heading, price, slow = capsys.readouterr().out.splitlines()
    assert heading.split()[:4] == ["function", "queued", "running", "containers"]
    assert price.split()[:5] == ["shop/price", "7", "2", "1/1", "5"]
    assert price.split()[5:] == ["250", "ms", "3.5", "s", "4", "2", "12", "ms", "0.5", "50", "MB"]
    assert slow.split() == ["shop/slow", "0", "0", "0/0", "0"]
    assert run("", "top") == 2
    assert "there is no terminal here: give --once, or --json" in capsys.readouterr().err


@pytest.mark.parametrize("width", [60, 120])
def test_top_moves_and_fits(
    run: Run, service: Busy, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    turns: list[float] = []

    def sleep(seconds: float) -> None:
        service.work()
        turns.append(seconds)
        if len(turns) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("wherry.cli._listing.time.sleep", sleep)
    monkeypatch.setattr("wherry.cli.top.time.monotonic", lambda: 2.0 * len(turns))
    assert run("", "top", "--interval", "1") == 130
    # Each screen begins at the top left corner.
    screens = capsys.readouterr().out.replace("\x1b[H", "\n")
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screens)
    assert "main: 7 queued, 2 running, 5 calls/s" in text
    assert all(len(line.rstrip()) <= width for line in text.splitlines())
    assert turns == [1.0, 1.0]


def test_a_function_that_is_deployed_anew_has_no_negative_rate(service: Busy) -> None:
    looks = Looks("main")
    service.work()
    looks.look()
    service.statuses[1].num_succeeded = service.container.cpu_ns = 0
    service.container.measured_at_ms += 1000
    rows = {row.name: row for row in looks.look()}
    assert rows["price"].cpu == 0
    assert rows["price"].rate in (None, 0)
