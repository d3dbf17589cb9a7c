"""What clients send about integrations and sync."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from tickets.lifecycle.domain.documents import Id, IdCursor, Limit, Scoped, Strict

# What an HTTP header may hold: neither blanks around it nor line breaks in it.
Secret = Annotated[str, Meta(min_length=1, max_length=1_000, pattern=r"^[!-~]+$")]
DAY_MS: Final = 86_400_000


class StatusMap(Strict, frozen=True, kw_only=True):
    """Which state of the team stands for a status; without one, whichever does by itself."""

    open: Id | None = None
    in_progress: Id | None = None
    blocked: Id | None = None
    done: Id | None = None
    failed: Id | None = None
    cancelled: Id | None = None

    def given(self) -> dict[str, str]:
        """Return those that are given."""
        every = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: state_id for name, state_id in every.items() if state_id is not None}


class IntegrationDocument(Strict, frozen=True, kw_only=True):
    """``PUT /workspaces/{id}/integrations/linear``: the whole of it."""

    enabled: bool
    auth_kind: Literal["api_key", "oauth"]
    api_key: Secret
    team_id: Id
    webhook_secrets: Annotated[list[Secret], Meta(min_length=1, max_length=2)]
    import_issues: bool = False
    create_labels: bool = True
    status_map: StatusMap | None = None
    replay_window_ms: Annotated[int, Meta(ge=1_000, le=DAY_MS)] = 60_000
    reconcile_interval_ms: Annotated[int, Meta(ge=1_000, le=DAY_MS)] = 300_000

    def __post_init__(self) -> None:
        for field, secret in (
            ("api_key", self.api_key),
            *(("webhook_secrets", each) for each in self.webhook_secrets),
        ):
            # A pattern's $ lets one line break pass.
            if secret.endswith("\n"):
                raise ValueError(f"`{field}` must not end in a line break")


class OutboxQuery(Struct, frozen=True, kw_only=True):
    """``GET /workspaces/{id}/integrations/linear/outbox``."""

    state: Literal["pending", "inflight", "done", "dead"] | None = None
    limit: Limit = 50
    cursor: IdCursor | None = None


class ResolveRequest(Scoped, frozen=True, kw_only=True):
    """``POST /tickets/{id}/sync/resolve``."""

    prefer: Literal["local", "remote"]
