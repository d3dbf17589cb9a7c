"""PgBouncer in transaction mode between the service and its server.

It has one connection to the server, which goes from one client to the other with each
transaction. ``--database pgbouncer`` runs any other tests through one.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from typing import Any

import psycopg
import pytest

from tests import databases
from tests.databases import POSTGRES, name_of, registry, server
from tests.factories import EPOCH_MS
from tests.pooler import Pooler, pgbouncer, running_pooler
from tests.process.clients import eventually
from tests.worlds import World, looked_up
from tickets.clock import SystemClock
from tickets.db.migrations import migrate
from tickets.db.postgres_database import PostgresDatabase
from tickets.db.registry import sql_root
from tickets.db.repeating import repeated
from tickets.db.wakeups import slot_of
from tickets.errors import Busy

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(pgbouncer() is None, reason="pgbouncer is not installed"),
]

HOSTS = 4
TASKS = 60
PATIENCE_S = 60.0
# Less than what waiters do without where they hear of everything.
LOOK_S = 4.0
IDLE = "idle_in_transaction_session_timeout"


@pytest.fixture(scope="module")
def pooler() -> Iterator[Pooler]:
    with running_pooler(server(), default_pool_size="1", query_wait_timeout="2") as found:
        yield found


@pytest.fixture
def name() -> Iterator[str]:
    """Return the name of a migrated database on the server."""
    url = databases.fresh_url()
    yield name_of(url)
    databases.drop(url, keep=False)


@contextmanager
def opened(url: str, **options: Any) -> Iterator[PostgresDatabase]:
    database = PostgresDatabase(url, registry=registry(POSTGRES), **options)
    try:
        yield database
    finally:
        database.close()


def knows_prepared_statements() -> bool:
    """Tell whether this version can keep them apart; max_prepared_statements came with 1.21."""
    program = pgbouncer()
    if program is None:
        return False
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    major, minor = shown.stdout.split()[1].split(".")[:2]
    return (int(major), int(minor)) >= (1, 21)


def work(world: World, agent: str) -> list[str]:
    """Claim and finish until nothing is left; return the tasks."""
    found: list[str] = []
    while claims := repeated(lambda: world.claims(agent=agent)):
        repeated(lambda: world.transition(claims[0]))
        found.append(claims[0].task.id)
    return found


def work_at_once(url: str, **options: Any) -> int:
    """Let several hosts do tasks at the same time; return how many statements are prepared."""

    def host(number: int) -> list[str]:
        with opened(url, **options) as db:
            world = World(db, SystemClock())
            # Each asks something else first, so that the same names mean other statements.
            for ask in (world.queue_counted, world.changes)[number % 3 :]:
                ask()
            return work(world, f"agent-{number}")

    with opened(url, **options) as db:
        world = World(db, SystemClock())
        ids = world.tasks(world.pipeline(), TASKS)

        with ThreadPoolExecutor(HOSTS) as pool:
            done = list(pool.map(host, range(HOSTS)))

        assert sorted(chain.from_iterable(done)) == sorted(ids)
        world.check()
        ((count,),) = looked_up(db, "SELECT COUNT(*) FROM pg_prepared_statements")
        return int(count)


def test_clients_that_share_a_connection_do_not_run_each_others_statements(
    pooler: Pooler, name: str
) -> None:
    assert work_at_once(pooler.url(name)) == 0


@pytest.mark.skipif(
    not knows_prepared_statements(), reason="this pgbouncer knows no prepared statements"
)
def test_statements_are_prepared_where_the_pooler_keeps_them_apart(name: str) -> None:
    with running_pooler(
        server(), default_pool_size="1", max_prepared_statements="500"
    ) as pooler:
        assert work_at_once(pooler.url(name), prepared_statements="on") > 0


def test_settings_are_those_of_whoever_has_the_connection(pooler: Pooler, name: str) -> None:
    url = pooler.url(name)

    with opened(url) as full, opened(url, durable=False) as normal:
        seen = [settings(db) for db in (full, normal, full)]
    with psycopg.connect(url, autocommit=True) as other:
        left = dict(shown(other))

    assert [each["synchronous_commit"] for each in seen] == ["on", "off", "on"]
    assert {each["jit"] for each in seen} == {"off"}
    assert left == {"jit": "on", "synchronous_commit": "on", IDLE: "0"}


@pytest.mark.parametrize("is_pooled", [True, False])
def test_a_write_sees_the_last_commit_whatever_the_database_says(
    pooler: Pooler, name: str, is_pooled: bool
) -> None:
    server().execute(
        f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'"
    )
    with opened((pooler if is_pooled else server()).url(name)) as db:
        with db.write() as tx, tx.raw() as connection:
            written = connection.execute("SHOW transaction_isolation").fetchone()
        with db.read() as tx, tx.raw() as connection:
            read = connection.execute("SHOW transaction_isolation").fetchone()

    assert (written, read) == (("read committed",), ("repeatable read",))


def settings(db: PostgresDatabase) -> dict[str, str]:
    with db.write() as tx, tx.raw() as connection:
        return dict(shown(connection))


def shown(connection: psycopg.Connection[Any]) -> list[Any]:
    names = ", ".join(f"('{name}')" for name in ("jit", "synchronous_commit", IDLE))
    query = f"SELECT name, current_setting(name) FROM (VALUES {names}) AS asked (name)"
    return connection.execute(query.encode()).fetchall()


def test_whoever_migrates_leaves_no_lock_behind(pooler: Pooler) -> None:
    url = databases.empty_url()
    name = name_of(url)
    with ThreadPoolExecutor(HOSTS) as pool:
        applied = list(pool.map(lambda _: started(pooler.url(name)), range(HOSTS)))

    locks = server().value("SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory'", name)
    databases.drop(url, keep=False)

    assert sorted(map(bool, applied)) == [False] * (HOSTS - 1) + [True]
    assert locks == 0


def started(url: str) -> list[str]:
    """Bring a database up to date, as each host does that starts."""
    with opened(url) as db:
        return migrate(db, sql_root(), EPOCH_MS)


def test_who_waits_looks_again_every_second(pooler: Pooler, name: str) -> None:
    with opened(pooler.url(name)) as db, db.wakeups.subscribe(["t"]) as waiter:
        for _ in range(3):
            assert waiter.wait(LOOK_S)
        listening = "SELECT COUNT(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"

        assert server().value(listening, name) == 0


def test_who_waits_hears_of_others_by_the_direct_connection(pooler: Pooler, name: str) -> None:
    url, direct = pooler.url(name), server().url(name)

    with (
        opened(url, direct_url=direct) as here,
        opened(url) as there,
        here.wakeups.subscribe(["t"]),
    ):
        eventually(lambda: listens(direct))
        there.wakeups.publish(["t"])
        eventually(lambda: here.wakeups._counters[slot_of("t")])


def listens(direct: str) -> bool:
    with psycopg.connect(direct) as connection:
        query = (
            "SELECT 1 FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN %'"
        )
        return connection.execute(query).fetchone() is not None


def test_a_pooler_without_a_connection_left_is_busy(name: str) -> None:
    with (
        running_pooler(server(), default_pool_size="1", query_wait_timeout="1") as pooler,
        opened(pooler.url(name), busy_timeout_ms=50) as holder,
        opened(pooler.url(name), busy_timeout_ms=50) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        with holder.read():
            refused = pool.submit(other.ping).exception(PATIENCE_S)
        other.ping()

    assert isinstance(refused, Busy)


def test_check_db_tells_of_a_pooler(pooler: Pooler, name: str) -> None:
    with opened(pooler.url(name)) as pooled, opened(server().url(name)) as direct:
        assert "a pooler stands between" in " ".join(pooled.remarks())
        assert direct.remarks() == []
