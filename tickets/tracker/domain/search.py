"""Searching the store: what is indexed, how a query is read, how a filter compares."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any, Final, NoReturn, TypeAlias

from tickets.errors import InvalidFilter, InvalidQuery

Steps: TypeAlias = tuple[str | int, ...]

MISSING: Final = object()
"""What ``extract`` returns where the path leads nowhere; a stored null is not missing."""

_UNPARSED: Final = object()

# The blanks between the terms of a query. Others, such as U+00A0, only end a token.
_BLANKS: Final = re.compile(r"[ \t\r\n]+")

# Accents on Latin and Greek letters, acute and grave wherever they are still separate (stress
# in Cyrillic), Hebrew points, Arabic vowels. й and か keep what makes them letters.
_ACCENTS: Final = re.compile(
    "[\u0300\u0301\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670]"
    "|(?<=[\u0000-\u03ff])[\u0302-\u036f]"
)

# Scripts written without spaces between words: Thai, Lao, Myanmar, Khmer, kana, bopomofo, Yi,
# Han, and Hangul, which has spaces but glues particles to words.
_UNSPACED: Final = (
    "\u0e01-\u0e4e\u0e81-\u0ece\u0edc-\u0edf\u1000-\u103f\u1050-\u109d\u1780-\u17d3"
    "\u1100-\u11ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u303b\u303c"
    "\u3041-\u30ff\u3105-\u318e\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua000-\ua48c\ua960-\ua97f\uaa60-\uaa7f\uac00-\ud7fb\uf900-\ufaff"
    "\U0001aff0-\U0001b16f\U00020000-\U0003fffd"
)

# Vowel signs of Indic and neighbouring scripts are part of the word they stand in.
_MARKS: Final = "".join(
    chr(point)
    for point in (*range(0x0900, 0x1D00), 0x3099, 0x309A, *range(0xA800, 0xAC00))
    if unicodedata.category(chr(point)).startswith("M")
)

_TOKEN: Final = re.compile(
    f"(?=[\\w{_MARKS}])[{_UNSPACED}]|[^\\W_{_UNSPACED}](?:[^\\W_{_UNSPACED}]|(?![{_UNSPACED}])[{_MARKS}])*"
)
_ASCII_TOKEN: Final = re.compile(r"[0-9a-z]+")

# One step of a filter path: .name, ."any name", ["any name"] or [0]. A position of more than
# nine digits cannot exist in a body of any permitted size.
_QUOTED: Final = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_STEP: Final = re.compile(
    rf"""\.(?P<name>[^.\["'][^.\[]*)|\.(?P<field>{_QUOTED})|\[(?P<key>{_QUOTED})\]"""
    r"""|\[(?P<position>[0-9]{1,9})\]""",
    re.DOTALL,
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


def tokens(text: str) -> tuple[str, ...]:
    """Return the words of ``text`` as they are compared.

    Case, accents and compatibility forms (full width, ligatures) are folded away;
    everything but letters and digits separates. In scripts without spaces each character
    is a token of its own, so that a part of a run can be found as a phrase.

    Source: docs/api.md, GET /store/search.
    """
    if text.isascii():
        return tuple(_ASCII_TOKEN.findall(text.lower()))
    folded = unicodedata.normalize("NFKC", text).casefold()
    plain = _ACCENTS.sub("", unicodedata.normalize("NFD", folded))
    return tuple(_TOKEN.findall(unicodedata.normalize("NFC", plain)))


def fold(text: str) -> str:
    """Return the tokens of ``text`` with one space between them: what a text index is given."""
    return " ".join(tokens(text))


def index_text(value: object) -> str:
    """Return the searchable text of a JSON value, one line for each scalar.

    Strings, numbers and booleans at any depth, in document order, folded. Field names and
    nulls are left out: a search finds what somebody wrote, not the shape it came in.
    """
    lines = []
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting.extend(reversed(each.values()))
        elif isinstance(each, list | tuple):
            waiting.extend(reversed(each))
        elif each is not None:
            lines.append(fold(_scalar_text(each)))
    return "\n".join(line for line in lines if line)


def terms(q: str) -> tuple[tuple[str, ...], ...]:
    """Return what a query asks for: each term as a phrase of tokens, every term required.

    A term that holds no token is ignored; the empty tuple means that none does, and that
    nothing is found. No term is an operator. Raises InvalidQuery where ``q`` is blank.

    Source: docs/api.md, GET /store/search.
    """
    written = [term for term in _BLANKS.split(q) if term]
    if not written:
        raise InvalidQuery
    return tuple(dict.fromkeys(phrase for phrase in map(tokens, written) if phrase))


def match_query(q: str) -> str:
    """Return the FTS5 MATCH expression for a query, or ``""`` where nothing can match.

    An empty expression is an error in FTS5, so the caller answers it without a search.
    Raises InvalidQuery where ``q`` is blank.
    """
    # Tokens hold only letters, digits and vowel signs: inside quotes nothing needs escaping.
    # Joined by a space, not by AND: only so does FTS5 pass over a phrase of characters that its
    # older Unicode does not count as letters.
    return " ".join(f'"{" ".join(phrase)}"' for phrase in terms(q))


def parse_filter_path(path: str) -> Steps:
    r"""Return the steps of a path: ``$.a[0]."b.c"`` → ``("a", 0, "b.c")``.

    ``['b.c']`` works like ``."b.c"``; inside quotes a backslash takes the next character as
    it is. ``$`` is the value itself. Raises InvalidFilter.
    """
    if not path.startswith("$"):
        _refuse_path("must begin with '$'")
    steps: list[str | int] = []
    at = 1
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            _refuse_path(f"cannot be read from character {at + 1} on")
        at = step.end()
        quoted = step["field"] or step["key"]
        if quoted is not None:
            steps.append(_ESCAPED.sub(r"\1", quoted[1:-1]))
        elif step["position"] is not None:
            steps.append(int(step["position"]))
        else:
            steps.append(step["name"])
    return tuple(steps)


def extract(value: object, steps: Steps) -> object:
    """Return what the steps lead to inside a JSON value, or MISSING."""
    for step in steps:
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return MISSING
            value = value[step]
        elif isinstance(value, list) and step < len(value):
            value = value[step]
        else:
            return MISSING
    return value


def matches(value: object, steps: Steps, filter_value: str | None) -> bool:
    """Tell whether the value at ``steps`` exists and equals ``filter_value``.

    A string equals its own text; anything else equals the JSON that ``filter_value`` spells,
    type by type: ``5`` matches 5, 5.0 and "5", but not true. Without a ``filter_value`` it is
    enough to exist, and null exists.

    Source: docs/api.md, GET /store/search.
    """
    found = extract(value, steps)
    if found is MISSING or filter_value is None:
        return found is not MISSING
    if isinstance(found, str):
        return found == filter_value
    return _same_json(found, _parsed(filter_value))


def _scalar_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).replace("e+", "e") if isinstance(value, float) else str(value)


def _refuse_path(problem: str) -> NoReturn:
    raise InvalidFilter.field("filter_path", problem)


def _parsed(text: str) -> object:
    try:
        return json.loads(text, parse_constant=_no_constant)
    # ValueError: not JSON, or a number of thousands of digits. RecursionError: nested deeper
    # than any value that was let in.
    except (ValueError, RecursionError):
        return _UNPARSED


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _same_json(one: object, other: object) -> bool:
    """Compare two JSON values type by type; numbers by value, true never as 1."""
    waiting: list[tuple[Any, Any]] = [(one, other)]
    while waiting:
        left, right = waiting.pop()
        if isinstance(left, dict) and isinstance(right, dict) and left.keys() == right.keys():
            waiting.extend((left[key], right[key]) for key in left)
        elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
            waiting.extend(zip(left, right, strict=True))
        elif not _same_scalar(left, right):
            return False
    return True


def _same_scalar(left: object, right: object) -> bool:
    if isinstance(left, bool | dict | list) or isinstance(right, bool | dict | list):
        return left is right
    return left == right
