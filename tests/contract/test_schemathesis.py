"""The service against its own OpenAPI document: every operation, good and bad data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tests.conftest import FrozenClock
from tests.linear.faults import nowhere
from tickets.app import Application, open_database, openapi_document
from tickets.config import Settings
from tickets.db.migrations import migrate
from tickets.db.registry import sql_root
from tickets.ids import new_id

EXAMPLES = 15
# Refusals of data that its schema allows, because no schema can say the rule: it spans several
# fields or the path, looks into text, or asks what the database holds.
BEYOND_SCHEMA = {
    "invalid_cursor",
    "invalid_dependency",
    "invalid_filter",
    "invalid_query",
    "invalid_state",
    "invalid_status",
    "reserved_event_kind",
    "reserved_namespace",
    "invalid_delegation",
    "invalid_link",
    "invalid_schema",
    "validation_failed",
    "workspace_mismatch",
    "workspace_required",
}
# The same where the code is a general one: (path, words of the message).
BEYOND_SCHEMA_IN = {
    ("/tasks/{task_id}/run-state", "is kept with a run_id only"),
    ("/runs/{run_id}/events", "kind: is required"),
    ("/v1/traces", "Content-Encoding"),
    ("/otlp/v1/traces", "Content-Encoding"),
    ("/ledger/events", "req: must be 1 to 200 printable characters"),
    ("/ledger/events", "scope: is not the workspace"),
    ("/ledger/events/bulk", "req: must be 1 to 200 printable characters"),
    ("/ledger/events/bulk", "scope: is not the workspace"),
    ("/ledger/deliveries", "req: must be 1 to 200 printable characters"),
    ("/ledger/deliveries", "dedupe_key: is required, or both"),
    ("/tickets/{ticket_id}/assign", "than If-Match names"),
    ("/tickets/{ticket_id}/unassign", "than If-Match names"),
    ("/tickets/{ticket_id}/delegate", "than If-Match names"),
    ("/tickets/{ticket_id}/assign", "or else team_id is wanted"),
    ("/tickets/{ticket_id}/transition", "is dependency with"),
    ("/tickets", "excludes assigned_agent_id"),
    ("/tickets", "wants an assigned_agent_id"),
    ("/tickets/{ticket_id}", "than If-Match names"),
    ("/tickets/{ticket_id}/transition", "than If-Match names"),
    ("/tickets/{ticket_id}/transition", "does not belong to a transition"),
    ("/tickets/{ticket_id}/transition", "is required"),
    ("/tickets/{ticket_id}/transition", "is for users and for open tickets"),
}


class Served:
    """The application under test, which exists only while the tests of this module run."""

    app: Application | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        assert self.app is not None
        return self.app(environ, start_response)


@schemathesis.serializer("application/x-protobuf")
def as_bytes(_context: Any, value: Any) -> bytes:
    """Send anything at all: a body that is no protobuf is kept as it came."""
    return json.dumps(value).encode()


here = Served()
schema = schemathesis.openapi.from_dict(openapi_document())
schema.app = here
# U+0000 is refused everywhere, which would stand in every single string of the document.
schema.config.generation.allow_x00 = False


@pytest.fixture(scope="module", autouse=True)
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    configured = Settings(
        db=tmp_path_factory.mktemp("schemathesis") / "tickets.db", wait_slots=0
    )
    database = open_database(configured)
    migrate(database, sql_root(), 0)
    here.app = Application(database, configured, FrozenClock(), linear=nowhere)
    yield
    database.close()


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_operation_keeps_its_contract(case: Any) -> None:
    if "Idempotency-Key" in (case.headers or {}):
        # The same key in two examples would answer the second with the first one's answer.
        case.headers["Idempotency-Key"] = new_id()

    response = case.call()

    case.validate_response(
        response,
        excluded_checks=[positive_data_acceptance] if is_beyond_schema(case, response) else [],
    )


def is_beyond_schema(case: Any, response: Any) -> bool:
    """Tell whether the data was refused by a rule that its schema could not have said."""
    if response.status_code == 412:
        return True
    if "is not that of X-Workspace-Id" in response.text:
        return True
    if response.status_code != 400:
        return False
    error = response.json()["error"]
    return error["code"] in BEYOND_SCHEMA or any(
        case.path == path and words in error["message"] for path, words in BEYOND_SCHEMA_IN
    )
