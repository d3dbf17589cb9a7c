"""The OpenAPI document itself: valid, whole, and honest about failures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import schemathesis

from tests.factories import Json
from tickets.app import openapi_document

DOCUMENT = openapi_document()
OPERATIONS: list[Json] = [
    operation for methods in DOCUMENT["paths"].values() for operation in methods.values()
]


def references(part: Any) -> Iterator[str]:
    """Yield every ``$ref`` inside a part of the document."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_the_document_is_valid_openapi() -> None:
    schemathesis.openapi.from_dict(DOCUMENT).validate()


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["schemas"]))
def test_each_schema_is_a_valid_json_schema(name: str) -> None:
    dialect = "https://json-schema.org/draft/2020-12/schema"

    jsonschema_rs.meta.validate({"$schema": dialect, **DOCUMENT["components"]["schemas"][name]})


def test_each_reference_leads_to_a_schema_and_each_schema_is_referred_to() -> None:
    found = {reference.rsplit("/", 1)[1] for reference in references(DOCUMENT)}

    queries = {name for name in DOCUMENT["components"]["schemas"] if name.endswith("Query")}
    assert found == set(DOCUMENT["components"]["schemas"]) - queries


def test_each_operation_has_a_name_of_its_own() -> None:
    names = [operation["operationId"] for operation in OPERATIONS]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each["operationId"])
def test_each_operation_declares_what_can_happen_to_any_request(operation: Json) -> None:
    is_public = operation["security"] == [{}]

    expected = {"400", "503"} if is_public else {"400", "401", "503"}
    if "requestBody" in operation:
        expected |= {"409", "413", "507"}
    assert expected <= set(operation["responses"])


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each["operationId"])
def test_each_failure_has_the_one_shape(operation: Json) -> None:
    for status, response in operation["responses"].items():
        if status >= "400":
            schema = response["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Error"}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each["operationId"])
def test_each_parameter_says_its_type(operation: Json) -> None:
    untyped = [each["name"] for each in operation["parameters"] if "type" not in each["schema"]]

    assert untyped == []


def test_a_parameter_with_one_word_shows_it() -> None:
    (shown,) = [
        each["schema"]
        for each in DOCUMENT["paths"]["/tasks"]["get"]["parameters"]
        if each["name"] == "dead_lettered"
    ]

    assert shown == {"enum": ["true"], "type": "string"}
