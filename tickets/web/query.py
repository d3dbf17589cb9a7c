"""Readers for query strings: names and values decoded, the first occurrence counts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, Literal, TypeVar, get_args, get_origin
from urllib.parse import unquote_to_bytes

import msgspec
from falcon import Request

from tickets.errors import Invalid, InvalidLimit, MissingParam

T = TypeVar("T", bound=msgspec.Struct)

# Under this name the Meta of a parameter that is one or several of some words lists them.
_WORDS: Final = "words"

_INTEGER = re.compile(r"-?[0-9]{1,19}")


def parse_query(query: str) -> dict[str, str]:
    """Return the parameters of a raw query string.

    ``%XX`` and ``+`` are decoded; a name without ``=`` counts as absent, an empty value as
    present. Raises Invalid where a value is not UTF-8 or holds U+0000.
    """
    found: dict[str, str] = {}
    for name, value in _pairs(query):
        found.setdefault(name, value)
    return found


def query_values(query: str, name: str) -> list[str]:
    """Return every value of a parameter that may be there several times. Raises Invalid."""
    return [value for found, value in _pairs(query) if found == name]


def _pairs(query: str) -> Iterator[tuple[str, str]]:
    for part in query.split("&"):
        raw_name, equals, raw_value = part.partition("=")
        if not equals:
            continue
        try:
            name, value = _decoded(raw_name), _decoded(raw_value)
        except UnicodeDecodeError as error:
            raise Invalid("The query string is not UTF-8") from error
        if "\0" in value:
            raise Invalid.field(name, "must not hold U+0000")
        yield name, value


def read_query(req: Request, type_: type[T]) -> T:
    """Return the query parameters as a typed document; unknown ones are ignored.

    Raises MissingParam, InvalidLimit for ``limit``, Invalid for any other parameter of a
    wrong shape.
    """
    given = parse_query(req.query_string)
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(type_):
        if field.encode_name not in given:
            if field.required:
                raise MissingParam(f"{field.encode_name}: is required")
            continue
        try:
            values[field.encode_name] = _convert(given[field.encode_name], field.type)
        except msgspec.ValidationError as error:
            if field.encode_name == "limit":
                raise InvalidLimit from error
            problem = _choice_problem(field.type) or str(error)
            raise Invalid.field(field.encode_name, problem) from error
    return msgspec.convert(values, type_)


def _decoded(raw: str) -> str:
    # WSGI shows the bytes of the target as characters; some clients send UTF-8 unescaped.
    return unquote_to_bytes(raw.replace("+", " ").encode("latin-1")).decode()


def _convert(text: str, type_: Any) -> Any:
    try:
        return msgspec.convert(text, type_)
    except msgspec.ValidationError:
        if _INTEGER.fullmatch(text) is None:
            raise
        return msgspec.convert(int(text), type_)


def _choice_problem(type_: Any) -> str | None:
    """Return what to say where one of a few words is expected, None for other types."""
    kinds = (type_, *get_args(type_))
    choices = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    if choices:
        return f"must be {_any_of(choices)}, or be left out"
    several = [
        word
        for kind in kinds
        for meta in getattr(kind, "__metadata__", ())
        for word in (meta.extra or {}).get(_WORDS, ())
    ]
    if several:
        return f"must be {_any_of(several)}, or several with commas between, or be left out"
    return None


def _any_of(words: list[str]) -> str:
    return " or ".join(map(repr, words))
