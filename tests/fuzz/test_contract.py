"""The OpenAPI document as a generator: data that breaks it, calls that follow each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, ClassVar

import pytest
import schemathesis
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    negative_data_rejection,
    positive_data_acceptance,
    use_after_free,
)
from schemathesis.specs.openapi.schemas import OpenApiSchema

from tests.conftest import API_TOKEN
from tests.contract.test_schemathesis import is_beyond_schema
from tests.factories import REVIEW, Json, bearer
from tests.faults.states import digest
from tests.fuzz.budgets import budget, seeded, tried
from tests.fuzz.links import linked_document
from tests.fuzz.place import Place, a_place
from tests.fuzz.requests import ENDINGS
from tests.fuzz.test_documents import FORGIVING
from tickets.app import openapi_document
from tickets.ids import new_id


class Served:
    """The place under test, which exists only while one test runs."""

    place: Place | None = None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        assert self.place is not None
        return self.place.app(environ, start_response)


here = Served()


def schema_of(document: Json, *modes: GenerationMode) -> OpenApiSchema:
    schema = schemathesis.openapi.from_dict(document)
    schema.app = here
    # The document has links, or it is not asked for any.
    schema.config.phases.stateful.inference.algorithms = []
    schema.config.generation.update(
        modes=list(modes), allow_x00=False, with_security_parameters=False
    )
    return schema


@pytest.fixture(autouse=True)
def served(place: Place) -> Iterator[Place]:
    here.place = place
    yield place
    here.place = None


def with_fresh_key(case: Any) -> None:
    """Let no request be answered with the answer to another one."""
    if len((case.headers or {}).get("Idempotency-Key", "x" * 513)) <= 512:
        case.headers["Idempotency-Key"] = new_id()


def has_data(context: Any) -> bool:
    """Tell whether anything can be wrong with a request but its path."""
    definition = context.operation.definition.raw
    in_query = [each for each in definition["parameters"] if each["in"] != "path"]
    return bool(in_query) or "requestBody" in definition


negative = schema_of(openapi_document(), GenerationMode.NEGATIVE).include(has_data)


def is_left_out(case: Any) -> bool:
    """Tell whether the body is blank where there need not be one."""
    body = case.operation.definition.raw.get("requestBody", {"required": True})
    blank = isinstance(case.body, bytes) and not case.body.strip()
    return blank and not body.get("required", False)


@negative.parametrize()
@tried(5, drill=15)
def test_data_that_breaks_the_contract_is_refused(case: Any) -> None:
    place = here.place
    assert place is not None
    case.path_parameters = {name: place.ids[name] for name in case.path_parameters or {}}
    with_fresh_key(case)
    holder = dict([place.holder])
    before = digest(place.world.db)

    response = case.call(headers=holder)

    if response.status_code >= 400:
        assert digest(place.world.db) == before
    excluded = [positive_data_acceptance] if is_beyond_schema(case, response) else []
    # Data may be wrong in its size, too.
    is_forgiven = (case.method, case.path) in FORGIVING or is_left_out(case)
    if response.status_code == 413 or is_forgiven:
        excluded.append(negative_data_rejection)
    case.validate_response(response, headers=holder, excluded_checks=excluded)
    if response.status_code < 300 and case.path.endswith(ENDINGS):
        place.renew()


# What leads on from one call to the next; what is made up would end in a refusal.
KNOWN: Json = {
    "definition": REVIEW,
    "agent_role": "coder",
    "trigger": "submit",
    "status": "pass",
    "lease_ttl_ms": 80_000_000,
}
UNCERTAIN = ("expected_stage", "expected_task_version", "dependencies", "stage", "retry_policy")
# What every run gets through, or it looked at nothing but refusals.
FIRST_CALLS = ("POST /pipelines", "POST /tasks", "POST /leases/claim", "GET /runs/{run_id}")
ON_RUNS = (
    "POST /leases/{lease_id}/heartbeat",
    "POST /runs/{run_id}/events",
    "POST /runs/{run_id}/gates",
    "POST /runs/{run_id}/transition",
    "POST /runs/{run_id}/fail",
    "POST /runs/{run_id}/release",
)
linked = schema_of(linked_document(), GenerationMode.POSITIVE)
Machine: Any = linked.as_state_machine()


class Linked(Machine):  # type: ignore[misc]  # made when the document is read
    """Calls that take their ids from the answers before, as an operator makes them."""

    answered: ClassVar[Counter[str]] = Counter()

    def setup(self) -> None:
        self.stack = ExitStack()
        here.place = self.stack.enter_context(a_place(api_token=API_TOKEN))

    def teardown(self) -> None:
        with self.stack:
            assert here.place is not None
            here.place.world.check()

    def get_call_kwargs(self, case: Any) -> Json:
        return {"headers": bearer(API_TOKEN)}

    def before_call(self, case: Any) -> None:
        with_fresh_key(case)
        if isinstance(case.body, dict):
            case.body = {
                name: KNOWN.get(name, value)
                for name, value in case.body.items()
                if name not in UNCERTAIN
            }

    def validate_response(self, response: Any, case: Any, **more: Any) -> None:
        assert response.status_code < 500
        self.answered[case.operation.label] += response.status_code < 300
        case.validate_response(
            response,
            headers=bearer(API_TOKEN),
            excluded_checks=[positive_data_acceptance, use_after_free],
        )


@pytest.mark.drill
def test_calls_that_follow_each_other_keep_the_contract() -> None:
    Linked.answered.clear()

    run_state_machine_as_test(
        seeded(Linked), settings=budget(20, drill=40, stateful_step_count=30)
    )

    never = {label for label in (*FIRST_CALLS, *ON_RUNS) if not Linked.answered[label]}
    # Which of the calls on a run come first is up to the seed.
    assert never < set(ON_RUNS)
