"""What a product tells the ledger."""

from __future__ import annotations

from typing import Any, NamedTuple


class Fact(NamedTuple):
    """Something that happened to a reserved req; texts that are too long are cut.

    ``event_id`` makes a fact that is told twice a replay: it begins with the req.
    """

    req: str
    state: str
    now_ms: int
    source: str
    actor: str | None = None
    stage: str | None = None
    message: str | None = None
    data: dict[str, Any] | None = None
    event_id: str | None = None
    scope: str | None = None
