"""``/ledger``: events, tasks, quiet ones and deliveries, over HTTP."""

from __future__ import annotations

import threading
from typing import Any
from unittest.mock import ANY
from urllib.parse import quote

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import EPOCH_MS, Factory, Json, field_refused, refused
from tests.telling import Told, ask
from tests.worlds import World, looked_up
from tickets.app import Application
from tickets.db.database import ConstraintViolated, Database
from tickets.housekeeping import Housekeeping
from tickets.sqlite_task_ledger.states import DEFAULT_MACHINE

STATES = sorted({*DEFAULT_MACHINE.open, *DEFAULT_MACHINE.terminal})
IN_WORKSPACE = {"X-Workspace-Id": "w1"}
HOUR_MS = 3_600_000
INSERT = "INSERT INTO task_events (req, n, state, is_terminal, actor, source, recorded_at_ms)"


@pytest.fixture
def tell(client: Client) -> Told:
    return Told(client)


def test_an_event_is_answered_with_all_that_is_known(client: Client, tell: Told) -> None:
    event: dict[str, Any] = {
        "stage": "one",
        "message": "m",
        "data": {"b": [1, None], "a": "é"},
        "event_id": "e",
        "ts_ms": 5,
    }
    answer = tell("received", **event)

    snapshot = {
        "req": "r",
        "scope": None,
        "state": "RECEIVED",
        "is_terminal": False,
        "stage": "one",
        "actor": "a",
        "source": "s",
        "message": "m",
        "data": {"a": "é", "b": [1, None]},
        "first_event_at_ms": EPOCH_MS,
        "last_event_at_ms": EPOCH_MS,
        "state_entered_at_ms": EPOCH_MS,
        "terminal_at_ms": None,
        "event_count": 1,
        "last_seq": 1,
        "attempts": 0,
    }
    assert answer == {
        "seq": 1,
        "n": 1,
        "req": "r",
        "state": "RECEIVED",
        "previous_state": None,
        "duplicate": False,
        "snapshot": snapshot,
    }
    allowed = ["RECEIVED", "QUEUED", "RUNNING", "BLOCKED", "STALE"]
    assert tell.task("r") == {
        **snapshot,
        "allowed_next": [*allowed, "FAILED", "CANCELLED", "TIMEOUT"],
    }
    (stored,) = client.get("/ledger/events", status=200).json["items"]
    assert stored == {
        **event,
        "seq": 1,
        "n": 1,
        "req": "r",
        "state": "RECEIVED",
        "previous_state": None,
        "is_terminal": False,
        "actor": "a",
        "source": "s",
        "scope": None,
        "recorded_at_ms": EPOCH_MS,
    }


def test_L03_only_received_and_queued_come_first(tell: Told) -> None:
    for state in STATES:
        is_first = state in ("RECEIVED", "QUEUED")
        answer = tell(state, f"r-{state}", status=201 if is_first else 409)
        allowed = {"allowed_next": ["RECEIVED", "QUEUED"]}
        assert is_first or answer == refused("invalid_transition", allowed)


def test_L05_nothing_follows_an_end(client: Client, tell: Told) -> None:
    tell.goes("QUEUED", "CANCELLED")

    for state in STATES:
        assert tell(state, status=409) == refused("already_terminal")
    body = {"actor": "a", "source": "s"}
    answer = client.post_json("/ledger/tasks/r/touch", body, status=409)
    assert answer.json == refused("already_terminal")
    assert tell.task("r")["event_count"] == 2


def test_L06_of_two_requests_that_end_a_task_one_wins(app: Application, tell: Told) -> None:
    outcomes: list[tuple[str, int]] = []
    count = 20

    def end(state: str) -> None:
        mine = Client(app)
        for number in range(count):
            start.wait()
            body = {"state": state, "actor": "a", "source": "s", "req": f"r{number}"}
            answer = mine.post_json("/ledger/events", body, expect_errors=True)
            outcomes.append((f"r{number}", answer.status_int))

    for number in range(count):
        tell.goes("QUEUED", "RUNNING", req=f"r{number}")
    start = threading.Barrier(2, timeout=30)
    threads = [threading.Thread(target=end, args=(state,)) for state in ("FAILED", "COMPLETED")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == sorted((f"r{n}", s) for n in range(count) for s in (201, 409))
    assert {tell.task(f"r{number}")["event_count"] for number in range(count)} == {3}


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE task_events SET message = 'other'",
        "DELETE FROM task_events",
        f"{INSERT} VALUES ('r', 3, 'FAILED', 1, 'a', 's', 1)",
        f"{INSERT} VALUES ('r', 3, 'QUEUED', 0, 'a', 's', 1)",
    ],
)
def test_L07_the_log_cannot_be_changed_by_sql(tell: Told, db: Database, sql: str) -> None:
    tell.goes("QUEUED", "FAILED")

    with pytest.raises(ConstraintViolated), db.write() as tx, tx.raw() as connection:
        connection.execute(sql)

    assert tell.states("r") == ["QUEUED", "FAILED"]


def test_L08_an_event_id_is_stored_once(tell: Told) -> None:
    first = tell("QUEUED", event_id="e", data={"a": 1, "b": 2})
    again = tell("queued", event_id="e", data={"b": 2, "a": 1}, status=200)
    tell("FAILED")
    after_end = tell("QUEUED", event_id="e", data={"a": 1, "b": 2}, status=200)

    assert first == {**again, "duplicate": False}
    assert (after_end["seq"], after_end["snapshot"]["state"]) == (first["seq"], "FAILED")
    assert tell("QUEUED", event_id="e", status=409) == refused("event_id_conflict")
    assert tell("QUEUED", "other", event_id="e", status=409) == refused("event_id_conflict")
    assert tell.states("r") == ["QUEUED", "FAILED"]


def test_L09_an_expected_state_is_checked(tell: Told) -> None:
    tell("QUEUED", expected_state="NONE")
    tell("BLOCKED")

    assert tell("RUNNING", expected_state="RUNNING", status=409) == refused("state_mismatch")


def test_L10_states_are_understood_in_other_words(tell: Told) -> None:
    tell.goes("received", "Running", "done", req="a")
    tell.goes("QUEUED", "canceled", req="b")

    assert tell.states("a") == ["RECEIVED", "RUNNING", "COMPLETED"]
    assert tell.task("b")["state"] == "CANCELLED"
    assert tell("FOO", status=400) == refused("invalid_state")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"req": " r"}, "req"),
        ({"req": "a\nb"}, "req"),
        ({"actor": ""}, "actor"),
        ({"stage": "s" * 201}, "stage"),
        ({"message": "m" * 4001}, "message"),
        ({"data": "x" * 65_536}, "data"),
        ({"scope": "w1"}, "scope"),
    ],
)
def test_a_field_that_cannot_be_stored_is_named(
    tell: Told, fields: dict[str, Any], named: str
) -> None:
    given: dict[str, Any] = {"req": "r", **fields}
    assert tell("QUEUED", **given, status=400) == field_refused(named)


def test_L14_a_damaged_snapshot_is_named_and_mended(
    client: Client, tell: Told, make: Factory, db: Database
) -> None:
    make.finished(make.pipeline())
    for number in range(5):
        tell.goes("QUEUED", "RUNNING", req=f"r{number}")
    whole = client.get("/ledger/tasks", status=200).json
    assert client.get("/ledger/verify", status=200).json == {"ok": True, "differing": []}
    with db.write() as tx, tx.raw() as connection:
        connection.execute("UPDATE task_state_snapshot SET attempts = 7 WHERE req = 'r3'")

    assert client.get("/ledger/verify").json == {"ok": False, "differing": ["r3"]}
    report = client.post("/ledger/rebuild", status=200).json

    assert report == {"tasks": 6, "events": 13, "changed": 1, "missing": 0, "extra": 0}
    assert client.get("/ledger/tasks").json == whole
    assert client.get("/ledger/verify").json["ok"]


def bulk(client: Client, events: list[Any], status: int) -> Any:
    return client.post_json("/ledger/events/bulk", {"events": events}, status=status).json


def test_L15_of_several_events_all_are_stored_or_none(client: Client, tell: Told) -> None:
    good = [
        {"state": "QUEUED", "actor": "a", "source": "s", "req": f"r{number}"}
        for number in range(4)
    ]

    answer = bulk(client, [*good[:3], {**good[0], "state": "DONE"}, good[3]], 409)

    assert answer == refused("invalid_transition", {"allowed_next": ANY})
    assert "COMPLETED" not in answer["error"]["details"]["allowed_next"]
    assert answer["error"]["message"].startswith("events[3]: ")
    assert client.get("/ledger/events").json == {"items": [], "next_cursor": "0"}
    assert [each["n"] for each in bulk(client, [*good, good[0]], 201)["items"]] == [
        1,
        1,
        1,
        1,
        2,
    ]


def test_the_first_of_several_bad_events_is_named(client: Client) -> None:
    good = {"state": "QUEUED", "actor": "a", "source": "s", "req": "r"}
    unreadable, impossible = {**good, "req": 7}, {**good, "state": "RECEIVED"}
    reserved = {**good, "req": "task:x"}

    for events, index, code in (
        ([good, impossible, unreadable], 1, "invalid_transition"),
        ([good, unreadable, impossible], 1, "invalid_request"),
        ([good, good, reserved], 2, "reserved_req"),
    ):
        answer = client.post_json("/ledger/events/bulk", {"events": events}, expect_errors=True)
        assert answer.json["error"]["code"] == code
        assert answer.json["error"]["message"].startswith(f"events[{index}]: ")
    assert bulk(client, [], 400) == field_refused("events")


def test_L16_of_many_identical_calls_one_is_let_through(
    app: Application, client: Client
) -> None:
    count = 10
    start = threading.Barrier(count, timeout=30)
    reasons: list[str] = []

    def one() -> None:
        mine = Client(app)
        start.wait()
        body = {"channel": "c", "req": "r", "state": "FAILED"}
        answer = mine.post_json("/ledger/deliveries", body, expect_errors=True)
        reasons.append(answer.json["reason"])

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(reasons) == ["duplicate"] * (count - 1) + ["first"]
    (row,) = client.get("/ledger/deliveries", status=200).json["items"]
    assert (row["suppressed_count"], row["dedupe_key"]) == (count - 1, "r:FAILED:")


def test_L17_a_cooldown_ends_to_the_millisecond(client: Client, clock: FrozenClock) -> None:
    ask(client, dedupe_key="k", cooldown_ms=1000)
    clock.advance(ms=999)

    assert ask(client, 200, dedupe_key="k", cooldown_ms=1000) == {
        "allowed": False,
        "reason": "cooldown",
        "delivery_id": 1,
        "last_delivered_at_ms": EPOCH_MS,
        "retry_after_ms": 1,
        "suppressed_count": 1,
        "payload_changed": False,
    }
    clock.advance(ms=1)
    assert ask(client, dedupe_key="k", cooldown_ms=1000)["reason"] == "cooldown_elapsed"


def test_L20_a_req_has_a_cooldown_of_its_own_but_for_its_end(
    client: Client, clock: FrozenClock
) -> None:
    ask(client, dedupe_key="a", req="r")
    clock.advance(ms=1000)
    about: dict[str, Any] = {"req": "r", "req_cooldown_ms": 60_000}

    assert ask(client, 200, dedupe_key="b", **about)["reason"] == "req_cooldown"
    assert ask(client, dedupe_key="b", **about, state="FAILED")["reason"] == "first"


def test_L21_a_failed_delivery_and_a_dry_run_count_for_nothing(client: Client) -> None:
    assert ask(client, 200, dedupe_key="k", dry_run=True)["allowed"]
    assert client.get("/ledger/deliveries").json["items"] == []
    id_ = ask(client, dedupe_key="k", payload_hash="a" * 64)["delivery_id"]
    assert ask(client, 200, dedupe_key="k", payload_hash="b" * 64)["payload_changed"]

    for _ in range(2):
        row = client.post(f"/ledger/deliveries/{id_}/fail", status=200).json
        assert (row["status"], row["suppressed_count"]) == ("failed", 1)

    assert ask(client, dedupe_key="k")["reason"] == "first"
    for unknown in ("999", "x", "9" * 30, "-1"):
        answer = client.post(f"/ledger/deliveries/{unknown}/fail", status=404)
        assert answer.json == refused("delivery_not_found")


def test_deliveries_are_listed_in_pages(client: Client) -> None:
    for number in range(3):
        ask(client, dedupe_key=f"k{number}", req="r")
    ask(client, channel="d", dedupe_key="k")

    first = client.get("/ledger/deliveries?channel=c&limit=2", status=200).json
    second = client.get(f"/ledger/deliveries?channel=c&cursor={first['next_cursor']}").json

    assert [row["dedupe_key"] for row in first["items"]] == ["k0", "k1"]
    assert [row["dedupe_key"] for row in second["items"]] == ["k2"]
    assert second["next_cursor"] is None
    assert len(client.get("/ledger/deliveries?req=r").json["items"]) == 3


def test_a_message_that_cannot_be_judged_is_refused(client: Client) -> None:
    assert ask(client, 400) == field_refused("dedupe_key")
    assert ask(client, 400, dedupe_key="k", cooldown_ms=-1) == field_refused("cooldown_ms")
    assert ask(client, 400, dedupe_key="k", state="FOO") == refused("invalid_state")
    for channel in ("linear-webhook", "system-x"):
        answer = ask(client, 403, channel=channel, dedupe_key="k")
        assert answer == refused("reserved_channel")


def stale(client: Client, query: str = "") -> list[str]:
    answer = client.get(f"/ledger/stale?{query}", status=200).json
    assert answer["next_cursor"] is None
    return [each["req"] for each in answer["items"]]


def test_L23_a_task_is_stale_at_its_threshold_and_not_before(
    client: Client, tell: Told, clock: FrozenClock
) -> None:
    tell.goes("QUEUED", "RUNNING")
    tell.goes("QUEUED", "FAILED", req="ended")
    clock.advance(ms=299_999)
    assert stale(client) == []

    clock.advance(ms=1)
    answer = client.get("/ledger/stale", status=200).json

    (found,) = answer["items"]
    assert (found["req"], found["age_ms"], found["overdue_ms"]) == ("r", 300_000, 0)
    assert answer["now_ms"] == EPOCH_MS + 300_000
    assert answer["thresholds"]["STALE"] is None
    client.post_json("/ledger/tasks/r/touch", {"actor": "a", "source": "s"}, status=201)
    assert stale(client) == []


def test_L24_a_threshold_replaces_that_of_its_state_only(
    client: Client, tell: Told, make: Factory, clock: FrozenClock
) -> None:
    tell.goes("QUEUED", "RUNNING", req="running")
    clock.advance(ms=100)
    tell.goes("QUEUED", req="queued")
    kept = f"task:{make.task()}"
    clock.advance(ms=900_000)

    assert stale(client) == ["running", kept, "queued"]
    assert stale(client, "running_ms=900100&received_ms=0") == ["queued", "running"]
    assert stale(client, "running_ms=0&received_ms=900000") == ["queued", kept]
    assert stale(client, "threshold_ms=900050") == ["running"]
    assert stale(client, "threshold_ms=900050&queued_ms=1") == ["queued", "running"]
    assert stale(client, "state=queued,RECEIVED&limit=1") == [kept]
    answer = client.get("/ledger/stale?running_ms=-1", status=400)
    assert answer.json == field_refused("running_ms")
    client.get("/ledger/stale?state=FOO", status=400)


def sweep(client: Client, status: int = 200, **document: Any) -> Json:
    answer: Json = client.post_json("/ledger/watchdog/sweep", document, status=status).json
    return answer


def test_L25_a_stale_task_is_marked_once_and_may_come_back(
    client: Client, tell: Told, make: Factory, clock: FrozenClock
) -> None:
    tell.goes("QUEUED", "RUNNING")
    kept = f"task:{make.task()}"
    clock.advance(ms=300_000)
    nothing = {"checked": 0, "marked": 0, "timed_out": 0, "skipped": 0, "items": []}
    due = {**nothing, "checked": 1, "items": ["r"]}
    assert sweep(client, mark=False) == due

    assert sweep(client) == {**due, "marked": 1}
    clock.advance(ms=HOUR_MS)
    assert client.post("/ledger/watchdog/sweep", status=200).json == nothing

    assert tell.states("r") == ["QUEUED", "RUNNING", "STALE"]
    assert tell.states(kept) == ["RECEIVED"]
    assert kept in stale(client)
    assert tell("COMPLETED")["previous_state"] == "STALE"
    assert sweep(client, 400, thresholds={"FOO": 1}) == refused("invalid_state")


def test_L26_a_task_that_takes_too_long_ends(
    client: Client, tell: Told, clock: FrozenClock
) -> None:
    tell.goes("QUEUED", "RUNNING", req="long")
    tell.goes("QUEUED", "BLOCKED", req="blocked")
    clock.advance(ms=HOUR_MS)
    tell("RUNNING", "long")

    report = sweep(client, timeouts={"running": HOUR_MS}, thresholds={"BLOCKED": 1})

    assert (report["timed_out"], report["marked"], report["items"]) == (1, 0, ["long"])
    assert tell.task("long")["state"] == "TIMEOUT"
    assert tell.task("blocked")["state"] == "BLOCKED"


def test_L32_what_the_service_writes_is_not_for_clients(client: Client, tell: Told) -> None:
    for req in ("task:x", "ticket:x", "system:x"):
        assert tell("QUEUED", req, status=403) == refused("reserved_req")
        body = {"actor": "a", "source": "s"}
        answer = client.post_json(f"/ledger/tasks/{req}/touch", body, status=403)
        assert answer.json == refused("reserved_req")
    for event_id in ("watchdog:r:1", "task:x:0:claimed:1", "ticket:x:v1:DONE"):
        assert tell("QUEUED", event_id=event_id, status=403) == refused("reserved_req")
    assert tell("QUEUED", "tasks:x", event_id="task-1")["n"] == 1


def test_L32_a_row_of_a_workspace_is_there_for_those_who_name_it(
    client: Client, tell: Told, clock: FrozenClock
) -> None:
    tell("QUEUED", "open")
    tell("QUEUED", "hidden", scope="w1", workspace="w1")
    tell("RUNNING", "hidden", workspace="w1")
    clock.advance(ms=HOUR_MS)
    others: list[dict[str, str]] = [{}, {"X-Workspace-Id": "w2"}]

    for headers in others:
        for path in ("/ledger/tasks/hidden", "/ledger/tasks/hidden/events"):
            answer = client.get(path, headers=headers, status=404)
            assert answer.json == refused("task_not_found")
            unknown = client.get(path.replace("hidden", "no"), headers=headers, status=404)
            assert unknown.json == answer.json
        tasks = client.get("/ledger/tasks", headers=headers).json["items"]
        events = client.get("/ledger/events", headers=headers).json
        found = client.get("/ledger/stale", headers=headers).json["items"]
        assert [each["req"] for each in (*tasks, *events["items"], *found)] == ["open"] * 3
        assert events["next_cursor"] == "3"
        assert client.post("/ledger/rebuild", headers=headers).json["tasks"] == 1
        assert client.post_json(
            "/ledger/watchdog/sweep", {"mark": False}, headers=headers
        ).json["items"] == ["open"]
        body = {"actor": "a", "source": "s"}
        client.post_json("/ledger/tasks/hidden/touch", body, headers=headers, status=404)
    assert tell("QUEUED", "hidden", status=400) == field_refused("scope")

    assert client.get("/ledger/tasks/hidden", headers=IN_WORKSPACE).json["scope"] == "w1"
    inside = client.get("/ledger/tasks?workspace_id=w1").json["items"]
    assert [each["req"] for each in inside] == ["hidden", "open"]
    assert stale(client, "workspace_id=w1") == ["hidden", "open"]
    both = client.get("/ledger/events?workspace_id=w2", headers=IN_WORKSPACE, status=400)
    assert both.json == field_refused("workspace_id")


def test_messages_about_a_req_of_a_workspace_are_there_for_those_who_name_it(
    app: Application, client: Client, tell: Told, clock: FrozenClock
) -> None:
    tell("QUEUED", "open")
    tell("QUEUED", "hidden", scope="w1", workspace="w1")
    clock.advance(ms=HOUR_MS)
    app.housekeeping.watch()
    ask(client, dedupe_key="k")
    path = "/ledger/deliveries"
    every = client.get(path, headers=IN_WORKSPACE).json["items"]
    (hidden,) = (each for each in every if each["req"] == "hidden")
    assert len(every) == 3

    for headers in ({}, {"X-Workspace-Id": "w2"}):
        shown = client.get(path, headers=headers).json["items"]
        assert shown == [each for each in every if each != hidden]
        assert client.get(f"{path}?req=hidden", headers=headers).json["items"] == []
        answer = client.post(f"{path}/{hidden['id']}/fail", headers=headers, status=404)
        assert answer.json == refused("delivery_not_found")
    assert client.get(f"{path}?req=hidden&workspace_id=w1").json["items"] == [hidden]

    failed = client.post(f"{path}/{hidden['id']}/fail", headers=IN_WORKSPACE, status=200)
    assert failed.json == {**hidden, "status": "failed"}


def test_L33_a_req_may_hold_slashes_colons_and_blanks(client: Client, tell: Told) -> None:
    req = "a/b: c?d#é%2F"
    tell("QUEUED", req)
    tell("RUNNING", req)

    assert tell.task(req)["event_count"] == 2
    assert tell.states(req) == ["QUEUED", "RUNNING"]
    path = f"/ledger/tasks/{quote(req, safe='')}/touch"
    assert client.post_json(path, {"actor": "a", "source": "s"}, status=201).json["n"] == 3


@pytest.mark.parametrize("path", ["/ledger/tasks/r/events?limit=2", "/ledger/events?limit=2"])
def test_L34_pages_miss_nothing_while_events_arrive(
    client: Client, tell: Told, path: str
) -> None:
    tell.goes("QUEUED", "RUNNING", "RUNNING", "RUNNING", "RUNNING")
    name = "after_seq" if path.startswith("/ledger/events") else "cursor"
    seen: list[int] = []
    cursor: str | None = "0"
    while cursor is not None:
        page = client.get(f"{path}&{name}={cursor}", status=200).json
        if not page["items"]:
            break
        seen += [each["n"] for each in page["items"]]
        cursor = page["next_cursor"]
        if len(seen) < 6:
            tell("RUNNING")

    assert seen == list(range(1, len(tell.states("r")) + 1))
    assert len(seen) > 5


def test_L34_tasks_are_listed_in_pages_by_what_they_are(client: Client, tell: Told) -> None:
    for req in ("a1", "a2", "b%"):
        tell.goes("QUEUED", req=req)
    tell("FAILED", "a2")

    def listed(query: str) -> list[str]:
        items = client.get(f"/ledger/tasks?{query}", status=200).json["items"]
        return [each["req"] for each in items]

    page = client.get("/ledger/tasks?limit=2").json
    assert [each["req"] for each in page["items"]] == ["a1", "a2"]
    assert listed(f"cursor={page['next_cursor']}") == ["b%"]
    assert listed("state=queued") == listed("terminal=false") == ["a1", "b%"]
    assert listed("state=failed,QUEUED&prefix=a") == ["a1", "a2"]
    assert listed("prefix=b%25&actor=a&source=s") == ["b%"]
    assert listed("prefix=%25") == listed("actor=b") == listed("source=t") == []
    client.get("/ledger/tasks?state=FOO", status=400)
    answer = client.get("/ledger/tasks?cursor=%20", status=400)
    assert answer.json == refused("invalid_cursor")


def test_a_cursor_from_the_future_is_refused(client: Client, tell: Told) -> None:
    tell("QUEUED")

    answer = client.get("/ledger/events?after_seq=2", status=400)

    assert answer.json == refused("invalid_cursor")
    assert client.get("/ledger/events?after_seq=1").json == {"items": [], "next_cursor": "1"}


def test_a_repeated_request_with_a_key_is_answered_as_before(client: Client) -> None:
    body = {"state": "QUEUED", "actor": "a", "source": "s", "req": "r"}
    key = {"Idempotency-Key": "k"}

    first = client.post_json("/ledger/events", body, headers=key, status=201)
    again = client.post_json("/ledger/events", body, headers=key, status=201)

    assert first.json == again.json
    assert client.get("/ledger/tasks/r").json["event_count"] == 1


def test_the_ledger_wants_the_api_token(secured: Client) -> None:
    for path in ("/ledger/events", "/ledger/tasks", "/ledger/stale", "/ledger/verify"):
        assert secured.get(path, status=401).json == refused("unauthorized")


def test_the_service_marks_who_went_quiet_in_any_workspace(
    db: Database,
    world: World,
    app: Application,
    clock: FrozenClock,
    tell: Told,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tell.goes("QUEUED", "RUNNING", req="open")
    tell("QUEUED", "hidden", scope="w1", workspace="w1")
    clock.advance(ms=900_000)
    housekeeping: Housekeeping = app.housekeeping

    housekeeping.watch()
    tell("RUNNING", "open")
    clock.advance(ms=300_000)
    housekeeping.watch()

    assert tell.states("open") == ["QUEUED", "RUNNING", "STALE", "RUNNING", "STALE"]
    rows = looked_up(db, "SELECT state FROM task_state_snapshot WHERE req = 'hidden'")
    assert [tuple(row) for row in rows] == [("STALE",)]
    quiet = [each.message for each in caplog.records if "went quiet" in each.message]
    assert sorted(quiet) == ["ledger: hidden went quiet", "ledger: open went quiet"]
