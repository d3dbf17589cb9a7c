"""Headers of all kinds: read exactly, refused, or without effect."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.budgets import tried
from tests.fuzz.place import JSON, Place
from tickets.web.idempotency import MAX_KEY_BYTES

# What gunicorn lets into the value of a header: Latin-1 without control characters.
VALUES = st.one_of(
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, categories=["L", "N", "P"])),
    st.text(" \t,;:=*\"'W/0123456789abcxyz\xe9\xff-+.", max_size=20),
    st.sampled_from(["", " ", "\t", ",", "null", "x" * 8_000, "0" * 8_000, '"' * 3_000]),
)
TAGS = st.one_of(
    VALUES,
    st.lists(
        st.sampled_from(
            ['"1"', 'W/"1"', '"2"', "*", '""', "1", "1, 2", '"1" "2"', ",", "", "'1'", '"\xe9"']
        ),
        max_size=4,
    ).map(", ".join),
    st.integers().map(str),
    st.just(", ".join(['"1"'] * 1_500)),
)
LENGTHS = st.one_of(
    VALUES,
    st.integers(-10, 40).map(str),
    st.sampled_from(
        ["1e1", "0x9", "+9", "9,9", "9 ", "٩", "１", "9" * 400, "-0", "1_1", "²"]
    ).filter(lambda text: all(ord(each) < 256 for each in text)),
)
BODY = b'{"value":1}'


@tried(120, drill=450)
@given(match=st.none() | TAGS, none_match=st.none() | TAGS, is_there=st.booleans())
def test_a_write_on_condition_is_done_or_refused(
    place: Place, match: str | None, none_match: str | None, is_there: bool
) -> None:
    place.world.do.kv.delete_namespace("n")
    if is_there:
        place.world.do.kv.put("n", "k", 1)
    named = [("If-Match", match), ("If-None-Match", none_match)]
    headers = [(name, value) for name, value in named if value is not None]

    put = place.send_whole("PUT", "/store/n/k", body=BODY, headers=headers)
    gone = place.send_whole("DELETE", "/store/n/k", headers=headers)

    assert put.status in (204, 400, 412)
    assert gone.status in (204, 400, 412)
    assert (put.status == 400) == (gone.status == 400)
    if match is not None and not is_there:
        assert put.status != 204
    if none_match == "*" and is_there:
        assert put.status != 204


@tried(120, drill=450)
@given(key=VALUES)
def test_a_repeated_key_is_one_write_whatever_it_is(place: Place, key: str) -> None:
    headers = [JSON, ("Idempotency-Key", key)]
    body = b'{"kind":"k","uri":"u"}'

    first = place.send_whole("POST", "/artifacts", body=body, headers=headers)
    second = place.send_whole("POST", "/artifacts", body=body, headers=headers)
    other = place.send_whole("POST", "/artifacts", body=body + b" ", headers=headers)

    if len(key.lstrip(" ")) > MAX_KEY_BYTES:
        assert {first.status, second.status, other.status} == {400}
    else:
        assert (first.status, second.body) == (201, first.body)
        assert other.code == "idempotency_conflict"


@tried(120, drill=450)
@given(
    value=VALUES
    | st.text("0123456789abcdefABCDEF", min_size=62, max_size=66).map("Bearer ".__add__)
    | VALUES.map("Bearer ".__add__)
    | st.sampled_from(["bearer x", "Bearer", "Bearer  x", "Basic YTpi", "Bearer " + "a" * 64])
)
def test_no_other_token_opens_a_lease(place: Place, value: str) -> None:
    headers = [JSON, ("Authorization", value)]

    for part in ("events", "release"):
        answer = place.send_whole(
            "POST", f"/runs/{place.claim.run.id}/{part}", body=b'{"kind":"k"}', headers=headers
        )

        assert answer.status == 401
        assert answer.headers["www-authenticate"] == "Bearer"


@tried(150, drill=450)
@given(value=VALUES)
def test_a_request_is_named_as_it_asked_or_by_the_service(place: Place, value: str) -> None:
    answer = place.send("GET", "/tasks?limit=1", headers=[("X-Request-Id", value)])

    assert answer.status == 200
    name = answer.headers["x-request-id"]
    assert re.fullmatch(r"[A-Za-z0-9._:/+=@-]{1,128}", name)
    assert name == value or len(name) == 36


@tried(150, drill=450)
@given(length=LENGTHS, kind=VALUES)
def test_a_body_is_read_to_its_whole_length_or_refused(
    place: Place, length: str, kind: str
) -> None:
    headers = [("Content-Length", length), ("Content-Type", kind)]

    for method, target, body in (
        ("PUT", "/store/n/k", BODY),
        ("POST", "/v1/traces", b"{}"),
        ("POST", "/tasks/bulk", b""),
    ):
        answer = place.send_whole(method, target, body=body, headers=headers)
        assert answer.status in (200, 204, 400, 413)
        if method == "PUT" and answer.status == 204:
            assert length == "" or int(length) == len(BODY)


@tried(100, drill=360)
@given(headers=st.lists(st.tuples(st.from_regex(r"[A-Za-z-]{1,20}", fullmatch=True), VALUES)))
def test_headers_that_mean_nothing_do_nothing(
    place: Place, headers: list[tuple[str, str]]
) -> None:
    assert place.send("GET", "/tasks", headers=headers).status in (200, 400, 401)
