from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickets.errors import InvalidTransition, ValidationFailed
from tickets.tracker.domain.pipelines import (
    Definition,
    Stage,
    Transition,
    missing_gates,
    parse_definition,
)
from tickets.tracker.domain.stored_pipelines import read_definition


def a_document() -> dict[str, Any]:
    return {
        "initial": "todo",
        "states": {
            "todo": {"agent_role": "coder", "description": "To do", "workflow_id": "w1"},
            "review": {"agent_role": "reviewer"},
            "done": {"terminal": True},
        },
        "transitions": [
            {"from": "todo", "trigger": "submit", "to": "review", "instructions": "Look"},
            {"from": "review", "trigger": "reject", "to": "todo", "required_gates": None},
            {
                "from": "review",
                "trigger": "accept",
                "to": "done",
                "required_gates": ["ci", "qa"],
            },
        ],
    }


def refused(document: object) -> ValidationFailed:
    with pytest.raises(ValidationFailed) as caught:
        parse_definition(document)
    assert isinstance(caught.value.details, list)
    first = caught.value.details[0]
    assert caught.value.text == f"{first['field']}: {first['problem']}"
    return caught.value


def changed(path: str, value: object) -> dict[str, Any]:
    """Return the document with one place set; a step that is a number indexes an array."""
    document = a_document()
    place: Any = document
    *steps, last = [int(step) if step.isdigit() else step for step in path.split("/")]
    for step in steps:
        place = place[step]
    place[last] = value
    return document


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in a_document().items() if name != key}


def test_a_definition_is_read_whole() -> None:
    definition = parse_definition(a_document())

    assert definition.initial == "todo"
    assert definition.gates is None
    assert list(definition.stages.values()) == [
        Stage("todo", "coder", description="To do", workflow_id="w1"),
        Stage("review", "reviewer"),
        Stage("done", terminal=True),
    ]
    assert definition.transitions == (
        Transition("submit", "todo", "review", "Look"),
        Transition("reject", "review", "todo"),
        Transition("accept", "review", "done", None, ("ci", "qa")),
    )
    assert definition.warnings() == []


def test_a_stage_is_found_by_its_name() -> None:
    definition = parse_definition(a_document())

    assert definition.stage("review") == Stage("review", "reviewer")
    assert definition.stage("Review") is None


def test_exits_keep_the_order_of_the_definition() -> None:
    definition = parse_definition(a_document())

    assert [each.trigger for each in definition.exits("review")] == ["reject", "accept"]
    assert definition.exits("done") == ()
    assert definition.exits("nowhere") == ()


def test_a_transition_is_found_by_stage_and_trigger() -> None:
    definition = parse_definition(a_document())

    assert definition.transition("review", "accept").to_stage == "done"


def test_an_unknown_trigger_is_answered_with_the_known_ones() -> None:
    definition = parse_definition(a_document())

    with pytest.raises(InvalidTransition) as caught:
        definition.transition("review", "submit")

    assert caught.value.details == {
        "stage": "review",
        "trigger": "submit",
        "available_triggers": ["reject", "accept"],
    }


def test_the_first_of_two_equal_transitions_wins() -> None:
    first, second = Transition("go", "a", "b"), Transition("go", "a", "c")
    stages = {name: Stage(name) for name in "abc"}

    assert Definition("a", stages, (first, second)).transition("a", "go") is first


def test_a_terminal_stage_may_be_left_again() -> None:
    document = a_document()
    document["transitions"].append({"from": "done", "trigger": "reopen", "to": "todo"})

    assert parse_definition(document).transition("done", "reopen").to_stage == "todo"


@pytest.mark.parametrize("gates", ["enforce", "inform"])
def test_a_pipeline_may_say_what_its_gates_do(gates: Any) -> None:
    assert parse_definition(a_document() | {"gates": gates}).gates == gates


@pytest.mark.parametrize("gates", ["", "Enforce", True, [], {}, 0])
def test_gates_know_two_words_only(gates: Any) -> None:
    assert refused(a_document() | {"gates": gates}).details == [
        {"field": "gates", "problem": "must be 'enforce' or 'inform'"}
    ]


def test_unknown_fields_do_no_harm() -> None:
    document = changed("states/todo/color", {"any": ["thing"]}) | {"version": 7}

    assert parse_definition(document) == parse_definition(a_document())


def test_null_is_as_good_as_absent() -> None:
    document = a_document() | {"gates": None}
    for state in document["states"].values():
        for key in ("agent_role", "description", "terminal", "workflow_id"):
            state.setdefault(key, None)
    for transition in document["transitions"]:
        transition.setdefault("instructions", None)

    assert parse_definition(document) == parse_definition(a_document())


@pytest.mark.parametrize("document", [None, "{}", [], 5, True])
def test_only_an_object_is_a_definition(document: Any) -> None:
    assert refused(document).text == "definition: must be an object"


# D-21
@pytest.mark.parametrize(
    ("document", "field", "problem"),
    [
        (without("initial"), "initial", "is required"),
        (without("states"), "states", "is required"),
        (without("transitions"), "transitions", "is required"),
        (changed("initial", 5), "initial", "must be a string"),
        (changed("states", ["todo"]), "states", "must be an object"),
        (changed("states/todo", None), "states.todo", "must be an object"),
        (changed("states/todo/agent_role", 5), "states.todo.agent_role", "must be a string"),
        (changed("states/todo/terminal", 1), "states.todo.terminal", "must be true or false"),
        (changed("transitions", {}), "transitions", "must be an array"),
        (changed("transitions/1", "x"), "transitions[1]", "must be an object"),
        (changed("transitions/1/from", None), "transitions[1].from", "is required"),
        (changed("transitions/1/to", [97]), "transitions[1].to", "must be a string"),
        (changed("transitions/0/trigger", 1), "transitions[0].trigger", "must be a string"),
        (
            changed("transitions/0/required_gates", "ci"),
            "transitions[0].required_gates",
            "must be an array of strings",
        ),
        (
            changed("transitions/0/required_gates", [None]),
            "transitions[0].required_gates",
            "must be an array of strings",
        ),
        (changed("initial", ""), "initial", "must not be empty"),
        (changed("states", {}), "states", "must not be empty"),
        (changed("transitions", []), "transitions", "must not be empty"),
        (changed("initial", "doing"), "initial", "'doing' is not one of the states"),
        (
            changed("transitions/2/to", "Done"),
            "transitions[2].to",
            "'Done' is not one of the states",
        ),
        (
            changed("states/done/terminal", False),
            "states",
            "at least one state must be terminal",
        ),
        (
            changed("states/idle", {}),
            "states.idle",
            "is not terminal and no transition leaves it",
        ),
    ],
)
def test_a_refusal_says_where_and_why(document: Any, field: Any, problem: Any) -> None:
    assert refused(document).details == [{"field": field, "problem": problem}]


# D-22
@pytest.mark.parametrize(
    ("document", "field", "problem"),
    [
        (changed("states/", {"terminal": True}), "states.", "must not be empty"),
        (changed("states/todo/agent_role", ""), "states.todo.agent_role", "must not be empty"),
        (changed("transitions/0/trigger", ""), "transitions[0].trigger", "must not be empty"),
        (
            changed("transitions/1/trigger", "accept"),
            "transitions[2].trigger",
            "transitions[1] has the same 'from' and 'trigger'",
        ),
    ],
)
def test_empty_and_ambiguous_names_are_refused(document: Any, field: Any, problem: Any) -> None:
    assert refused(document).details == [{"field": field, "problem": problem}]


@pytest.mark.parametrize(
    "path",
    ["states/todo/agent_role", "transitions/0/trigger", "transitions/2/required_gates/0"],
)
def test_a_name_has_at_most_512_bytes(path: Any) -> None:
    parse_definition(changed(path, "ü" * 256))

    assert "512 bytes" in refused(changed(path, "ü" * 256 + "x")).text


def test_a_long_state_name_is_shortened_where_it_is_shown() -> None:
    error = refused(changed(f"states/{'x' * 513}", {"terminal": True}))

    assert error.text == f"states.{'x' * 80}…: must not be longer than 512 bytes"


def test_the_rules_are_checked_in_their_order() -> None:
    document: dict[str, Any] = {"initial": "", "states": {}, "transitions": []}
    assert refused(document).details == [
        {"field": key, "problem": "must not be empty"} for key in document
    ]

    document = {
        "initial": "x",
        "states": {"a": {}},
        "transitions": [
            {"from": "a", "trigger": "", "to": "b"},
            {"from": "a", "trigger": "", "to": "b"},
        ],
    }
    assert refused(document).text.startswith("initial:")

    document["initial"] = "a"
    assert refused(document).text.startswith("transitions[0].to:")

    document["states"]["b"] = {}
    assert refused(document).text.startswith("states: at least one")

    document["states"] = {"a": {}, "b": {"terminal": True}, "c": {}}
    assert refused(document).text.startswith("states.c:")

    del document["states"]["c"]
    assert refused(document).text.startswith("transitions[0].trigger: must not be empty")


def test_at_most_twenty_problems_are_listed() -> None:
    error = refused(changed("states", {str(n): None for n in range(1000)}))

    assert isinstance(error.details, list)
    assert len(error.details) == 20


def test_unusual_definitions_are_kept_with_a_warning() -> None:  # D-22
    document = changed("states/triage", {"terminal": True, "agent_role": "triage"})

    assert parse_definition(document).warnings() == [
        "states.triage: not reachable from the initial state",
        "states.triage: terminal, yet its agent_role can claim tasks",
    ]


def test_gates_that_are_missing_or_failed_are_named_once_in_order() -> None:
    transition = Transition("accept", "a", "b", None, ("ci", "qa", "ci", "docs"))

    assert missing_gates(transition, {}) == ("ci", "qa", "docs")
    assert missing_gates(transition, {"ci": "fail", "qa": "pass"}) == ("ci", "docs")
    assert missing_gates(transition, {"ci": "pass", "qa": "pass", "docs": "pass"}) == ()


NAMES = st.text(min_size=1, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(NAMES, min_size=2, max_size=6, unique=True))
    ending = names[-1]
    ways = {(name, "on"): ending for name in names[:-1]}
    pairs = st.tuples(st.sampled_from(names), NAMES)
    ways |= draw(st.dictionaries(pairs, st.sampled_from(names), max_size=8))
    return {
        "initial": names[0],
        "states": {
            name: {"terminal": name == ending, "agent_role": draw(st.none() | NAMES)}
            for name in names
        },
        "transitions": [
            {
                "from": stage,
                "trigger": trigger,
                "to": to,
                "required_gates": draw(st.lists(NAMES, max_size=2)),
            }
            for (stage, trigger), to in ways.items()
        ],
    }


def written_out(definition: Definition) -> dict[str, Any]:
    return {
        "initial": definition.initial,
        "states": {
            stage.name: {"terminal": stage.terminal, "agent_role": stage.agent_role}
            for stage in definition.stages.values()
        },
        "transitions": [
            {
                "from": each.from_stage,
                "trigger": each.trigger,
                "to": each.to_stage,
                "required_gates": list(each.required_gates),
            }
            for each in definition.transitions
        ],
    }


@given(definitions())
def test_what_was_read_can_be_written_out_again(document: Any) -> None:
    definition = parse_definition(document)

    assert written_out(definition) == document
    for transition in definition.transitions:
        assert definition.transition(transition.from_stage, transition.trigger) is transition
        assert transition in definition.exits(transition.from_stage)


@given(definitions(), JSON, st.data())
def test_any_damage_to_a_definition_is_accepted_or_refused(
    document: Any, junk: Any, data: Any
) -> None:
    damaged = copy.deepcopy(document)
    place: Any = damaged
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(keys))
        if data.draw(st.booleans()) or not isinstance(place[key], dict | list):
            place[key] = junk
            break
        place = place[key]

    with contextlib.suppress(ValidationFailed):
        parse_definition(damaged)


@given(JSON)
def test_any_json_is_accepted_or_refused(document: Any) -> None:
    with contextlib.suppress(ValidationFailed):
        parse_definition(document)


@given(definitions())
def test_a_stored_definition_reads_as_it_was_accepted(document: Any) -> None:
    assert read_definition(document) == parse_definition(document)


@given(JSON | st.fixed_dictionaries({}, optional=dict.fromkeys(a_document(), JSON)))
def test_any_stored_document_can_be_read_and_leads_nowhere_unknown(document: Any) -> None:
    definition = read_definition(document)

    for transition in definition.transitions:
        assert definition.stage(transition.from_stage) is not None
        assert definition.stage(transition.to_stage) is not None
