"""Outputs of tickets, and the JSON Schema that they have to fit. Nothing is ever fetched."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import referencing
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

from tickets.lifecycle.errors import InvalidSchema

MAX_SCHEMA_BYTES: Final = 64 << 10
MAX_SHOWN_ERRORS: Final = 20
MAX_MESSAGE_CHARACTERS: Final = 500
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_REFERENCES: Final = ("$ref", "$dynamicRef")
# What stands in these is data, whatever it looks like.
_DATA: Final = frozenset({"const", "enum", "default", "examples"})


def parse_schema(given: Any) -> str | None:
    """Return a schema as it is stored, None where there is none.

    A string is read as JSON. Raises InvalidSchema.
    """
    if given is None:
        return None
    schema = given
    if isinstance(given, str):
        try:
            schema = json.loads(given)
        except (ValueError, RecursionError) as error:
            raise InvalidSchema("The schema is a string that is not JSON") from error
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
    try:
        Draft202012Validator.check_schema(schema)
        _check_references(schema)
    except SchemaError as error:
        raise InvalidSchema(f"{error.json_path}: {error.message[:200]}") from error
    except (RecursionError, re.error) as error:
        raise InvalidSchema(f"The schema cannot be used: {error}") from error


def _check_references(schema: dict[str, Any]) -> None:
    resource = DRAFT202012.create_resource(schema)
    resolver = referencing.Registry().with_resource("", resource).resolver()
    for name, value in _keywords(schema):
        if name in _REFERENCES and isinstance(value, str):
            if not value.startswith("#"):
                raise InvalidSchema(f"{name} {value[:80]!r} leads out of the schema")
            try:
                resolver.lookup(value)
            except (Unresolvable, ValueError) as error:
                raise InvalidSchema(f"{name} {value[:80]!r} leads nowhere") from error
        elif name == "pattern" and isinstance(value, str):
            re.compile(value)
        elif name == "patternProperties" and isinstance(value, dict):
            for pattern in value:
                re.compile(pattern)


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
    validator = Draft202012Validator(
        json.loads(schema_json),
        registry=referencing.Registry(),
    )
    try:
        found = [
            {"path": _pointer(error.absolute_path), "message": _short(error.message)}
            for error in validator.iter_errors(json.loads(output_json))
        ]
    except (Unresolvable, RecursionError, re.error) as error:
        return [{"path": "", "message": _short(f"the schema cannot be followed: {error}")}]
    found.sort(key=lambda each: (each["path"], each["message"]))
    return found[:MAX_SHOWN_ERRORS]


def error_message(errors: list[dict[str, str]]) -> str:
    """Return the first error as the message of a failed ticket."""
    return f"output_invalid: {errors[0]['path'] or '/'}: {errors[0]['message']}"


def _short(message: str) -> str:
    return message[:MAX_MESSAGE_CHARACTERS]


def _pointer(path: Any) -> str:
    """Return a JSON pointer. Source: RFC 6901, section 3."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
