"""The figures as a table, and as docs/performance.md."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
# Ratio, what it is, the goal; "<" where less is better.
GOALS = {
    "remote_p50_vs_pool_apply": ("warm call over multiprocessing's Pool.apply, p50", "<", 3.0),
    "remote_p50_vs_ray_task": ("warm call over a Ray task, p50", "<", 0.25),
    "remote_p50_vs_ray_actor": ("warm call over a Ray actor's call, p50", "<", 0.75),
    "remote_inside_vs_remote": ("warm call from inside a container over one from outside, p50", "<", 1.5),
    "remote_gen_values_per_second": ("generator of 10,000 numbers, values per second", ">", 30_000.0),
    "map_10k_vs_pool_apply_async": ("map of 10,000, rate over Pool.apply_async", ">", 0.5),
    "map_10k_vs_ray_tasks": ("map of 10,000, rate over Ray tasks", ">", 15.0),
    "records_remote_on_vs_off": ("warm call, records of calls on over off, p50", "<", 1.01),
    "records_map_on_vs_off": ("map of 10,000, records of calls on over off, p50", "<", 1.01),
    "cold_first_call_vs_engine_start": ("first call over the engine's bare create and start", "<", 1.3),
    "cold_10_at_once_vs_engine_start": ("ten cold containers over ten bare ones, all at once", "<", 1.3),
    "sandbox_first_exec_vs_engine_start": ("sandbox: to its first exec's end over bare create and start", "<", 1.3),
    "shell_echo_vs_docker_exec": ("a key's echo in a shell over `docker exec -it`, p50", "<", 1.5),
    "web_request_added_ms": ("request to FastAPI, added to uvicorn's on the host, p50, ms", "<", 1.5),
    "web_rate_of_32_vs_uvicorn": ("32 connections, requests per second over uvicorn's", ">", 0.25),
    "web_events_per_second": ("server-sent events, 1,000 in one response, per second", ">", 5_000.0),
    "web_socket_echo_added_ms": ("websocket echo, added to uvicorn's, p50, ms", "<", 1.5),
    "web_cold_first_request_vs_engine_start": ("first request over bare create, start and the import", "<", 1.3),
    "payload_100mib_vs_file_copy": ("100 MiB there and back, rate over a file's round trip", ">", 0.5),
    "image_cached_build_vs_docker_build": ("five steps, all cached, over `docker build` of the same", "<", 1.15),
    "image_changed_line_vs_docker_build": ("one of ten packages changed, over `docker build` without caches", "<", 1.0),
    "images_there_5_ms": ("five images that are there, together, ms", "<", 150.0),
    "deploy_errors": ("200 calls per second through ten deploys, calls that failed", "<", 0.0),
    "deploy_calls_during_vs_calm": ("a call of these over one when nothing is deployed, p50", "<", 2.0),
    "deploy_no_change_ms": ("`wherry deploy` when nothing has changed, ms", "<", 1000.0),
    "dict_entries_per_second": ("Dict: 10,000 entries in one update, per second", ">", 10_000.0),
    "queue_pairs_per_second": ("Queue: 5,000 items put and got by 500, per second", ">", 5_000.0),
    "queue_hand_over_ms": ("Queue: from a put to a waiting get's end in another process, p50, ms", "<", 3.0),
    "volume_put_files_vs_cp": ("volume put: 1,000 files of 4 KiB, rate over `cp -r`", ">", 0.1),
    "volume_put_files_per_second": ("volume put: files of 4 KiB per second", ">", 1_000.0),
    "volume_put_256mib_vs_cp": ("volume put: a file of 256 MiB, rate over `cp`", ">", 0.1),
    "volume_put_mib_per_second": ("volume put: of a large file, MiB per second", ">", 100.0),
    "idle_container_mib": ("memory of an idle container, MiB", "<", 6.0),
    "import_wherry_ms": ("import wherry over a bare interpreter, ms", "<", 25.0),
    "server_ready_ms": ("service: start to first answer, ms", "<", 1500.0),
    "server_idle_mib": ("service: idle memory, MiB", "<", 150.0),
}


def _figures(rows: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return name, p50 and p99 of every time, in milliseconds."""
    flat = {name: row for name, row in rows.items() if isinstance(row, dict) and "p50_s" in row}
    if isinstance(rows["ray"], dict):
        flat |= {f"ray_{name}": rows["ray"][name] for name in ("task", "actor", "many")}
    return [(name, f"{row['p50_s'] * 1000:,.2f}", f"{row['p99_s'] * 1000:,.2f}") for name, row in flat.items()]


def _verdicts(rows: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return ratio, its value, its goal, and whether it is reached."""
    found = []
    for name, (what, direction, goal) in GOALS.items():
        value = rows["ratios"][name]
        if value is None:
            found.append((what, "not measured", f"{direction} {goal:g}", "?"))
            continue
        reached = value <= goal if direction == "<" else value >= goal
        bound = "≤" if direction == "<" else "≥"
        found.append((what, f"{value:.2f}", f"{bound} {goal:g}", "yes" if reached else "no"))
    return found


def table(rows: dict[str, Any]) -> str:
    """Return both tables as text."""
    console = Console(width=110)
    figures = Table("measured", "p50 ms", "p99 ms", title="Times")
    for row in _figures(rows):
        figures.add_row(*row)
    verdicts = Table("ratio or size", "value", "goal", "reached", title="Against floors and peers of the same run")
    for verdict in _verdicts(rows):
        verdicts.add_row(*verdict)
    with console.capture() as capture:
        console.print(figures)
        console.print(verdicts)
        if isinstance(rows["ray"], str):
            console.print(rows["ray"])
    return capture.get()


def write_page(rows: dict[str, Any]) -> None:
    """Write docs/performance.md."""
    conditions = rows["conditions"]
    lines = [
        "# How fast it is",
        "",
        "This page is written by `./dev bench`. Each figure was measured in turn with the one it is compared with,",
        "in one run, so a machine that slows down slows both. Ratios can be compared between machines; times can't.",
        "",
        f"{conditions['date']}, {conditions['cores']} cores, {conditions['system']}, Python {conditions['python']}, "
        f"load {conditions['load_at_start']} at the start, {conditions['seconds']:.0f} s in all.",
        "",
        "| ratio or size | value | goal | reached |",
        "|---|---|---|---|",
        *(f"| {what} | {value} | {goal} | {reached} |" for what, value, goal, reached in _verdicts(rows)),
        "",
        "| measured | p50, ms | p99, ms |",
        "|---|---|---|",
        *(f"| {name} | {p50} | {p99} |" for name, p50, p99 in _figures(rows)),
        "",
        "What the names mean:",
        "",
        "- `pool_apply`, `pool_apply_async_10k`: a `multiprocessing.Pool` of two processes and the same no-op.",
        "  On a virtual machine with two cores `Pool.apply` was seen at two speeds, 0.05 ms and 0.25 ms, for whole",
        "  runs, as its wake-ups find the cores awake or asleep; a call of Wherry's takes 0.35 to 0.45 ms in both.",
        "- `remote_inside`: the same call from inside another container; `remote_gen_10k`: 10,000 numbers yielded.",
        "- `records_on_*`, `records_off_*`: two services at once, with `records.keep` at its default and at 0.",
        "- `ray_*`: Ray in an environment of its own"
        + (f", version {rows['ray']['version']}." if isinstance(rows["ray"], dict) else f". {rows['ray']}"),
        "- `engine_start`: create and start of the same image through the docker SDK, on the engine's default",
        "  network, until a Python in it has connected to a socket; `engine_10_at_once`: ten of those in ten threads.",
        "  Wherry's containers are on a network of their own, where they can't reach each other. Engines run a",
        "  resolver of names for each container of such a network: [what that costs](security.md#the-network).",
        "- `docker_echo`: the same key in the same container, through `docker exec -it`.",
        "- `uvicorn_*`: the same FastAPI app on uvicorn on this machine, one process beside one container;",
        "  `*_request_of_32` is the time per request with 32 connections, one request after another on each.",
        "- `engine_start_and_import`: as `engine_start`, and the Python imports the app before it answers.",
        "- `sqlite_insert_10k`: the same entries pickled, and into a file of sqlite3's in one synced transaction.",
        "- `process_queue_pairs_5k`: as many numbers through a `multiprocessing.Queue`, one by one.",
        "- `service_request`: the service is asked who it is; a hand-over is two requests and two synced transactions.",
        "- `cp_*`: the same files through `cp -r`; both write over what is there, and neither syncs.",
        "- `file_copy_*`: the same bytes pickled, written to a file, read and unpickled, twice.",
        "- `bare_interpreter`: the same interpreter running `pass`.",
        "",
    ]
    PAGE.write_text("\n".join(lines))
