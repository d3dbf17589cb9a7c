"""Stored definitions: read as they lie there, also where today they would be refused."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from tickets.tracker.domain.pipelines import Definition, Stage, Transition


def read_definition(document: object) -> Definition:
    """Return the state machine of a stored definition; never raises.

    A definition that was accepted once stays usable: of several transitions with the same
    stage and trigger the first counts, names may be empty or long. Whatever has not the
    shape of a definition is left out, and so are transitions from or to an unknown stage.
    For a definition that ``parse_definition`` accepts, both return the same.

    Source: docs/lifecycle.md, Pipelines.
    """
    if not isinstance(document, dict):
        document = {}
    states = document.get("states")
    stages = {
        name: _stage(name, state if isinstance(state, dict) else {})
        for name, state in (states.items() if isinstance(states, dict) else ())
    }
    listed = document.get("transitions")
    ways = [_transition(each) for each in listed or ()] if isinstance(listed, list) else []
    gates = document.get("gates")
    return Definition(
        _text(document.get("initial")) or "",
        MappingProxyType(stages),
        tuple(
            way
            for way in ways
            if way is not None and way.from_stage in stages and way.to_stage in stages
        ),
        gates if gates in ("enforce", "inform") else None,
    )


def _stage(name: str, state: dict[str, Any]) -> Stage:
    return Stage(
        name,
        _text(state.get("agent_role")),
        state.get("terminal") is True,
        _text(state.get("description")),
        _text(state.get("workflow_id")),
    )


def _transition(document: object) -> Transition | None:
    if not isinstance(document, dict):
        return None
    trigger, from_stage, to_stage = (
        _text(document.get(key)) for key in ("trigger", "from", "to")
    )
    if trigger is None or from_stage is None or to_stage is None:
        return None
    gates = document.get("required_gates")
    names = map(_text, gates) if isinstance(gates, list) else ()
    return Transition(
        trigger,
        from_stage,
        to_stage,
        _text(document.get("instructions")),
        tuple(name for name in names if name is not None),
    )


def _text(value: object) -> str | None:
    """Return a text, which may have been sent as an array of its bytes."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(
        isinstance(byte, int) and not isinstance(byte, bool) and 0 <= byte < 256
        for byte in value
    ):
        return bytes(value).decode(errors="replace")
    return None
