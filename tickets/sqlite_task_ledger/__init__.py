"""A small ledger of pieces of work, in SQLite, with nothing but the standard library.

What state is a task in, has it ended, has its worker gone quiet, has this message about it been
sent already?
"""

from .deliveries import Decision, Delivery
from .errors import (
    EventConflictError,
    InvalidEventError,
    InvalidStateError,
    InvalidTransitionError,
    LedgerError,
    SchemaError,
    StateMismatchError,
    TerminalStateError,
    UnknownTaskError,
)
from .events import Event, StatusEvent, WriteResult
from .ledger import Ledger
from .rebuilding import RebuildReport
from .snapshots import Snapshot
from .staleness import StaleTask, SweepReport
from .states import DEFAULT_MACHINE, StateMachine

__all__ = [
    "DEFAULT_MACHINE",
    "Decision",
    "Delivery",
    "Event",
    "EventConflictError",
    "InvalidEventError",
    "InvalidStateError",
    "InvalidTransitionError",
    "Ledger",
    "LedgerError",
    "RebuildReport",
    "SchemaError",
    "Snapshot",
    "StaleTask",
    "StateMachine",
    "StateMismatchError",
    "StatusEvent",
    "SweepReport",
    "TerminalStateError",
    "UnknownTaskError",
    "WriteResult",
]
