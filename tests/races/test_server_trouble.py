"""A PostgreSQL server that comes and goes, and requests that are done anew."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from psycopg.pq import ExecStatus

from tests.conftest import Client, FrozenClock
from tests.databases import drop, empty_url, open_place
from tests.factories import Factory, refused
from tests.postgres_server import primary_and_standby
from tests.worlds import World, looked_up, refusal
from tickets.db.database import Collision, ConstraintViolated, Database
from tickets.db.migrations import migrate, pending
from tickets.db.postgres_database import PostgresDatabase
from tickets.db.postgres_pool import Link
from tickets.db.registry import sql_root
from tickets.db.repeating import TRIES, repeated
from tickets.errors import Busy, OutcomeUnknown, TicketsError
from tickets.tracker.domain.documents import ChangesQuery

pytestmark = pytest.mark.postgres

PATIENCE_S = 20.0
# More ids than a sequence writes to the log ahead of time, which is 32.
DRAWN = 100
# More than anybody tries in a moment.
MANY = 200


@pytest.fixture
def server(db: Database) -> PostgresDatabase:
    assert isinstance(db, PostgresDatabase)
    return db


@pytest.fixture
def beside() -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Return a function that runs a callable in another thread and waits for it."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda act: pool.submit(act).result(PATIENCE_S)


def throw_out(client: psycopg.Connection[Any]) -> None:
    """Throw every other connection to this database out."""
    client.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )


class TestRepeating:
    def test_what_collides_is_done_anew_and_not_for_ever(self) -> None:
        tries: list[int] = []

        def collide() -> None:
            tries.append(1)
            raise Collision

        with pytest.raises(Collision):
            repeated(collide)

        assert len(tries) == TRIES

    @pytest.mark.parametrize(
        ("error", "is_recorded", "count"),
        [
            (OutcomeUnknown(), False, 1),
            (OutcomeUnknown(), True, TRIES),
            (ConstraintViolated("", "unique", may_pass=True), False, TRIES),
            (ConstraintViolated("", "check"), False, 1),
            (Busy(), False, 1),
        ],
    )
    def test_only_what_may_pass_is_tried_again(
        self, error: Exception, is_recorded: bool, count: int
    ) -> None:
        tries: list[int] = []

        def fail() -> None:
            tries.append(1)
            raise error

        with pytest.raises(type(error)):
            repeated(fail, is_recorded=is_recorded)

        assert len(tries) == count

    def test_a_request_whose_connection_is_lost_on_the_way_is_done_anew(
        self, server: PostgresDatabase, make: Factory, client: Client
    ) -> None:
        pipeline_id = make.pipeline()
        body = {"pipeline_id": pipeline_id, "title": "t", "description": "d"}
        is_cut = False
        began = server._pool.begin

        def cut_once(sql: str, deadline: float) -> Any:
            nonlocal is_cut
            link = began(sql, deadline)
            if not is_cut:
                is_cut = True
                link.connection.pgconn.finish()
            return link

        server._pool.begin = cut_once  # type: ignore[method-assign]
        client.post_json("/tasks", body, status=201)

        assert is_cut
        assert len(client.get("/tasks").json["items"]) == 1

    def test_a_deadlock_is_nobodys_error(self, world: World) -> None:
        one, two = world.tasks(world.pipeline(), 2)
        meet = threading.Barrier(2, timeout=PATIENCE_S)
        tries: list[int] = []

        def lock(first: str, second: str) -> None:
            tries.append(1)
            with world.db.write() as tx:
                tx.hold("tasks.lock", task_id=first)
                if len(tries) <= 2:
                    meet.wait()
                tx.hold("tasks.lock", task_id=second)

        with ThreadPoolExecutor(2) as pool:
            acts = [
                pool.submit(repeated, lambda: lock(one, two)),
                pool.submit(repeated, lambda: lock(two, one)),
            ]
            for act in acts:
                act.result(PATIENCE_S)

        assert len(tries) == 3


class TestServer:
    def test_connections_that_the_server_closed_are_replaced(
        self, server: PostgresDatabase, world: World
    ) -> None:
        world.pipeline()
        with psycopg.connect(**server._parameters, autocommit=True) as other:
            throw_out(other)

        world.pipeline()

    def test_a_commit_whose_answer_is_lost_has_an_unknown_outcome(
        self, server: PostgresDatabase, make: Factory, client: Client
    ) -> None:
        pipeline_id = make.pipeline()
        body = {"pipeline_id": pipeline_id, "title": "t", "description": "d"}
        cuts = cut_commits(server)

        cuts.append(1)
        answer = client.post_json("/tasks", body, status=503)
        assert answer.json == refused("outcome_unknown")
        assert int(answer.headers["Retry-After"]) > 0
        # It was done, as it happens.
        assert len(client.get("/tasks").json["items"]) == 1

        cuts.append(1)
        headers = {"Idempotency-Key": "k"}
        client.post_json("/tasks", body, headers=headers, status=201)
        assert len(client.get("/tasks").json["items"]) == 2

    def test_a_lock_that_somebody_holds_is_waited_for_only_so_long(
        self, world: World, beside: Callable[..., Any]
    ) -> None:
        task_id = world.task(world.pipeline())

        def impatient() -> None:
            with world.db.write(patience_ms=50) as tx:
                tx.hold("tasks.lock", task_id=task_id)

        with world.db.write() as tx:
            tx.hold("tasks.lock", task_id=task_id)
            with pytest.raises(Busy):
                beside(impatient)

    def test_a_statement_that_failed_and_was_passed_over_lets_nothing_be_committed(
        self, world: World
    ) -> None:
        pipeline_id = world.pipeline()

        def carry_on() -> None:
            with world.db.write() as tx:
                tx.run("marks.raise", name="kept", value=1)
                with pytest.raises(ConstraintViolated):
                    tx.run(
                        "pipelines.add_stage",
                        pipeline_id=pipeline_id,
                        stage="todo",
                        agent_role=None,
                        is_terminal=0,
                    )

        with pytest.raises(ConstraintViolated):
            carry_on()

        assert looked_up(world.db, "SELECT COUNT(*) FROM marks") == [(0,)]

    def test_a_server_that_is_not_there_is_named(self) -> None:
        nowhere = open_place("postgresql://nobody@127.0.0.1:1/none", busy_timeout_ms=20)

        with pytest.raises(Busy, match="cannot be reached"):
            migrate(nowhere, sql_root(), 1)
        with pytest.raises(Busy, match="cannot be reached"):
            nowhere.ping()

    def test_a_server_that_closes_every_connection_is_not_tried_for_ever(
        self, server: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tries: list[str] = []

        def close(link: Link, sql: str) -> None:
            tries.append(sql)
            assert len(tries) < MANY, "nobody looks at the time"
            link.connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")

        monkeypatch.setattr(Link, "control", close)
        with pytest.raises(Busy, match="cannot be reached"), server.write(patience_ms=20):
            pass

        assert tries

    @pytest.mark.parametrize("path", ["/store/n/a%00b", "/tasks/a%00b"])
    def test_the_character_that_it_cannot_store_is_refused(
        self, client: Client, path: str
    ) -> None:
        assert client.get(path, status="*").status_int in (400, 404)
        if path.startswith("/store"):
            client.put_json(path, {"value": 1}, status=400)

    def test_many_that_start_at_once_migrate_once(self) -> None:
        url = empty_url()
        hosts = [open_place(url) for _ in range(6)]
        try:
            with ThreadPoolExecutor(6) as pool:
                applied = list(pool.map(lambda host: migrate(host, sql_root(), 1), hosts))

            files = list(sql_root().glob("*/migrations/*.postgres.sql"))
            assert sorted(map(len, applied)) == [0] * 5 + [len(files)]
            assert pending(hosts[0], sql_root()) == []
        finally:
            for host in hosts:
                host.close()
            drop(url, keep=False)


class TestFailover:
    @pytest.mark.parametrize("kind", [None, "task.created"])
    def test_a_cursor_is_not_ahead_of_what_a_standby_has(
        self, clock: FrozenClock, kind: str | None
    ) -> None:
        with primary_and_standby(synchronous=True) as (primary, standby):
            first = open_place(primary.url("postgres"))
            migrate(first, sql_root(), 1)
            world = World(first, clock)
            pipeline_id = world.pipeline()
            world.task(pipeline_id)
            standby.follow_nobody()
            # Ids are drawn for what is undone, which is nothing that a server waits with.
            with suppress(Collision), first.write():
                world.tasks(pipeline_id, DRAWN)
                raise Collision
            cursor = world.do.changes.list_after(ChangesQuery(kind=kind)).next_cursor
            primary.stop("immediate")
            first.close()

            standby.promote()
            second = open_place(standby.url("postgres"))
            world = World(second, clock)
            task_id = world.task(pipeline_id)
            part = world.do.changes.list_after(ChangesQuery(after=cursor, kind=kind))
            second.close()

        assert [change.task_id for change in part.items] == [task_id]


def cut_commits(server: PostgresDatabase) -> list[int]:
    """Cut the connection after each commit for which the list returned holds an entry."""
    cuts: list[int] = []
    began = server._pool.begin

    def begin(sql: str, deadline: float) -> Any:
        link = began(sql, deadline)
        control = link.control

        def cut(sql: str) -> None:
            control(sql)
            if sql == "COMMIT" and cuts:
                cuts.pop()
                link.connection.pgconn.finish()
                raise psycopg.OperationalError("server closed the connection unexpectedly")

        link.control = cut  # type: ignore[method-assign]
        return link

    server._pool.begin = begin  # type: ignore[method-assign]
    return cuts


def test_statements_stay_prepared_when_a_transaction_is_undone(world: World) -> None:
    world.tasks(world.pipeline(), 1)
    claim = world.claim()

    assert refusal(world.transition, claim, "no such trigger") == "invalid_transition"

    names = looked_up(world.db, "SELECT statement FROM pg_prepared_statements")
    assert any("FOR NO KEY UPDATE" in statement for (statement,) in names)


def test_a_right_that_is_missing_is_said_without_words_of_the_server(db: Database) -> None:
    with pytest.raises(TicketsError, match="refuses its user a right"):
        look_as_somebody_else(db)


def look_as_somebody_else(db: Database) -> None:
    with db.write() as tx:
        with tx.raw() as connection:
            connection.execute("SET LOCAL ROLE pg_monitor")
        tx.one("tasks.get", task_id="t")


@pytest.mark.parametrize("sql", ["BEGIN", "COMMIT"])
def test_an_error_without_a_word_of_the_server_means_a_lost_connection(
    server: PostgresDatabase, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    control = Link.control
    broken: list[Link] = []

    def break_once(link: Link, asked: str) -> None:
        if not broken and asked.startswith(sql):
            broken.append(link)
            pgconn = link.connection.pgconn
            silent = SimpleNamespace(
                exec_=lambda _: pgconn.make_empty_result(ExecStatus.FATAL_ERROR)
            )
            link = copy.copy(link)
            link.connection = SimpleNamespace(pgconn=silent)  # type: ignore[assignment]
            try:
                control(link, asked)
            finally:
                broken[0].is_useless = link.is_useless
        control(link, asked)

    with server.read():
        pass
    monkeypatch.setattr(Link, "control", break_once)

    if sql == "COMMIT":
        with pytest.raises(OutcomeUnknown), server.write():
            pass
    with server.write() as tx:
        assert tx.one("tasks.get", task_id="t") is None
    assert broken


def test_words_of_the_server_are_in_the_log_and_not_in_the_answer(
    client: Client,
    server: PostgresDatabase,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    control = Link.control

    def as_somebody_else(link: Link, asked: str) -> None:
        control(link, asked)
        if asked.startswith("BEGIN"):
            control(link, "SET LOCAL ROLE pg_monitor")

    monkeypatch.setattr(Link, "control", as_somebody_else)
    answer = client.get("/tasks/t", status=500)

    assert "permission denied" not in answer.text
    assert "permission denied" in caplog.text
