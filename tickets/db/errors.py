"""What only this package raises besides the family in ``tickets.errors``."""

from __future__ import annotations

from tickets.errors import Busy, TicketsError


class ConstraintViolated(Exception):
    """A constraint of the schema refused a row.

    ``kind`` is ``unique``, ``check``, ``not null``, ``foreign key`` or ``datatype``;
    ``constraint`` is what the database names: columns (``pipelines.name``), a constraint or an
    index, and perhaps nothing. ``may_pass`` says that another writer at the same moment may
    have been the reason, so that the same work done anew finds what that one wrote.
    """

    def __init__(
        self, text: str, kind: str = "", constraint: str = "", *, may_pass: bool = False
    ) -> None:
        self.kind = kind
        self.constraint = constraint
        self.may_pass = may_pass
        super().__init__(text)


class StatementFailed(TicketsError):
    """A statement and the schema do not fit each other: a mistake of ours.

    What the database says of it is for logs, and no part of ``text``, which clients are shown.
    """

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words

    def __str__(self) -> str:
        return self._words


class Collision(Busy):
    """Another writer or a lost connection ended the transaction; nothing of it is there.

    The same work done anew has every chance to succeed.
    """


class MigrationError(Exception):
    """The database and the migration files do not belong together; the text says why."""
