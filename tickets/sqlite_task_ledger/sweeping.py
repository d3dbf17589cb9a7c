"""A sweep: each task that is due is written in a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from . import rules
from .staleness import STALE, Overdue, SweepReport
from .states import StateMachine
from .store import Store


def swept(
    found: Iterable[Overdue],
    writing: Callable[[], AbstractContextManager[Store]],
    *,
    clock: Callable[[], int],
    actor: str,
    mark: bool,
    machine: StateMachine,
) -> SweepReport:
    """Write what was found, or only report it where ``mark`` is not set."""
    found = list(found)
    written: list[Overdue] = []
    for overdue in found if mark else ():
        with writing() as store:
            if rules.mark(store, overdue, actor=actor, now_ms=clock(), machine=machine):
                written.append(overdue)
    marked = sum(each.state == STALE for each in written)
    return SweepReport(
        checked=len(found),
        marked=marked,
        timed_out=len(written) - marked,
        skipped=len(found) - len(written) if mark else 0,
        reqs=tuple(each.snapshot.req for each in (written if mark else found)),
    )
