"""Which workspace a request names."""

from __future__ import annotations

from falcon import Request

from tickets.errors import Invalid
from tickets.ledger.domain.documents import ScopeQuery
from tickets.sqlite_task_ledger.events import MAX_NAME
from tickets.web.headers import WORKSPACE_HEADER


def scope_of(req: Request, query: ScopeQuery) -> str | None:
    """Return the workspace of header or query, None where neither names one. Raises Invalid."""
    header = req.get_header(WORKSPACE_HEADER)
    if header is not None and not 1 <= len(header) <= MAX_NAME:
        raise Invalid.field(WORKSPACE_HEADER, f"must have 1 to {MAX_NAME} characters")
    if header is not None and query.workspace_id not in (None, header):
        raise Invalid.field("workspace_id", f"is not that of {WORKSPACE_HEADER}")
    return header if header is not None else query.workspace_id
