"""Cursors that nobody handed out: a page or a refusal, and never somebody else's page."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.budgets import tried
from tests.fuzz.odd import TEXTS, VALUES, broken
from tests.fuzz.place import JSON, Place
from tests.fuzz.requests import target
from tests.fuzz.test_targets import PARAMETERS, QUERIED, SEGMENTS
from tests.tickets import TicketPlace
from tickets.errors import InvalidCursor
from tickets.lifecycle.domain.documents import NewCollaborator, NewComment, TeamDocument
from tickets.web.pages import MAX_INT64, parse_id_cursor, parse_time_cursor

LISTS = [path for path in QUERIED if "cursor" in PARAMETERS[path]]
SPAN = {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174"}
PIECES = st.sampled_from([b":", b"-", b"+", b"0", b"9" * 20, b"\xff", b"\x00", b" ", b"."])


@pytest.fixture
def place(place: Place) -> Place:
    """Fill every list with three of its things."""
    do, ids = place.world.do, place.ids
    for number in range(3):
        place.world.pipeline()
        place.world.event(place.claim)
        place.world.gate(place.claim)
        place.world.artifact(place.claim)
        place.world.depend(place.task_id, place.world.task(place.pipeline_id))
        do.kv.put("ns", f"k\u00e9{number}", number)
        spans = {"resourceSpans": [{"scopeSpans": [{"spans": [SPAN]}]}]}
        sent = place.send("POST", "/v1/traces", body=json.dumps(spans).encode(), headers=[JSON])
        assert sent.status == 200
        place.told()
    desk, scope = place.desk, place.desk.scope
    for number in range(3):
        other = TicketPlace(desk.do, workspace_id=f"more-{number}")
        team = TeamDocument(name="t", agent_ids=[])
        desk.do.teams.put(desk.workspace_id, f"team-{number}", team)
        desk.link(place.ticket, "relatesTo", desk.ticket(other.workspace_id))
        added = NewCollaborator(collaborator_id=f"user:{number}")
        desk.do.collaborators.add(scope, place.ticket.id, added)
        desk.do.comments.add(scope, place.ticket.id, NewComment(body="b"))
    assert ids["namespace"] == "ns"
    return place


def cursors(place: Place) -> list[str]:
    """Return a cursor of each list that has a second page."""
    found = []
    for path in LISTS:
        answer = place.send("GET", f"{target(place, path)}?limit=1")
        cursor = answer.headers.get("x-next-cursor")
        if cursor is None and isinstance(answer.json, dict):
            cursor = answer.json["next_cursor"]
        found += [cursor] if cursor is not None else []
    return found


def test_most_lists_have_a_second_page(place: Place) -> None:
    # Without one are the tasks of a ticket, which was given none, and what is sent to Linear.
    assert len(cursors(place)) >= len(LISTS) - 4


@pytest.mark.parametrize("path", LISTS)
@tried(40, drill=120)
@given(data=st.data())
def test_any_cursor_is_a_place_in_the_list_or_refused(
    place: Place, path: str, data: Any
) -> None:
    known = cursors(place)
    # What is drawn may not hold ids, which are new each time: their places are drawn instead.
    valid = known[data.draw(st.integers(0, len(known) - 1))]
    how = data.draw(st.sampled_from(["foreign", "broken", "raw", "text", "base64"]))
    if how == "broken":
        cursor = quote(data.draw(broken(valid.encode(), piece=PIECES)))
    elif how == "raw":
        cursor = data.draw(SEGMENTS).replace("&", "")
    elif how == "text":
        cursor = quote(data.draw(TEXTS).encode("utf-8", "surrogatepass"))
    elif how == "base64":
        cursor = quote(base64.b64encode(json.dumps(data.draw(VALUES)).encode()))
    else:
        cursor = quote(valid)

    answer = place.send("GET", f"{target(place, path)}?limit=2&cursor={cursor}")

    assert answer.status in (200, 400), answer
    if answer.status == 400:
        assert answer.code in ("invalid_cursor", "invalid_request")
    else:
        items = answer.json["items"] if isinstance(answer.json, dict) else answer.json
        everything = place.send("GET", f"{target(place, path)}?limit=1000").json
        whole = everything["items"] if isinstance(everything, dict) else everything
        start = whole.index(items[0]) if items else 0
        assert items == whole[start : start + len(items)]


@tried(200, drill=750)
@given(TEXTS | st.from_regex(r"[+-]?[0-9]{1,25}(:.*)?", fullmatch=True))
def test_a_cursor_is_read_as_a_64_bit_integer_or_refused(text: str) -> None:
    with suppress(InvalidCursor):
        assert -MAX_INT64 <= parse_id_cursor(text) <= MAX_INT64
    with suppress(InvalidCursor):
        assert -MAX_INT64 <= parse_time_cursor(text)[0] <= MAX_INT64


@tried(100, drill=360)
@given(st.integers(-MAX_INT64, MAX_INT64), st.text(min_size=1))
def test_a_cursor_is_read_as_it_was_written(number: int, id_: str) -> None:
    assert parse_id_cursor(str(number)) == number
    assert parse_time_cursor(f"{number}:{id_}") == (number, id_)
