"""What the rules ask of a database, whichever it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from .deliveries import Delivery
from .events import Event
from .snapshots import Snapshot


class Store(Protocol):
    """The three tables, inside one transaction that is the caller's to end."""

    def event_by_id(self, event_id: str) -> Event | None:
        """Return the event that was stored under this id."""

    def snapshot(self, req: str) -> Snapshot | None:
        """Return where a req stands, which nobody else changes until the transaction ends."""

    def append(self, event: Event, snapshot: Snapshot) -> int:
        """Append an event and keep the snapshot after it; return the event's ``seq``.

        Neither ``seq`` nor ``last_seq`` are known to the caller.
        """

    def put_snapshot(self, snapshot: Snapshot) -> None:
        """Keep this snapshot, in the place of any before it."""

    def drop_snapshot(self, req: str) -> None:
        """Forget a snapshot."""

    def quiet(self, until_ms: Mapping[str, int], *, limit: int) -> list[Snapshot]:
        """Return open tasks that were last heard of by the moment of their state, or before.

        At least the ``limit`` that are furthest behind it, and among equals the first by
        ``req``; in any order.
        """

    def lasting(self, state: str, *, until_ms: int, limit: int) -> list[Snapshot]:
        """Return tasks that have been in an open state since then or longer, longest first."""

    def events_in_order(self) -> Iterator[Event]:
        """Yield every event, by ``req`` and then by ``n``."""

    def snapshots_in_order(self) -> Iterator[Snapshot]:
        """Yield every snapshot, by ``req``."""

    def hold_deliveries(self, channel: str, key: str, req: str | None) -> None:
        """Let nobody else decide on such a message until the transaction ends."""

    def last_delivery(self, channel: str, key: str) -> Delivery | None:
        """Return the newest delivery under a key that counts."""

    def last_delivery_of_req(self, channel: str, req: str) -> Delivery | None:
        """Return the newest delivery about a req that counts."""

    def add_delivery(self, delivery: Delivery) -> int:
        """Append a delivery, whose ``id`` does not count; return the one that it gets."""

    def count_suppressed(self, delivery_id: int, now_ms: int) -> None:
        """Count one more message that a delivery held back."""
