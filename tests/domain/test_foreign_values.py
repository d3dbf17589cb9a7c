from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickets.tracker.domain.foreign_values import (
    integer,
    optional_integer,
    plain,
    readable_json,
)
from tickets.tracker.domain.imports import idempotency_route

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@pytest.mark.parametrize(
    ("text", "readable"),
    [
        ('{"a": 1.50}', '{"a": 1.50}'),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("9" * 5000, '"' + "9" * 5000 + '"'),
        ("[-1e999,1]", '["-1e999",1]'),
        ("NaN", '"NaN"'),
        ("", '""'),
        ('"a\\u0000b"', '"a\\\\x00b"'),
        ('"a\\\\u0000b"', '"a\\\\u0000b"'),
        ('"a\\\\\\u0000b"', '"a\\\\\\\\x00b"'),
    ],
)
def test_what_cannot_be_read_becomes_the_nearest_that_can(text: str, readable: str) -> None:
    assert readable_json(text) == readable


@given(JSON, st.booleans())
def test_what_can_be_read_is_left_to_the_letter(value: Any, is_ascii: bool) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii)

    if "\\u0000" not in text:
        assert readable_json(text) == text


@given(st.text(alphabet='[]{}",:\\u0dae1-.+ \x00', max_size=30))
def test_any_text_becomes_json(text: str) -> None:
    msgspec.json.decode(readable_json(text))


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, 5),
        ("5", 5),
        (5.9, 5),
        (2**70, 2**63 - 1),
        (None, None),
        ("x", None),
        (b"5", None),
        (float("inf"), None),
    ],
)
def test_numbers_are_taken_from_whatever_holds_one(value: object, number: int | None) -> None:
    assert optional_integer(value) == number
    assert integer(value, 7) == (7 if number is None else number)


@pytest.mark.parametrize(
    ("value", "text"), [("a", "a"), (None, ""), (b"a\xff\0", "a\\xff\\x00"), (5, "5")]
)
def test_texts_are_taken_from_whatever_holds_one(value: object, text: str) -> None:
    assert plain(value) == text


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("POST", "//tasks/", ("api", ("tasks",))),
        ("POST", "/%74asks", ("api", ("tasks",))),
        ("PUT", "/store/a%2Fb/c", ("api", ("store", "a/b", "c"))),
        ("POST", "/runs/r/events", ("run", ("runs", "r", "events"))),
        ("POST", "/leases/claim", None),
        ("POST", "/runs/r/transition", None),
        ("GET", "/tasks", None),
        ("POST", "/tasks/x/y/z", None),
    ],
)
def test_answers_are_kept_for_writes_that_mean_the_same_here(
    method: str, path: str, route: Any
) -> None:
    assert idempotency_route(method, path) == route
