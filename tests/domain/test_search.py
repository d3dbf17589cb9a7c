from __future__ import annotations

import contextlib
import json
import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickets.errors import InvalidFilter, InvalidQuery
from tickets.tracker.domain.search import (
    MISSING,
    extract,
    fold,
    index_text,
    match_query,
    matches,
    parse_filter_path,
    terms,
    tokens,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
WRITTEN = st.text() | st.text("aZß9é日한กิ்हि\u0301 \t\"*'-:_.^", max_size=12)

INDEX = sqlite3.connect(":memory:", check_same_thread=False)
INDEX.execute("CREATE VIRTUAL TABLE entries USING fts5 (text, tokenize = 'unicode61')")


def found(q: str, value: object) -> bool:
    """Tell whether a real index that holds ``value`` alone finds it."""
    expression = match_query(q)
    if not expression:
        return False
    INDEX.execute("DELETE FROM entries")
    INDEX.execute("INSERT INTO entries VALUES (?)", (index_text(value),))
    rows = INDEX.execute("SELECT 1 FROM entries WHERE entries MATCH ?", (expression,))
    return rows.fetchall() != []


# D-44
def test_words_are_found_beside_what_json_escapes() -> None:
    value = {"note": 'line1\nline2\t"quoted" back\\slash'}

    assert all(found(word, value) for word in ("line2", "quoted", "slash"))
    assert not found("nline2", value)


# D-44
def test_field_names_are_not_found() -> None:
    assert not found("title", {"title": "Fix the login"})


def test_numbers_and_literals_are_found() -> None:
    value = {"count": 12345, "open": True, "closed": [False], "ratio": 1.5, "big": 1e300}

    assert all(found(q, value) for q in ("12345", "true", "false", "1.5", "1e300"))
    assert not found("null", [None])


def test_each_scalar_has_its_own_line_in_document_order() -> None:
    assert index_text({"a": ["One", {"b": 2}], "c": None, "d": "...", "e": True}) == (
        "one\n2\ntrue"
    )


def test_case_and_accents_make_no_difference() -> None:
    assert found("naive", "naïve")
    assert found("NAÏVE", "naive")
    assert found("uber", "Über")
    assert found("strasse", "Straße")
    assert found("αθηνα", "Αθήνα")
    assert found("e\u0301te\u0301", "été")


def test_letters_that_only_look_accented_stay_apart() -> None:
    assert not found("мои", "мой")
    assert not found("か", "が")


def test_stress_marks_and_vowel_points_are_no_part_of_a_word() -> None:
    assert found("замок", "за\u0301мок")
    assert found("كتاب", "كِتَاب")


# D-50
@pytest.mark.parametrize(
    ("q", "text"),
    [
        ("日本", "日本語テキスト"),
        ("テキスト", "日本語テキスト"),
        ("本語", "日本語テキスト"),
        ("日本 テキスト", "日本語テキスト"),
        ("搜索", "全文搜索功能"),
        ("검색", "전체텍스트검색을"),
        ("ไทย", "ภาษาไทยง่าย"),
        ("abc日本", "abc日本語"),
        ("ＡＢＣ", "abc"),
        ("abc", "ＡＢＣ"),
        ("カタカナ", "ｶﾀｶﾅ"),
        ("𠮷野", "𠮷野家"),
        ("हिन्दी", "यह हिन्दी है"),
    ],
)
def test_a_part_of_a_run_without_spaces_is_found(q: str, text: str) -> None:
    assert found(q, {"text": text})


def test_the_order_of_characters_counts() -> None:
    assert not found("本日", "日本語")


def test_a_term_is_a_phrase_and_terms_are_joined() -> None:
    assert found("foo-bar", "the foo bar")
    assert not found("foo-bar", "bar foo")
    assert not found("foo-bar", "foo and bar")
    assert found("bar foo", "foo and bar")
    assert not found("foo baz", "foo and bar")


def test_operators_are_plain_text() -> None:
    assert found("-welcome", "welcome")
    assert not found("welc*", "welcome")
    assert found("text:welcome", "text welcome")
    assert not found("a OR b", "a")
    assert found("NEAR(a b)", "near a b")
    assert found('say "hello"', "say hello")
    assert found("AND", "this and that")


def test_a_term_without_a_word_counts_only_alone() -> None:
    assert match_query("!!! welcome") == match_query("welcome") == '"welcome"'
    assert match_query("!!!") == ""
    assert terms('"') == ()


def test_a_vowel_sign_that_the_index_takes_for_no_letter_counts_only_alone() -> None:
    assert found("\u0e34 welcome", "welcome")
    assert found("welcome \u0e34", "welcome")
    assert not found("\u0e34", "welcome")


@pytest.mark.parametrize("q", ["", " ", "\t \r\n"])
def test_a_blank_query_is_refused(q: str) -> None:
    with pytest.raises(InvalidQuery):
        match_query(q)


def test_only_four_blanks_part_terms() -> None:
    assert terms("a b\tc\rd\ne") == (("a",), ("b",), ("c",), ("d",), ("e",))
    assert terms("a\u00a0b\x0bc") == (("a", "b", "c"),)


def test_a_term_said_twice_is_asked_once() -> None:
    assert terms("Foo foo FOO bar") == (("foo",), ("bar",))


def test_folding_twice_changes_nothing() -> None:
    text = "Straße ＡＢＣ 日本 за\u0301мок naïve"

    assert fold(fold(text)) == fold(text) == "strasse abc 日 本 замок naive"


@given(WRITTEN)
def test_whatever_is_asked_the_index_can_answer(q: str) -> None:
    with contextlib.suppress(InvalidQuery):
        found(q, "something")


@given(WRITTEN, WRITTEN, WRITTEN)
def test_what_was_written_is_found_by_its_own_words(before: str, text: str, after: str) -> None:
    # The index knows an older Unicode: a text of letters that are new since may not be found.
    letters = any(len(token) > 1 and token.isascii() for token in tokens(text))

    if letters:
        assert found(text, [before, text, after])


@given(JSON)
def test_any_json_can_be_indexed(value: object) -> None:
    assert isinstance(index_text(value), str)


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("$", ()),
        ("$.a.b", ("a", "b")),
        ("$.arr[0]", ("arr", 0)),
        ("$[0][12].x", (0, 12, "x")),
        ('$."a.b"', ("a.b",)),
        ("$['x y'].z", ("x y", "z")),
        ('$["it\'s"]', ("it's",)),
        (r'$."say \"hi\" \\"', ('say "hi" \\',)),
        ('$.""', ("",)),
        ("$.größe.日本", ("größe", "日本")),
        ("$.a-b c", ("a-b c",)),
    ],
)
def test_a_path_is_read_step_by_step(path: str, steps: tuple[str | int, ...]) -> None:
    assert parse_filter_path(path) == steps


# D-46
@pytest.mark.parametrize(
    "path",
    [
        *[
            "",
            "a",
            ".a",
            " $",
            "$a",
            "$.",
            "$..a",
            "$.a.",
            "$[",
            "$[]",
            "$[a]",
            "$[-1]",
            "$[#-1]",
        ],
        *[
            "$.a[",
            "$.a[0",
            '$."a',
            "$['a]",
            "$['a\"]",
            '$."a"b',
            '$"a"',
            '$.["a"]',
            "$[1234567890]",
        ],
    ],
)
def test_a_path_that_cannot_be_read_is_refused(path: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse_filter_path(path)

    assert isinstance(caught.value.details, list)
    assert caught.value.details[0]["field"] == "filter_path"


@given(st.text() | st.text("$.[]\"'\\a0", max_size=10).map("$".__add__))
def test_any_path_is_read_or_refused(path: str) -> None:
    with contextlib.suppress(InvalidFilter):
        extract({"a": [0]}, parse_filter_path(path))


@given(JSON, st.lists(st.text(max_size=5), max_size=3))
def test_a_quoted_path_leads_to_any_name(value: object, names: list[str]) -> None:
    document = value
    for name in reversed(names):
        document = {name: document}
    path = "$" + "".join(
        '."{}"'.format(name.replace("\\", "\\\\").replace('"', '\\"')) for name in names
    )

    assert extract(document, parse_filter_path(path)) is value


def test_a_path_that_leads_nowhere_finds_nothing() -> None:
    value = {"a": [1], "n": None}

    for steps in (("b",), ("a", 1), ("a", "0"), (0,), ("n", "x"), ("a", 0, 0)):
        assert extract(value, steps) is MISSING
    assert extract(value, ("n",)) is None
    assert extract(value, ("a", 0)) == 1


# D-46
@pytest.mark.parametrize(
    ("value", "filter_value", "expected"),
    [
        (5, "5", True),
        ("5", "5", True),
        (5.0, "5", True),
        (5, "5.0", True),
        (5, "6", False),
        (5, "five", False),
        (0.1, "0.1", True),
        (2**63 + 1, str(2**63 + 1), True),
        (2**63 + 1, str(2**63), False),
        (True, "true", True),
        ("true", "true", True),
        (True, "1", False),
        (1, "true", False),
        (False, "0", False),
        (False, "", False),
        (None, "null", True),
        (None, "", False),
        ("null", "null", True),
        ("text", "text", True),
        ("text", '"text"', False),
        ("", "", True),
        ([1, "a"], '[1,"a"]', True),
        ([1, "a"], '[ 1.0, "a" ]', True),
        ([1, "a"], '["a",1]', False),
        ([1], "[true]", False),
        ({"a": 1, "b": [None]}, '{"b":[null],"a":1}', True),
        ({"a": 1}, "{}", False),
        ({}, "[]", False),
        ([], "[]", True),
        ([], "", False),
        (5, "NaN", False),
        (5, "9" * 5000, False),
        ([], "[" * 100_000, False),
    ],
)
def test_a_filter_compares_by_type(value: object, filter_value: str, expected: bool) -> None:
    assert matches({"x": value}, ("x",), filter_value) is expected


# D-46
def test_a_path_alone_asks_whether_something_is_there() -> None:
    assert matches({"x": None}, ("x",), None)
    assert not matches({"x": None}, ("y",), None)


def test_nothing_equals_what_is_not_there() -> None:
    assert not matches({}, ("x",), "null")


@given(JSON, st.text())
def test_any_value_can_be_compared(value: object, text: str) -> None:
    assert matches(value, (), text) in (True, False)


def spelled(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


FINITE_JSON = JSON.filter(lambda value: "NaN" not in str(json.dumps(value)))


@given(FINITE_JSON.filter(lambda value: "Infinity" not in json.dumps(value)))
def test_a_value_equals_itself_spelled_out(value: object) -> None:
    assert matches(value, (), spelled(value))
