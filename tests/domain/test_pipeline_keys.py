from __future__ import annotations

from typing import Any

from tickets.tracker.domain.pipeline_keys import unknown_key_warnings
from tickets.tracker.domain.pipelines import parse_definition


def a_document() -> dict[str, Any]:
    """Return a definition with every key that has a meaning."""
    return {
        "initial": "todo",
        "gates": "inform",
        "states": {
            "todo": {
                "agent_role": "coder",
                "description": "To do",
                "workflow_id": "w1",
                "terminal": False,
            },
            "done": {"terminal": True},
        },
        "transitions": [
            {
                "from": "todo",
                "to": "done",
                "trigger": "complete",
                "instructions": "Look",
                "required_gates": ["ci"],
            }
        ],
    }


def test_keys_with_a_meaning_are_not_warned_of() -> None:
    document = a_document()
    parse_definition(document)

    assert unknown_key_warnings(document) == []


def test_unknown_keys_are_named_with_their_place_at_every_level() -> None:
    document = a_document()
    document["Initial"] = "todo"
    document["states"]["done"]["colour"] = "green"
    document["transitions"][0]["gates"] = ["ci"]
    parse_definition(document)

    assert unknown_key_warnings(document) == [
        "Initial: unknown key, kept without a meaning; is 'initial' meant?",
        "states.done.colour: unknown key, kept without a meaning",
        "transitions[0].gates: unknown key, kept without a meaning",
    ]


def test_a_key_of_one_level_is_unknown_on_another() -> None:
    document = a_document()
    document["terminal"] = True
    document["states"]["done"]["trigger"] = "x"

    assert [text.split(":")[0] for text in unknown_key_warnings(document)] == [
        "terminal",
        "states.done.trigger",
    ]


def test_many_and_long_keys_are_shown_in_part() -> None:
    document = a_document()
    document["states"]["done"] |= {f"{'k' * 1_000}{number}": 1 for number in range(100)}

    warnings = unknown_key_warnings(document)

    assert len(warnings) == 20
    assert all(len(text) < 200 for text in warnings)
