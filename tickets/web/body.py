"""Readers for request documents: bytes → strict JSON → typed document."""

from __future__ import annotations

import codecs
import json
import math
import re
from contextlib import suppress
from typing import Any, NoReturn, TypeVar

import msgspec
from falcon import Request

from tickets.errors import Invalid, InvalidJson, PayloadTooLarge

MAX_DEPTH = 128

T = TypeVar("T")

_TOO_DEEP = f"more than {MAX_DEPTH} levels of nesting"
_FLOAT_FOR_INT = re.compile(r"Expected `int(?: \| null)?`, got `float`(?: - at `\$(.*)`)?$")
_PROBLEM = re.compile(r"(.*?)(?: - at `(?:key in )?\$(.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`")
# What the rules of a document itself say of one of its fields.
_ABOUT_FIELD = re.compile(r"`(\w+)` (.*)")


def read_body(req: Request, *, limit_bytes: int) -> bytes:
    """Return the whole body.

    Raises PayloadTooLarge past ``limit_bytes``, whose rest is the server's business, and
    InvalidJson for a body that the client did not finish.
    """
    length = req.content_length
    stream = req.bounded_stream if length is not None else req.stream
    if length is None and not req.env.get("wsgi.input_terminated"):
        return b""
    if length is not None and length > limit_bytes:
        raise PayloadTooLarge(f"The body is larger than {limit_bytes} bytes")
    data: bytes = stream.read(limit_bytes + 1 if length is None else length)
    if len(data) > limit_bytes:
        raise PayloadTooLarge(f"The body is larger than {limit_bytes} bytes")
    if length is not None and len(data) < length:
        raise InvalidJson("The body ends before its Content-Length")
    return data


def parse_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object in ``data``, refusing whatever would not survive storing.

    Integers stay exact at any size. Refused are: other top-level values, trailing text, a
    BOM, invalid UTF-8, lone surrogates, duplicate keys, NaN and infinities (also as
    ``1e400``), more than 128 levels, and U+0000 in any string.

    Raises InvalidJson, and Invalid for U+0000.
    """
    if not data.strip():
        raise InvalidJson("The body is empty; it must be a JSON object")
    if data.startswith(codecs.BOM_UTF8):
        raise InvalidJson("The body begins with a byte order mark; leave that out")
    try:
        text = data.decode()
        document = _DECODER.decode(text)
        if text.count("[") + text.count("{") > MAX_DEPTH:
            _check_depth(document)
    except ValueError as error:
        # UnicodeDecodeError and JSONDecodeError are both ValueErrors.
        raise InvalidJson(f"The body is not valid JSON: {error}") from error
    except RecursionError as error:
        raise InvalidJson(f"The body is not valid JSON: {_TOO_DEEP}") from error
    if not isinstance(document, dict):
        raise InvalidJson("The body must be a JSON object")
    if "\\u" in text:
        _check_escapes(document)
    return document


def _check_depth(document: Any) -> None:
    """Refuse too many levels, a level at a time."""
    level = [document]
    for _ in range(MAX_DEPTH):
        values = (each.values() if isinstance(each, dict) else each for each in level)
        level = [value for each in values for value in each if isinstance(value, dict | list)]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _check_escapes(document: dict[str, Any]) -> None:
    """Refuse lone surrogates, which no UTF-8 answer could show, and U+0000."""
    left: list[Any] = [document]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            left += value.keys()
            left += value.values()
        elif isinstance(value, list):
            left += value
        elif isinstance(value, str):
            if "\0" in value:
                raise Invalid("Strings must not hold U+0000")
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise InvalidJson("The body holds a lone surrogate") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object has the same key twice")
    return result


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:40]} is out of range")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_finite, parse_constant=_refuse_constant
)


def prepare(type_: Any) -> None:
    """Let msgspec learn a type of documents, before there are threads.

    It learns a type when it first reads one, and two threads that do so at one time can end
    the process with SIGSEGV.
    """
    with suppress(msgspec.ValidationError):
        msgspec.convert({}, type_)


def convert(document: Any, type_: type[T]) -> T:
    """Return ``document`` as ``type_``; an integral float serves where an integer is due.

    Raises Invalid with ``details`` that name the field.
    """
    try:
        return msgspec.convert(document, type_)
    except msgspec.ValidationError as error:
        path = _FLOAT_FOR_INT.fullmatch(str(error))
        if path is not None and _make_integral(document, path[1] or ""):
            return convert(document, type_)
        raise _refusal(str(error), document, type_) from error


def _make_integral(document: Any, path: str) -> bool:
    """Replace the integral float at ``path`` by its integer; tell whether there was one.

    A path reads ``.retry_policy.max_attempts``, or ``.per_state[...]`` for any key.
    """
    *parents, name = path.lstrip(".").replace("[...]", ".*").split(".")
    for parent in parents:
        document = document.get(parent) if isinstance(document, dict) else None
    if not isinstance(document, dict):
        return False
    floats = [
        key
        for key, value in document.items()
        if name in (key, "*") and isinstance(value, float) and value.is_integer()
    ]
    for key in floats:
        document[key] = int(document[key])
    return bool(floats)


def _refusal(text: str, document: Any, type_: Any) -> Invalid:
    found = _PROBLEM.fullmatch(text)
    problem, field = (found[1], (found[2] or "").lstrip(".")) if found else (text, "")
    missing = _MISSING.fullmatch(problem)
    if missing is not None and not field:
        return _all_missing(document, type_, missing[1])
    if missing is not None:
        return Invalid.field(f"{field}.{missing[1]}".lstrip("."), "is required")
    unknown = _UNKNOWN.fullmatch(problem)
    if unknown is not None:
        # Documents may tell of a field that is another request's.
        other = None if field else getattr(type_, "elsewhere", {}).get(unknown[1])
        problem = "is not a field of this" + (f"; {other} changes it" if other else "")
        return Invalid.field(f"{field}.{unknown[1]}".lstrip("."), problem)
    about = _ABOUT_FIELD.fullmatch(problem)
    if about is not None:
        return Invalid.field(f"{field}.{about[1]}".lstrip("."), about[2])
    return Invalid.field(field or "body", problem)


def _all_missing(document: Any, type_: Any, first: str) -> Invalid:
    """Name every field that a document lacks, not only the first."""
    fields = msgspec.structs.fields(type_) if _is_struct(type_) else ()
    names = [each.encode_name for each in fields if each.required]
    names = [name for name in names if name not in document] or [first]
    text = "; ".join(f"{name}: is required" for name in names)
    return Invalid(text, details=[{"field": name, "problem": "is required"} for name in names])


def _is_struct(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, msgspec.Struct)


def read_document(data: bytes, type_: type[T]) -> T:
    """Return the body as a typed document.

    Raises InvalidJson for what is not JSON, Invalid for JSON of another shape.
    """
    return convert(parse_object(data), type_)
