"""What is a JSON document, and what of it is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Client
from tests.factories import Factory, refused

# A document with a value at its end, where it is read back unchanged.
FRAME = b'{"value":%s}'


def put(client: Client, raw: bytes, *, status: int) -> Any:
    return client.put("/store/n/k", raw, status=status)


def kept(client: Client, raw: bytes) -> bytes:
    put(client, FRAME % raw, status=204)
    body = bytes(client.get("/store/n/k", status=200).body)
    return body.split(b'"value":', 1)[1].split(b',"created_at_ms"', 1)[0]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"x"',
        b"{",
        b'{"value":1',
        b'{"value":1}x',
        b'{"value":1}{}',
        b"{'value':1}",
        b'{"value":1,}',
        b'\xef\xbb\xbf{"value":1}',
        b'{"value":"\xff"}',
        b'{"value":"\xed\xa0\x80"}',
        rb'{"value":"\ud800"}',
        rb'{"value":{"\udc00":1}}',
        b'{"value":"a\nb"}',
        b'{"value":1,"value":2}',
        b'{"value":{"a":[{"b":1,"b":1}]}}',
        b'{"value":NaN}',
        b'{"value":Infinity}',
        b'{"value":-Infinity}',
        # D-19: a number that no double can hold is refused
        b'{"value":1e400}',
        b'{"value":-1e400}',
        b'{"value":01}',
        b'{"value":' + b"9" * 5_000 + b"}",
    ],
)
# D-20: text that is no JSON object is told apart from documents of a wrong shape
def test_a_body_that_is_not_one_json_object_is_refused(client: Client, raw: bytes) -> None:
    assert put(client, raw, status=400).json == refused("invalid_json")


def test_a_byte_order_mark_is_named(client: Client) -> None:
    response = put(client, b'\xef\xbb\xbf{"value":1}', status=400)

    assert "byte order mark" in response.json["error"]["message"]


# D-18: U+0000 is refused everywhere, so that it is nowhere cut
@pytest.mark.parametrize("raw", [rb'{"value":"a\u0000b"}', rb'{"value":{"\u0000":[]}}'])
def test_a_string_with_a_null_character_is_refused(client: Client, raw: bytes) -> None:
    assert put(client, raw, status=400).json["error"]["code"] == "invalid_request"


# D-18: U+0000 is refused everywhere, so that it is nowhere cut
def test_a_title_with_a_null_character_is_refused(client: Client, make: Factory) -> None:
    body = {"pipeline_id": make.pipeline(), "title": "ab\0cd", "description": ""}

    client.post_json("/tasks", body, status=400)


def test_white_space_around_a_document_is_fine(client: Client) -> None:
    put(client, b' \r\n\t{"value":1}\n', status=204)


def test_an_unknown_field_is_ignored(client: Client) -> None:
    put(client, b'{"value":1,"other":[{}]}', status=204)


# D-19: numbers come back as they were, in value and in kind
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"1.0", b"1.0"),
        (b"1.5", b"1.5"),
        (b"-0.0", b"-0.0"),
        (b"1e300", b"1e+300"),
        (b"9223372036854775807", b"9223372036854775807"),
        (b"18446744073709551616", b"18446744073709551616"),
        (b"-" + b"9" * 100, b"-" + b"9" * 100),
        (b"[1,1.0]", b"[1,1.0]"),
    ],
)
def test_a_number_keeps_its_value_and_kind(client: Client, raw: bytes, expected: bytes) -> None:
    assert kept(client, raw) == expected


def test_objects_keep_the_order_of_their_keys(client: Client) -> None:
    assert kept(client, b'{"b":1,"a":{"d":2,"c":3}}') == b'{"b":1,"a":{"d":2,"c":3}}'


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
# D-67: nesting has a limit
def test_128_levels_are_read_and_129_refused(client: Client, opening: bytes) -> None:
    closing = b"]" if opening == b"[" else b"}"

    def nested(levels: int) -> bytes:
        return FRAME % (opening * (levels - 1) + b"1" + closing * (levels - 1))

    put(client, nested(128), status=204)
    for levels in (129, 100_000):
        assert put(client, nested(levels), status=400).json == refused("invalid_json")


# D-67: nesting has a limit
def test_brackets_inside_strings_are_no_levels(client: Client) -> None:
    put(client, FRAME % (b'"' + b'[{\\"' * 1_000 + b'"'), status=204)


# the time to find that out must not grow with the square of the size
def test_a_string_without_an_end_is_refused_quickly(client: Client) -> None:
    endless = b"[" * 200 + b'"' + b'\\"' * 2_000_000

    assert put(client, endless, status=400).json == refused("invalid_json")
    assert put(client, endless + b"\\", status=400).json == refused("invalid_json")


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), inner
        )
    ),
)


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(value=JSON_VALUES)
def test_any_value_is_read_back_equal(client: Client, value: Any) -> None:
    raw = json.dumps({"value": value}, ensure_ascii=False).encode()

    put(client, raw, status=204)

    assert client.get("/store/n/k", status=200).json["value"] == value


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    raw=st.binary(max_size=40) | st.text('{}[]",:\\u0123abefn. -', max_size=30).map(str.encode)
)
def test_no_bytes_are_more_than_refused(client: Client, raw: bytes) -> None:
    response = client.put("/store/n/k", raw, expect_errors=True)

    assert response.status_int in (204, 400)
