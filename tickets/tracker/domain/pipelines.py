"""Pipeline definitions: the stages a task passes through and the ways between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from tickets.errors import InvalidTransition, ValidationFailed

NAME_MAX_BYTES: Final = 512

# A broken generator can break every state; the first ones are enough to see how.
_PROBLEMS_SHOWN_MAX: Final = 20
_SHOWN_NAME_MAX_CHARS: Final = 80

_Document: TypeAlias = dict[str, Any]
_Problems: TypeAlias = Iterator[tuple[str, str]]  # (field, what is wrong with it)


@dataclass(frozen=True, slots=True)
class Stage:
    """One state of a definition; without ``agent_role`` nobody can claim tasks in it."""

    name: str
    agent_role: str | None = None
    terminal: bool = False
    description: str | None = None
    workflow_id: str | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """One way from a stage to another, taken by naming its trigger."""

    trigger: str
    from_stage: str
    to_stage: str
    instructions: str | None = None
    required_gates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Definition:
    """A pipeline's state machine, read-only, with its lookups built once.

    ``gates`` is ``"enforce"``, ``"inform"`` or None for the server's default.
    """

    initial: str
    stages: Mapping[str, Stage]
    transitions: tuple[Transition, ...]
    gates: str | None = None
    _exits: Mapping[str, tuple[Transition, ...]] = field(init=False, repr=False, compare=False)
    _by_trigger: Mapping[tuple[str, str], Transition] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        exits: dict[str, list[Transition]] = {}
        by_trigger: dict[tuple[str, str], Transition] = {}
        for transition in self.transitions:
            exits.setdefault(transition.from_stage, []).append(transition)
            by_trigger.setdefault((transition.from_stage, transition.trigger), transition)
        object.__setattr__(
            self, "_exits", {stage: tuple(ways) for stage, ways in exits.items()}
        )
        object.__setattr__(self, "_by_trigger", by_trigger)

    def stage(self, name: str) -> Stage | None:
        """Return the stage with this name, or None."""
        return self.stages.get(name)

    def exits(self, stage: str) -> tuple[Transition, ...]:
        """Return the transitions that leave ``stage``, in the order of the definition."""
        return self._exits.get(stage, ())

    def transition(self, stage: str, trigger: str) -> Transition:
        """Return the first transition that leaves ``stage`` by ``trigger``.

        Raises InvalidTransition with the triggers that would have worked.
        """
        found = self._by_trigger.get((stage, trigger))
        if found is None:
            known = [each.trigger for each in self.exits(stage)]
            raise InvalidTransition(
                f"No transition with trigger {_shown(trigger)!r} leaves {_shown(stage)!r}",
                details={"stage": stage, "trigger": trigger, "available_triggers": known},
            )
        return found

    def warnings(self) -> list[str]:
        """Return what is allowed but seldom meant: one sentence each, in stage order."""
        reached = self._reached()
        sentences = []
        for stage in self.stages.values():
            name = _shown(stage.name)
            if stage.name not in reached:
                sentences.append(f"states.{name}: not reachable from the initial state")
            if stage.terminal and stage.agent_role is not None:
                sentences.append(f"states.{name}: terminal, yet its agent_role can claim tasks")
        return sentences

    def _reached(self) -> set[str]:
        reached = {self.initial}
        waiting = [self.initial]
        while waiting:
            for transition in self.exits(waiting.pop()):
                if transition.to_stage not in reached:
                    reached.add(transition.to_stage)
                    waiting.append(transition.to_stage)
        return reached


def missing_gates(transition: Transition, results: Mapping[str, str]) -> tuple[str, ...]:
    """Return the required gates without a newest result ``"pass"``, each once, in order.

    ``results`` maps a gate to the status of its newest result on the run.

    Source: docs/lifecycle.md, Gates.
    """
    required = dict.fromkeys(transition.required_gates)
    return tuple(gate for gate in required if results.get(gate) != "pass")


def parse_definition(document: object) -> Definition:
    """Read a definition as sent and return its state machine; unknown fields are ignored.

    Raises ValidationFailed at the first rule that is broken, with every place (up to 20)
    that breaks this rule in ``details``.

    Source: docs/lifecycle.md, Pipelines.
    """
    if not isinstance(document, dict):
        raise ValidationFailed.field("definition", "must be an object")
    # Each rule may rely on the ones before it, so the order is fixed.
    for rule in (
        _shape_problems,
        _nothing_there_problems,
        _unknown_initial_problems,
        _unknown_endpoint_problems,
        _never_ending_problems,
        _dead_end_problems,
        _name_problems,
        _ambiguous_problems,
    ):
        _refuse(rule(document))
    return _build(document)


def _refuse(problems: _Problems) -> None:
    found = list(islice(problems, _PROBLEMS_SHOWN_MAX))
    if found:
        where, problem = found[0]
        raise ValidationFailed(
            f"{where}: {problem}",
            details=[{"field": each, "problem": text} for each, text in found],
        )


def _shape_problems(document: _Document) -> _Problems:
    yield from _text_problems(document, "initial", "", required=True)
    states = document.get("states")
    if isinstance(states, dict):
        for name, state in states.items():
            yield from _state_shape_problems(state, f"states.{_shown(name)}")
    else:
        yield "states", _absent_or("must be an object", states)
    transitions = document.get("transitions")
    if isinstance(transitions, list):
        for index, transition in enumerate(transitions):
            yield from _transition_shape_problems(transition, f"transitions[{index}]")
    else:
        yield "transitions", _absent_or("must be an array", transitions)
    if document.get("gates") not in (None, "enforce", "inform"):
        yield "gates", "must be 'enforce' or 'inform'"


def _state_shape_problems(state: object, where: str) -> _Problems:
    if not isinstance(state, dict):
        yield where, "must be an object"
        return
    for key in ("agent_role", "description", "workflow_id"):
        yield from _text_problems(state, key, f"{where}.", required=False)
    if not isinstance(state.get("terminal"), bool | None):
        yield f"{where}.terminal", "must be true or false"


def _transition_shape_problems(transition: object, where: str) -> _Problems:
    if not isinstance(transition, dict):
        yield where, "must be an object"
        return
    for key in ("from", "trigger", "to"):
        yield from _text_problems(transition, key, f"{where}.", required=True)
    yield from _text_problems(transition, "instructions", f"{where}.", required=False)
    gates = transition.get("required_gates") or []
    if not isinstance(gates, list) or not all(isinstance(gate, str) for gate in gates):
        yield f"{where}.required_gates", "must be an array of strings"


def _text_problems(document: _Document, key: str, prefix: str, *, required: bool) -> _Problems:
    value = document.get(key)
    if not isinstance(value, str) and (required or value is not None):
        yield f"{prefix}{key}", _absent_or("must be a string", value)


def _nothing_there_problems(document: _Document) -> _Problems:
    for key in ("initial", "states", "transitions"):
        if not document[key]:
            yield key, "must not be empty"


def _unknown_initial_problems(document: _Document) -> _Problems:
    if document["initial"] not in document["states"]:
        yield "initial", f"{_shown(document['initial'])!r} is not one of the states"


def _unknown_endpoint_problems(document: _Document) -> _Problems:
    for index, transition in enumerate(document["transitions"]):
        for key in ("from", "to"):
            if (name := transition[key]) not in document["states"]:
                where = f"transitions[{index}].{key}"
                yield where, f"{_shown(name)!r} is not one of the states"


def _never_ending_problems(document: _Document) -> _Problems:
    if not any(state.get("terminal") for state in document["states"].values()):
        yield "states", "at least one state must be terminal"


def _dead_end_problems(document: _Document) -> _Problems:
    left = {transition["from"] for transition in document["transitions"]}
    for name, state in document["states"].items():
        if not state.get("terminal") and name not in left:
            yield f"states.{_shown(name)}", "is not terminal and no transition leaves it"


def _name_problems(document: _Document) -> _Problems:
    for name, state in document["states"].items():
        where = f"states.{_shown(name)}"
        yield from _one_name_problems(where, name)
        yield from _one_name_problems(f"{where}.agent_role", state.get("agent_role"))
    for index, transition in enumerate(document["transitions"]):
        where = f"transitions[{index}]"
        yield from _one_name_problems(f"{where}.trigger", transition["trigger"])
        for place, gate in enumerate(transition.get("required_gates") or ()):
            yield from _one_name_problems(f"{where}.required_gates[{place}]", gate)


def _one_name_problems(where: str, name: str | None) -> _Problems:
    if name == "":
        yield where, "must not be empty"
    elif name is not None and len(name.encode(errors="surrogatepass")) > NAME_MAX_BYTES:
        yield where, f"must not be longer than {NAME_MAX_BYTES} bytes"


def _ambiguous_problems(document: _Document) -> _Problems:
    first_at: dict[tuple[str, str], int] = {}
    for index, transition in enumerate(document["transitions"]):
        first = first_at.setdefault((transition["from"], transition["trigger"]), index)
        if first != index:
            where = f"transitions[{index}].trigger"
            yield where, f"transitions[{first}] has the same 'from' and 'trigger'"


def _build(document: _Document) -> Definition:
    stages = {
        name: Stage(
            name,
            state.get("agent_role"),
            state.get("terminal") is True,
            state.get("description"),
            state.get("workflow_id"),
        )
        for name, state in document["states"].items()
    }
    transitions = tuple(
        Transition(
            each["trigger"],
            each["from"],
            each["to"],
            each.get("instructions"),
            tuple(each.get("required_gates") or ()),
        )
        for each in document["transitions"]
    )
    return Definition(
        document["initial"], MappingProxyType(stages), transitions, document.get("gates")
    )


def _absent_or(problem: str, value: object) -> str:
    return "is required" if value is None else problem


def _shown(name: str) -> str:
    return name if len(name) <= _SHOWN_NAME_MAX_CHARS else name[:_SHOWN_NAME_MAX_CHARS] + "…"
