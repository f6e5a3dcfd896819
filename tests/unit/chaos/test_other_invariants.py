"""Errors without a reason, hangs, wrong answers of endpoints and sandboxes, and leftovers are found."""

import json

from chaos.faults.fault import Happened
from chaos.invariants import errors, leftovers, sandboxes, waits, web
from chaos.invariants.evidence import Evidence
from chaos.invariants.judge import judge
from chaos.journal import Operation
from chaos.report import Report
from tests.unit.chaos.evidences import did, evidence, failed, fault


def test_an_error_without_a_fault_is_found() -> None:
    one = failed("maps-0", "map", {}, "builtins.RuntimeError: no")
    assert not errors.check(evidence(one), []).holds
    assert errors.check(evidence(one), [one]).holds, "another invariant has excused it"


def test_a_full_disk_may_be_told_while_there_is_one_and_in_plain_words() -> None:
    plain = failed("dicts-0", "put", {}, "wherry.exception.Error: the disk of the service is full")
    assert not errors.check(evidence(plain), []).holds
    assert errors.check(evidence(plain, faults=(fault("disk full", plain),)), []).holds
    before = Happened("disk full", "", plain.asked_at - 60, plain.asked_at - 50)
    assert not errors.check(evidence(plain, faults=(before,)), []).holds
    ugly = failed("dicts-0", "put", {}, "OperationalError: (sqlite3.OperationalError) database or disk is full")
    (told,) = errors.check(evidence(ugly, faults=(fault("disk full", ugly),)), []).violations
    assert "in no plain words" in told
    # What a function of the user's own gets from the kernel.
    own = failed("volumes-0", "write", {}, "builtins.OSError: [Errno 28] No space left on device")
    assert errors.check(evidence(own, faults=(fault("disk full", own),)), []).holds


def test_a_client_that_begins_while_the_service_is_away_may_be_told_and_no_other() -> None:
    one = failed("dicts-0", "put", {}, "wherry.exception.ConnectionError: no service answers at https://h:1: is it …")
    assert not errors.check(evidence(one), []).holds
    assert errors.check(evidence(one, faults=(fault("service killed", one),)), []).holds
    before, later = did("dicts-1", "put", {}), failed("dicts-1", "put", {}, one.error)
    assert not errors.check(evidence(before, later, faults=(fault("service killed", later),)), []).holds
    # Each deploy is a program of its own.
    first = did("deploys-0", "deploy", {"version": "1"})
    told = f"RuntimeError: wherry deploy ended with code 3: {one.error}"
    again = failed("deploys-0", "deploy", {"version": "2"}, told)
    assert errors.check(evidence(first, again, faults=(fault("network down", again),)), []).holds
    assert not errors.check(evidence(first, again), []).holds


def test_a_client_that_ends_by_itself_is_found() -> None:
    assert not errors.check(Evidence(broke={"maps-0": "Traceback"}), []).holds


def request(status: int, text: str | None = None) -> Operation:
    right = json.dumps({"query": "n=1", "sha": "s"})
    answered = {"status": status, "text": right if text is None else text}
    return did("requests-0", "request", {"query": "n=1", "sha": "s"}, answered)


def test_a_wrong_answer_of_an_endpoint_is_found() -> None:
    assert web.check(evidence(request(200))).holds
    assert not web.check(evidence(request(200, json.dumps({"query": "n=2", "sha": "s"})))).holds
    assert not web.check(evidence(request(200, "<html>"))).holds
    assert not web.check(evidence(request(500))).holds


def test_an_endpoint_may_fail_with_its_container_and_refuse_with_its_service() -> None:
    bad = request(502)
    assert not web.check(evidence(bad)).holds
    assert web.check(evidence(bad, faults=(fault("container killed", bad),))).holds
    refused = failed("requests-0", "request", {"query": "n=1"}, "builtins.ConnectionRefusedError: no")
    assert web.check(evidence(refused)).excused == []
    assert web.check(evidence(refused, faults=(fault("service killed", refused),))).excused == [refused]
    hung = failed("requests-0", "request", {"query": "n=1"}, "builtins.TimeoutError: timed out")
    assert web.check(evidence(hung, faults=(fault("service killed", hung),))).excused == []


def test_a_websocket_that_says_another_thing_is_found() -> None:
    assert web.check(evidence(did("requests-0", "websocket", {}, {"heard": ["heard 0", "heard 1"]}))).holds
    assert not web.check(evidence(did("requests-0", "websocket", {}, {"heard": ["heard 0", "heard 2"]}))).holds


def command(said: str, code: int) -> Operation:
    return did("sandboxes-0", "exec", {"sandbox": "sb-1", "number": 3}, {"said": said, "code": code})


def test_a_sandbox_that_says_another_thing_is_found_unless_it_was_killed() -> None:
    assert sandboxes.check(evidence(command("3\n", 4))).holds
    assert not sandboxes.check(evidence(command("2\n", 4))).holds
    wrong = command("", 137)
    assert not sandboxes.check(evidence(wrong)).holds
    assert sandboxes.check(evidence(wrong, faults=(fault("container killed", wrong, "sb-1"),))).holds
    assert not sandboxes.check(evidence(wrong, faults=(fault("container killed", wrong, "sb-2"),))).holds


def test_a_sandbox_is_excused_by_an_engine_only_that_was_killed_while_there_was_the_sandbox() -> None:
    made = did("sandboxes-0", "create", {}, {"sandbox": "sb-1"})
    wrong = command("", 137)
    wrong.asked_at, wrong.ended_at = made.asked_at + 40, made.asked_at + 41
    for at, excused in ((-60, False), (20, True), (60, False)):
        killed = Happened("engine killed", "dockerd", made.asked_at + at, made.asked_at + at)
        assert sandboxes.check(evidence(made, wrong, faults=(killed,))).holds is excused


def test_what_takes_too_long_and_who_hangs_is_found() -> None:
    slow = did("dicts-0", "put", {})
    assert waits.check(evidence(slow)).holds
    slow.ended_at = slow.asked_at + waits.DEADLINE_S + 1
    assert not waits.check(evidence(slow)).holds
    (told,) = waits.check(Evidence(hung={"maps-0": "File maps.py, line 3"})).violations
    assert "maps-0 did not end when told to" in told
    assert "line 3" in told


def test_the_time_without_a_service_does_not_count() -> None:
    slow = did("dicts-0", "put", {})
    slow.ended_at = slow.asked_at + waits.DEADLINE_S + 30
    kills = [Happened("service killed", "", slow.asked_at + at, slow.asked_at + at) for at in (1, 10, 15)]
    assert waits.check(evidence(slow, faults=(*kills,))).holds
    assert not waits.check(evidence(slow, faults=(kills[0],))).holds
    before = Happened("service killed", "", slow.asked_at - 100, slow.asked_at - 100)
    assert not waits.check(evidence(slow, faults=(before,))).holds


def test_recovery_is_from_a_kill_to_the_next_answer() -> None:
    calls = [did("lone-0", "call", {"x": n}, {"value": []}) for n in range(4)]
    first, second, third, _ = (call.ended_at or 0.0 for call in calls)
    kills = (Happened("service killed", "", first + 0.1, first + 0.1), Happened("service stopped", "", second + 0.1))
    (time,) = waits.recoveries(evidence(*calls, faults=kills))
    assert abs(time - (second - first - 0.1)) < 1e-6
    twice = (Happened("service killed again while it starts", "", first + 0.1, second + 0.2),)
    (time,) = waits.recoveries(evidence(*calls, faults=twice))
    assert abs(time - (third - second - 0.2)) < 1e-6


def test_what_is_left_and_what_grew_is_found() -> None:
    clean: dict[str, list[str]] = {"containers": [], "payloads": []}
    assert leftovers.check(Evidence(left=clean, memory_mib=[90, 130, 120], open_files=[60])).holds
    assert not leftovers.check(Evidence(left={**clean, "payloads": ["bl-1"]})).holds
    assert not leftovers.check(Evidence(left=clean, memory_mib=[90, 900])).holds
    assert not leftovers.check(Evidence(left=clean, open_files=[60, 5000])).holds
    assert not leftovers.check(Evidence(log="x\nERROR it failed\nTraceback (most recent call last)\n")).holds


def test_a_report_counts_faults_and_shows_what_was_broken() -> None:
    one = failed("maps-0", "map", {"first": 0, "count": 1, "ordered": True}, "RuntimeError: no")
    found = evidence(one, faults=(fault("service killed", one), fault("service killed", one)))
    report = Report("s", 60.0, found, judge(found))
    assert not report.holds
    assert "**2 faults** in 1.0 min (seed s): service killed 2." in report.table()
    assert "VIOLATION (errors): maps-0 map: RuntimeError: no" in report.table()
    assert report.json()["invariants"]["errors"]["violations"] == ["maps-0 map: RuntimeError: no"]
