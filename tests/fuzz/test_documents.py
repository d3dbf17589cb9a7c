"""Documents with one thing wrong: refused as documented, and nothing is written."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.factories import Json
from tests.fuzz.budgets import tried
from tests.fuzz.odd import VALUES, broken, mutated
from tests.fuzz.place import JSON, Answer, Place
from tests.fuzz.requests import DOCUMENTS, ENDINGS, document, target
from tickets.app import openapi_document

OPENAPI = openapi_document()
OPERATIONS = pytest.mark.parametrize("operation", DOCUMENTS, ids=" ".join)
PIECES = st.one_of(
    st.binary(max_size=4),
    st.sampled_from(
        [
            b"NaN",
            b"1e400",
            b'"\\ud800"',
            b'"\\u0000"',
            b"\xed\xa0\x80",
            b"\xc0\x80",
            b"\xef\xbb\xbf",
            b"[" * 200,
            b'{"a":' * 200,
            b"9" * 5_000,
            b"0" * 400,
            b'"kind":1,',
            b"//",
            b"\x00",
            b",",
            b'"',
            b"\\",
        ]
    ),
)


def described(operation: tuple[str, str]) -> Json:
    method, path = operation
    found: Json = OPENAPI["paths"][path][method.lower()]
    return found


def reader_of(operation: tuple[str, str]) -> Any:
    """Return what reads the documents of an operation as the contract describes them."""
    content = described(operation)["requestBody"]["content"]["application/json"]
    return jsonschema_rs.validator_for(
        {**content["schema"], "components": OPENAPI["components"]}
    )


# A heartbeat must not fail for what it brings along: any other body is ignored.
FORGIVING = {("POST", "/leases/{lease_id}/heartbeat")}
READERS = {operation: reader_of(operation) for operation in DOCUMENTS}


def is_wrong(operation: tuple[str, str], changed: Any) -> bool:
    """Tell whether the contract says so; it does not speak of what is no JSON at all."""
    try:
        text = json.dumps(changed, allow_nan=False).encode().decode()
        return not READERS[operation].is_valid(json.loads(text))
    except ValueError:
        return True


def send(place: Place, operation: tuple[str, str], body: bytes) -> Answer:
    method, path = operation
    answer = place.send_whole(
        method, target(place, path), body=body, headers=[JSON, place.holder]
    )
    assert str(answer.status) in described(operation)["responses"], (operation, body, answer)
    if answer.status < 300 and path.endswith(ENDINGS):
        place.renew()
    return answer


def test_every_operation_with_a_document_is_here() -> None:
    documented = {
        (method.upper(), path)
        for path, operations in OPENAPI["paths"].items()
        for method, operation in operations.items()
        if "$ref" in str(operation.get("requestBody"))
    }

    assert set(DOCUMENTS) == documented


@OPERATIONS
def test_the_documents_that_are_changed_here_are_sound(
    place: Place, operation: tuple[str, str]
) -> None:
    whole = document(place, operation)

    answer = send(place, operation, json.dumps(whole).encode())

    assert not is_wrong(operation, whole)
    # The task is in the queue, and the ticket is nobody's but ours.
    assert answer.status < 300 or answer.code in ("not_dead_lettered", "not_synced")


@OPERATIONS
@tried(40, drill=90)
@given(data=st.data())
def test_a_document_with_one_wrong_field_is_refused(
    place: Place, operation: tuple[str, str], data: Any
) -> None:
    changed = data.draw(mutated(document(place, operation)))

    answer = send(place, operation, json.dumps(changed).encode())

    if operation not in FORGIVING and is_wrong(operation, changed):
        assert answer.status == 400, answer


@OPERATIONS
@tried(20, drill=60)
@given(data=st.data())
def test_a_document_with_broken_bytes_is_more_than_refused_never(
    place: Place, operation: tuple[str, str], data: Any
) -> None:
    whole = json.dumps(document(place, operation)).encode()

    send(place, operation, data.draw(broken(whole, piece=PIECES)))


@tried(100, drill=360)
@given(VALUES)
def test_what_is_stored_comes_back_or_was_refused(place: Place, value: Any) -> None:
    raw = json.dumps({"value": value}).encode()

    answer = place.send_whole("PUT", "/store/n/k", body=raw)

    assert answer.status in (204, 400)
    if answer.status == 204:
        found = place.send("GET", "/store/n/k").json["value"]
        assert json.dumps(found) == json.dumps(value)
