from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest

from tests.conftest import FrozenClock
from tests.linear.faults import LOST_RESPONSE, SERVER_ERROR, Fault, rate_limited, refusal
from tests.linear.stand_in import StandIn
from tickets.lifecycle.linear.client import MAX_TEXT, Key, LinearClient
from tickets.lifecycle.linear.errors import (
    KeyRefused,
    Limited,
    LinearFailure,
    NotThere,
    Passing,
    Refused,
)

SECRET = "lin_api_secret"


@pytest.fixture
def linear(clock: FrozenClock) -> StandIn:
    return StandIn(clock, key=SECRET)


@pytest.fixture
def client(linear: StandIn, clock: FrozenClock) -> LinearClient:
    return LinearClient(Key("api_key", SECRET), clock, transport=linear)


def values(linear: StandIn, **more: Any) -> dict[str, Any]:
    return {"id": str(uuid4()), "teamId": linear.team_id, "title": "Fix", **more}


def test_who_we_are_and_what_states_the_team_has(linear: StandIn, client: LinearClient) -> None:
    assert client.viewer_id() == linear.viewer_id
    team = client.team(linear.team_id)

    assert team.name == "Engineering"
    assert [state.name for state in team.states] == [each["name"] for each in linear.states]


@pytest.mark.parametrize(
    ("kind", "header"), [("api_key", SECRET), ("oauth", f"Bearer {SECRET}")]
)
def test_a_key_is_sent_as_it_is_and_an_oauth_token_as_bearer(
    linear: StandIn, clock: FrozenClock, kind: str, header: str
) -> None:
    LinearClient(Key(kind, SECRET), clock, transport=linear).viewer_id()

    assert linear.calls[-1].authorization == header


def test_an_issue_is_created_under_our_id_and_read_back(
    linear: StandIn, client: LinearClient
) -> None:
    sent = values(linear, description="D", priority=2)

    made, is_new = client.create_issue(sent)

    assert is_new

    assert made.id == sent["id"]
    assert made.identifier == "ENG-1"
    assert (made.title, made.description, made.priority) == ("Fix", "D", "high")
    assert client.issue(made.id) == made
    assert client.issue(str(uuid4())) is None


def test_a_create_whose_answer_was_lost_makes_one_issue(
    linear: StandIn, client: LinearClient
) -> None:
    sent = values(linear)
    linear.faults.append(LOST_RESPONSE)
    with pytest.raises(Passing):
        client.create_issue(sent)

    made, is_new = client.create_issue(sent)

    assert not is_new
    assert list(linear.issues) == [made.id]
    assert linear.operations() == ["IssueCreate", "IssueCreate", "Issue"]


def test_comments_and_relations_may_be_sent_twice(
    linear: StandIn, client: LinearClient
) -> None:
    one, other = (client.create_issue(values(linear))[0].id for _ in range(2))
    comment = {"id": str(uuid4()), "issueId": one, "body": "Hello"}
    relation = {"id": str(uuid4()), "type": "blocks", "issueId": one, "relatedIssueId": other}

    for _ in range(2):
        client.create_comment(comment)
        client.create_relation(relation)

    assert len(linear.comments) == 1
    assert len(linear.relations) == 1
    for _ in range(2):
        client.delete_relation(relation["id"])
    assert linear.relations == {}


def test_an_update_returns_the_issue_as_it_is_then(
    linear: StandIn, client: LinearClient, clock: FrozenClock
) -> None:
    issue, _ = client.create_issue(values(linear))
    clock.advance(ms=5)

    changed = client.update_issue(issue.id, {"stateId": linear.state("Done")["id"]})

    assert changed.state.type == "completed"
    assert changed.updated_at_ms == issue.updated_at_ms + 5
    with pytest.raises(NotThere):
        client.update_issue(str(uuid4()), {"title": "x"})


def test_labels_are_found_by_name_and_created(linear: StandIn, client: LinearClient) -> None:
    bug = linear.label_id("Bug")
    made = client.create_label(linear.team_id, "ui")

    assert client.labels(linear.team_id) == {"bug": bug, "ui": made}


def test_a_long_list_of_issues_comes_in_pages(
    linear: StandIn, client: LinearClient, clock: FrozenClock
) -> None:
    since_ms = clock.now_ms() + 10
    linear.make_issue(title="old")
    made = set()
    for number in range(120):
        clock.advance(ms=10)
        made.add(linear.make_issue(title=str(number)))

    pages = list(client.issues_since(linear.team_id, since_ms))

    assert [len(page) for page in pages] == [50, 50, 20]
    assert {issue.id for page in pages for issue in page} == made


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (SERVER_ERROR, Passing),
        (Fault(502), Passing),
        (rate_limited(retry_after="30"), Limited),
        (refusal(200, "internal", type="internal error"), Passing),
        (refusal(200, "lock", type="lock timeout"), Passing),
        (refusal(403, "Forbidden", type="forbidden", code="FORBIDDEN"), Refused),
        (Fault(200, b'{"data":{"viewer":null}}'), NotThere),
        (Fault(200, b'{"data":{"viewer":[]}}'), Refused),
    ],
)
def test_failures_have_a_kind(
    linear: StandIn, client: LinearClient, fault: Fault, kind: type
) -> None:
    linear.faults.append(fault)

    with pytest.raises(LinearFailure) as caught:
        client.viewer_id()

    assert type(caught.value) is kind


def test_a_wrong_key_is_told_apart(linear: StandIn, clock: FrozenClock) -> None:
    with pytest.raises(KeyRefused):
        LinearClient(Key("api_key", "other"), clock, transport=linear).viewer_id()


def test_a_document_that_does_not_fit_the_schema_is_refused(
    linear: StandIn, client: LinearClient
) -> None:
    with pytest.raises(Refused, match="unknown field"):
        client.create_issue(values(linear, colour="red"))


def test_success_false_is_a_failure(linear: StandIn, client: LinearClient) -> None:
    linear.faults.append(Fault(200, b'{"data":{"issueUpdate":{"success":false,"issue":null}}}'))

    with pytest.raises(Refused, match="success is false"):
        client.update_issue("x", {"title": "y"})


def test_no_text_shows_the_key(linear: StandIn, client: LinearClient) -> None:
    linear.faults.append(refusal(400, f"bad header: {SECRET}"))

    with pytest.raises(Refused) as caught:
        client.viewer_id()

    assert SECRET not in str(caught.value)
    assert SECRET not in repr(Key("api_key", SECRET))


# What something else than Linear may answer under the name of a field.
NONSENSE: list[Any] = [
    None, 5, "x", True, [], [None], {}, {"id": None}, {"id": 5}, {"nodes": 5}, {"nodes": [5]},
    {"nodes": [{}]}, {"nodes": [], "pageInfo": 5}, {"success": True},
    {"success": True, "issue": {}},
    {"nodes": [], "pageInfo": {"hasNextPage": True, "endCursor": {}}},
    {"success": True, "issueLabel": None}, {"success": True, "issueLabel": {}},
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("viewer", lambda client: client.viewer_id()),
        ("team", lambda client: client.team("t")),
        ("issue", lambda client: client.issue("i")),
        ("issues", lambda client: list(client.issues_since("t", 0))),
        ("issueCreate", lambda client: client.create_issue({"id": "i"})),
        ("issueUpdate", lambda client: client.update_issue("i", {})),
        ("issueLabels", lambda client: client.labels("t")),
        ("issueLabelCreate", lambda client: client.create_label("t", "n")),
        ("commentCreate", lambda client: client.create_comment({})),
        ("issueRelationCreate", lambda client: client.create_relation({})),
        ("issueRelationDelete", lambda client: client.delete_relation("r")),
    ],
)
@pytest.mark.parametrize("found", NONSENSE)
def test_whatever_is_answered_nothing_else_is_raised_than_a_failure(
    linear: StandIn,
    client: LinearClient,
    name: str,
    ask: Callable[[LinearClient], object],
    found: Any,
) -> None:
    linear.faults.append(Fault(200, json.dumps({"data": {name: found}}).encode()))

    with suppress(LinearFailure):
        ask(client)

    assert not linear.faults


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("viewer", {"id": None}),
        ("team", {"name": "T"}),
        ("issueLabels", {"nodes": [{"name": "l"}]}),
        ("issueLabelCreate", {"success": True, "issueLabel": None}),
    ],
)
def test_what_has_no_id_is_refused(
    linear: StandIn, client: LinearClient, name: str, found: Any
) -> None:
    linear.faults.append(Fault(200, json.dumps({"data": {name: found}}).encode()))
    asked: dict[str, Callable[[], object]] = {
        "viewer": client.viewer_id,
        "team": lambda: client.team("t"),
        "issueLabels": lambda: client.labels("t"),
        "issueLabelCreate": lambda: client.create_label("t", "n"),
    }

    with pytest.raises(Refused, match="another form"):
        asked[name]()


def test_no_text_shows_a_part_of_the_key_where_it_is_cut(
    linear: StandIn, client: LinearClient
) -> None:
    half = MAX_TEXT - len(SECRET) // 2
    linear.faults.append(refusal(400, "x" * half + SECRET + "y" * 1_000))

    with pytest.raises(Refused) as caught:
        client.viewer_id()

    assert str(caught.value).startswith("x" * half + "…y")
    assert len(str(caught.value)) == MAX_TEXT
