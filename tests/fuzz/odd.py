"""Values, texts and bytes that a careless reader stumbles over."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

TEXTS = st.one_of(
    st.sampled_from(
        [
            "",
            " ",
            "null",
            "\0",
            "a\0b",
            "\ud800",
            "\udfff\ud800",
            "\ufeff",
            "\u202eabc",
            "e\u0301\u200d",
            "日本語",
            "\U0010ffff",
            "x" * 513,
            "é" * 257,
            "x" * 5_000,
            "../../etc",
            "%00",
            "' OR 1=1 --",
            '"',
            "\\",
            "\r\nX-Injected: 1",
            "NaN",
            "1e999",
        ]
    ),
    st.text(max_size=8),
    st.text(st.characters(categories=["Cs", "Cc", "Cf", "Co", "Lo", "Nd"]), max_size=5),
)
NUMBERS = st.one_of(
    st.sampled_from(
        [
            *(0, -1, 1, 1001, 2**31 - 1, 2**31, 2**53 + 1),
            *(2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 10**400, -(10**4299)),
            *(0.0, -0.0, 1.0, 1.5, -1.5, 5e-324, 1e308, 1e18, 2.0**63),
            *(float("nan"), float("inf"), float("-inf")),
        ]
    ),
    st.integers(),
    st.floats(),
)


def _nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


VALUES = st.one_of(
    st.sampled_from([None, True, False, [], {}, [[]], {"": None}, {"a": {"a": {}}}]),
    st.integers(1, 400).map(_nested),
    NUMBERS,
    TEXTS,
    st.recursive(
        st.none() | st.booleans() | NUMBERS | TEXTS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=6,
    ),
)


def places_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value within a value, its own among them."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places_in(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from places_in(inner, (*path, at))


@st.composite
def mutated(draw: st.DrawFn, whole: Any) -> Any:
    """Return the value with one place in it changed, left out, doubled or renamed."""
    path = draw(st.sampled_from(list(places_in(whole))))
    if not path:
        return draw(VALUES)
    made = copy.deepcopy(whole)
    parent = made
    for step in path[:-1]:
        parent = parent[step]
    how = draw(st.sampled_from(["change", "change", "change", "omit", "rename", "wrap"]))
    if how == "change":
        parent[path[-1]] = draw(VALUES)
    elif how == "wrap":
        parent[path[-1]] = [parent[path[-1]], parent[path[-1]]]
    else:
        taken = parent.pop(path[-1])
        if how == "rename" and isinstance(parent, dict):
            parent[draw(TEXTS)] = taken
    return made


@st.composite
def broken(draw: st.DrawFn, whole: bytes, *, piece: st.SearchStrategy[bytes]) -> bytes:
    """Return the bytes with a few of them taken out, doubled or replaced."""
    made = whole
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(made)))
        end = min(len(made), start + draw(st.integers(0, 12)))
        new = draw(st.one_of(piece, st.just(made[start:end] * 2), st.just(b"")))
        made = made[:start] + new + made[end:]
    return made
