"""Keys of a definition that mean nothing: kept, and told to whoever sent them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from itertools import islice
from typing import Any, Final

KNOWN_AT_TOP: Final = ("initial", "states", "transitions", "gates")
KNOWN_IN_STATE: Final = ("agent_role", "description", "terminal", "workflow_id")
KNOWN_IN_TRANSITION: Final = ("from", "trigger", "to", "instructions", "required_gates")

# A generator can put its own key into every state; the first ones are enough to see it.
_WARNINGS_MAX: Final = 20
_SHOWN_MAX_CHARS: Final = 80


def unknown_key_warnings(document: dict[str, Any]) -> list[str]:
    """Return a sentence for each unknown key, up to 20, of a definition that is valid."""
    return list(islice(_warnings(document), _WARNINGS_MAX))


def _warnings(document: dict[str, Any]) -> Iterator[str]:
    yield from _of_object(document, "", KNOWN_AT_TOP)
    for name, state in document["states"].items():
        yield from _of_object(state, f"states.{_shown(name)}.", KNOWN_IN_STATE)
    for index, transition in enumerate(document["transitions"]):
        yield from _of_object(transition, f"transitions[{index}].", KNOWN_IN_TRANSITION)


def _of_object(found: Iterable[str], prefix: str, known: tuple[str, ...]) -> Iterator[str]:
    for key in found:
        if key in known:
            continue
        meant = get_close_matches(_shown(key).lower(), known, n=1)
        hint = f"; is {meant[0]!r} meant?" if meant else ""
        yield f"{prefix}{_shown(key)}: unknown key, kept without a meaning{hint}"


def _shown(name: str) -> str:
    return name if len(name) <= _SHOWN_MAX_CHARS else name[:_SHOWN_MAX_CHARS] + "…"
