"""Folding every event anew, and what of the kept snapshots is not as it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from .snapshots import Snapshot, fold
from .store import Store

Sees = Callable[[str | None], bool]


class RebuildReport(NamedTuple):
    """How much was folded, and how many snapshots were wrong, missing or without events."""

    tasks: int
    events: int
    changed: int
    missing: int
    extra: int


class Difference(NamedTuple):
    """A req, the snapshot that is kept and the one that its events fold to."""

    req: str
    kept: Snapshot | None
    folded: Snapshot | None

    @property
    def scope(self) -> str | None:
        """Who may see the req."""
        snapshot = self.folded or self.kept
        return None if snapshot is None else snapshot.scope


def everybody(_scope: str | None) -> bool:
    """See every req, whatever its scope."""
    return True


def verify(store: Store, *, sees: Sees = everybody) -> list[str]:
    """Return the reqs whose snapshot is not what their events fold to."""
    return [
        each.req for each in _compared(store) if each.kept != each.folded and sees(each.scope)
    ]


def rebuild(store: Store, *, sees: Sees = everybody) -> RebuildReport:
    """Mend every snapshot; the report counts those that ``sees`` lets through."""
    counts = dict.fromkeys(RebuildReport._fields, 0)
    wrong: list[Difference] = []
    for each in _compared(store):
        kind = _kind(each)
        if kind is not None:
            # Written afterwards: nothing is changed under the reading.
            wrong.append(each)
        if sees(each.scope):
            _count(counts, each, kind)
    for req, kept, folded in wrong:
        if kept is not None:
            store.drop_snapshot(req)
        if folded is not None:
            store.put_snapshot(folded)
    return RebuildReport(**counts)


def _count(counts: dict[str, int], each: Difference, kind: str | None) -> None:
    if each.folded is not None:
        counts["tasks"] += 1
        counts["events"] += each.folded.event_count
    if kind is not None:
        counts[kind] += 1


def _kind(each: Difference) -> str | None:
    if each.kept is None:
        return "missing"
    if each.folded is None:
        return "extra"
    return None if each.kept == each.folded else "changed"


def _compared(store: Store) -> Iterator[Difference]:
    """Yield every req there is, once, by walking both tables side by side."""
    kept_ones = store.snapshots_in_order()
    kept = next(kept_ones, None)
    for folded in _folded(store):
        while kept is not None and kept.req < folded.req:
            yield Difference(kept.req, kept, None)
            kept = next(kept_ones, None)
        if kept is not None and kept.req == folded.req:
            yield Difference(folded.req, kept, folded)
            kept = next(kept_ones, None)
        else:
            yield Difference(folded.req, None, folded)
    while kept is not None:
        yield Difference(kept.req, kept, None)
        kept = next(kept_ones, None)


def _folded(store: Store) -> Iterator[Snapshot]:
    for _, events in groupby(store.events_in_order(), key=attrgetter("req")):
        snapshot: Snapshot | None = None
        for event in events:
            snapshot = fold(snapshot, event)
        assert snapshot is not None, "a group is never empty"
        yield snapshot
