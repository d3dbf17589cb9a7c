"""``/health``, ``/ready``, ``/metrics``, ``/docs`` and the OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import REVIEW, Factory, refused
from tests.worlds import renamed
from tickets import __version__
from tickets.app import Application
from tickets.config import Settings
from tickets.db import presence
from tickets.db.database import Database
from tickets.db.registry import Registry, sql_root
from tickets.db.sqlite_database import SqliteDatabase
from tickets.db.wakeups import Wakeups


def test_words_of_the_database_are_for_the_log(
    client: Client, db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with renamed(db, "pipelines"):
        answer = client.get("/pipelines", status=500)

    assert answer.json == refused("internal_error")
    assert "pipelines" not in answer.text
    (record,) = [each for each in caplog.records if each.name == "tickets.web.errors"]
    assert record.exc_info is not None
    assert "pipelines" in str(record.exc_info[1])


def test_health_counts_tasks_by_stage_name_and_live_leases(
    client: Client, make: Factory, clock: FrozenClock, db: Database
) -> None:
    simple = make.pipeline()
    make.finished(simple)
    make.task(make.pipeline(REVIEW))
    for _ in range(2):
        make.task(simple)
    for _ in range(2):
        make.claim(lease_ttl_ms=100)

    expected = {
        "status": "ok",
        "version": __version__,
        "tasks_by_stage": [
            {"stage": "coding", "count": 1},
            {"stage": "done", "count": 1},
            {"stage": "todo", "count": 2},
        ],
        "active_leases": 2,
        f"{db.engine.name}_version": db.engine.version,
    }
    assert client.get("/health?x=1", status=200).json == expected
    # D-07: a lease that is over is not live, whether or not anybody claimed
    clock.advance(ms=100)
    assert client.get("/health").json == {**expected, "active_leases": 0}


def test_a_migrated_database_is_ready(client: Client) -> None:
    assert client.get("/ready", status=200).json == {"status": "ready"}


def test_a_program_that_is_older_than_the_database_is_not_ready(
    client: Client, db: Database
) -> None:
    with db.write() as tx, tx.raw() as connection:
        connection.execute("UPDATE schema_migrations SET number = 99 WHERE number = 2")
    try:
        response = client.get("/ready", status=503)
    finally:
        with db.write() as tx, tx.raw() as connection:
            connection.execute("UPDATE schema_migrations SET number = 2 WHERE number = 99")

    assert "newer than this program" in response.json["error"]["message"]


def test_a_database_without_its_migrations_is_not_ready(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    database = SqliteDatabase(
        str(path), registry=Registry.load(sql_root()), wakeups=Wakeups(str(path))
    )
    client = Client(Application(database, Settings(db=path), FrozenClock()))

    response = client.get("/ready", status=503)

    assert response.json == refused("busy")
    assert response.headers["Retry-After"] == "1"
    database.close()


@pytest.mark.parametrize("path", ["/openapi.json", "/.well-known/openapi.json"])
def test_the_openapi_document_names_the_routes(client: Client, path: str) -> None:
    document = client.get(path, status=200).json

    assert document["openapi"] == "3.1.0"
    assert {"/v1/traces", "/runs/{run_id}/gates", "/store/search"} <= set(document["paths"])
    assert client.get("/openapi.json").body == client.get("/.well-known/openapi.json").body


def test_the_docs_page_loads_nothing_from_elsewhere(client: Client) -> None:
    response = client.get("/docs", status=200)

    assert response.content_type == "text/html"
    assert "<script" not in response.text
    assert "http://" not in response.text
    assert "https://" not in response.text
    for path in client.get("/openapi.json").json["paths"]:
        assert path in response.text


class TestMetrics:
    def test_requests_are_counted_by_route(self, client: Client, make: Factory) -> None:
        task_id = make.task()
        client.get(f"/tasks/{task_id}", status=200)
        client.get("/tasks/nope", status=404)

        text = client.get("/metrics", status=200).text

        for status in ("200", "404"):
            labels = f'method="GET",route="/tasks/{{task_id}}",status="{status}"'
            assert f"tickets_http_requests_total{{{labels}}} 1.0" in text

    def test_methods_that_clients_invent_are_counted_as_one(self, client: Client) -> None:
        client.lint = False  # it knows the methods, and warns of others
        for method in ("BREW", "MAKE"):
            client.request("/tasks", method=method, status=405)

        text = client.get("/metrics", status=200).text

        labels = 'method="other",route="/tasks",status="405"'
        assert f"tickets_http_requests_total{{{labels}}} 2.0" in text
        assert "BREW" not in text

    def test_the_depth_of_each_queue_is_read_at_the_scrape(
        self, client: Client, make: Factory
    ) -> None:
        pipeline_id = make.pipeline()
        make.task(pipeline_id)
        make.task(pipeline_id)
        make.claim()

        text = client.get("/metrics", status=200).text

        assert 'tickets_tasks{role="coder",state="claimable"} 1.0' in text
        assert 'tickets_tasks{role="coder",state="leased"} 1.0' in text

    def test_metrics_are_for_the_api_token(
        self, secured: Client, serve: Callable[..., Client]
    ) -> None:
        assert secured.get("/metrics", status=401).json == refused("unauthorized")


@pytest.mark.sqlite
def test_a_deleted_database_is_told_to_monitors_and_writers(
    client: Client, db: SqliteDatabase, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "LOOK_EVERY_S", 0.0)
    pipeline_id = make.pipeline()
    client.get("/ready", status=200)
    Path(db.path).unlink()

    ready = client.get("/ready", status=503)
    body = {"pipeline_id": pipeline_id, "title": "t", "description": "d"}
    written = client.post_json("/tasks", body, status=503)

    assert ready.json == written.json == refused("database_replaced")
