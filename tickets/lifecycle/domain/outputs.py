"""Outputs of tickets, and the JSON Schema that they have to fit. Nothing is ever fetched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import referencing
from jsonschema.exceptions import best_match
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from tickets.lifecycle.domain.bounded_checks import (
    Meter,
    TooManySteps,
    UnusablePattern,
    Validator,
    errors_of,
)
from tickets.lifecycle.errors import InvalidSchema

MAX_SCHEMA_BYTES: Final = 64 << 10
MAX_SHOWN_ERRORS: Final = 20
MAX_MESSAGE_CHARACTERS: Final = 500
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_REFERENCES: Final = ("$ref", "$dynamicRef")
# What stands in these is data, whatever it looks like.
_DATA: Final = frozenset({"const", "enum", "default", "examples"})
# jsonschema looks for the properties that these two leave over with patterns of Python's.
_APART: Final = frozenset({"patternProperties", "unevaluatedProperties"})
_TOO_MUCH: Final = "the check takes too many steps"


def parse_schema(given: Any) -> str | None:
    """Return a schema as it is stored, None where there is none. Raises InvalidSchema."""
    if given is None:
        return None
    schema = given
    if not isinstance(schema, (dict, bool)):
        raise InvalidSchema("A schema is an object, true or false")
    text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode("utf-8", "replace")) > MAX_SCHEMA_BYTES:
        raise InvalidSchema(f"The schema is larger than {MAX_SCHEMA_BYTES} bytes")
    _check(schema)
    return text


def _check(schema: dict[str, Any] | bool) -> None:  # noqa: FBT001  # a schema may be true
    if isinstance(schema, bool):
        return
    if schema.get("$schema", _DIALECT) not in (_DIALECT, f"{_DIALECT}#"):
        raise InvalidSchema(f"$schema may only be {_DIALECT}")
    meter = Meter()
    try:
        problem = best_match(errors_of(Validator(Validator.META_SCHEMA), schema, meter))
        if problem is not None:
            raise InvalidSchema(f"{problem.json_path}: {problem.message[:200]}")
        _check_keywords(schema, meter)
    except TooManySteps as error:
        raise InvalidSchema("The schema is too complex") from error
    except (RecursionError, UnusablePattern) as error:
        raise InvalidSchema(f"The schema cannot be used: {error}") from error


def _check_keywords(schema: dict[str, Any], meter: Meter) -> None:
    found = list(_keywords(schema))
    if {name for name, _ in found} >= _APART:
        raise InvalidSchema(f"{' and '.join(sorted(_APART))} cannot be in one schema")
    for name, value in found:
        if name == "pattern" and isinstance(value, str):
            meter.compiled(value)
        elif name == "patternProperties" and isinstance(value, dict):
            for pattern in value:
                meter.compiled(pattern)
    _check_references(schema, [each for each in found if each[0] in _REFERENCES])


def _check_references(schema: dict[str, Any], references: list[tuple[str, Any]]) -> None:
    resource = DRAFT202012.create_resource(schema)
    resolver = referencing.Registry().with_resource("", resource).resolver()
    for name, value in references:
        if isinstance(value, str):
            if not value.startswith("#"):
                raise InvalidSchema(f"{name} {value[:80]!r} leads out of the schema")
            try:
                resolver.lookup(value)
            except (Unresolvable, ValueError) as error:
                raise InvalidSchema(f"{name} {value[:80]!r} leads nowhere") from error


def _keywords(schema: Any) -> Iterator[tuple[str, Any]]:
    """Yield every keyword of a schema and of those within it."""
    left = [schema]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            for name, value in part.items():
                yield name, value
                if name not in _DATA:
                    left.append(value)
        elif isinstance(part, list):
            left += part


def output_errors(schema_json: str | None, output_json: str | None) -> list[dict[str, str]]:
    """Return what is wrong with an output, both as stored: at most 20 ``{path, message}``.

    Without a schema nothing is; with one, no output at all is wrong.
    """
    if schema_json is None:
        return []
    if output_json is None:
        return [{"path": "", "message": "there is no output"}]
    validator = Validator(
        json.loads(schema_json, object_pairs_hook=unevaluated_last),
        registry=referencing.Registry(),
    )
    try:
        found = [
            {"path": _pointer(error.absolute_path), "message": _short(error.message)}
            for error in errors_of(validator, json.loads(output_json), Meter())
        ]
    except TooManySteps:
        return [{"path": "", "message": _TOO_MUCH}]
    except (Unresolvable, RecursionError, ArithmeticError, ValueError) as error:
        # Numbers that no float holds, addresses that are none, patterns that are of no use.
        return [{"path": "", "message": _short(f"the schema cannot be followed: {error}")}]
    found.sort(key=lambda each: (each["path"], each["message"]))
    return found[:MAX_SHOWN_ERRORS]


def unevaluated_last(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a schema in which what looks at all other keywords comes after them.

    What they ask for was paid then, and there is no other price for looking again.
    """
    return dict(sorted(pairs, key=lambda pair: pair[0].startswith("unevaluated")))


def error_message(errors: list[dict[str, str]]) -> str:
    """Return the first error as the message of a failed ticket."""
    return f"output_invalid: {first_error(errors)}"


def first_error(errors: list[dict[str, str]]) -> str:
    """Return the first error in words, where a code says already what it is about."""
    return f"{errors[0]['path'] or '/'}: {errors[0]['message']}"


def _short(message: str) -> str:
    return message[:MAX_MESSAGE_CHARACTERS]


def _pointer(path: Any) -> str:
    """Return a JSON pointer. Source: RFC 6901, section 3."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
