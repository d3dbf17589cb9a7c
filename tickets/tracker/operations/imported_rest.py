"""The part of an import that belongs to no task: store, traces and idempotency keys."""

from __future__ import annotations

import json
from typing import Any, Final

from tickets.db.foreign import ForeignDatabase
from tickets.tracker.domain.foreign_values import integer, plain
from tickets.tracker.domain.imports import idempotency_route
from tickets.tracker.domain.search import fold, index_text
from tickets.tracker.operations.imported_history import ImportPart, shift_of
from tickets.tracker.operations.kv import DELETED_VERSION_MARK, RESERVED_NAMESPACE
from tickets.web.answers import to_json

# As long as keys are kept here where nothing else is configured.
KEYS_KEPT_MS: Final = 24 * 60 * 60 * 1000
BATCH_COLUMNS: Final = (
    "id",
    "received_at_ms",
    "content_type",
    "payload_json",
    "payload_blob",
    "parsed_spans",
)
SPAN_COLUMNS: Final = (
    "id",
    "batch_id",
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "kind",
    "start_time_unix_nano",
    "end_time_unix_nano",
    "status_code",
    "status_message",
    "attributes_json",
    "resource_attributes_json",
    "scope_name",
    "scope_version",
    "run_id",
    "task_id",
    "raw_json",
)
KEY_COLUMNS: Final = (
    "key",
    "method",
    "path",
    "request_hash",
    "response_status",
    "response_body",
    "created_at_ms",
)


class Rest(ImportPart):
    """Adds what stands beside the tasks."""

    def add(self) -> dict[str, int]:
        """Add all of it and return the counts."""
        batches, spans = self._add_traces()
        return {
            "store_entries": self._add_entries(),
            "otlp_batches": batches,
            "otlp_spans": spans,
            "idempotency_keys": self._add_idempotency_keys(),
        }

    def _add_entries(self) -> int:
        columns = ("namespace", "key", "value_json", "created_at_ms", "updated_at_ms")
        # Above every version that was ever deleted, as for any new entry.
        version = (self._tx.value("marks.value", name=DELETED_VERSION_MARK) or 0) + 1
        count = 0
        for row in self._source.rows("store", columns):
            namespace, key = plain(row["namespace"]), plain(row["key"])
            if namespace == RESERVED_NAMESPACE:
                namespace = f"{RESERVED_NAMESPACE} (imported)"
            if self._tx.value("kv.version_of", namespace=namespace, key=key) is not None:
                continue
            if row["namespace"] != namespace:
                self.remarks["entries of a reserved namespace, now another"] += 1
            value_json = self._translation.json(row["value_json"], "null")
            id_ = self._tx.value(
                "imports.add_entry",
                namespace=namespace,
                key=key,
                value_json=value_json,
                version=version,
                created_at_ms=integer(row["created_at_ms"]),
                updated_at_ms=integer(row["updated_at_ms"]),
            )
            self._tx.run(
                "kv.index",
                id=id_,
                namespace=fold(namespace),
                key=fold(key),
                content=index_text(json.loads(value_json)),
            )
            count += 1
        return count

    def _add_traces(self) -> tuple[int, int]:
        """Add batches that came after the last import of the same file, and their spans.

        Nothing tells two equal batches apart but their ids, so the highest one is noted.
        """
        mark = f"imported_otlp_batch {_identity(self._source)}"
        above = self._tx.value("marks.value", name=mark) or 0
        extent = self._source.extent("otlp_batches", "id", above=above)
        if extent is None:
            return 0, 0
        shift = shift_of(
            self._source, "otlp_batches", highest=self._before["batch_id"], above=above
        )
        batches = self._tx.run_many(
            "imports.add_batch",
            (
                _shifted(self._translation.batch(row), id=shift)
                for row in self._source.rows("otlp_batches", BATCH_COLUMNS, above=("id", above))
            ),
        )
        span_shift = shift_of(self._source, "otlp_spans", highest=self._before["span_id"])
        spans = self._tx.run_many(
            "imports.add_span",
            (
                _shifted(self._translation.span(row), id=span_shift, batch_id=shift)
                for row in self._source.rows(
                    "otlp_spans", SPAN_COLUMNS, above=("batch_id", above)
                )
            ),
        )
        self._tx.run("marks.raise", name=mark, value=extent[1])
        return batches, spans

    def _add_idempotency_keys(self) -> int:
        count = 0
        for row in self._source.rows("idempotency_keys", KEY_COLUMNS):
            columns = self._key_columns(row)
            if columns is None:
                self.remarks["idempotency keys left out"] += 1
            else:
                count += self._tx.run("imports.add_idempotency_key", **columns)
        return count

    def _key_columns(self, row: dict[str, Any]) -> dict[str, Any] | None:
        """Return the record of a key whose answer holds here, or None."""
        status, created_at_ms = integer(row["response_status"]), integer(row["created_at_ms"])
        route = idempotency_route(row["method"], row["path"])
        if (
            route is None
            or not 200 <= status < 300
            or created_at_ms <= self._now_ms - KEYS_KEPT_MS
            or not isinstance(row["request_hash"], bytes)
        ):
            return None
        kind, segments = route
        principal = "api" if kind == "api" else self._holder(segments[1])
        if principal is None:
            return None
        body = None if status == 204 else row["response_body"]
        return {
            "principal": principal,
            "key": plain(row["key"]),
            "method": plain(row["method"]),
            "route": to_json(segments),
            "request_hash": row["request_hash"],
            "response_status": status,
            "response_json": self._translation.json(body, "null"),
            "created_at_ms": created_at_ms,
        }

    def _holder(self, run_id: str) -> str | None:
        """Return under whose name a run's holder repeats a write; None without a lease."""
        lease = self._tx.one("leases.of_run", run_id=run_id)
        if lease is None or lease["lease_status"] != "active":
            return None
        return f"lease:{lease['token_hash'].hex()}"


def _identity(source: ForeignDatabase) -> str:
    """Name a database by what never changes in it: its first pipeline, else its first batch."""
    for table, column in (("pipelines", "id"), ("otlp_batches", "received_at_ms")):
        for row in source.rows(table, (column,)):
            return plain(row[column])
    return ""


def _shifted(columns: dict[str, Any], **shifts: int) -> dict[str, Any]:
    return {**columns, **{name: columns[name] + by for name, by in shifts.items()}}
