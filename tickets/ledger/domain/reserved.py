"""Names that only the service writes under."""

from __future__ import annotations

from typing import Final

from tickets.errors import ReservedChannel, ReservedReq
from tickets.sqlite_task_ledger.staleness import WATCHDOG

TASK_PREFIX: Final = "task:"
TICKET_PREFIX: Final = "ticket:"
SYSTEM_PREFIX: Final = "system:"
# The same are left out of idx_task_state_snapshot_watched.
RESERVED_REQS: Final = (TASK_PREFIX, TICKET_PREFIX, SYSTEM_PREFIX)
RESERVED_EVENT_IDS: Final = (*RESERVED_REQS, f"{WATCHDOG}:")
RESERVED_CHANNELS: Final = ("linear-", "system-")


def check_free(*, req: str, event_id: str | None = None) -> None:
    """Return where a client may write under these names. Raises ReservedReq."""
    if req.startswith(RESERVED_REQS):
        raise ReservedReq
    if event_id is not None and event_id.startswith(RESERVED_EVENT_IDS):
        raise ReservedReq


def check_channel(channel: str) -> None:
    """Return where a client may deliver to this channel. Raises ReservedChannel."""
    if channel.startswith(RESERVED_CHANNELS):
        raise ReservedChannel
