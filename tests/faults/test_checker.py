"""The checker of histories itself: what it explains, and what it refuses to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.faults.acts import (
    Act,
    Claimed,
    Expired,
    Failed,
    Gone,
    Kept,
    Moved,
    Noted,
    Odd,
    Released,
    Seen,
)
from tests.faults.agents import GAME
from tests.faults.clocks import FOREVER_NS, NS_PER_MS, Clock, Span
from tests.faults.history import Call, Unexplained, check
from tests.faults.lease_model import Rules

# There is no database behind it.
pytestmark = pytest.mark.sqlite

DELAY_MS = 50
HOUR_MS = 3_600_000


def call(act: Act, sent_ms: int, answered_ms: int, agent: str = "a") -> Call:
    return Call(agent, act, sent_ms * NS_PER_MS, answered_ms * NS_PER_MS)


def lost(act: Act, sent_ms: int, agent: str = "a") -> Call:
    """A request whose answer never came."""
    return replace(call(act, sent_ms, 0, agent), end_ns=FOREVER_NS, is_certain=False)


def claimed(run: int, at_ms: int, ends_ms: int, stage: str = "ping", version: int = 1) -> Act:
    return Claimed(run, at_ms, ends_ms, stage, version)


def is_explained(*calls: Call, clock: Clock | None = None) -> bool:
    return check({"t": calls}, Rules(GAME, DELAY_MS, clock or Clock())) == len(calls)


FIRST = call(claimed(1, 110, 1_110), 100, 120)
HIT = Moved(1, "hit", "pong")
UNREAD_HIT = Moved(1, "hit", None)
ENDED = Seen("pong", 2, ("completed",), ())

GOOD: dict[str, list[Call]] = {
    "a run and what is left of it": [
        FIRST,
        call(Noted(1, "x"), 130, 140),
        call(HIT, 150, 160),
        call(Seen("pong", 2, ("completed",), ("x",)), 200, 210),
    ],
    "a lease that ran out, and the next": [
        FIRST,
        call(claimed(2, 1_170, 2_000), 1_150, 1_180, "b"),
        call(Expired(1), 1_190, 1_200),
        call(Seen("ping", 1, ("stale", "stale"), ()), 2_100, 2_110),
    ],
    "a lease that was kept": [
        FIRST,
        call(Kept(1, 1_000, 1_900), 890, 910),
        call(HIT, 1_500, 1_510),
        call(ENDED, 2_000, 2_010),
    ],
    "a lease that was shortened": [
        FIRST,
        call(Kept(1, 100, 300), 190, 210),
        call(claimed(2, 360, 900), 350, 370, "b"),
    ],
    "answers in another order than they were done": [
        FIRST,
        call(HIT, 130, 400),
        call(claimed(2, 210, 900, "pong", 2), 200, 220, "b"),
    ],
    "an unread transition that happened late": [
        FIRST,
        lost(UNREAD_HIT, 130),
        call(Noted(1, "x"), 140, 150),
        call(claimed(2, 210, 900, "pong", 2), 200, 220, "b"),
    ],
    "an unread transition that never happened": [
        FIRST,
        lost(UNREAD_HIT, 130),
        call(claimed(2, 1_170, 2_000), 1_150, 1_180, "b"),
        call(Expired(1), 1_190, 1_200),
    ],
    "an unread heartbeat that keeps the lease": [
        FIRST,
        lost(Kept(1, 1_000, None), 900),
        call(HIT, 1_500, 1_510),
    ],
    "an unread claim that somebody holds": [
        lost(Claimed(1, 110, 500), 100),
        call(claimed(2, 560, 900), 540, 570, "b"),
    ],
    "given back, and taken by somebody else": [
        FIRST,
        call(Released(1), 130, 140),
        call(claimed(2, 141, 900), 140, 150, "b"),
        call(Gone(1), 160, 170),
    ],
    "failed, and taken after the delay": [
        FIRST,
        call(Failed(1), 130, 140),
        call(claimed(2, 185, 900), 180, 190, "b"),
    ],
}

BAD: dict[str, tuple[list[Call], str]] = {
    "two hold it at one time": (
        [FIRST, call(claimed(2, 300, 900), 290, 310, "b"), call(HIT, 400, 410)],
        "run 1 holds the task until 1110",
    ),
    "two hold it, although the first was to end early": (
        [FIRST, call(Kept(1, 100, 300), 190, 210), call(claimed(2, 260, 900), 250, 270, "b")],
        "run 1 holds the task until 300",
    ),
    "a stage change was lost": (
        [FIRST, call(HIT, 130, 140), call(claimed(2, 210, 900), 200, 220, "b")],
        "stage would be pong, and not ping",
    ),
    "a lease was revived": (
        [FIRST, call(Kept(1, 1_000, 2_500), 1_490, 1_510)],
        "the lease of run 1 had ended at 1110",
    ),
    "a lease was revived in its last millisecond": (
        [FIRST, call(Kept(1, 1_000, 2_110), 1_100, 1_120)],
        "the lease ended at 1110, before 1110",
    ),
    "a lease that is over was used": (
        [FIRST, call(Noted(1, "x"), 1_200, 1_210)],
        "the lease of run 1 had ended at 1110",
    ),
    "the lease of somebody else was used": (
        [
            FIRST,
            call(claimed(2, 1_170, 2_000), 1_150, 1_180, "b"),
            call(HIT, 1_190, 1_200),
        ],
        "run 1 is stale, and nothing can be done with it",
    ),
    "attempts have a gap": (
        [FIRST, call(Released(1), 130, 140), call(claimed(3, 141, 900), 140, 150, "b")],
        "the next run would be 2",
    ),
    "an answered transition did not happen": (
        [FIRST, call(HIT, 130, 140), call(Seen("ping", 1, ("stale",), ()), 2_000, 2_010)],
        "it would be stage pong, version 2, runs ('completed',)",
    ),
    "a transition was done twice": (
        [FIRST, call(HIT, 130, 140), call(Seen("ping", 3, ("completed",), ()), 200, 210)],
        "it would be stage pong, version 2",
    ),
    "an event was lost": (
        [FIRST, call(Noted(1, "x"), 130, 140), call(HIT, 150, 160), call(ENDED, 200, 210)],
        "it would be marks ('x',)",
    ),
    "an event was added twice": (
        [
            FIRST,
            call(Noted(1, "x"), 130, 140),
            call(HIT, 150, 160),
            call(Seen("pong", 2, ("completed",), ("x", "x")), 200, 210),
        ],
        "it would be marks ('x',)",
    ),
    "a lease ended early": (
        [FIRST, call(Expired(1), 500, 510)],
        "run 1 holds the task until 1110",
    ),
    "a lease lasted longer than was said": (
        [FIRST, call(Seen("ping", 1, ("running",), ()), 1_200, 1_210)],
        "its lease is over",
    ),
    "a repeated request was refused although it had been done": (
        [FIRST, call(Gone(1), 130, 140), lost(UNREAD_HIT, 141), call(ENDED, 200, 210)],
        "run 1 is still running",
    ),
    "an unread transition was done after the lease was over": (
        [
            FIRST,
            lost(UNREAD_HIT, 1_200),
            call(claimed(2, 1_310, 2_000, "pong", 2), 1_300, 1_320, "b"),
        ],
        "stage would be ping, and not pong",
    ),
    "a claim came before the retry delay": (
        [FIRST, call(Failed(1), 130, 140), call(claimed(2, 160, 900), 150, 165, "b")],
        "the task waits until",
    ),
    "an answer that nothing explains": (
        [FIRST, call(Odd(1, "conflict"), 130, 140)],
        "run 1 is still running, and conflict is no answer to that",
    ),
    "what was read is older than what was answered": (
        [FIRST, call(HIT, 130, 140), call(Seen("ping", 1, ("running",), ()), 150, 160)],
        "it would be stage pong",
    ),
}


@pytest.mark.parametrize("calls", GOOD.values(), ids=GOOD.keys())
def test_what_can_have_happened_is_explained(calls: list[Call]) -> None:
    assert is_explained(*calls)
    assert is_explained(*reversed(calls))


@pytest.mark.parametrize(("calls", "reason"), BAD.values(), ids=BAD.keys())
def test_what_cannot_have_happened_is_refused_with_the_reason(
    calls: list[Call], reason: str
) -> None:
    with pytest.raises(Unexplained) as caught:
        is_explained(*calls)

    assert reason in str(caught.value)


def test_the_explanation_is_the_shortest_history_that_has_none() -> None:
    before = [
        each
        for n in range(20)
        for each in (
            call(claimed(n + 1, 100 * n + 10, 100 * n + 60), 100 * n, 100 * n + 20),
            call(Released(n + 1), 100 * n + 30, 100 * n + 40),
            call(Gone(n + 1), 100 * n + 50, 100 * n + 60),
        )
    ]
    good = [FIRST, call(HIT, 130, 140), call(ENDED, 150, 160)]
    bad = call(claimed(30, 4_000, 4_100), 3_990, 4_010, "b")
    after = call(Seen("ping", 1, (), ()), 5_000, 5_010)

    with pytest.raises(Unexplained) as caught:
        check({"t": [*before, bad, after], "u": good}, Rules(GAME, DELAY_MS))

    text = str(caught.value)
    assert text.startswith("task t: no order of these requests explains all answers")
    assert "Gone" not in text
    assert "Seen" not in text
    assert text.endswith("41. cannot come next: the next run would be 21")
    # A line for each request, two above, two below.
    assert text.count("\n") == 41 + 3


def test_a_clock_that_was_set_forward_ends_leases() -> None:
    clock = Clock([Span(0, 0, 500 * NS_PER_MS), Span(HOUR_MS, 490 * NS_PER_MS)])
    later = claimed(2, HOUR_MS + 600, HOUR_MS + 900)
    calls = [FIRST, call(later, 590, 610, "b"), call(Expired(1), 620, 630)]

    assert is_explained(*calls, clock=clock)
    with pytest.raises(Unexplained, match="run 1 holds the task until 1110"):
        is_explained(*calls)


def test_a_clock_that_was_set_back_lets_leases_last() -> None:
    clock = Clock([Span(0, 0, 500 * NS_PER_MS), Span(-HOUR_MS, 490 * NS_PER_MS)])
    calls = [FIRST, call(Noted(1, "x"), 2_000, 2_010)]

    assert is_explained(*calls, clock=clock)
    with pytest.raises(Unexplained, match="run 1 had ended at 1110"):
        is_explained(*calls)
    with pytest.raises(Unexplained, match="run 1 holds the task"):
        is_explained(FIRST, call(Expired(1), 2_000, 2_010), clock=clock)


def test_a_lease_that_was_seen_to_end_stays_over_when_the_clock_goes_back() -> None:
    there, back = 490 * NS_PER_MS, 600 * NS_PER_MS
    spans = [Span(0, 0, there), Span(HOUR_MS, there, back), Span(0, back)]
    # Nobody need have looked meanwhile, so both are possible, but not one after the other.
    over, used = call(Expired(1), 700, 710), call(Noted(1, "x"), 720, 730)

    assert is_explained(FIRST, over, clock=Clock(spans))
    assert is_explained(FIRST, used, clock=Clock(spans))
    with pytest.raises(Unexplained, match="run 1 is stale"):
        is_explained(FIRST, over, used, clock=Clock(spans))


def test_a_lease_that_ended_unnoticed_before_the_clock_went_back_may_stay_over() -> None:
    clock = Clock([Span(0, 0, 1_200 * NS_PER_MS), Span(-HOUR_MS, 1_200 * NS_PER_MS)])
    calls = [
        call(claimed(1, 110, 300), 100, 120),
        call(claimed(2, 360, 1_110), 350, 370, "b"),
        call(Expired(1), 1_300, 1_310),
        call(Expired(2), 1_400, 1_410, "b"),
    ]

    assert is_explained(*calls, clock=clock)
