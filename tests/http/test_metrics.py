"""``/metrics``: what happened and was committed, and nothing that was not."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import EPOCH_MS, REVIEW, Factory
from tests.worlds import World
from tickets import __version__
from tickets.db.registry import Registry
from tickets.db.sqlite_database import SqliteDatabase
from tickets.errors import Busy


@pytest.fixture
def scrape(client: Client) -> Scrape:
    return Scrape(client)


class Scrape:
    """Reads one series at a time."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __getitem__(self, series: str) -> float:
        text = self._client.get("/metrics", status=200).text
        found = re.search(rf"^{re.escape(series)} (.*)$", text, re.MULTILINE)
        assert found is not None, series
        return float(found[1])

    def facts(self, kind: str) -> float:
        return self[f'tickets_facts_total{{kind="{kind}"}}']

    def claims(self, outcome: str) -> float:
        return self[f'tickets_claims_total{{outcome="{outcome}"}}']


def test_counters_are_there_before_they_count(scrape: Scrape) -> None:
    assert scrape.facts("task.dead_lettered") == 0
    assert scrape['tickets_lease_expiries_total{charged="true"}'] == 0
    assert scrape['tickets_retries_scheduled_total{reason="lease_expired"}'] == 0
    assert scrape["tickets_long_polls_refused_total"] == 0
    assert scrape["tickets_worker_starts_total"] == 0


def test_a_full_disk_has_a_count_for_each_route_that_writes(
    scrape: Scrape, client: Client, make: Factory
) -> None:
    make.no_claim()
    client.get("/tasks", status=200)

    labels = 'method="POST",route="/leases/claim",status="507"'
    assert scrape[f"tickets_http_requests_total{{{labels}}}"] == 0
    assert 'route="/tasks",status="507"' not in client.get("/metrics", status=200).text


def test_claims_are_counted_by_outcome_and_tasks_as_facts(
    scrape: Scrape, make: Factory, client: Client
) -> None:
    pipeline_id = make.pipeline()
    for _ in range(3):
        make.task(pipeline_id)
    body = {"agent_id": "a", "agent_role": "coder", "max_tasks": 2}
    for _ in range(2):
        client.post_json("/leases/claim", body, headers={"Idempotency-Key": "k"}, status=200)
    make.claim()
    make.no_claim()

    assert scrape.claims("granted") == 2
    assert scrape.claims("replayed") == 1
    assert scrape.claims("empty") == 1
    assert scrape.facts("task.claimed") == 3
    # The replayed one looked for nothing.
    assert scrape["tickets_claim_seconds_count"] == 3


def test_roles_that_clients_invent_are_no_labels(client: Client, make: Factory) -> None:
    make.no_claim("invented")

    assert "invented" not in client.get("/metrics", status=200).text


def test_expiries_tell_what_was_charged_and_what_became_of_the_task(
    scrape: Scrape, make: Factory, clock: FrozenClock
) -> None:
    pipeline_id = make.pipeline()
    for max_attempts in (None, None, 1):
        make.task(pipeline_id, retry_policy={"max_attempts": max_attempts})
    for _ in range(3):
        make.event(make.claim(lease_ttl_ms=100))
    clock.advance(ms=100)
    make.claim(lease_ttl_ms=100)
    clock.advance(ms=100)
    make.fail(make.claim())

    assert scrape['tickets_lease_expiries_total{charged="true"}'] == 3
    assert scrape['tickets_lease_expiries_total{charged="false"}'] == 1
    assert scrape['tickets_retries_scheduled_total{reason="lease_expired"}'] == 3
    assert scrape['tickets_retries_scheduled_total{reason="retry_scheduled"}'] == 1
    assert scrape.facts("lease.expired") == 4
    assert scrape.facts("task.dead_lettered") == 1


def test_a_heartbeat_that_came_too_late_is_a_410_of_its_route(
    scrape: Scrape, make: Factory, clock: FrozenClock
) -> None:
    make.task()
    claim = make.claim(lease_ttl_ms=100)
    clock.advance(ms=100)
    make.heartbeat(claim, status=410)

    labels = 'method="POST",route="/leases/{lease_id}/heartbeat",status="410"'
    assert scrape[f"tickets_http_requests_total{{{labels}}}"] == 1


class TestOnlyWhatCommits:
    def test_a_write_that_is_undone_counts_nothing(
        self, scrape: Scrape, world: World, db: SqliteDatabase
    ) -> None:
        pipeline_id = world.pipeline()

        with suppress(ZeroDivisionError), db.write():
            world.task(pipeline_id)
            raise ZeroDivisionError

        assert scrape.facts("task.created") == 0
        assert scrape.facts("pipeline.created") == 1

    def test_a_savepoint_that_is_undone_counts_nothing_and_the_rest_does(
        self, scrape: Scrape, world: World, db: SqliteDatabase
    ) -> None:
        pipeline_id = world.pipeline()

        with db.write():
            world.task(pipeline_id)
            with suppress(ZeroDivisionError), db.write():
                world.task(pipeline_id)
                raise ZeroDivisionError

        assert scrape.facts("task.created") == 1


class TestWrites:
    def test_each_phase_of_a_write_is_timed(self, scrape: Scrape, make: Factory) -> None:
        make.pipeline()

        for phase in ("wait", "work", "commit"):
            assert scrape[f'tickets_write_seconds_count{{phase="{phase}"}}'] == 1

    def test_a_refused_write_has_worked_and_not_committed(
        self, scrape: Scrape, client: Client, make: Factory
    ) -> None:
        make.pipeline()
        client.post("/tasks/none/cancel", status=404)

        assert scrape['tickets_write_seconds_count{phase="work"}'] == 2
        assert scrape['tickets_write_seconds_count{phase="commit"}'] == 1

    @pytest.mark.sqlite
    def test_a_wait_in_vain_is_a_wait_and_nothing_else(
        self, scrape: Scrape, make: Factory, db: SqliteDatabase, registry: Registry
    ) -> None:
        make.pipeline()
        holder = SqliteDatabase(db.path, registry=registry)

        with holder.exclusive(), pytest.raises(Busy), db.write(patience_ms=20):
            pass
        holder.close()

        assert scrape['tickets_write_seconds_count{phase="wait"}'] == 2
        assert scrape['tickets_write_seconds_sum{phase="wait"}'] >= 0.02
        assert scrape['tickets_write_seconds_count{phase="work"}'] == 1


def test_a_poll_without_a_place_is_counted(scrape: Scrape, make: Factory) -> None:
    # The settings of these tests leave no place.
    make.no_claim(wait_ms=60_000)

    assert scrape["tickets_long_polls_refused_total"] == 1


def test_the_age_of_the_oldest_task_and_leases_that_are_overdue(
    scrape: Scrape, make: Factory, clock: FrozenClock
) -> None:
    pipeline_id = make.pipeline()
    make.task(pipeline_id)
    make.claim(lease_ttl_ms=100)
    assert scrape['tickets_oldest_claimable_seconds{role="coder"}'] == 0

    make.task(pipeline_id)
    clock.advance(ms=1_500)

    assert scrape['tickets_oldest_claimable_seconds{role="coder"}'] == 1.5
    assert scrape['tickets_leases_overdue{role="coder"}'] == 1


def test_the_age_of_the_oldest_task_counts_since_it_was_created(
    scrape: Scrape, make: Factory, clock: FrozenClock
) -> None:
    make.task(make.pipeline(REVIEW))
    clock.advance(ms=60_000)
    make.transition(make.claim(), "submit")
    clock.advance(ms=500)

    assert scrape['tickets_oldest_claimable_seconds{role="reviewer"}'] == 60.5
    # What the alert of a queue that nobody serves asks, which a stage that comes late is not.
    assert scrape['tickets_tasks{role="reviewer",state="claimable"}'] == 1
    assert scrape['tickets_tasks{role="reviewer",state="leased"}'] == 0
    make.claim("reviewer")
    assert scrape['tickets_tasks{role="reviewer",state="claimable"}'] == 0
    assert scrape['tickets_tasks{role="reviewer",state="leased"}'] == 1


@pytest.mark.sqlite
def test_the_database_the_disk_and_the_build_are_shown(
    scrape: Scrape, db: SqliteDatabase, client: Client, make: Factory
) -> None:
    make.pipeline()

    assert scrape["tickets_database_bytes"] == Path(db.path).stat().st_size
    assert scrape["tickets_wal_bytes"] == db.wal_bytes() > 0
    assert scrape["tickets_disk_free_bytes"] > 0
    assert scrape["tickets_start_time_seconds"] > EPOCH_MS / 1000
    shown = re.search(
        r"^tickets_build_info{(.*)} 1.0$", client.get("/metrics").text, re.MULTILINE
    )
    assert shown is not None
    assert f'version="{__version__}"' in shown[1]
