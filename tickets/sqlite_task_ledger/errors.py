"""What a ledger refuses. A raised error means that nothing was written.

::

    LedgerError
    ├── InvalidEventError        invalid_request
    ├── InvalidStateError        invalid_state
    ├── InvalidTransitionError   invalid_transition
    ├── TerminalStateError       already_terminal
    ├── StateMismatchError       state_mismatch
    ├── EventConflictError       event_id_conflict
    ├── UnknownTaskError         task_not_found
    └── SchemaError              schema_error
"""

from __future__ import annotations

from typing import ClassVar


class LedgerError(Exception):
    """A refusal with a stable code.

    ``index`` says which event of a list was refused, counted from 0.
    """

    code: ClassVar[str] = "ledger_error"
    index: int | None = None


class InvalidEventError(LedgerError, ValueError):
    """A field is missing, of the wrong type or out of bounds; ``field`` names it."""

    code = "invalid_request"

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        self.problem = problem
        super().__init__(f"{field}: {problem}")


class InvalidStateError(LedgerError, ValueError):
    """The machine has no state of this name."""

    code = "invalid_state"


class InvalidTransitionError(LedgerError):
    """No edge leads from ``previous`` (None for a new req) to ``state``."""

    code = "invalid_transition"

    def __init__(self, req: str, previous: str | None, state: str) -> None:
        self.previous = previous
        self.state = state
        super().__init__(f"{req} cannot go from {previous or 'nothing'} to {state}")


class TerminalStateError(LedgerError):
    """The req has ended in ``terminal_state``; redoing it needs a new req."""

    code = "already_terminal"

    def __init__(self, req: str, terminal_state: str) -> None:
        self.terminal_state = terminal_state
        super().__init__(f"{req} has ended already: {terminal_state}")


class StateMismatchError(LedgerError):
    """The req is not in the state that the caller expected."""

    code = "state_mismatch"


class EventConflictError(LedgerError):
    """The event id is stored with other content."""

    code = "event_id_conflict"


class UnknownTaskError(LedgerError):
    """The req has no event."""

    code = "task_not_found"


class SchemaError(LedgerError):
    """Tables or columns of the ledger are missing."""

    code = "schema_error"
