"""Copies of a whole database, of one kind to another and back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Client, FrozenClock
from tests.databases import POSTGRES, SQLITE, drop, fresh_url, open_place, registry, server
from tests.factories import REVIEW, Factory, Json, bearer
from tests.http.test_traces_http import PROTOBUF, SPAN, binary_export, export, post
from tests.tickets import TicketPlace
from tests.worlds import World, looked_up
from tickets.app import Application
from tickets.config import Settings
from tickets.db.database import Database
from tickets.db.migrations import migrate
from tickets.db.postgres_tables import PostgresTables
from tickets.db.registry import sql_root
from tickets.db.sqlite_database import SqliteDatabase
from tickets.db.sqlite_tables import SqliteTables
from tickets.db.wakeups import Wakeups
from tickets.errors import Busy, Conflict, Invalid, TicketsError
from tickets.tracker.operations import readiness
from tickets.tracker.operations.copies import copy_all

# A PostgreSQL database is only there for a run that was started for one.
BOTH = pytest.mark.postgres
# Nobody gives tickets to agents here, and nothing is mirrored.
OF_NOBODY = ("ticket_dispatches", "integrations_linear", "sync_")


class Place:
    """A new database, and clients that talk to what is served from it."""

    def __init__(self, db: Database, clock: FrozenClock) -> None:
        self.db = db
        self.world = World(db, clock)
        self.app = Application(db, Settings(db=Path("unused.db"), wait_slots=0), clock)
        self.client = Client(self.app)
        self.make = Factory(self.client)

    def answers(self) -> Json:
        """Return what the service says about all there is."""
        paths = ["/workspaces", "/workspaces/w/agents", "/workspaces/w/teams"]
        paths += ["/tickets?workspace_id=w", "/ticket-events?workspace_id=w&limit=1000"]
        paths += ["/pipelines", "/tasks", "/traces", "/artifacts", "/changes?after=0"]
        paths += ["/changes?after=7", "/ops/queue", "/store/search?q=needle+in"]
        paths += ["/store/search?q=%E6%97%A5%E6%9C%AC", "/store/n", "/store/n/k1"]
        paths += ["/ledger/events?limit=1000", "/ledger/tasks?workspace_id=w&limit=1000"]
        paths += ["/ledger/deliveries", "/ledger/verify"]
        for task in self.get("/tasks?limit=1000")["items"]:
            part = f"/tasks/{task['id']}"
            paths += [part, f"{part}/runs", f"{part}/events", f"{part}/dependencies"]
            paths += [f"{part}/assignments", f"{part}/run-state"]
        return {path: self.get(path) for path in paths}

    def get(self, path: str) -> Any:
        """Return the body of an answer, whatever its status."""
        response = self.client.get(path, expect_errors=True)
        return response.json if response.body else response.status_int


@pytest.fixture
def new(tmp_path: Path, clock: FrozenClock) -> Iterator[Callable[[str], Place]]:
    """Make a migrated database of a kind."""
    with ExitStack() as stack:

        def one(kind: str) -> Place:
            if kind == POSTGRES:
                url = fresh_url()
                stack.callback(drop, url)
                db = open_place(url)
            else:
                path = str(tmp_path / f"{len(list(tmp_path.iterdir()))}.db")
                db = SqliteDatabase(path, registry=registry(SQLITE), wakeups=Wakeups(path))
                migrate(db, sql_root(), 1)
            stack.callback(db.close)
            return Place(db, clock)

        yield one


def filled(place: Place, monkeypatch: pytest.MonkeyPatch) -> Json:
    """Make rows in every table; return the claim of a task that is held."""
    client, make = place.client, place.make
    pipeline_id = make.pipeline()
    done = make.finished(pipeline_id)
    make.task(pipeline_id, dependencies=[done], title="Straße – ü 日本 \\ \t \"'")
    make.task(pipeline_id, dependencies=[make.task(pipeline_id)], metadata={"a": [1, None]})
    make.task(pipeline_id, assigned_agent_id="nobody here")
    failing = make.task(pipeline_id, retry_policy={"max_attempts": 1}, priority=2_000_000)
    claim = make.claim()
    assert claim["task"]["id"] == failing
    make.fail(claim)
    # One with more dependents than are freed at once.
    monkeypatch.setattr(readiness, "RELEASE_STEP_ROWS", 1)
    target = make.task(pipeline_id, priority=3_000_000)
    for _ in range(3):
        make.task(pipeline_id, dependencies=[target])
    claim = make.claim()
    assert claim["task"]["id"] == target
    make.transition(claim)
    review = make.pipeline(REVIEW)
    held = make.task(review, priority=4_000_000)
    claim = make.claim()
    assert claim["task"]["id"] == held
    make.event(claim, data={"text": "line\nline", "n": 2**53})
    make.on_run(claim, "gates", {"gate": "tests", "status": "pass"}, status=201)
    client.post_json(
        "/artifacts", {"kind": "log", "uri": "file:///x", "run_id": claim["run"]["id"]},
        headers=bearer(claim["lease_token"]), status=201,
    )  # fmt: skip
    client.put_json(f"/tasks/{held}/run-state", {"run_id": "r", "workflow_state": [1]})
    once(place)
    client.post_json("/ledger/deliveries", {"channel": "c", "dedupe_key": "k"}, status=201)
    client.post_json(
        "/ledger/events?workspace_id=w",
        {
            "state": "QUEUED",
            "actor": "a",
            "source": "s",
            "req": "r",
            "scope": "w",
            "event_id": "e",
        },
        status=201,
    )
    TicketPlace(place.app.lifecycle, workspace_id="w").ids()
    for number in range(4):
        body = {"value": {"text": f"a needle in 日本語 {number}"}}
        client.put_json(f"/store/n/k{number}", body)
    client.delete("/store/n/k3")
    post(client, export(SPAN))
    post(client, binary_export(), PROTOBUF)
    return claim


def once(place: Place) -> str:
    """Create a pipeline that is created only once; return its id."""
    body = {"name": "once", "definition": REVIEW}
    headers = {"Idempotency-Key": "once"}
    answer = place.client.post_json("/pipelines", body, headers=headers, status=201)
    return str(answer.json["id"])


def copied(source: Place, target: Place, clock: FrozenClock) -> list[str]:
    copy = copy_all(source.db, target.db, clock)
    return sorted(f"{name} {sums}" for name, sums in copy.sums.items())


@pytest.mark.parametrize(
    "kinds",
    [
        (SQLITE, SQLITE),
        pytest.param((SQLITE, POSTGRES, SQLITE), marks=BOTH),
        pytest.param((POSTGRES, POSTGRES), marks=BOTH),
        pytest.param((POSTGRES, SQLITE, POSTGRES), marks=BOTH),
    ],
)
def test_a_copy_answers_as_the_original_and_goes_on_from_there(
    kinds: tuple[str, ...],
    new: Callable[[str], Place],
    clock: FrozenClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = new(kinds[0])
    claim = filled(first, monkeypatch)
    answers = first.answers()
    sums: list[str] = []
    source = first
    for kind in kinds[1:]:
        target = new(kind)
        done = copied(source, target, clock)
        assert sums in ([], done)
        empty = [each for each in done if " 0 rows" in each]
        assert not [each for each in empty if not each.startswith(OF_NOBODY)], "not looked at"
        assert copy_all(source.db, target.db, clock).was_there
        sums, source = done, target

    assert source.answers() == answers
    assert answers["/ledger/verify"] == {"ok": True, "differing": []}
    source.world.check()
    source.make.heartbeat(claim)
    source.make.transition(claim, "submit")
    assert once(source) == once(first)
    newest = int(answers["/changes?after=0"]["next_cursor"])
    later = source.get(f"/changes?after={newest}")["items"]
    assert [change["kind"] for change in later] == ["run.transitioned"]
    assert later[0]["id"] > newest
    source.make.transition(source.make.claim("reviewer"), "approve")
    source.client.put_json("/store/n/k3", {"value": "needle"})
    assert source.client.get("/store/n/k3").headers["ETag"] == '"2"'
    source.world.advance()
    while source.world.claims():
        pass
    source.world.check()


@pytest.mark.parametrize("kind", [SQLITE, pytest.param(POSTGRES, marks=BOTH)])
@pytest.mark.parametrize("origin", [SQLITE, pytest.param(POSTGRES, marks=BOTH)])
def test_numbers_that_were_given_once_are_not_given_again(
    new: Callable[[str], Place], clock: FrozenClock, origin: str, kind: str
) -> None:
    source, target = new(origin), new(kind)
    source.world.pipeline()
    source.world.pipeline()
    cursor = source.get("/changes?after=0")["next_cursor"]
    with source.db.write() as tx, tx.raw() as connection:
        connection.execute("DELETE FROM changes")

    copy_all(source.db, target.db, clock)
    assert target.get(f"/changes?after={cursor}") == {"items": [], "next_cursor": cursor}
    target.world.pipeline()

    assert [c["id"] for c in target.get(f"/changes?after={cursor}")["items"]] == [3]


@pytest.mark.parametrize("kind", [SQLITE, pytest.param(POSTGRES, marks=BOTH)])
def test_an_interrupted_copy_leaves_nothing_and_can_be_repeated(
    new: Callable[[str], Place],
    clock: FrozenClock,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    source, target = new(SQLITE), new(kind)
    filled(source, monkeypatch)
    tables = PostgresTables if kind == POSTGRES else SqliteTables
    real_add: Any = tables.add

    def broken_off(self: Any, table: Any, rows: Any) -> None:
        def some() -> Iterator[Any]:
            yield next(rows)
            raise KeyboardInterrupt

        real_add(self, table, some() if table.name == "tasks" else rows)

    with monkeypatch.context() as patch:
        patch.setattr(tables, "add", broken_off)
        with pytest.raises(KeyboardInterrupt):
            copy_all(source.db, target.db, clock)
    assert target.get("/tasks")["items"] == target.get("/pipelines") == []

    assert not copy_all(source.db, target.db, clock).was_there

    assert target.answers() == source.answers()
    target.make.finished(target.make.pipeline())
    target.world.check()


@pytest.mark.parametrize(
    ("origin", "kind"),
    [
        (SQLITE, SQLITE),
        pytest.param(POSTGRES, SQLITE, marks=BOTH),
        pytest.param(SQLITE, POSTGRES, marks=BOTH),
    ],
)
@pytest.mark.parametrize("is_source", [True, False])
def test_nobody_else_writes_while_a_copy_is_made(
    new: Callable[[str], Place],
    clock: FrozenClock,
    monkeypatch: pytest.MonkeyPatch,
    origin: str,
    kind: str,
    is_source: bool,
) -> None:
    source, target = new(origin), new(kind)
    source.world.task(source.world.pipeline())
    tables = PostgresTables if kind == POSTGRES else SqliteTables
    real_add: Any = tables.add
    refusals: list[str] = []
    with closing(again(source if is_source else target)) as other:

        def write() -> None:
            try:
                World(other, clock).pipeline()
            except Busy as error:
                refusals.append(error.code)

        def add(self: Any, table: Any, rows: Any) -> None:
            real_add(self, table, rows)
            if table.name == "tasks":
                thread = threading.Thread(target=write)
                thread.start()
                thread.join()

        monkeypatch.setattr(tables, "add", add)
        copy_all(source.db, target.db, clock)

    assert refusals == ["busy"]
    assert len(target.get("/pipelines")) == len(source.get("/pipelines")) == 1


def again(place: Place) -> Database:
    """Open a database a second time, for somebody with little patience."""
    if isinstance(place.db, SqliteDatabase):
        return open_place(Path(place.db.path), busy_timeout_ms=50)
    with place.db.read() as tx, tx.raw() as connection:
        return open_place(server().url(connection.info.dbname), busy_timeout_ms=50)


@pytest.mark.parametrize("kind", [SQLITE, pytest.param(POSTGRES, marks=BOTH)])
def test_what_was_written_wrongly_is_found_and_undone(
    new: Callable[[str], Place],
    clock: FrozenClock,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    source, target = new(SQLITE), new(kind)
    filled(source, monkeypatch)
    tables = PostgresTables if kind == POSTGRES else SqliteTables
    real_add: Any = tables.add

    def add(self: Any, table: Any, rows: Any) -> None:
        changed = tuple(value if value != "log" else "lag" for value in next(rows))
        real_add(self, table, [changed, *rows])

    monkeypatch.setattr(
        tables, "add", lambda *args: (add if args[1].name == "artifacts" else real_add)(*args)
    )

    with pytest.raises(TicketsError, match=r"the copy is not the same.*artifacts has 1 rows"):
        copy_all(source.db, target.db, clock)

    assert target.get("/tasks")["items"] == target.get("/pipelines") == []


@pytest.mark.parametrize("kind", [SQLITE, pytest.param(POSTGRES, marks=BOTH)])
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE tasks SET title = title || ' ' WHERE seq = (SELECT MAX(seq) FROM tasks)",
        "UPDATE leases SET last_heartbeat_ms = 1",
        "UPDATE leases SET token_hash = (SELECT request_hash FROM idempotency_keys)",
        "DELETE FROM otlp_spans WHERE id = 1",
        "INSERT INTO marks (name, value) VALUES ('one', 1)",
        "UPDATE task_assignments SET assigned_by = '' WHERE assigned_by IS NULL",
    ],
)
def test_a_target_with_other_rows_is_refused_and_left_alone(
    new: Callable[[str], Place],
    clock: FrozenClock,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    change: str,
) -> None:
    source, target = new(SQLITE), new(kind)
    filled(source, monkeypatch)
    copy_all(source.db, target.db, clock)
    with target.db.write() as tx, tx.raw() as connection:
        assert connection.execute(change).rowcount > 0
    answers = target.answers()

    with pytest.raises(Conflict, match="is no copy of the source"):
        copy_all(source.db, target.db, clock)

    assert target.answers() == answers


def test_databases_of_another_shape_are_refused(
    new: Callable[[str], Place], clock: FrozenClock
) -> None:
    source, target = new(SQLITE), new(SQLITE)
    with source.db.write() as tx, tx.raw() as connection:
        connection.execute("ALTER TABLE artifacts ADD COLUMN later TEXT")
        connection.execute("CREATE TABLE other (id INTEGER PRIMARY KEY)")

    with pytest.raises(Conflict, match=r"artifacts has the columns .*later"):
        copy_all(source.db, target.db, clock)


@BOTH
def test_a_character_that_postgresql_cannot_store_is_named(
    new: Callable[[str], Place], clock: FrozenClock
) -> None:
    source, target = new(SQLITE), new(POSTGRES)
    task_id = source.make.task()
    with source.db.write() as tx, tx.raw() as connection:
        connection.execute("UPDATE tasks SET title = 'a' || char(0) || 'b'")

    with pytest.raises(Invalid, match=f"tasks '{task_id}': title holds the character U.0000"):
        copy_all(source.db, target.db, clock)

    assert looked_up(target.db, "SELECT * FROM pipelines") == []
