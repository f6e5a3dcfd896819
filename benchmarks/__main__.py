"""`./dev bench [--quick] [--json FILE]`: everything in one run, in turn, medians and p99."""

import argparse
import datetime
import faulthandler
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import floors, report
from benchmarks.deploy import measure_deploy
from benchmarks.images import measure_images
from benchmarks.ray_environment import measure_ray
from benchmarks.records import measure_records
from benchmarks.shell import measure_shell
from benchmarks.storage import ENTRIES, LARGE_MIB, PAIRS, SMALL_FILES, measure_storage
from benchmarks.timing import Sample, in_turn, timed
from benchmarks.web import measure_web
from benchmarks.wherry_side import idle_container_mib, image_reference, measure_service, own_state_dir

MIB = 1 << 20
DATA = b"x" * 64
MANY = 10_000
HOLD_S = 2.0
DEADLINE_S = 900


def main() -> None:
    """Measure, print the tables, write the JSON and docs/performance.md."""
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: under four minutes, Ray installed already")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows and ratios there")
    parser.add_argument("--no-docs", action="store_true", help="leave docs/performance.md as it is")
    options = parser.parse_args()
    # Should anything hang, it says where.
    faulthandler.dump_traceback_later(DEADLINE_S, exit=True)
    began = time.perf_counter()
    rows: dict[str, Any] = {"conditions": conditions()}
    rounds = 1 if options.quick else 3
    measure_start_costs(rows, rounds)
    ray = measure_ray(rounds=200 * rounds, many=MANY)
    rows["ray"] = ray if isinstance(ray, str) else summary_of_ray(ray)
    with own_state_dir():
        measure_app(rows, rounds)
        say("web endpoints")
        measure_web(rows, rounds)
        say("shells")
        measure_shell(rows, rounds)
        say("deploys")
        measure_deploy(rows, rounds)
        say("images")
        measure_images(rows, rounds)
        say("dicts, queues and volumes")
        measure_storage(rows, rounds)
    say("records of calls")
    measure_records(rows, rounds)
    rows["ratios"] = ratios(rows)
    rows["conditions"]["seconds"] = round(time.perf_counter() - began, 1)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")
    print(report.table(rows))
    if not (options.quick or options.no_docs):
        report.write_page(rows)


def conditions() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count(),
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def measure_start_costs(rows: dict[str, Any], rounds: int) -> None:
    """Measure what is paid before anything runs: the import, the service's start."""
    say("import wherry")
    # Once with byte code written, as an installed package has it.
    floors.import_time("import wherry")
    imports, bare = in_turn(
        [lambda: floors.import_time("import wherry"), lambda: floors.import_time("pass")], rounds=10 * rounds
    )
    rows["import_wherry"], rows["bare_interpreter"] = imports.row(), bare.row()
    say("the service's start")
    ready, memory = measure_service(2 * rounds)
    rows["server_ready"] = Sample(tuple(ready)).row()
    rows["server_idle_mib"] = memory


def measure_app(rows: dict[str, Any], rounds: int) -> None:
    """Measure calls, maps, payloads and cold starts of one running app."""
    from benchmarks import functions  # noqa: PLC0415 - it reads the settings that the bench makes

    # The pool forks first: a process that has threads already may leave its children with a lock that nobody holds.
    with multiprocessing.Pool(2) as pool, functions.app.run():
        say("warm calls")
        # The image's first container is charged for the pages of the files that all share: let it be another's.
        functions.echo.remote(DATA)
        noop = functions.noop
        noop.remote(DATA)
        remote, apply = in_turn(
            [lambda: noop.remote(DATA), lambda: pool.apply(floors.pool_noop, (DATA,))], rounds=10 * rounds, block=100
        )
        rows["remote"], rows["pool_apply"] = remote.row(), apply.row()
        rows["idle_container_mib"] = idle_container_mib(noop.object_id)
        say("calls from inside a container")
        rows["remote_inside"] = Sample(tuple(functions.inside.remote(300 * rounds, DATA))).row()
        say("generators")
        list(functions.values.remote_gen(100))
        (generator,) = in_turn([lambda: list(functions.values.remote_gen(MANY))], rounds=3 * rounds)
        rows["remote_gen_10k"] = generator.row()
        say("maps")
        list(functions.noop_wide.map([DATA] * 100))
        many, apply_async = in_turn(
            [
                lambda: list(functions.noop_wide.map([DATA] * MANY)),
                lambda: floors.pool_apply_async(pool, MANY, DATA),
            ],
            rounds=3 * rounds,
        )
        rows["map_10k"], rows["pool_apply_async_10k"] = many.row(), apply_async.row()
        say("payloads")
        measure_payloads(rows, functions.echo, rounds)
        say("cold starts")
        # Asked once: later its containers have been idle for long enough to be gone.
        image = image_reference(noop.object_id)
        measure_cold_starts(rows, functions, image, rounds)
        say("sandboxes")
        measure_sandboxes(rows, image, rounds)


def measure_payloads(rows: dict[str, Any], echo: Any, rounds: int) -> None:
    """Measure a payload there and back, beside a file's round trip."""
    with tempfile.TemporaryDirectory(prefix="wherry-bench-") as scratch:
        for name, size, count in (("1mib", MIB, 10), ("100mib", 100 * MIB, 3)):
            data = os.urandom(size)
            times = in_turn(
                [lambda data=data: echo.remote(data), lambda data=data: floors.file_copy_twice(data, Path(scratch))],
                rounds=count * rounds,
            )
            rows[f"payload_{name}"], rows[f"file_copy_{name}"] = times[0].row(), times[1].row()


def measure_cold_starts(rows: dict[str, Any], functions: Any, image: str, rounds: int) -> None:
    """Measure first calls, one and ten at once, beside the bare engine."""
    engine = floors.BareEngine(image)
    first, bare = [], []
    for cold in functions.cold[: 4 * rounds]:
        first.append(timed(cold.remote))
        bare.append(timed(engine.start_and_answer))
        engine.remove_last()
    rows["cold_first_call"], rows["engine_start"] = Sample(tuple(first)).row(), Sample(tuple(bare)).row()
    began = time.time()
    starts = list(functions.hold.map([HOLD_S] * 10, order_outputs=False))
    rows["cold_10_at_once"] = Sample((max(starts) - began,)).row()
    rows["engine_10_at_once"] = Sample((engine.start_many(10),)).row()


def measure_sandboxes(rows: dict[str, Any], image: str, rounds: int) -> None:
    """Measure a sandbox until its first exec has ended, beside the bare engine's create and start."""
    import wherry  # noqa: PLC0415 - as in `measure_app`

    engine = floors.BareEngine(image)
    first, bare = [], []

    def create_and_exec() -> None:
        sandboxes.append(wherry.Sandbox.create("sleep", "1000"))
        if sandboxes[-1].exec("true").wait() != 0:
            raise SystemExit("the first exec in a sandbox failed")

    sandboxes: list[wherry.Sandbox] = []
    for _ in range(10 * rounds):
        first.append(timed(create_and_exec))
        sandboxes.pop().terminate()
        bare.append(timed(engine.start))
        engine.remove_last()
    rows["sandbox_first_exec"], rows["engine_create_start"] = Sample(tuple(first)).row(), Sample(tuple(bare)).row()


def summary_of_ray(ray: dict[str, Any]) -> dict[str, Any]:
    """Return Ray's times as rows."""
    found = {name: Sample(tuple(ray[name])).row() for name in ("task", "actor", "many")}
    return {"version": ray["version"], **found}


def ratios(rows: dict[str, Any]) -> dict[str, float | None]:
    """Return the figures that are compared from release to release; None where a peer could not be measured."""
    ray = rows["ray"] if isinstance(rows["ray"], dict) else None

    def over(name: str, peer: str) -> float:
        return float(rows[name]["p50_s"] / rows[peer]["p50_s"])

    return {
        "remote_p50_vs_pool_apply": over("remote", "pool_apply"),
        "remote_p50_vs_ray_task": rows["remote"]["p50_s"] / ray["task"]["p50_s"] if ray else None,
        "remote_p50_vs_ray_actor": rows["remote"]["p50_s"] / ray["actor"]["p50_s"] if ray else None,
        "remote_inside_vs_remote": over("remote_inside", "remote"),
        "remote_gen_values_per_second": MANY / rows["remote_gen_10k"]["p50_s"],
        "map_10k_vs_pool_apply_async": over("pool_apply_async_10k", "map_10k"),
        "map_10k_vs_ray_tasks": ray["many"]["p50_s"] / rows["map_10k"]["p50_s"] if ray else None,
        "records_remote_on_vs_off": over("records_on_remote", "records_off_remote"),
        "records_map_on_vs_off": over("records_on_map", "records_off_map"),
        "cold_first_call_vs_engine_start": over("cold_first_call", "engine_start"),
        "cold_10_at_once_vs_engine_start": over("cold_10_at_once", "engine_10_at_once"),
        "sandbox_first_exec_vs_engine_start": over("sandbox_first_exec", "engine_create_start"),
        "shell_echo_vs_docker_exec": over("shell_echo", "docker_echo"),
        "web_request_added_ms": 1000 * (rows["web_request"]["p50_s"] - rows["uvicorn_request"]["p50_s"]),
        "web_rate_of_32_vs_uvicorn": over("uvicorn_request_of_32", "web_request_of_32"),
        "web_events_per_second": 1000 / rows["web_events_1000"]["p50_s"],
        "web_socket_echo_added_ms": 1000 * (rows["web_socket_echo"]["p50_s"] - rows["uvicorn_socket_echo"]["p50_s"]),
        "web_cold_first_request_vs_engine_start": over("web_cold_first_request", "engine_start_and_import"),
        "payload_100mib_vs_file_copy": over("file_copy_100mib", "payload_100mib"),
        "image_cached_build_vs_docker_build": over("image_cached_build", "docker_cached_build"),
        "image_changed_line_vs_docker_build": over("image_changed_line", "docker_changed_line"),
        "images_there_5_ms": 1000 * rows["images_there_5"]["p50_s"],
        "deploy_errors": rows["deploy_errors"],
        "deploy_calls_during_vs_calm": over("deploy_calls_during", "deploy_calls_calm"),
        "deploy_no_change_ms": 1000 * rows["deploy_no_change"]["p50_s"],
        "dict_entries_per_second": ENTRIES / rows["dict_update_10k"]["p50_s"],
        "queue_pairs_per_second": PAIRS / rows["queue_pairs_5k"]["p50_s"],
        "queue_hand_over_ms": 1000 * rows["queue_hand_over"]["p50_s"],
        "volume_put_files_vs_cp": over("cp_1000_files", "volume_put_1000_files"),
        "volume_put_files_per_second": SMALL_FILES / rows["volume_put_1000_files"]["p50_s"],
        "volume_put_256mib_vs_cp": over("cp_256mib", "volume_put_256mib"),
        "volume_put_mib_per_second": LARGE_MIB / rows["volume_put_256mib"]["p50_s"],
        "idle_container_mib": rows["idle_container_mib"],
        "import_wherry_ms": 1000 * (rows["import_wherry"]["p50_s"] - rows["bare_interpreter"]["p50_s"]),
        "server_ready_ms": 1000 * rows["server_ready"]["p50_s"],
        "server_idle_mib": rows["server_idle_mib"],
    }


def say(what: str) -> None:
    """Tell what is measured now."""
    print(f"measuring {what} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
