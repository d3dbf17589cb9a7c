"""The library's refusals as those of the service, by their codes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tickets.errors import (
    AlreadyTerminal,
    EventIdConflict,
    Invalid,
    InvalidState,
    StateMismatch,
    StateNotAllowed,
    TaskNotFound,
    TicketsError,
)
from tickets.sqlite_task_ledger.errors import (
    InvalidEventError,
    InvalidTransitionError,
    LedgerError,
)
from tickets.sqlite_task_ledger.states import DEFAULT_MACHINE

_FAMILY: Final[dict[str, type[TicketsError]]] = {
    "already_terminal": AlreadyTerminal,
    "event_id_conflict": EventIdConflict,
    "invalid_state": InvalidState,
    "state_mismatch": StateMismatch,
    "task_not_found": TaskNotFound,
}


@contextmanager
def translated() -> Iterator[None]:
    """Raise what the library refuses inside the block as one of the service's own family."""
    try:
        yield
    except InvalidEventError as error:
        raise Invalid.field(error.field, error.problem) from error
    except InvalidTransitionError as error:
        allowed = DEFAULT_MACHINE.successors(error.previous)
        raise StateNotAllowed(str(error), details={"allowed_next": allowed}) from error
    except LedgerError as error:
        raise _FAMILY[error.code](str(error)) from error
