"""Values of maps, spawned calls, generators, dicts, volumes and ticks that are lost, doubled or wrong are found."""

from typing import Any

from chaos.functions import BAD, answer, content
from chaos.invariants import deploys, dicts, generators, maps, schedules, spawned, volumes
from chaos.journal import Operation
from tests.unit.chaos.evidences import did, evidence, failed, fault, pending

FIRST = BAD - 3  # the third input raises


def outputs(count: int) -> list[Any]:
    return [
        f"bad {x}" if x % BAD == BAD - 1 else [x, answer(x)] for x in range(FIRST, FIRST + count)
    ]  # fmt: skip


def a_map(heard: list[Any], count: int = 5, *, ordered: bool = True) -> Operation:
    return did("maps-0", "map", {"first": FIRST, "count": count, "ordered": ordered}, {"outputs": heard})


def of_map(heard: list[Any], *, ordered: bool = True) -> str:
    return "\n".join(maps.check(evidence(a_map(heard, ordered=ordered))).violations)


def test_a_right_map_holds() -> None:
    assert of_map(outputs(5)) == ""
    assert of_map(outputs(5)[::-1], ordered=False) == ""
    assert "bad" in str(outputs(5)[2])


def test_a_lost_doubled_wrong_or_moved_output_is_found() -> None:
    good = outputs(5)
    assert "1 lost, 0 twice, 0 wrong" in of_map(good[:4])
    assert "0 lost, 1 twice, 0 wrong" in of_map([*good, good[4]])
    assert "1 lost, 0 twice, 1 wrong" in of_map([*good[:4], [FIRST + 4, 1]])
    assert "in another order" in of_map([good[1], good[0], *good[2:]])
    assert "1 lost" in of_map(good[:4], ordered=False)


def test_of_a_map_that_did_not_end_a_beginning_is_right() -> None:
    asked = {"first": FIRST, "count": 5, "ordered": True}
    assert maps.check(evidence(pending("maps-0", "map", asked, {"outputs": outputs(3)}))).holds
    gap = pending("maps-0", "map", asked, {"outputs": [outputs(3)[0], outputs(3)[2]]})
    assert not maps.check(evidence(gap)).holds
    twice = pending("maps-0", "map", {**asked, "ordered": False}, {"outputs": [outputs(1)[0]] * 2})
    assert not maps.check(evidence(twice)).holds


def test_a_large_value_that_changed_is_found() -> None:
    assert not maps.check(evidence(did("maps-0", "echo", {"sha": "a"}, {"sha": "b"}))).holds


def spawn(kind: str, count: int) -> Operation:
    return did("spawns-0", "spawn", {"kind": kind, "first": 10, "count": count}, {"call": "fc-1"})


def fetch(values: list[Any]) -> Operation:
    return did("fetches-0", "fetch", {"call": "fc-1", "kind": ""}, {"values": values})


def test_spawned_calls_that_are_fetched_hold() -> None:
    assert spawned.check(evidence(spawn("call", 1), fetch([[10, answer(10)]]))).holds
    assert spawned.check(evidence(spawn("map", 2), fetch([[10, answer(10)], [11, answer(11)]]))).holds
    assert spawned.check(evidence(spawn("generator", 3), fetch([10, 11, 12]))).holds


def test_a_spawned_call_that_is_lost_or_wrong_is_found() -> None:
    (never,) = spawned.check(evidence(spawn("call", 1))).violations
    assert "was never fetched: nobody came to it" in never
    error = failed("fetches-0", "fetch", {"call": "fc-1", "kind": "call"}, "it is gone")
    (told,) = spawned.check(evidence(spawn("call", 1), error)).violations
    assert "it is gone" in told
    assert not spawned.check(evidence(spawn("map", 2), fetch([[10, answer(10)]]))).holds
    assert not spawned.check(evidence(spawn("generator", 3), fetch([10, 12]))).holds


def test_one_that_was_not_acknowledged_need_not_be_there() -> None:
    asked = {"kind": "call", "first": 1, "count": 1}
    assert spawned.check(evidence(failed("spawns-0", "spawn", asked, "no"), pending("spawns-0", "spawn", asked))).holds


def generator(values: list[int], error: str = "") -> str:
    asked = {"first": 100, "count": 5}
    heard = {"values": [100 + value for value in values]}
    one = did("generators-0", "generator", asked, heard)
    one.error = error
    return "\n".join(generators.check(evidence(one)).violations)


def test_a_generator_in_order_holds_also_with_an_error_after_it() -> None:
    assert generator([0, 1, 2, 3, 4]) == ""
    assert generator([0, 1], "lost") == ""


def test_a_value_after_a_gap_is_found_whatever_error_follows() -> None:
    assert "after value 1 came 3, 4…, 4 of 5 values; then lost" in generator([0, 1, 3, 4], "lost")
    assert "after value 1 came 1" in generator([0, 1, 1, 2])
    assert "ended after 2 of 5" in generator([0, 1])


def write(key: str, version: int) -> Operation:
    return did("dicts-0", "put", {"key": key, "version": version})


def read(key: str, value: Any) -> Operation:
    return did("dicts-1", "get", {"key": key}, {"value": value})


def of_dicts(*operations: Operation) -> str:
    return "\n".join(dicts.check(evidence(*operations)).violations)


def test_a_dict_read_after_a_write_holds() -> None:
    assert of_dicts(read("k", None), write("k", 1), read("k", [0, 1]), write("k", 2), read("k", [0, 2])) == ""


def test_a_write_that_failed_may_be_seen_or_not() -> None:
    unsure = failed("dicts-0", "put", {"key": "k", "version": 2}, "the disk is full")
    assert of_dicts(write("k", 1), unsure, read("k", [0, 1])) == ""
    assert of_dicts(write("k", 1), unsure, read("k", [0, 2])) == ""


def test_a_read_behind_an_acknowledged_write_is_found() -> None:
    assert "at version 1, though 2 was acknowledged" in of_dicts(write("k", 1), write("k", 2), read("k", [0, 1]))
    assert "at version None, though 1 was" in of_dicts(write("k", 1), read("k", None))
    # One that failed comes to life again after the next.
    unsure = failed("dicts-0", "put", {"key": "k", "version": 1}, "the disk is full")
    assert "though 2 was acknowledged" in of_dicts(unsure, write("k", 2), read("k", [0, 1]))


def test_a_value_that_nobody_wrote_is_found() -> None:
    assert "version 9, which nobody had written" in of_dicts(write("k", 1), read("k", [0, 9]))


def race(client: int, won: bool) -> Operation:
    return did(f"dicts-{client}", "race", {"race": 1, "mine": f"c{client}"}, {"won": won})


def test_two_winners_of_a_race_are_found_and_none() -> None:
    assert of_dicts(race(0, True), race(1, False)) == ""
    assert "race 1 has 2 winners" in of_dicts(race(0, True), race(1, True))
    assert "nobody won" in of_dicts(race(0, False), race(1, False))
    seen = did("dicts-1", "winner", {"race": 1}, {"value": "c1"})
    assert "was told it won" in of_dicts(race(0, True), seen)


def test_a_file_that_is_lost_or_has_other_content_is_found() -> None:
    import hashlib

    right = hashlib.sha256(content("f", 10)).hexdigest()
    asked = {"name": "f", "size": 10}
    wrote = did("volumes-0", "write", asked)
    listed = did("last-0", "list", {}, {"names": ["f"]})
    assert volumes.check(evidence(wrote, did("volumes-0", "read", asked, {"sha": right}), listed)).holds
    assert not volumes.check(evidence(wrote, did("volumes-0", "read", asked, {"sha": "other"}))).holds
    assert not volumes.check(evidence(wrote, did("last-0", "list", {}, {"names": []}))).holds
    assert not volumes.check(evidence(wrote, listed, did("last-0", "file", {"name": "f"}, {"sha": "other"}))).holds


def test_an_upload_that_broke_off_with_its_connection_has_a_reason() -> None:
    broken = failed("volumes-0", "write", {"name": "f", "size": 10, "how": "upload"}, "x.ConnectionError: gone")
    assert volumes.check(evidence(broken)).excused == []
    assert volumes.check(evidence(broken, faults=(fault("connections cut", broken),))).excused == [broken]


def of_ticks(ticks: list[tuple[int, str]], ran: list[str]) -> str:
    entries = did("last-0", "entries", {"dict": "chaos-ticks"}, {"entries": dict.fromkeys(ran, 1.0)})
    return "\n".join(schedules.check(evidence(entries, ticks=ticks)).violations)


def test_ticks_that_run_once_hold_and_others_are_found() -> None:
    ticks = [(2000 * number, f"fc-{number}") for number in range(8)]
    calls = [call for _, call in ticks]
    assert of_ticks(ticks, calls) == ""
    assert of_ticks([*ticks[:3], *ticks[5:]], [*calls[:3], *calls[5:]]) == "", "ticks were missed while it was away"
    assert "1 ran without a tick" in of_ticks(ticks, [*calls, "fc-x"])
    assert "1 ticks are done whose function did not run: fc-1" in of_ticks(ticks, [calls[0], *calls[2:]])
    assert "1500 ms apart" in of_ticks([(0, "a"), (1500, "b")], ["a", "b"])
    assert "one call for several ticks" in of_ticks([(0, "a"), (2000, "a")], ["a"])


def test_an_old_version_that_answers_after_a_deploy_is_found() -> None:
    def call(version: int) -> Operation:
        return did("lone-0", "call", {"x": 5}, {"value": [5, answer(5), version]})

    def deploy() -> Operation:
        return did("deploys-0", "deploy", {"version": 2})

    assert deploys.check(evidence(call(1), deploy(), call(2))).holds
    assert not deploys.check(evidence(deploy(), call(1))).holds
    assert not deploys.check(evidence(call(2), deploy())).holds
