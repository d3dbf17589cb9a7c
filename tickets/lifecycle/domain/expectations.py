"""What a request wants a ticket to be before it changes it."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from tickets.errors import Invalid, PreconditionFailed, TicketsError
from tickets.lifecycle.domain.state import TicketState
from tickets.lifecycle.errors import StatusMismatch, VersionConflict


class Condition(Protocol):
    """What the headers of a request say of the stored version."""

    @property
    def match(self) -> frozenset[str] | None:
        """Entity tags, ``*``, or None for no wish."""

    def check(self, version: int | None) -> None:
        """Return where the version will do. Raises PreconditionFailed."""


class Expectations(Struct, frozen=True, kw_only=True):
    """Wishes about a ticket: by header, by version, by status."""

    condition: Condition | None = None
    version: int | None = None
    status: str | None = None

    def check(self, ticket: TicketState) -> None:
        """Return where the ticket is as wished.

        Raises Invalid (two versions that contradict each other), PreconditionFailed,
        VersionConflict, StatusMismatch, in this order.
        """
        self._check_agreement()
        if self.condition is not None:
            try:
                self.condition.check(ticket.version)
            except PreconditionFailed as error:
                raise _at(
                    PreconditionFailed("The ticket has another version than If-Match names"),
                    ticket,
                ) from error
        if self.version is not None and self.version != ticket.version:
            raise _at(VersionConflict(), ticket)
        if self.status is not None and self.status != ticket.status:
            raise _at(StatusMismatch(), ticket)

    def _check_agreement(self) -> None:
        match = None if self.condition is None else self.condition.match
        if match is None or self.version is None or "*" in match:
            return
        if f'"{self.version}"' not in match:
            raise Invalid.field("expected_version", "is another version than If-Match names")


def _at(error: TicketsError, ticket: TicketState) -> TicketsError:
    error.version = ticket.version
    return error


NOTHING = Expectations()
