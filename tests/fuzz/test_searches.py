"""Searches of the store, through the whole service: every query is answered or refused."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.budgets import tried
from tests.fuzz.odd import TEXTS, VALUES
from tests.fuzz.place import JSON, Place
from tests.fuzz.test_targets import SEGMENTS
from tickets.tracker.domain.search import tokens

WORDS = st.sampled_from(
    [
        *(
            "AND",
            "OR",
            "NOT",
            "NEAR(a b, 2)",
            "text:word",
            "{a b}:c",
            "^word",
            "word*",
            "-word",
        ),
        *('"', '""', '"open', 'a"b', "'", "(", ")", "((", "+", "*", "^", ":", "\\", ";--", "%"),
        *("日本語", "검색", "ไทย", "हिन्दी", "e\u0301", "\u0301", "ﬁ", "Ａ", "ß", "İ", "\u0e34"),
        *(
            "\u00a0",
            "\u2028",
            "\u200b",
            "\ufffd",
            "\U000e0001",
            "word",
            "naïve",
            "12345",
            "1e5",
        ),
    ]
)
QUERIES = st.lists(WORDS | TEXTS, min_size=1, max_size=5).map(" ".join)
PATHS = st.one_of(
    TEXTS,
    st.lists(
        st.sampled_from(
            [
                "$",
                ".a",
                "['a']",
                '["a"]',
                "[0]",
                "[-1]",
                "[999999999]",
                "[*]",
                "..",
                ".",
                "[",
                "'",
            ]
        ),
        max_size=6,
    ).map("".join),
    st.text("$.[]\"'\\a0", max_size=10).map("$".__add__),
    st.just("$" + ".a" * 3_000),
    st.just("$" + "['" * 2_000),
)


def quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


@tried(150, drill=600)
@given(
    q=QUERIES.map(quoted) | SEGMENTS,
    namespace=st.none() | TEXTS.map(quoted) | SEGMENTS,
    path=st.none() | PATHS.map(quoted),
    value=st.none() | TEXTS.map(quoted) | VALUES.map(lambda each: quoted(json.dumps(each))),
)
def test_any_search_is_answered(
    place: Place, q: str, namespace: str | None, path: str | None, value: str | None
) -> None:
    place.world.do.kv.put("ns", "k", {"a": ["word", 1, {"a": "日本語"}]})
    given = {"q": q, "namespace": namespace, "filter_path": path, "filter_value": value}

    query = "&".join(f"{name}={each}" for name, each in given.items() if each is not None)

    answer = place.send("GET", f"/store/search?{query}")

    assert answer.status in (200, 400)
    if answer.status == 400:
        assert answer.code in ("invalid_query", "invalid_filter", "invalid_request")


@tried(150, drill=600)
@given(words=st.lists(WORDS, min_size=1, max_size=4), others=st.lists(WORDS, max_size=3))
def test_what_is_stored_is_found_by_its_own_words(
    place: Place, words: list[str], others: list[str]
) -> None:
    text = " ".join(words)
    stored: Any = {"value": {"x": [*others, text]}}
    place.send_whole("PUT", "/store/n/k", body=json.dumps(stored).encode(), headers=[JSON])

    answer = place.send("GET", f"/store/search?q={quoted(text)}")

    assert answer.status == 200
    # The index knows an older Unicode: marks that it takes for no letters find nothing alone.
    if any(token.isascii() for token in tokens(text)):
        assert [entry["key"] for entry in answer.json] == ["k"]
