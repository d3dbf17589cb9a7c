"""A ledger in a file of its own, with a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tickets.sqlite_task_ledger import Ledger, StatusEvent, WriteResult

NOW_MS = 1_700_000_000_000


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


class Told:
    """A ledger, and a short word for telling it something."""

    def __init__(self, ledger: Ledger, clock: Clock, path: Path) -> None:
        self.ledger = ledger
        self.clock = clock
        self.path = path

    def __call__(self, state: str, req: str = "r", **fields: Any) -> WriteResult:
        return self.ledger.write_event(event(state, req, **fields))

    def goes(self, *states: str, req: str = "r") -> None:
        """Let a req go through some states."""
        for state in states:
            self(state, req)


def event(state: str, req: str = "r", **fields: Any) -> StatusEvent:
    return StatusEvent(state=state, actor="a", source="s", req=req, **fields)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tell(tmp_path: Path, clock: Clock) -> Iterator[Told]:
    path = tmp_path / "ledger.db"
    with Ledger(path, clock=clock) as ledger:
        ledger.init_schema()
        yield Told(ledger, clock, path)


@pytest.fixture
def ledger(tell: Told) -> Ledger:
    return tell.ledger
