from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Client, FrozenClock
from tests.databases import SQLITE, registry
from tests.factories import EPOCH_MS, NEVER_MS, REVIEW, SIMPLE, Factory, bearer, refused
from tests.nulltickets import NEW_TASK_BODY, OTHER_TOKEN, TOKEN, OldDatabase, filled
from tests.worlds import dump, looked_up
from tickets.db.database import Database
from tickets.db.migrations import migrate
from tickets.db.registry import sql_root
from tickets.db.sqlite_database import SqliteDatabase
from tickets.errors import Invalid
from tickets.tracker.operations.imports import ImportOperations

ERAS = pytest.mark.parametrize("era", ["gates", "store"])


class Importer:
    """Imports into the database under test and keeps what it was told."""

    def __init__(self, db: Database, clock: FrozenClock) -> None:
        self._operations = ImportOperations(db, clock)
        self.told: list[str] = []

    def __call__(self, old: OldDatabase) -> dict[str, int]:
        self.told.clear()
        return self._operations.import_file(old.path, tell=self.told.append)


@pytest.fixture
def importer(db: Database, clock: FrozenClock) -> Importer:
    return Importer(db, clock)


def test_every_kind_of_row_of_the_gates_era_comes_in(
    tmp_path: Path, importer: Importer, client: Client
) -> None:
    counts = importer(filled(tmp_path / "old.db", era="gates"))

    assert counts == {
        "pipelines": 2,
        "tasks": 8,
        "runs": 5,
        "leases": 1,
        "events": 6,
        "gate_results": 2,
        "artifacts": 2,
        "dependencies": 2,
        "assignments": 2,
        "store_entries": 0,
        "otlp_batches": 1,
        "otlp_spans": 2,
        "idempotency_keys": 2,
    }
    assert importer.told == ["3 x idempotency keys left out"]
    assert client.get("/runs/r2/gates", status=200).json == [
        {
            "id": id_,
            "run_id": "r2",
            "task_id": "t-review",
            "gate": "tests",
            "status": status,
            "evidence": {"n": 1},
            "actor": "ci",
            "ts_ms": EPOCH_MS - 640,
        }
        for id_, status in ((2, "fail"), (5, "pass"))
    ]


def test_store_and_run_state_of_the_store_era_come_in(
    tmp_path: Path, importer: Importer, client: Client
) -> None:
    counts = importer(filled(tmp_path / "old.db", era="store"))

    assert (counts["tasks"], counts["store_entries"], counts["gate_results"]) == (9, 2, 0)
    entry = {
        "namespace": "notes",
        "key": "greeting",
        "value": {"text": "hello world"},
        "created_at_ms": EPOCH_MS - 99,
        "updated_at_ms": EPOCH_MS - 98,
        "version": 1,
    }
    assert client.get("/store/notes/greeting", status=200).json == entry
    assert client.get("/store/search?q=World", status=200).json == [entry]
    assert client.get("/store/notes/n", status=200).json["value"] is None
    assert client.get("/tasks/t-flow/run-state", status=200).json == {
        "run_id": "wf-1",
        "workflow_state": {"at": "node"},
    }


@ERAS
def test_pipelines_keep_what_nobody_here_knows(
    tmp_path: Path, importer: Importer, client: Client, era: str
) -> None:
    importer(filled(tmp_path / "old.db", era=era))

    assert client.get("/pipelines/p2", status=200).json == {
        "id": "p2",
        "name": "name of p2",
        "definition": {**REVIEW, "x-kept": [1, {"a": None}]},
        "created_at_ms": EPOCH_MS - 1000,
    }


@ERAS
def test_a_task_keeps_every_column_and_numbers_their_spelling(
    tmp_path: Path, importer: Importer, client: Client, era: str
) -> None:
    importer(filled(tmp_path / "old.db", era=era))

    response = client.get("/tasks/t-new", status=200)

    assert b'"metadata":{"n":1.50,"big":12345678901234567890}' in response.body
    assert {**response.json, "metadata": {}} == {
        "id": "t-new",
        "pipeline_id": "p1",
        "stage": "todo",
        "title": "Title of t-new",
        "description": "Description",
        "priority": 7,
        "metadata": {},
        "task_version": 1,
        "next_eligible_at_ms": 0,
        "max_attempts": None,
        "retry_delay_ms": 0,
        "dead_letter_stage": None,
        "dead_letter_reason": None,
        "created_at_ms": EPOCH_MS - 900,
        "updated_at_ms": EPOCH_MS - 800,
        "failed_attempts": 0,
        "retry_backoff": None,
        "dependencies": [],
        "assignments": [],
        "available_transitions": [{"trigger": "complete", "to": "done", "required_gates": []}],
    }


# D-10
def test_failures_count_since_the_present_stage_and_runs_keep_their_outcome(
    tmp_path: Path, importer: Importer, client: Client
) -> None:
    importer(filled(tmp_path / "old.db", era="store"))

    task = client.get("/tasks/t-review", status=200).json
    runs = client.get("/tasks/t-review/runs", status=200).json["items"]

    assert (task["failed_attempts"], task["max_attempts"], task["retry_delay_ms"]) == (1, 3, 50)
    assert [(run["attempt"], run["status"]) for run in runs] == [
        (1, "failed"),
        (2, "completed"),
        (3, "failed"),
    ]
    assert (runs[0]["error"], runs[0]["usage"]) == ("broken", {"tokens": 5})
    assert runs[0]["ended_at_ms"] == EPOCH_MS - 600


def test_the_next_attempt_counts_on(tmp_path: Path, importer: Importer, make: Factory) -> None:
    importer(filled(tmp_path / "old.db", era="store"))

    claim = make.claim(role="reviewer")

    assert (claim["task"]["id"], claim["run"]["attempt"]) == ("t-review", 4)


def test_a_live_lease_goes_on_with_its_token(
    tmp_path: Path, importer: Importer, client: Client, clock: FrozenClock
) -> None:
    importer(filled(tmp_path / "old.db", era="gates"))
    clock.advance(ms=1000)

    heartbeat = client.post("/leases/l-live/heartbeat", headers=bearer(TOKEN), status=200)
    client.post("/leases/l-live/heartbeat", headers=bearer(OTHER_TOKEN), status=401)
    moved = client.post_json(
        "/runs/r-live/transition",
        {"trigger": "complete"},
        headers=bearer(TOKEN),
        status=200,
    )

    assert heartbeat.json == {"expires_at_ms": clock.now_ms() + 300_000}
    assert moved.json["new_stage"] == "done"


@pytest.mark.parametrize(
    ("heartbeat_ms", "expires_ms", "ttl_ms"),
    [
        (-700, 599_300, 600_000),  # no heartbeat yet: as long as the claim asked for
        (-100, 299_900, 300_000),  # after a heartbeat: what that gave
        (-700, -700, 1),
        (-700, 2**62 - EPOCH_MS, 86_400_000),
    ],
)
def test_the_ttl_of_a_lease_is_how_far_it_last_reached(
    tmp_path: Path,
    importer: Importer,
    db: Database,
    heartbeat_ms: int,
    expires_ms: int,
    ttl_ms: int,
) -> None:
    old = OldDatabase(tmp_path / "old.db", era="store")
    old.pipeline("p1", SIMPLE)
    old.task("t1")
    old.run("r1", "t1", 1, "running")
    old.lease(
        "l1",
        "r1",
        last_heartbeat_ms=EPOCH_MS + heartbeat_ms,
        expires_at_ms=EPOCH_MS + expires_ms,
    )

    importer(old)

    with db.write() as tx:
        lease = tx.one("leases.get", lease_id="l1")
    assert lease is not None
    assert (lease["ttl_ms"], lease["expires_at_ms"]) == (ttl_ms, EPOCH_MS + expires_ms)


def test_a_lease_that_ran_out_meanwhile_is_swept_as_any_other(
    tmp_path: Path, importer: Importer, client: Client, make: Factory, clock: FrozenClock
) -> None:
    importer(filled(tmp_path / "old.db", era="store"))
    clock.advance(ms=300_000)

    claim = make.claim()
    late = client.post("/leases/l-live/heartbeat", headers=bearer(TOKEN), status=410)

    assert claim["task"]["id"] == "t-new"
    assert late.json == refused("expired")
    assert client.get("/runs/r-live", status=200).json["status"] == "stale"


# D-43
def test_only_what_the_service_wrote_counts_as_its_own(
    tmp_path: Path, importer: Importer, db: Database
) -> None:
    importer(filled(tmp_path / "old.db", era="store"))

    origins = looked_up(db, "SELECT id, origin FROM events ORDER BY id")

    assert origins == [
        (3, "agent"),
        (5, "agent"),  # a dead_letter that was followed by another event of the run
        (6, "system"),
        (7, "system"),
        (8, "system"),
        (9, "system"),
    ]


# D-08, D-09
def test_a_dead_lettered_task_blocks_and_can_be_requeued_where_it_was_given_up(
    tmp_path: Path, importer: Importer, client: Client
) -> None:
    old = filled(tmp_path / "old.db", era="store")
    old.edge("t-new", "t-dead")
    importer(old)

    blocked = client.get("/tasks/t-new/why", status=200).json
    client.post_json("/tasks/t-dead/requeue", {}, status=200)

    assert blocked["reasons"] == [{"code": "blocked_by", "task_ids": ["t-dead"]}]
    revived = client.get("/tasks/t-dead", status=200).json
    assert (revived["stage"], revived["failed_attempts"]) == ("todo", 0)


def test_what_can_be_claimed_is_what_the_columns_say(
    tmp_path: Path, importer: Importer, client: Client, make: Factory, clock: FrozenClock
) -> None:
    importer(filled(tmp_path / "old.db", era="store"))

    why = {
        id_: [reason["code"] for reason in client.get(f"/tasks/{id_}/why").json["reasons"]]
        for id_ in ("t-live", "t-later", "t-waits", "t-dead", "t-assigned", "t-done")
    }

    assert why == {
        "t-live": ["leased"],
        "t-later": ["delayed"],
        "t-waits": ["blocked_by"],
        "t-dead": ["terminal_stage", "dead_lettered"],
        "t-assigned": ["assigned"],
        "t-done": ["terminal_stage"],
    }
    claims = [make.claim(agent="a2")["task"]["id"] for _ in range(3)]
    assert claims == ["t-new", "t-assigned", "t-flow"]
    make.no_claim(agent="a2")
    clock.advance(ms=5000)
    assert make.claim(agent="a2")["task"]["id"] == "t-later"


def test_edges_assignments_artifacts_and_spans_can_be_read(
    tmp_path: Path, importer: Importer, client: Client
) -> None:
    importer(filled(tmp_path / "old.db", era="gates"))

    assert client.get("/tasks/t-waits/dependencies", status=200).json == [
        {"depends_on_task_id": "t-done", "resolved": True, "dead_letter_reason": None},
        {"depends_on_task_id": "t-new", "resolved": False, "dead_letter_reason": None},
    ]
    assert [
        (row["agent_id"], row["active"], row["updated_at_ms"] - EPOCH_MS)
        for row in client.get("/tasks/t-assigned/assignments", status=200).json
    ] == [("a1", False, -500), ("a2", True, -450)]
    artifacts = client.get("/artifacts", status=200).json["items"]
    assert artifacts[0] == {
        "id": "art1",
        "task_id": "t-review",
        "run_id": "r2",
        "created_at_ms": EPOCH_MS - 400,
        "kind": "diff",
        "uri": "file:///d",
        "sha256": "00",
        "size_bytes": -1,
        "meta": {"a": 1},
    }
    assert artifacts[1]["id"] == "art2"
    spans = client.get("/traces?task_id=t-live", status=200).json["items"]
    assert [(span["batch_id"], span["span_id"]) for span in spans] == [
        (4, "span 0"),
        (4, "span 1"),
    ]


# D-37
def test_answers_are_repeated_but_no_token_comes_in(
    tmp_path: Path, importer: Importer, client: Client, db: Database
) -> None:
    importer(filled(tmp_path / "old.db", era="store"))

    created = client.post("/tasks", NEW_TASK_BODY, {"Idempotency-Key": "k1"}, status=201)
    changed = client.post("/tasks", NEW_TASK_BODY + " ", {"Idempotency-Key": "k1"}, status=409)
    event = client.post(
        "/runs/r-live/events",
        '{"kind":"step"}',
        {"Idempotency-Key": "k3", **bearer(TOKEN)},
        status=201,
    )

    assert created.json == {"id": "t-new"}
    assert changed.json == refused("idempotency_conflict")
    assert event.json == {"id": 3}
    assert not any(TOKEN in line for line in dump(db))


@ERAS
def test_a_second_import_changes_nothing(
    tmp_path: Path, importer: Importer, db: Database, clock: FrozenClock, era: str
) -> None:
    old = filled(tmp_path / "old.db", era=era)
    before = old.digest()
    importer(old)
    first = dump(db)
    clock.advance(ms=10)

    counts = importer(old)

    assert set(counts.values()) == {0}
    assert dump(db) == first
    assert old.digest() == before
    assert {each.name for each in tmp_path.iterdir() if each.name.startswith("old")} == {
        "old.db"
    }


def test_an_import_never_overwrites_what_was_done_here(
    tmp_path: Path, importer: Importer, client: Client, make: Factory, db: Database
) -> None:
    old = filled(tmp_path / "old.db", era="store")
    importer(old)
    client.post_json(
        "/runs/r-live/transition", {"trigger": "complete"}, headers=bearer(TOKEN), status=200
    )
    claim = make.claim()
    make.event(claim)
    client.delete("/tasks/t-waits/dependencies/t-new", status=200)
    client.delete("/tasks/t-assigned/assignments/a2", status=200)
    client.patch_json("/tasks/t-later", {"title": "Mine"}, status=200)
    client.put_json("/store/notes/greeting", {"value": "changed"}, status=204)
    client.post("/v1/traces", '{"resourceSpans":[]}', {"Content-Type": "application/json"})
    worked = dump(db)

    counts = importer(old)

    assert set(counts.values()) == {0}
    assert dump(db) == worked


def test_what_is_new_in_the_file_comes_in_with_a_later_import(
    tmp_path: Path, importer: Importer, client: Client, make: Factory
) -> None:
    old = filled(tmp_path / "old.db", era="gates")
    importer(old)
    make.event(make.claim())
    old.task("t-2")
    old.run("r-2", "t-2", 1, "failed")
    old.event(10, "r-2", "step")
    old.event(11, "r-2", "retry_scheduled")
    old.batch(5, spans=1)
    old.edge("t-2", "t-waits")
    old.edge("t-waits", "t-2")

    counts = importer(old)

    assert {name: count for name, count in counts.items() if count} == {
        "tasks": 1,
        "runs": 1,
        "events": 2,
        "dependencies": 1,
        "otlp_batches": 1,
        "otlp_spans": 1,
    }
    assert "8 tasks were left alone with all that belongs to them" in importer.told
    events = client.get("/runs/r-2/events", status=200).json["items"]
    assert [event["kind"] for event in events] == ["step", "retry_scheduled"]
    assert events[0]["id"] > 10  # 10 is taken here


def test_taken_ids_are_replaced_in_order(
    tmp_path: Path, importer: Importer, client: Client, make: Factory, db: Database
) -> None:
    make.task()
    own = [make.event(make.claim()) for _ in range(1)]
    client.post("/v1/traces", '{"resourceSpans":[]}', {"Content-Type": "application/json"})
    old = OldDatabase(tmp_path / "old.db", era="store")
    old.pipeline("p1", SIMPLE)
    old.task("t1")
    old.run("r1", "t1", 1, "failed")
    for id_ in (1, 2, 5):
        old.event(id_, "r1", f"kind {id_}")
    old.batch(1, spans=2)

    importer(old)

    assert own == [1]
    events = client.get("/runs/r1/events", status=200).json["items"]
    assert [(event["id"], event["kind"]) for event in events] == [
        (2, "kind 1"),
        (3, "kind 2"),
        (6, "kind 5"),
    ]
    spans = client.get("/traces", status=200).json["items"]
    assert [span["batch_id"] for span in spans] == [2, 2]


def test_a_taken_name_gets_a_suffix(
    tmp_path: Path, importer: Importer, client: Client, make: Factory
) -> None:
    make.pipeline(name="mine")
    make.pipeline(name="mine (imported)")
    old = OldDatabase(tmp_path / "old.db", era="store")
    old.pipeline("p1", SIMPLE, name="mine")

    importer(old)

    assert client.get("/pipelines/p1", status=200).json["name"] == "mine (imported 2)"
    assert importer.told == [
        "pipeline 'mine' came in as 'mine (imported 2)': the name was taken"
    ]


# D-22
def test_definitions_that_would_be_refused_today_go_on_working(
    tmp_path: Path, importer: Importer, client: Client, make: Factory
) -> None:
    odd: dict[str, Any] = {
        "initial": "",
        "gates": 7,
        "states": {
            "": {"agent_role": [99, 111, 100, 101, 114], "workflow_id": {"x": 1}},
            "end": {"terminal": True},
        },
        "transitions": [
            {"from": "", "to": "end", "trigger": "", "required_gates": None},
            {"from": "", "to": "", "trigger": ""},
        ],
    }
    old = OldDatabase(tmp_path / "old.db", era="gates")
    old.pipeline("p1", odd)
    old.task("t1", stage="", max_attempts=1)
    old.task("t2", stage="")

    importer(old)

    assert importer.told[0].startswith("pipeline 'name of p1' would be refused today: ")
    assert client.get("/pipelines/p1", status=200).json["definition"] == odd
    assert client.get("/tasks/t1", status=200).json["available_transitions"] == [
        {"trigger": "", "to": "end", "required_gates": []},
        {"trigger": "", "to": "", "required_gates": []},
    ]
    make.fail(make.claim())
    given_up = client.get("/tasks/t1", status=200).json
    assert (given_up["stage"], given_up["dead_letter_reason"]) == ("", "max_attempts_exceeded")
    assert make.transition(make.claim(), trigger="")["new_stage"] == "end"
    make.task("p1")


@pytest.mark.parametrize("definition", ["[]", "{", '{"states":[],"transitions":{}}', b"\xff"])
def test_a_definition_that_cannot_be_read_keeps_its_tasks_readable(
    tmp_path: Path, importer: Importer, client: Client, make: Factory, definition: str | bytes
) -> None:
    old = OldDatabase(tmp_path / "old.db", era="gates")
    old.pipeline("p1", definition)
    old.task("t1")
    old.run("r1", "t1", 1, "running")
    old.lease("l1", "r1")

    importer(old)

    client.get("/pipelines/p1", status=200)
    assert client.get("/tasks/t1", status=200).json["available_transitions"] == []
    assert client.get("/tasks?stage=todo", status=200).json["items"][0]["id"] == "t1"
    assert client.get("/runs/r1", status=200).json["status"] == "stale"
    client.post("/leases/l1/heartbeat", headers=bearer(TOKEN), status=410)
    make.no_claim()


# D-11
def test_numbers_out_of_range_are_brought_into_it(
    tmp_path: Path, importer: Importer, client: Client
) -> None:
    old = OldDatabase(tmp_path / "old.db", era="store")
    old.pipeline("p1", SIMPLE)
    old.task("t1", max_attempts=0, retry_delay_ms=-5, next_eligible_at_ms=-1)
    old.task("t2", max_attempts=2**63 - 1, retry_delay_ms=2**63 - 1)

    importer(old)

    task = client.get("/tasks/t1", status=200).json
    assert (task["max_attempts"], task["retry_delay_ms"], task["next_eligible_at_ms"]) == (
        1,
        0,
        0,
    )
    assert client.get("/tasks/t2", status=200).json["retry_delay_ms"] == 2**63 - 1
    assert sorted(importer.told) == [
        "1 x a negative delay, now 0",
        "1 x a negative time, now 0",
        "1 x max_attempts below 1, now 1",
    ]


def test_a_failure_with_the_largest_delay_is_no_error(
    tmp_path: Path, importer: Importer, client: Client, make: Factory
) -> None:
    old = OldDatabase(tmp_path / "old.db", era="store")
    old.pipeline("p1", SIMPLE)
    old.task("t2", retry_delay_ms=2**63 - 1)
    importer(old)

    make.fail(make.claim())

    assert client.get("/tasks/t2", status=200).json["next_eligible_at_ms"] > EPOCH_MS


# D-05
def test_dependency_cycles_come_in_are_told_of_and_can_be_cut(
    tmp_path: Path, importer: Importer, client: Client, make: Factory
) -> None:
    old = OldDatabase(tmp_path / "old.db", era="store")
    old.pipeline("p1", SIMPLE)
    for id_ in ("t1", "t2", "t3", "t4"):
        old.task(id_)
    for task_id, target in (("t1", "t2"), ("t2", "t3"), ("t3", "t1"), ("t4", "t1")):
        old.edge(task_id, target)

    importer(old)

    assert importer.told == ["dependency cycle, remove an edge: t1 -> t2 -> t3 -> t1"]
    make.no_claim()
    client.delete("/tasks/t3/dependencies/t1", status=200)
    assert make.claim()["task"]["id"] == "t3"


def test_of_two_running_runs_the_one_that_last_showed_life_goes_on(
    tmp_path: Path, importer: Importer, client: Client
) -> None:
    old = OldDatabase(tmp_path / "old.db", era="store")
    old.pipeline("p1", SIMPLE)
    old.task("t1")
    old.run("r1", "t1", 1, "running")
    old.run("r2", "t1", 2, "running")
    old.run("r3", "t1", 3, "running")
    old.lease("l1", "r1", last_heartbeat_ms=EPOCH_MS - 1)
    old.lease("l2", "r2", token=OTHER_TOKEN, last_heartbeat_ms=EPOCH_MS - 2)

    importer(old)

    runs = client.get("/tasks/t1/runs", status=200).json["items"]
    assert [(run["status"], run["ended_at_ms"]) for run in runs] == [
        ("running", None),
        ("stale", EPOCH_MS),
        ("stale", EPOCH_MS),
    ]
    client.post("/leases/l1/heartbeat", headers=bearer(TOKEN), status=200)
    client.post("/leases/l2/heartbeat", headers=bearer(OTHER_TOKEN), status=410)
    assert importer.told == [
        "2 x running runs ended as stale: no lease, or another run holds the task"
    ]


# D-58
def test_of_two_active_assignments_the_newest_counts(
    tmp_path: Path, importer: Importer, client: Client
) -> None:
    old = OldDatabase(tmp_path / "old.db", era="store")
    old.pipeline("p1", SIMPLE)
    old.task("t1")
    old.assignment("t1", "a1", updated_at_ms=EPOCH_MS - 1)
    old.assignment("t1", "a2", updated_at_ms=EPOCH_MS - 3)
    old.assignment("t1", "a3", updated_at_ms=EPOCH_MS - 2)

    importer(old)

    rows = client.get("/tasks/t1/assignments", status=200).json
    assert [(row["agent_id"], row["active"]) for row in rows] == [
        ("a1", True),
        ("a2", False),
        ("a3", False),
    ]
    assert client.get("/tasks/t1/why?agent_id=a1", status=200).json["claimable"] is True


# D-17, D-18
def test_bytes_that_are_no_characters_are_written_out(
    tmp_path: Path, importer: Importer, client: Client
) -> None:
    old = OldDatabase(tmp_path / "old.db", era="store")
    old.pipeline("p1", SIMPLE)
    old.task("t1", title="ab\0cd", metadata_json='{"a":"x\\u0000y\\\\u0000"}')
    old.script(
        "INSERT INTO store VALUES ('n', CAST(x'6bff' AS TEXT), '1', 1, 1);"
        "INSERT INTO store VALUES ('n', CAST(x'6bfe' AS TEXT), '2', 1, 1);"
    )

    importer(old)

    task = client.get("/tasks/t1", status=200).json
    assert (task["title"], task["metadata"]) == ("ab\\x00cd", {"a": "x\\x00y\\u0000"})
    keys = [entry["key"] for entry in client.get("/store/n", status=200).json]
    assert keys == ["k\\xfe", "k\\xff"]
    assert client.get("/store/n/k%5Cxff", status=200).json["value"] == 1
    assert "3 texts held bytes that are no characters, now \\xNN" in importer.told


# D-19, D-23, D-67
@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ('"a scalar"', b'"a scalar"'),
        ("[1.0,1e300,-0]", b"[1.0,1e300,-0]"),
        ('{"n":1e400,"m":1}', b'{"n":"1e400","m":1}'),
        ('{"cut', b'"{\\"cut"'),
        ("[" * 2000 + "]" * 2000, b'"' + b"[" * 2000 + b"]" * 2000 + b'"'),
        ("[" * 200 + "]" * 200, b'"' + b"[" * 200 + b"]" * 200 + b'"'),
        ("[" * 128 + "]" * 128, b"[" * 128 + b"]" * 128),
        ('"\\ud800"', b'"\\"\\\\ud800\\""'),
    ],
)
def test_json_comes_in_as_near_to_the_letter_as_it_can_be_read(
    tmp_path: Path, importer: Importer, client: Client, stored: str, shown: bytes
) -> None:
    old = OldDatabase(tmp_path / "old.db", era="store")
    old.add(
        "store", namespace="n", key="k", value_json=stored, created_at_ms=1, updated_at_ms=1
    )

    importer(old)

    assert b'"value":' + shown + b"," in client.get("/store/n/k", status=200).body
    assert bool(importer.told) is (shown != stored.encode())
    client.get("/store/search?q=nothing&filter_path=$.n", status=200)


def test_rows_that_refer_to_nothing_are_left_out_and_counted(
    tmp_path: Path, importer: Importer, client: Client
) -> None:
    old = OldDatabase(tmp_path / "old.db", era="gates")
    old.pipeline("p1", SIMPLE)
    old.task("t1")
    old.task("lost", "no pipeline")
    old.run("r-lost", "no task", 1, "failed")
    old.event(1, "no run", "step")
    old.edge("t1", "no task")
    old.edge("t1", "t1")
    old.add(
        "artifacts", id="a1", task_id="no task", created_at_ms=1, kind="log", uri="file:///x"
    )

    counts = importer(old)

    assert {name: count for name, count in counts.items() if count} == {
        "pipelines": 1,
        "tasks": 1,
        "artifacts": 1,
    }
    assert "5 rows refer to rows that the file does not hold" in importer.told
    assert client.get("/artifacts", status=200).json["items"][0]["task_id"] is None


def test_a_log_beside_the_file_is_read_and_left_there(
    tmp_path: Path, importer: Importer, client: Client
) -> None:
    old = filled(tmp_path / "old.db", era="store")
    with closing(sqlite3.connect(old.path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("PRAGMA wal_autocheckpoint = 0")
        writer.execute("UPDATE tasks SET title = 'from the log' WHERE id = 't-new'")
        before = old.digest()
        copy = OldCopy(tmp_path / "copy" / "old.db", old.path)

        importer(copy)

        assert old.digest() == before
    assert client.get("/tasks/t-new", status=200).json["title"] == "from the log"
    assert copy.wal.stat().st_size > 0


class OldCopy(OldDatabase):
    """A copy of a database and its log, as a backup of the files would be."""

    def __init__(self, path: Path, source: Path) -> None:
        path.parent.mkdir()
        self.path = path
        self.wal = Path(f"{path}-wal")
        shutil.copy(source, path)
        shutil.copy(f"{source}-wal", self.wal)


def test_a_file_in_use_by_its_program_can_be_read(
    tmp_path: Path, importer: Importer, client: Client
) -> None:
    old = filled(tmp_path / "old.db", era="store")
    with closing(sqlite3.connect(old.path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE tasks SET title = 'not committed'")

        importer(old)

        writer.execute("ROLLBACK")
    assert client.get("/tasks/t-new", status=200).json["title"] == "Title of t-new"


def test_a_file_in_wal_mode_at_rest_gets_nothing_beside_it(
    tmp_path: Path, importer: Importer
) -> None:
    old = filled(tmp_path / "old.db", era="store")
    old.script("PRAGMA journal_mode = WAL; UPDATE tasks SET priority = 1;")
    (tmp_path / "old").mkdir()
    old.path = old.path.rename(tmp_path / "old" / "old.db")
    old.path.parent.chmod(0o500)

    try:
        counts = importer(old)
    finally:
        old.path.parent.chmod(0o700)

    assert counts["tasks"] == 9
    assert [each.name for each in old.path.parent.iterdir()] == ["old.db"]


@pytest.mark.parametrize("kind", ["text", "empty", "other", "ours", "directory", "cut"])
def test_what_is_no_nulltickets_database_is_refused_and_nothing_written(
    tmp_path: Path, importer: Importer, db: Database, kind: str
) -> None:
    path = tmp_path / "old.db"
    if kind == "text":
        path.write_text("SQLite format 3, not" * 100)
    elif kind == "empty":
        path.touch()
    elif kind == "other":
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE tasks (id TEXT)")
    elif kind == "ours":
        with closing(SqliteDatabase(str(path), registry=registry(SQLITE))) as ours:
            migrate(ours, sql_root(), 1)
    elif kind == "directory":
        path.mkdir()
    else:
        filled(path, era="store")
        path.write_bytes(path.read_bytes()[:40_960])
    before = dump(db)

    with pytest.raises(Invalid, match=r"old\.db"):
        ImportOperations(db, FrozenClock()).import_file(path)

    assert dump(db) == before


def test_a_damaged_file_brings_in_nothing_at_all(
    tmp_path: Path, importer: Importer, db: Database
) -> None:
    old = filled(tmp_path / "old.db", era="store")
    with closing(sqlite3.connect(old.path)) as connection:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'otlp_spans'"
        page = connection.execute(query).fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    content = bytearray(old.path.read_bytes())
    content[(page - 1) * size : page * size] = b"\xa5" * size
    old.path.write_bytes(content)
    before = dump(db)

    with pytest.raises(Invalid, match="cannot be read"):
        importer(old)

    assert dump(db) == before


def test_waiting_consumers_learn_of_an_import_once(
    tmp_path: Path, importer: Importer, client: Client
) -> None:
    counts = importer(filled(tmp_path / "old.db", era="store"))

    changes = client.get("/changes", status=200).json["items"]

    assert [(change["kind"], change["data"]) for change in changes] == [
        ("tracker.imported", counts)
    ]


def test_an_old_file_without_later_columns_gets_their_defaults(
    tmp_path: Path, importer: Importer, client: Client
) -> None:
    old = OldDatabase(tmp_path / "old.db", era="gates")
    old.script(
        "DROP TABLE task_assignments; DROP TABLE idempotency_keys; DROP TABLE otlp_spans;"
        "DROP TABLE otlp_batches; DROP TABLE gate_results;"
        "ALTER TABLE tasks DROP COLUMN task_version;"
        "ALTER TABLE tasks DROP COLUMN max_attempts;"
        "ALTER TABLE tasks DROP COLUMN next_eligible_at_ms;"
    )
    old.pipeline("p1", SIMPLE)
    old.task("t1")

    importer(old)

    task = client.get("/tasks/t1", status=200).json
    assert (task["task_version"], task["max_attempts"], task["next_eligible_at_ms"]) == (
        1,
        None,
        0,
    )


def test_never_again_stays_never(tmp_path: Path, importer: Importer, client: Client) -> None:
    importer(filled(tmp_path / "old.db", era="store"))

    task = client.get("/tasks/t-dead", status=200).json

    assert (task["next_eligible_at_ms"], task["task_version"]) == (NEVER_MS, 2)
    assert json.dumps(task).count("max_attempts_exceeded") == 1
