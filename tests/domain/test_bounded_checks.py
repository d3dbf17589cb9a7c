"""Outputs and schemas from anybody are checked in a bounded number of steps, and rightly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tickets.lifecycle.domain.bounded_checks import (
    MAX_STEPS,
    Meter,
    TooManySteps,
    UnusablePattern,
    Validator,
    errors_of,
)
from tickets.lifecycle.domain.outputs import output_errors, parse_schema, unevaluated_last
from tickets.lifecycle.errors import InvalidSchema

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MANY = 20_000
KEYS = {f"k{n}": 1 for n in range(2_000)}


def errors(schema: Any, output: Any) -> list[dict[str, str]]:
    return output_errors(parse_schema(schema), json.dumps(output, separators=(",", ":")))


def doubling(levels: int, **more: Any) -> dict[str, Any]:
    """Return a schema whose references double with each level."""
    below = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {**more, "$ref": "#/$defs/a0", "$defs": {**below, f"a{levels}": {}}}


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "(a*)*b", "(.*a){30}$"])
def test_a_pattern_reads_a_text_once(pattern: str) -> None:
    output = "a" * 60 + "!"

    (error,) = errors({"pattern": pattern}, output)

    assert error == {"path": "", "message": f"{output!r} does not match {pattern!r}"}
    by_name = {"patternProperties": {pattern: False}, "additionalProperties": True}
    assert errors(by_name, {output: 1}) == []
    assert errors({"propertyNames": {"pattern": pattern}}, {output: 1}) != []


@pytest.mark.parametrize(
    ("schema", "output"),
    [
        (doubling(60), 1),
        (doubling(60, **{"$schema": DIALECT}), 1),
        ({"anyOf": [True, doubling(60)], "unevaluatedProperties": False, **doubling(60)}, {}),
        ({"allOf": [{"items": {}}] * 500}, [0] * MANY),
        ({"allOf": [{"uniqueItems": True}] * 500}, [list(range(MANY))]),
        ({"allOf": [{"uniqueItems": True}] * 500}, list(range(MANY))),
        ({"contains": {}, "unevaluatedItems": False}, [0] * MANY),
        ({"items": {"enum": [f"e{n}" for n in range(500)]}}, ["x"] * MANY),
        ({"items": {"pattern": "[ab]*a[ab]{900}c"}}, ["ab" * 500] * 100),
        ({"patternProperties": {f"a{n}b": {} for n in range(500)}}, KEYS),
        ({"patternProperties": {f"a{n}b": {} for n in range(50)},
          "additionalProperties": False}, KEYS),
        ({"dependentSchemas": {name: {"additionalProperties": True} for name in KEYS},
          "unevaluatedProperties": False}, KEYS),
        ({"items": {"type": "string"}}, [0] * MANY),
        ({"allOf": [{"type": "string"}] * 500}, [0] * MANY),
    ],
    ids=lambda each: str(each)[:40],
)  # fmt: skip
def test_a_check_that_would_take_too_long_is_given_up(schema: Any, output: Any) -> None:
    with pytest.raises(TooManySteps):
        errors_of(Validator(schema), output, Meter(MAX_STEPS // 20))


def test_an_output_whose_check_would_take_too_long_is_wrong() -> None:
    (error,) = errors(doubling(60), 1)

    assert error == {"path": "", "message": "the check takes too many steps"}


def test_what_looks_at_all_other_keywords_comes_after_them() -> None:
    text = '{"unevaluatedItems":1,"a":{"unevaluatedProperties":2,"b":3},"c":4}'

    schema = json.loads(text, object_pairs_hook=unevaluated_last)

    assert json.dumps(schema, separators=(",", ":")) == (
        '{"a":{"b":3,"unevaluatedProperties":2},"c":4,"unevaluatedItems":1}'
    )


def test_a_dialect_that_is_named_anywhere_changes_nothing() -> None:
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"$schema": DIALECT, **doubling(60)}}}
    schema["$defs"].update(doubling(60)["$defs"])  # type: ignore[attr-defined]  # a dictionary

    with pytest.raises(TooManySteps):
        errors_of(Validator(schema), 1, Meter(MAX_STEPS // 20))


def test_lists_compared_with_each_other_are_paid_for_once() -> None:
    schema = {"uniqueItems": True}
    mixed = [n if n % 2 else [n, "x"] for n in range(5_000)]

    assert errors(schema, mixed) == []
    assert [each["path"] for each in errors(schema, [*mixed[:9], 1.0])] == [""]


@pytest.mark.parametrize(
    ("items", "is_unique"),
    [
        ([1, 1.0], False),
        ([1, True], True),
        ([0, False, None, "", [], {}], True),
        ([{"a": 1, "b": [2]}, {"b": [2.0], "a": 1}], False),
        ([{"a": 1}, {"a": True}], True),
        ([[], {}], True),
        ([["a", "b"], ["b", "a"]], True),
        ([[True], [["x", True]]], True),
    ],
)
def test_items_are_the_same_as_jsonschema_says(items: list[Any], is_unique: bool) -> None:
    assert (errors({"uniqueItems": True}, items) == []) is is_unique
    assert Draft202012Validator({"uniqueItems": True}).is_valid(items) is is_unique


def test_an_output_of_a_common_kind_may_be_large() -> None:
    item = {
        "type": "object",
        "required": ["id", "name"],
        "additionalProperties": False,
        "properties": {
            "id": {"type": "integer", "minimum": 0},
            "name": {"type": "string", "pattern": "^[a-z0-9-]+$"},
            "kind": {"enum": ["a", "b", "c"]},
        },
    }
    output = [{"id": n, "name": f"name-{n}", "kind": "a"} for n in range(2_000)]

    assert errors({"type": "array", "items": item}, output) == []
    assert errors({"items": item}, [*output, {"id": 1}]) == [
        {"path": "/2000", "message": "'name' is a required property"}
    ]


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "(?=a)"},
        {"pattern": "(a)\\1"},
        {"patternProperties": {"a{5000}": {}}},
        {"pattern": "\ud800"},
        {"patternProperties": {"a": {}}, "allOf": [{"unevaluatedProperties": False}]},
        {"allOf": [{}] * 20_000},
        {"allOf": [{"pattern": f"{n}a{{900}}"} for n in range(3_000)]},
    ],
    ids=lambda each: str(each)[:40],
)
def test_a_schema_that_cannot_be_bounded_is_refused(schema: Any) -> None:
    with pytest.raises(InvalidSchema):
        parse_schema(schema)


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("^\\u00e9$", "é", True),
        ("^\\\\u00e9$", "\\u00e9", True),
        ("^\\d$", "7", True),
        ("a$", "a\n", False),
        ("b", "abc", True),
    ],
)
def test_patterns_mean_what_schemas_mean(pattern: str, text: str, fits: bool) -> None:
    assert Meter().is_found(pattern, text) is fits


def test_a_pattern_that_got_in_before_is_no_reason_to_fail() -> None:
    with pytest.raises(UnusablePattern):
        errors_of(Validator({"pattern": "(?!a)"}), "x", Meter())
    (error,) = output_errors('{"pattern":"(?!a)"}', '"x"')
    assert error["message"].startswith("the schema cannot be followed: the pattern '(?!a)'")


def test_steps_are_counted() -> None:
    meter = Meter(10)
    meter.charge(10)
    with pytest.raises(TooManySteps):
        meter.charge(1)
    Meter().charge(MAX_STEPS)


NAMES = st.sampled_from(["a", "ab", "b", "c1"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["a", "ab", "b1", 1.0]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
PATTERNS = st.sampled_from(["^a", "b$", "[0-9]", "a.?b"])


def schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return schemas around others."""
    some, named = st.lists(inner, min_size=1, max_size=3), st.dictionaries(NAMES, inner)
    return st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), some),
            **dict.fromkeys(("not", "if", "then", "else", "items", "contains"), inner),
            **dict.fromkeys(("propertyNames", "additionalProperties"), inner),
            **dict.fromkeys(("unevaluatedItems", "unevaluatedProperties"), inner),
            **dict.fromkeys(("properties", "dependentSchemas"), named),
            "patternProperties": st.dictionaries(PATTERNS, inner, max_size=2),
            "pattern": PATTERNS,
            "uniqueItems": st.booleans(),
            "enum": st.lists(VALUES, min_size=1, max_size=3),
            "const": VALUES,
            "type": st.sampled_from(["object", "array", "string", "integer", "null"]),
            "minimum": st.integers(-1, 2),
            "required": st.lists(NAMES, unique=True, max_size=2),
        },
    )


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.recursive(st.booleans(), schemas, max_leaves=6), VALUES)
def test_what_is_wrong_is_wrong_for_jsonschema_too(schema: Any, value: Any) -> None:
    def told(found: Any) -> list[tuple[str, str]]:
        return sorted((each.json_path, str(each.validator)) for each in found)

    ours = errors_of(Validator(schema), value, Meter())

    assert told(ours) == told(Draft202012Validator(schema).iter_errors(value))
