"""Paths and query strings of all kinds: found, refused or unknown, and never misread."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.fuzz.budgets import tried
from tests.fuzz.odd import NUMBERS, TEXTS
from tests.fuzz.place import JSON, Place
from tests.fuzz.requests import target
from tickets.app import openapi_document, route_table

# What gunicorn's parsers let into a target, and what other servers would.
RAW = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF), max_size=12)
SEGMENTS = st.one_of(
    RAW,
    st.sampled_from(
        [
            *(
                "",
                ".",
                "..",
                "...",
                "%",
                "%%",
                "%0",
                "%00",
                "%zz",
                "%2F",
                "%2f..",
                "%5c",
                "%25",
            ),
            # Overlong forms, surrogates, what is beyond Unicode, a lone continuation.
            *("%c0%af", "%c0%80", "%e0%80%af", "%ed%a0%80", "%f5%80%80%80", "%80", "%ff"),
            *(
                "%0d%0a",
                "%09",
                "%7f",
                "%e2%80%ae",
                "%F0%9F%92%A9",
                "+",
                ";a=b",
                "a#b",
                "@",
                ":",
            ),
            "x" * 4_000,
            "%41" * 1_000,
            "/" * 500,
        ]
    ),
    TEXTS.map(lambda text: quote(text.encode("utf-8", "surrogatepass"), safe="")),
)
METHODS = st.sampled_from(
    ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "X"]
)
# One path for each thing that is read, with a task or run that is there.
READINGS = sorted({path for method, path, _ in route_table() if method == "GET"})
PARAMETERS = {
    path: sorted(
        each["name"] for each in operations["get"]["parameters"] if each["in"] == "query"
    )
    for path, operations in openapi_document()["paths"].items()
    if "get" in operations
}
QUERIED = [path for path in READINGS if PARAMETERS[path]]
QUERY_VALUES = st.one_of(
    SEGMENTS,
    NUMBERS.map(str),
    st.sampled_from(
        ["true", "TRUE", "1", "0", "false", "null", "-0", "+1", "%2B1", "1.0", "1e3", "0x1"]
    ),
    st.sampled_from(["١", "１", "²", "1_0", " 1", "9" * 400]).map(quote),
)


@tried(300, drill=1_110)
@given(method=METHODS, segments=st.lists(SEGMENTS, max_size=5), query=RAW)
def test_any_path_is_answered(
    place: Place, method: str, segments: list[str], query: str
) -> None:
    answer = place.send_whole(method, "/" + "/".join(segments) + "?" + query)

    assert answer.status in (200, 204, 400, 401, 404, 405)


@pytest.mark.parametrize("path", [path for path in READINGS if "{" in path])
@tried(15, drill=60)
@given(data=st.data())
def test_any_id_is_answered(place: Place, path: str, data: Any) -> None:
    drawn = {name: data.draw(SEGMENTS) for name in place.ids if f"{{{name}}}" in path}

    answer = place.send("GET", path.format(**drawn))

    assert answer.status in (200, 400, 404, 405)


@tried(150, drill=600)
@given(namespace=TEXTS, key=TEXTS)
def test_an_entry_is_found_under_the_name_it_was_stored_under(
    place: Place, namespace: str, key: str
) -> None:
    names = [each.encode("utf-8", "surrogatepass") for each in (namespace, key)]
    path = "/store/" + "/".join(quote(name, safe="") for name in names)

    put = place.send_whole("PUT", path, body=b'{"value":1}', headers=[JSON])

    fit = all(0 < len(name) <= 512 and b"\0" not in name for name in names)
    is_text = not any("\ud800" <= character <= "\udfff" for character in namespace + key)
    assert (put.status == 204) == (fit and is_text and namespace != "search")
    if put.status == 204:
        entry = place.send("GET", path).json
        assert (entry["namespace"], entry["key"]) == (namespace, key)


@pytest.mark.parametrize("path", QUERIED)
@tried(30, drill=180)
@given(data=st.data())
def test_any_query_is_answered(place: Place, path: str, data: Any) -> None:
    names = st.sampled_from(PARAMETERS[path]) | RAW
    parts = data.draw(
        st.lists(st.tuples(names, QUERY_VALUES).map("=".join) | RAW, min_size=1, max_size=4)
    )

    answer = place.send("GET", f"{target(place, path)}?{'&'.join(parts)}")

    assert answer.status in (200, 204, 400, 404) or answer.code == "not_synced"


@pytest.mark.parametrize("path", [each for each in QUERIED if "limit" in PARAMETERS[each]])
@tried(15, drill=60)
@given(value=QUERY_VALUES)
def test_a_limit_is_a_plain_number_or_refused(place: Place, path: str, value: str) -> None:
    assume(value.isascii() and not set(value) & set("&+%"))
    is_number = value.isdecimal() and len(value) < 20 and 1 <= int(value) <= 1000

    answer = place.send("GET", f"{target(place, path)}?q=x&limit={value}")

    assert (answer.status == 200) == is_number
    assert is_number or answer.code == "invalid_limit"
