"""JSON against a JSON Schema, both from anybody, in a bounded number of steps.

A check runs while nobody else can write. A short schema can ask for more work than anybody has
time for: patterns that try every way to split a text, references that double with each level,
lists that are compared with each other item by item. So patterns are RE2's, which reads a text
once, and every keyword has a price, paid before it is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any, Final

import re2
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

# About a second of work at worst, and an output of 1 MiB with a common schema.
MAX_STEPS: Final = 2_000_000

# In steps, each about half a microsecond; measured with schemas that do nothing else.
_KEYWORD_STEPS: Final = 4
_DEAR: Final = {"$ref": 24, "$dynamicRef": 32, "if": 24, "not": 12}
_PART_STEPS: Final = 2
_SEARCH_STEPS: Final = 6
# Of a step: so many characters of a message, so many instructions of a pattern that look at a
# character, so many comparisons of two of the items or properties that are not evaluated.
_MESSAGE_CHARACTERS: Final = 8
_PATTERN_LOOKS: Final = 64
_COMPARISONS: Final = 16

_PATTERN_BYTES: Final = 1 << 20
_ESCAPE: Final = re.compile(r"\\u([0-9A-Fa-f]{4})|\\.", re.DOTALL)

Check = Callable[[Any, Any, Any, Any], Iterable[ValidationError] | None]


class TooManySteps(Exception):
    """The check would take too long."""


class UnusablePattern(ValueError):
    """A pattern that is wrong, or that RE2 does not know: it looks around, or back."""


class Meter:
    """Counts the steps of one check, and keeps its patterns."""

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self._left = steps
        self._patterns: dict[str, Any] = {}

    def charge(self, steps: int) -> None:
        """Take steps. Raises TooManySteps where there are not so many left."""
        self._left -= steps
        if self._left < 0:
            raise TooManySteps

    def compiled(self, pattern: str) -> Any:
        """Return a pattern that can be searched for. Raises UnusablePattern, TooManySteps."""
        found = self._patterns.get(pattern)
        if found is None:
            found = self._patterns[pattern] = _compiled(pattern)
            self.charge(found.programsize)
        return found

    def is_found(self, pattern: str, text: str) -> bool:
        """Tell whether a pattern is in a text. Raises UnusablePattern, TooManySteps."""
        compiled = self.compiled(pattern)
        self.charge(_SEARCH_STEPS + len(text) * compiled.programsize // _PATTERN_LOOKS)
        return compiled.search(text) is not None


_METER: Final[ContextVar[Meter]] = ContextVar("meter")


def errors_of(validator: Any, instance: Any, meter: Meter) -> list[ValidationError]:
    """Return all that is wrong.

    Raises TooManySteps, UnusablePattern, and what jsonschema does.
    """
    token = _METER.set(meter)
    try:
        return list(validator.iter_errors(instance))
    finally:
        _METER.reset(token)


def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_BYTES
    try:
        return re2.compile(_ESCAPE.sub(_as_re2, pattern), options)
    except (re2.error, UnicodeEncodeError) as error:
        problem = error.args[0] if isinstance(error, re2.error) else b"not a text"
        words = problem.decode("utf-8", "replace") if isinstance(problem, bytes) else problem
        raise UnusablePattern(f"the pattern {pattern[:80]!r}: {words}") from error


def _as_re2(escape: re.Match[str]) -> str:
    return rf"\x{{{escape[1]}}}" if escape[1] else escape[0]


def _metered(keyword: str, check: Check) -> Check:
    steps = _DEAR.get(keyword, _KEYWORD_STEPS)
    is_square = keyword.startswith("unevaluated")

    def run(
        validator: Any, value: Any, instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        meter = _METER.get()
        extent = _extent(instance)
        meter.charge(steps + (_extent(value) + extent) * _PART_STEPS)
        if is_square:
            meter.charge(extent * extent // _COMPARISONS)
        for error in check(validator, value, instance, schema) or ():
            meter.charge(1 + len(error.message) // _MESSAGE_CHARACTERS)
            yield error

    return run


def _extent(value: Any) -> int:
    return len(value) if isinstance(value, (dict, list)) else 0


def _pattern(
    validator: Any, pattern: str, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if validator.is_type(instance, "string") and not _METER.get().is_found(pattern, instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: dict[str, Any], instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if validator.is_type(instance, "object"):
        meter = _METER.get()
        for pattern, below in patterns.items():
            for name, value in instance.items():
                if meter.is_found(pattern, name):
                    yield from validator.descend(value, below, path=name, schema_path=pattern)


def _additional_properties(
    validator: Any, value: Any, instance: Any, schema: Any
) -> Iterable[ValidationError]:
    """Do what jsonschema does, with those that no pattern fits."""
    if not validator.is_type(instance, "object"):
        return ()
    meter = _METER.get()
    patterns, named = schema.get("patternProperties", {}), schema.get("properties", {})
    rest = {
        name: each
        for name, each in instance.items()
        if name not in named and not any(meter.is_found(pattern, name) for pattern in patterns)
    }
    found: Iterable[ValidationError] = _THEIRS["additionalProperties"](
        validator, value, rest, {}
    )
    return found


def _unique_items(
    validator: Any, is_wanted: object, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if is_wanted and validator.is_type(instance, "array"):
        meter = _METER.get()
        if len({_identity(item, meter) for item in instance}) < len(instance):
            yield ValidationError(f"{instance!r} has non-unique elements")


def _identity(value: Any, meter: Meter) -> Any:
    """Return something that is equal for equal JSON: 1 is 1.0 and not true."""
    meter.charge(1)
    if isinstance(value, dict):
        return dict, frozenset((name, _identity(each, meter)) for name, each in value.items())
    if isinstance(value, list):
        return list, *(_identity(each, meter) for each in value)
    return (bool, value) if isinstance(value, bool) else value


def _compared(keyword: str) -> Check:
    """Return the check of a keyword whose value is compared with instances."""

    def run(
        validator: Any, value: Any, instance: Any, schema: Any
    ) -> Iterable[ValidationError] | None:
        meter, left = _METER.get(), [value]
        while left:
            meter.charge(1)
            part = left.pop()
            if isinstance(part, (dict, list)):
                left += part.values() if isinstance(part, dict) else part
        found: Iterable[ValidationError] | None = _THEIRS[keyword](
            validator, value, instance, schema
        )
        return found

    return run


_THEIRS: Final = dict(Draft202012Validator.VALIDATORS)
_OURS: Final[dict[str, Check]] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
    "const": _compared("const"),
    "enum": _compared("enum"),
}

Validator: Final[Any] = extend(  # type: ignore[no-untyped-call]  # its stubs leave it out
    Draft202012Validator,
    {name: _metered(name, check) for name, check in {**_THEIRS, **_OURS}.items()},
)

_evolve: Final = Validator.evolve


def _evolve_as_ours(self: Any, **changes: Any) -> Any:
    """Do what jsonschema does, but stay what it is where a schema names its dialect."""
    schema = changes.setdefault("schema", self.schema)
    if isinstance(schema, dict) and "$schema" in schema:
        changes["schema"] = {name: each for name, each in schema.items() if name != "$schema"}
    return _evolve(self, **changes)


Validator.evolve = _evolve_as_ours
