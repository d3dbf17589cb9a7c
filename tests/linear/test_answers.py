from __future__ import annotations

from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickets.lifecycle.linear.answers import data_of
from tickets.lifecycle.linear.errors import (
    AlreadyThere,
    KeyRefused,
    Limited,
    LinearFailure,
    NotThere,
    Passing,
    Refused,
)

NOW_MS = 1_700_000_000_000


def failed(message: str = "no", **extensions: Any) -> bytes:
    """Return a body with an error as Linear writes it."""
    error = {"message": message, "path": ["issueCreate"], "extensions": extensions}
    return orjson.dumps({"errors": [error], "data": None})


def raised(status: int, body: bytes, headers: dict[str, str] | None = None) -> LinearFailure:
    with pytest.raises(LinearFailure) as caught:
        data_of(status, headers or {}, body, now_ms=NOW_MS)
    return caught.value


def test_data_is_returned() -> None:
    assert data_of(200, {}, b'{"data":{"viewer":{"id":"u"}}}', now_ms=NOW_MS) == {
        "viewer": {"id": "u"}
    }


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, failed(code="RATELIMITED"), Limited),
        (400, failed(code="RATELIMITED"), Limited),
        (400, failed(type="ratelimited"), Limited),
        (429, b"Too many", Limited),
        (401, failed(type="authentication error", code="AUTHENTICATION_ERROR"), KeyRefused),
        (200, failed(code="AUTHENTICATION_ERROR"), KeyRefused),
        (401, b"", KeyRefused),
        (200, failed(type="internal error", code="INTERNAL_SERVER_ERROR"), Passing),
        (200, failed(type="lock timeout"), Passing),
        (500, failed(), Passing),
        (500, b"<html>", Passing),
        (502, b"", Passing),
        (503, b"{}", Passing),
        (408, b"", Passing),
        (200, b"<html>", Passing),
        (200, b"[]", Passing),
        (200, b'{"data":null}', Passing),
        (200, failed(type="invalid input", code="INPUT_ERROR"), Refused),
        (400, failed(type="graphql error", code="GRAPHQL_VALIDATION_FAILED"), Refused),
        (403, failed(type="forbidden", code="FORBIDDEN"), Refused),
        (403, b"", Refused),
        (404, b"", Refused),
        (200, orjson.dumps({"errors": ["odd"]}), Refused),
        (200, orjson.dumps({"errors": [{"extensions": "odd"}], "data": {}}), Refused),
    ],
)
def test_what_went_wrong_is_told_apart(status: int, body: bytes, kind: type) -> None:
    assert type(raised(status, body)) is kind


def test_an_id_that_is_taken_and_one_that_is_not_there_have_names() -> None:
    taken = failed(
        "conflict on insert of Issue",
        code="INPUT_ERROR",
        statusCode=400,
        userPresentableMessage="Entity Issue with id 7 already exists.",
    )
    missing = failed("Entity not found: Issue", type="invalid input", code="INPUT_ERROR")

    assert type(raised(200, taken)) is AlreadyThere
    assert type(raised(200, missing)) is NotThere


def test_a_limit_says_until_when() -> None:
    failure = raised(400, failed(code="RATELIMITED"), {"retry-after": "30"})

    assert isinstance(failure, Limited)
    assert failure.until_ms == NOW_MS + 30_000


def test_errors_are_errors_also_beside_data() -> None:
    body = orjson.dumps({"errors": [{"message": "half"}], "data": {"viewer": {"id": "u"}}})

    assert str(raised(200, body)) == "half"


def test_the_text_is_linears_own() -> None:
    failure = raised(200, failed("m" * 1_000, userPresentableMessage="why"))

    assert str(failure) == "m" * 1_000 + ": why"


@given(status=st.integers(200, 599), body=st.binary(max_size=40))
def test_whatever_is_answered_is_data_or_a_failure(status: int, body: bytes) -> None:
    with suppress(LinearFailure):
        assert isinstance(data_of(status, {}, body, now_ms=NOW_MS), dict)
