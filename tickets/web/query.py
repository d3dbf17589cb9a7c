"""Readers for query strings: names and values decoded, the first occurrence counts."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import unquote_plus

import msgspec
from falcon import Request

from tickets.errors import Invalid, InvalidLimit

T = TypeVar("T", bound=msgspec.Struct)


def parse_query(query: str) -> dict[str, str]:
    """Return the parameters of a raw query string.

    ``%XX`` and ``+`` are decoded; a name without ``=`` counts as absent, an empty value as
    present. Raises Invalid where a value is not UTF-8 or holds U+0000.
    """
    found: dict[str, str] = {}
    for part in query.split("&"):
        raw_name, equals, raw_value = part.partition("=")
        if not equals:
            continue
        try:
            name = unquote_plus(raw_name, errors="strict")
            value = unquote_plus(raw_value, errors="strict")
        except UnicodeDecodeError as error:
            raise Invalid("The query string is not UTF-8") from error
        if "\0" in value:
            raise Invalid.field(name, "must not hold U+0000")
        found.setdefault(name, value)
    return found


def read_query(req: Request, type_: type[T]) -> T:
    """Return the query parameters as a typed document; unknown ones are ignored.

    Raises InvalidLimit for ``limit``, Invalid for any other parameter of a wrong shape.
    """
    given = parse_query(req.query_string)
    values: dict[str, object] = {}
    for field in msgspec.structs.fields(type_):
        if field.encode_name not in given:
            continue
        try:
            values[field.encode_name] = msgspec.convert(
                given[field.encode_name], field.type, strict=False
            )
        except msgspec.ValidationError as error:
            if field.encode_name == "limit":
                raise InvalidLimit from error
            raise Invalid.field(field.encode_name, str(error)) from error
    return msgspec.convert(values, type_)
