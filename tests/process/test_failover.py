"""A database server that dies under two services, and a standby that takes its place.

Clients repeat with the same Idempotency-Key, at the other service, whatever was not answered or
was answered with 503.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path

import psycopg
import pytest

from tests import databases
from tests.drills import IS_DRILL, rounds, seed
from tests.factories import SIMPLE
from tests.faults import history
from tests.faults.agents import Memory, agents_at_work, begin, look, rules
from tests.postgres_server import PostgresServer, primary_and_standby
from tests.process.clients import Client, Open, eventually, tickets
from tests.process.crowd import Crowd, Service, crowd_on
from tests.process.serving import STOP_S, Server
from tests.worlds import World
from tickets.clock import SystemClock

pytestmark = pytest.mark.postgres

SEED = seed(8)
ROUNDS = rounds(1, drill=2)
RESTARTS = rounds(2, drill=8)
# Between the two, some steps are answered before something happens.
FEWEST_STEPS, MOST_STEPS = 40, 120
# A service that waits for the new primary, and one that says 503 until it is there.
PATIENT_MS, IMPATIENT_MS = 20_000, 50
# With both, and with a standby that receives nothing any more when its primary crashes.
WAYS = [(PATIENT_MS, True), (IMPATIENT_MS, False)]
WAYS += [(PATIENT_MS, False), (IMPATIENT_MS, True)] if IS_DRILL else []
DATABASE = "drill"


class Hosts(Service):
    """Services on one database; who was not answered by one asks the next."""

    def __init__(self, *servers: Server) -> None:
        super().__init__()
        self.may_refuse = True
        self._turns = cycle(servers)
        self._down_since = 0.0
        self.refused_s: list[float] = []

    def server(self) -> Server:
        with self._changed:
            assert not self._is_given_up
            return next(self._turns)

    def is_only(self, server: Server) -> None:
        with self._changed:
            self._turns = cycle([server])

    def is_down(self, since: float) -> None:
        """Remember when the database went; nothing was answered since."""
        with self._changed:
            self._down_since = since

    def was_answered(self) -> None:
        with self._changed:
            self.answered += 1
            if self._down_since:
                self.refused_s.append(time.monotonic() - self._down_since)
                self._down_since = 0.0


@contextmanager
def two_hosts(home: Path, url: str, patience_ms: int) -> Iterator[tuple[Server, Server]]:
    flags = ("--db", url, "--busy-timeout-ms", str(patience_ms))
    with tickets(home, *flags, "--workers", "2") as one, tickets(home, *flags) as two:
        yield one, two


@contextmanager
def drill_on(*hosts: Server) -> Iterator[tuple[Hosts, Crowd]]:
    """Let a crowd work at these hosts; in the end compare at each what there is."""
    service = Hosts(*hosts)
    with Client(hosts[0]) as client:
        pipeline_id = client.pipeline(SIMPLE)
    with crowd_on(service, pipeline_id) as crowd:
        yield service, crowd
    # Each request had a key, so none was of unknown outcome.
    assert set(service.refusals) <= {"busy"}


def check(crowd: Crowd, url: str, *hosts: Server) -> None:
    """Compare what each host tells with what the crowd remembers; all of it is over."""
    for host in hosts:
        with Client(host) as client:
            crowd.check(client)
            assert client.get("/health")["active_leases"] == 0
            for task in client.pages("/tasks"):
                assert len(client.pages(f"/tasks/{task['id']}/runs")) == 1
        stop(host)
    check_rows(url)


def stop(host: Server) -> None:
    """Stop a service, which never stumbled."""
    assert host.stop() == 0
    assert "Traceback" not in host.log, host.log


def check_rows(url: str) -> None:
    """Compare the rows of a database with each other."""
    database = databases.open_place(url)
    try:
        World(database, SystemClock()).check()
    finally:
        database.close()


def url_of(*servers: PostgresServer) -> str:
    """Return a URL that names several servers."""
    first = servers[0].url(DATABASE)
    others = "".join(f",{each.folder}" for each in servers[1:])
    return f"{first}{others}&target_session_attrs=read-write"


def waiting_commits(primary: PostgresServer) -> int:
    """Return how many commits wait for the standby."""
    found: int = primary.value(
        f"SELECT COUNT(*) FROM pg_stat_activity"
        f" WHERE datname = '{DATABASE}' AND wait_event = 'SyncRep'"
    )
    return found


@pytest.fixture
def chance() -> random.Random:
    return random.Random(SEED)


@pytest.mark.drill
@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize(("patience_ms", "is_cut"), WAYS)
def test_a_standby_takes_the_place_of_a_primary_that_crashed(
    tmp_path: Path, chance: random.Random, patience_ms: int, is_cut: bool, number: int
) -> None:
    chance.seed(f"{SEED} {number}")
    with primary_and_standby(synchronous=True) as (primary, standby):
        primary.execute(f"CREATE DATABASE {DATABASE}")
        # Either may be named first.
        url = url_of(*chance.sample((primary, standby), 2))
        with two_hosts(tmp_path, url, patience_ms) as hosts:
            with drill_on(*hosts) as (service, crowd):
                service.go_on(chance.randint(FEWEST_STEPS, MOST_STEPS))
                if is_cut:
                    # All that is begun now is committed at the primary only, and not answered.
                    standby.follow_nobody()
                    eventually(lambda: waiting_commits(primary))
                since = time.monotonic()
                primary.stop("immediate")
                service.is_down(since)
                standby.promote()
                service.go_on(MOST_STEPS)
            check(crowd, url, *hosts)

    print(f"answered again after {service.refused_s[0]:.2f} s; {service.refusals}")  # noqa: T201
    print(f"{service.answered} answers, all of them checked")  # noqa: T201
    if patience_ms == PATIENT_MS:
        assert not service.refusals


def test_what_agents_saw_of_a_failover_has_an_explanation(
    tmp_path: Path, chance: random.Random
) -> None:
    with primary_and_standby(synchronous=True) as (primary, standby):
        primary.execute(f"CREATE DATABASE {DATABASE}")
        url = url_of(primary, standby)
        with two_hosts(tmp_path, url, PATIENT_MS) as hosts, Client(hosts[1]) as client:
            memory = Memory(service := Hosts(*hosts))
            begin(client, memory)
            with agents_at_work(memory, SEED):
                service.go_on(chance.randint(FEWEST_STEPS, MOST_STEPS))
                standby.follow_nobody()
                eventually(lambda: waiting_commits(primary))
                primary.stop("immediate")
                standby.promote()
                service.go_on(MOST_STEPS)
            look(client, memory)
            for host in hosts:
                stop(host)
            check_rows(url)

    assert not service.refusals
    assert history.check(memory.history.calls(), rules()) > MOST_STEPS


def test_a_commit_that_waits_for_the_standby_is_seen_by_nobody_and_done_once(
    tmp_path: Path,
) -> None:
    with primary_and_standby(synchronous=True) as (primary, standby):
        primary.execute(f"CREATE DATABASE {DATABASE}")
        url = url_of(primary, standby)
        with two_hosts(tmp_path, url, PATIENT_MS) as (one, two), Client(two) as client:
            task = {"pipeline_id": client.pipeline(SIMPLE), "title": "t", "description": ""}
            cursor = client.get("/changes")["next_cursor"]
            standby.follow_nobody()
            creation = Open(one, "POST", "/tasks", task, key="k")
            eventually(lambda: waiting_commits(primary))

            assert client.pages("/tasks") == []
            assert client.get(f"/changes?after={cursor}")["items"] == []
            primary.stop("immediate")
            standby.promote()
            answer = creation.answer()

            assert answer.status == 201, answer
            assert [each["id"] for each in client.pages("/tasks")] == [answer.json["id"]]
            facts = client.get(f"/changes?after={cursor}")["items"]
            assert [fact["kind"] for fact in facts] == ["task.created"]
            assert client.post("/tasks", task, status=201, key="k") == answer.json


def test_without_a_synchronous_standby_an_answered_write_is_lost(tmp_path: Path) -> None:
    # What running.md warns of; and the drill would notice it.
    with primary_and_standby(synchronous=False) as (primary, standby):
        primary.execute(f"CREATE DATABASE {DATABASE}")
        url = url_of(primary, standby)
        with tickets(tmp_path, "--db", url) as server, Client(server) as client:
            pipeline_id = client.pipeline(SIMPLE)
            eventually(lambda: has_pipeline(standby))
            standby.follow_nobody()
            client.task(pipeline_id)
            primary.stop("immediate")
            standby.promote()

            assert client.pages("/tasks") == []


def has_pipeline(standby: PostgresServer) -> bool:
    """Tell whether a standby has come so far; at first it lacks even the tables."""
    with suppress(psycopg.errors.UndefinedTable):
        return bool(standby.value("SELECT COUNT(*) FROM pipelines", DATABASE))
    return False


@pytest.mark.drill
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_database_that_is_restarted_under_load_loses_nothing(
    tmp_path: Path, chance: random.Random, mode: str
) -> None:
    url = databases.fresh_url()
    server = databases.server()
    try:
        with two_hosts(tmp_path, url, PATIENT_MS) as hosts:
            with drill_on(*hosts) as (service, crowd):
                for _ in range(RESTARTS):
                    service.go_on(chance.randint(FEWEST_STEPS, MOST_STEPS))
                    since = time.monotonic()
                    server.stop(mode)
                    service.is_down(since)
                    server.start()
                service.go_on(MOST_STEPS)
            check(crowd, url, *hosts)
    finally:
        databases.drop(url)

    assert not service.refusals
    print("answered again after", [f"{each:.2f} s" for each in service.refused_s])  # noqa: T201
    print(f"{service.answered} answers, all of them checked")  # noqa: T201


def test_one_host_goes_on_with_the_leases_of_one_that_was_killed(
    tmp_path: Path, chance: random.Random
) -> None:
    url = databases.fresh_url()
    try:
        with two_hosts(tmp_path, url, PATIENT_MS) as (one, two):
            with drill_on(one, two) as (service, crowd):
                service.go_on(chance.randint(FEWEST_STEPS, MOST_STEPS))
                os.killpg(one.process.pid, signal.SIGKILL)
                one.process.wait(STOP_S)
                service.is_only(two)
                service.go_on(MOST_STEPS)
            check(crowd, url, two)
    finally:
        databases.drop(url)

    assert service.unanswered
