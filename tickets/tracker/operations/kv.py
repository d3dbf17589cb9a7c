"""Key-value entries: whole JSON values by namespace and key, and a search over all of them."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tickets.clock import Clock
from tickets.db.database import Database, Row, Transaction
from tickets.errors import (
    Invalid,
    MissingParam,
    NotFound,
    ReservedNamespace,
)
from tickets.tracker.domain.documents import (
    MAX_INT64,
    MAX_NAME_BYTES,
    EntriesQuery,
    SearchQuery,
)
from tickets.tracker.domain.keys import cursor_after, key_range, parse_key_cursor
from tickets.tracker.domain.records import Entry, Json
from tickets.tracker.domain.search import (
    fold,
    index_text,
    match_query,
    matches,
    parse_filter_path,
    terms,
)
from tickets.tracker.operations.facts import record
from tickets.web.answers import to_json
from tickets.web.conditions import UNCONDITIONAL, Condition
from tickets.web.pages import cut, rows_wanted

RESERVED_NAMESPACE = "search"
DELETED_VERSION_MARK = "kv_deleted_version"
# Candidates of a filtered search are asked for in growing parts: each part ranks all matches
# anew, so few parts are fast and small ones are lean.
FIRST_CANDIDATES = 256
MAX_CANDIDATES = 65_536
# Entries that one transaction of a rebuild indexes.
REBUILD_STEP_ROWS = 200


class KvOperations:
    """Everything a client can ask of the store."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def put(
        self,
        namespace: str,
        key: str,
        value: object,
        *,
        condition: Condition = UNCONDITIONAL,
    ) -> int:
        """Store a value, whether the key is there or not; return the entry's new version.

        Raises ReservedNamespace, Invalid for a name that is too long, PreconditionFailed.
        """
        check_names(namespace, key)
        value_json = to_json(value)
        content = index_text(value)
        with self._db.write() as tx:
            tx.hold("kv.lock", namespace=namespace, key=key)
            now_ms = self._clock.now_ms()
            condition.check(tx.value("kv.version_of", namespace=namespace, key=key))
            deleted_version = tx.value("marks.value", name=DELETED_VERSION_MARK) or 0
            row = tx.one(
                "kv.put",
                namespace=namespace,
                key=key,
                value_json=value_json,
                first_version=deleted_version + 1,
                now_ms=now_ms,
            )
            assert row is not None, "an upsert always returns its row"
            _index(tx, row["id"], namespace=namespace, key=key, content=content)
            version: int = row["version"]
            record(
                tx,
                "store.put",
                now_ms=now_ms,
                namespace=namespace,
                key=key,
                version=version,
            )
        return version

    def get(self, namespace: str, key: str) -> Entry:
        """Return an entry. Raises ReservedNamespace, Invalid, NotFound."""
        check_names(namespace, key)
        with self._db.read() as tx:
            row = tx.one("kv.get", namespace=namespace, key=key)
        if row is None:
            raise NotFound("No entry has this namespace and key")
        return _entry(row)

    def delete(self, namespace: str, key: str, *, condition: Condition = UNCONDITIONAL) -> None:
        """Delete an entry; one that is not there is no error.

        Raises ReservedNamespace, Invalid, PreconditionFailed.
        """
        check_names(namespace, key)
        with self._db.write() as tx:
            tx.hold("kv.lock", namespace=namespace, key=key)
            now_ms = self._clock.now_ms()
            condition.check(tx.value("kv.version_of", namespace=namespace, key=key))
            row = tx.one("kv.delete", namespace=namespace, key=key)
            if row is None:
                return
            tx.run("kv.unindex", id=row["id"])
            tx.run("marks.raise", name=DELETED_VERSION_MARK, value=row["version"])
            record(tx, "store.deleted", now_ms=now_ms, namespace=namespace, key=key)

    def delete_namespace(self, namespace: str) -> None:
        """Delete every entry of a namespace, which may be none.

        Raises ReservedNamespace, Invalid.
        """
        check_names(namespace)
        with self._db.write() as tx:
            tx.hold("kv.lock_namespace", namespace=namespace)
            now_ms = self._clock.now_ms()
            extent = tx.one("kv.extent", namespace=namespace)
            if extent is None or not extent["entry_count"]:
                return
            tx.run("kv.unindex_namespace", namespace=namespace)
            tx.run("kv.delete_namespace", namespace=namespace)
            tx.run("marks.raise", name=DELETED_VERSION_MARK, value=extent["newest_version"])
            record(
                tx,
                "store.deleted",
                now_ms=now_ms,
                namespace=namespace,
                key=None,
                count=extent["entry_count"],
            )

    def list_by_key(
        self, namespace: str, query: EntriesQuery
    ) -> tuple[list[Entry], str | None]:
        """Return entries in the order of their keys' bytes, and the cursor if the list was cut.

        Raises ReservedNamespace, Invalid, InvalidCursor.
        """
        check_names(namespace)
        after_key = None if query.cursor is None else parse_key_cursor(query.cursor)
        from_key, end_key = key_range(query.prefix or "", after_key)
        with self._db.read() as tx:
            if end_key is None:
                rows = tx.many(
                    "kv.page",
                    namespace=namespace,
                    from_key=from_key,
                    limit=rows_wanted(query.limit),
                )
            else:
                rows = tx.many(
                    "kv.page_in_range",
                    namespace=namespace,
                    from_key=from_key,
                    end_key=end_key,
                    limit=rows_wanted(query.limit),
                )
        return cut(
            rows, limit=query.limit, make=_entry, cursor=lambda row: cursor_after(row["key"])
        )

    def search(self, query: SearchQuery) -> list[Entry]:
        """Return the entries that hold every term of ``q``, the best match first.

        Raises MissingParam, InvalidQuery, InvalidFilter.

        Source: docs/api.md, GET /store/search.
        """
        steps = None
        expression = match_query(check_search_text(query.q))
        if query.filter_path is not None:
            steps = parse_filter_path(query.filter_path)
        if not expression:
            return []
        found: list[Entry] = []
        with self._db.read() as tx:
            for id_ in _candidates(tx, query, expression):
                row = tx.one("kv.by_id", id=id_)
                assert row is not None, "the index holds the entries of the same view"
                if steps is None or matches(
                    json.loads(row["value_json"]), steps, query.filter_value
                ):
                    found.append(_entry(row))
                    if len(found) == query.limit:
                        break
        return found

    def rebuild_search(self) -> int:
        """Index every entry anew and return how many there are.

        Done in small transactions: meanwhile the store is read, written and searched as
        usual, and a rebuild that was broken off may simply be started again.
        """
        count = 0
        after_id = 0
        is_last = False
        while not is_last:
            with self._db.write() as tx:
                rows = tx.many("kv.page_by_id", after_id=after_id, limit=REBUILD_STEP_ROWS)
                is_last = len(rows) < REBUILD_STEP_ROWS
                # What the index holds without an entry goes with the range it lies in.
                upto_id = MAX_INT64 if is_last else rows[-1]["id"]
                tx.run("kv.unindex_range", after_id=after_id, upto_id=upto_id)
                for row in rows:
                    content = index_text(json.loads(row["value_json"]))
                    _index(
                        tx,
                        row["id"],
                        namespace=row["namespace"],
                        key=row["key"],
                        content=content,
                    )
            after_id = upto_id
            count += len(rows)
        return count


def check_names(namespace: str, key: str | None = None) -> None:
    """Return where the names can be used for an entry.

    Raises ReservedNamespace for ``search``, Invalid for a name that is empty or too long.
    """
    if namespace == RESERVED_NAMESPACE:
        raise ReservedNamespace
    for field, name in (("namespace", namespace), ("key", key)):
        if name is not None and not 1 <= len(name.encode()) <= MAX_NAME_BYTES:
            raise Invalid.field(field, f"must have 1 to {MAX_NAME_BYTES} bytes")


def check_search_text(q: str | None) -> str:
    """Return ``q`` where something can be searched for. Raises MissingParam, InvalidQuery."""
    if q is None:
        raise MissingParam("q: is required", details=[{"field": "q", "problem": "is required"}])
    terms(q)
    return q


def _candidates(tx: Transaction, query: SearchQuery, expression: str) -> Iterator[int]:
    """Yield the ids of all entries that match, best first."""
    limit = query.limit if query.filter_path is None else FIRST_CANDIDATES
    offset = 0
    while True:
        if query.namespace is None:
            rows = tx.many("kv.search", match_query=expression, limit=limit, offset=offset)
        else:
            rows = tx.many(
                "kv.search_in_namespace",
                match_query=expression,
                namespace=query.namespace,
                limit=limit,
                offset=offset,
            )
        yield from (row["id"] for row in rows)
        if len(rows) < limit:
            return
        offset += limit
        limit = min(2 * limit, MAX_CANDIDATES)


def _index(tx: Transaction, id_: int, *, namespace: str, key: str, content: str) -> None:
    tx.run("kv.index", id=id_, namespace=fold(namespace), key=fold(key), content=content)


def _entry(row: Row) -> Entry:
    return Entry(
        namespace=row["namespace"],
        key=row["key"],
        value=Json(row["value_json"].encode()),
        created_at_ms=row["created_at_ms"],
        updated_at_ms=row["updated_at_ms"],
        version=row["version"],
    )
