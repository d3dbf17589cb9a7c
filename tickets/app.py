"""The composition root: the only module that knows every part."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import falcon

from tickets.clock import Clock, SystemClock
from tickets.config import ConfigError, DatabaseUrl, Settings
from tickets.db.copying import Copy
from tickets.db.database import Database
from tickets.db.migrations import pending
from tickets.db.registry import Registry, sql_root
from tickets.db.sqlite_database import SqliteDatabase
from tickets.db.wakeups import Wakeups
from tickets.housekeeping import Housekeeping
from tickets.ledger.operations.feed import LedgerFeed
from tickets.ledger.readings import LEDGER_COUNTED
from tickets.ledger.routes import build_ledger, ledger_routes
from tickets.lifecycle.linear.transport import Transport, post
from tickets.lifecycle.readings import sync_readings
from tickets.lifecycle.routes import build_lifecycle, lifecycle_routes
from tickets.lifecycle.vault import Vault
from tickets.lifecycle.worker import PRUNING_PERIOD_S, SyncWorker
from tickets.tracker.operations.copies import copy_all
from tickets.tracker.operations.imports import ImportOperations, check_import
from tickets.tracker.operations.kv import KvOperations
from tickets.tracker.operations.managers import Managers
from tickets.tracker.operations.retention import RetentionOperations
from tickets.tracker.readings import COUNTED, tracker_readings
from tickets.tracker.routes import build_operations, tracker_routes
from tickets.web import openapi
from tickets.web.auth import Authenticator
from tickets.web.discovery import Discovery, DocsItem, OpenApiItem
from tickets.web.errors import add_error_handlers
from tickets.web.idempotency import IdempotencyKeys
from tickets.web.metrics import Metrics, MetricsItem
from tickets.web.rawpath import SegmentRouter
from tickets.web.requests import AroundRequests, RequestLog, refuse_unknown_path
from tickets.web.routes import Route, operations
from tickets.web.waiting import Waiting

# Lines for single requests are of this level; a higher --log-level silences them.
REQUEST_LOG_LEVELS = frozenset({"debug", "info"})
# Statements that a database with many writers has run now and then.
UPKEEP = ("tasks.fold_counts",)


class Application:
    """A WSGI application with its database and its housekeeping.

    It may be built before a fork: threads and connections begin with the first request.
    """

    def __init__(
        self,
        db: Database,
        settings: Settings,
        clock: Clock,
        *,
        request_log: RequestLog | None = None,
        random_unit: Callable[[], float] | None = None,
        linear: Transport = post,
        vault: Vault | None = None,
    ) -> None:
        self.metrics = metrics = Metrics((*COUNTED, *LEDGER_COUNTED))
        db.observer = metrics
        self._waiting = Waiting(
            db.wakeups, places=settings.wait_slots, count_refused=metrics.count_refused_poll
        )
        feed = LedgerFeed(
            is_on=settings.ledger_feed == "on",
            heartbeat_min_interval_ms=settings.ledger_heartbeat_min_interval_ms,
        )
        extra: dict[str, Any] = {} if random_unit is None else {"random_unit": random_unit}
        managers = Managers()
        self.operations = build_operations(
            db,
            clock,
            managers=managers,
            gates=settings.gates,
            pending_migrations=lambda: pending(db, sql_root()),
            ledger=feed,
            **extra,
        )
        self.ledger = build_ledger(db, clock)
        self.lifecycle = build_lifecycle(
            db,
            clock,
            self.operations,
            managers,
            feed,
            dispatch_inline=settings.dispatch_inline == "on",
            linear_url=settings.linear_api_url,
            linear=linear,
            vault=vault if vault is not None else Vault(settings.key_path),
            **extra,
        )
        self.sync_worker = SyncWorker(
            db,
            clock,
            self.lifecycle.pushing,
            self.lifecycle.inbox,
            self.lifecycle.reconcile,
            self.lifecycle.integrations,
        )
        metrics.add_reading(functools.partial(tracker_readings, db, self.operations.queue))
        metrics.add_reading(functools.partial(sync_readings, db, clock))
        self.housekeeping = Housekeeping(db, clock, self.operations.readiness, settings)
        self.housekeeping.every(
            settings.dispatch_sweep_interval_ms / 1000, self.lifecycle.sweep.sweep_tickets
        )
        self.housekeeping.every(PRUNING_PERIOD_S, self.sync_worker.prune)
        self.routes = _with_discovery(
            [
                *tracker_routes(self.operations, self._waiting, metrics),
                *ledger_routes(self.ledger),
                *lifecycle_routes(self.lifecycle),
            ],
            metrics,
        )
        around = AroundRequests(
            authenticator=Authenticator(settings.api_token),
            idempotency=IdempotencyKeys(
                db, clock, retention_ms=settings.idempotency_retention_ms
            ),
            metrics=metrics,
            log=request_log,
            max_body_bytes=settings.max_body_bytes,
        )
        self._wsgi: falcon.App[falcon.Request, falcon.Response] = falcon.App(  # type: ignore[call-overload]  # Falcon asks its router for add_route and find only
            middleware=[around], router=SegmentRouter()
        )
        self._wsgi.add_sink(refuse_unknown_path, "/")
        add_error_handlers(self._wsgi)
        for path, resource in self.routes:
            self._wsgi.add_route(path, resource)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Answer one request."""
        body: Iterable[bytes] = self._wsgi(environ, start_response)
        return body

    def start(self) -> None:
        """Start what runs besides requests; call it once, in the process that serves."""
        self.housekeeping.start()
        self.sync_worker.start()

    def stop(self) -> None:
        """Answer waiting requests soon and end what runs besides requests."""
        self._waiting.stop()
        self.housekeeping.stop()
        self.sync_worker.stop()


def open_database(settings: Settings) -> Database:
    """Return the database of these settings; nothing is opened before first use."""
    if isinstance(settings.db, DatabaseUrl):
        return _open_server(settings.db, settings)
    path = str(settings.db)
    return SqliteDatabase(
        path,
        registry=Registry.load(sql_root(), "sqlite"),
        durability="normal" if settings.durability == "normal" else "full",
        busy_timeout_ms=settings.busy_timeout_ms,
        wakeups=Wakeups(path),
    )


def _open_server(url: DatabaseUrl, settings: Settings) -> Database:
    try:
        from tickets.db.postgres_database import PostgresDatabase
    except ImportError as error:
        raise ConfigError(
            "PostgreSQL needs a driver: pip install 'tickets-tracker[postgres]'"
        ) from error
    try:
        return PostgresDatabase(
            url,
            registry=Registry.load(sql_root(), "postgres"),
            durable=settings.durability == "full",
            busy_timeout_ms=settings.busy_timeout_ms,
            pool_size=settings.pool_size,
            prepared_statements=settings.prepared_statements,
            direct_url=settings.direct_db,
            upkeep=UPKEEP,
        )
    except ValueError as error:
        raise ConfigError(f"{url.shown}: {error}") from error


def create_app(db: Database, settings: Settings, clock: Clock) -> Application:
    """Return the application as it is served, with a log line for each request."""
    log = RequestLog() if settings.log_level in REQUEST_LOG_LEVELS else None
    return Application(db, settings, clock, request_log=log)


def route_table() -> list[tuple[str, str, str]]:
    """Return method, path and summary of every operation."""
    return [
        (operation.method, operation.path, operation.endpoint.summary)
        for operation in operations(_routes())
    ]


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document that is served."""
    return openapi.openapi_document(_routes())


def prune(db: Database, settings: Settings, older_than_ms: int) -> dict[str, int]:
    """Delete ended tasks, changes and traces older than this, and keys past their retention.

    A key within its retention stays, however short ``older_than_ms`` is: a client may be about
    to repeat its write.
    """
    retention = RetentionOperations(db, SystemClock())
    keys_ms = settings.idempotency_retention_ms
    return {
        "tasks": retention.prune_tasks(older_than_ms=older_than_ms),
        "changes": retention.prune_changes(older_than_ms=older_than_ms),
        "traces": retention.prune_traces(older_than_ms=older_than_ms),
        "idempotency_keys": retention.prune_idempotency_keys(older_than_ms=keys_ms),
    }


def rebuild_search(db: Database) -> int:
    """Index every entry of the store anew; return how many there are."""
    return KvOperations(db, SystemClock()).rebuild_search()


def copy_database(source: Database, target: Database) -> Copy:
    """Copy all of one database to another that is empty, or to one that is this copy."""
    return copy_all(source, target, SystemClock())


def check_nulltickets(path: Path) -> None:
    """Return where the file is a nullTickets database. Raises Invalid."""
    check_import(path)


def import_nulltickets(
    db: Database, path: Path, *, tell: Callable[[str], None] | None = None
) -> dict[str, int]:
    """Copy an existing nullTickets database, of either era, into this one.

    ``tell`` gets a sentence for whatever could not come in as it was.
    """
    return ImportOperations(db, SystemClock()).import_file(path, tell=tell)


def _routes() -> list[Route]:
    """Return the routes of an application whose database is never opened."""
    settings = Settings(db=Path("unopened.db"))
    return Application(open_database(settings), settings, SystemClock()).routes


def _with_discovery(routes: list[Route], metrics: Metrics) -> list[Route]:
    discovery = Discovery(routes)
    routes += [
        Route("/metrics", MetricsItem(metrics)),
        Route("/openapi.json", OpenApiItem(discovery)),
        Route("/.well-known/openapi.json", OpenApiItem(discovery)),
        Route("/docs", DocsItem(discovery)),
    ]
    return routes
