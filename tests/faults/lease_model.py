"""One task and its leases, as one client after the other would see them.

The clock of the service decides about leases. A request is done at some moment between its
call and its answer; each step here takes the earliest moment that fits, which leaves the most
to whatever follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tests.factories import Json
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
from tests.faults.clocks import FOREVER_MS, Clock


@dataclass(frozen=True)
class Lease:
    """A lease; who does not know its end knows between what it lies."""

    run: int
    ends_from_ms: float
    ends_to_ms: float
    showed_life: bool = False


@dataclass(frozen=True)
class State:
    """Everything of a task that its leases decide."""

    stage: str
    version: int = 1
    failed: int = 0
    eligible_ms: float = 0
    runs: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    lease: Lease | None = None
    # Since when it is as it is: from then on its lease or its delay may be seen to be over.
    since_ns: int = 0

    def ended(self, status: str) -> State:
        """Return it with the end of its newest run."""
        return replace(self, runs=(*self.runs[:-1], status), lease=None)


class Impossible(Exception):
    """Why something cannot have happened in a state."""


@dataclass(frozen=True)
class Window:
    """When a request was called and answered, and when the one before it was done."""

    now_ns: int
    call_ns: int
    end_ns: int

    @property
    def begin_ns(self) -> int:
        """The first moment at which it can be done."""
        return max(self.now_ns, self.call_ns)


Step = tuple[State, int]


@dataclass(frozen=True)
class Rules:
    """What the service promises of a task of this pipeline, without max_attempts."""

    definition: Json
    retry_delay_ms: int = 0
    clock: Clock = field(default_factory=Clock)

    def new(self) -> State:
        """Return a task as it is created."""
        return State(self.definition["initial"])

    def step(self, state: State, act: Act, window: Window) -> Step:
        """Return the state after ``act`` and the first moment at which that can be.

        Raises Impossible.
        """
        match act:
            case Claimed():
                return self._claimed(state, act, window)
            case Expired() | Gone():
                return self._refused(state, act, window)
            case Odd():
                raise Impossible(
                    f"{_fate(state, act.run)}, and {act.code} is no answer to that"
                )
            case Seen():
                return self._seen(state, act, window)
            case _:
                done, moment = self._done(state, act, window)
                return replace(done, since_ns=moment), moment

    def _over(self, state: State, window: Window) -> State:
        """Let the lease run out, which the service may notice before anybody asks."""
        lease = state.lease
        assert lease is not None
        moment = self.clock.first(state.since_ns, window.end_ns, from_ms=lease.ends_from_ms)
        if moment is None:
            raise Impossible(f"run {lease.run} holds the task until {lease.ends_from_ms}")
        return replace(
            state.ended("stale"),
            failed=state.failed + lease.showed_life,
            eligible_ms=lease.ends_from_ms + self.retry_delay_ms,
            since_ns=moment,
        )

    def _claimed(self, state: State, act: Claimed, window: Window) -> Step:
        if state.lease is not None:
            state = self._over(state, window)
        shown = (act.stage, act.version, act.failed)
        known = (state.stage, state.version, state.failed)
        for name, claimed, is_now in zip(
            ("stage", "version", "failed attempts"), shown, known, strict=True
        ):
            if claimed not in (None, is_now):
                raise Impossible(f"{name} would be {is_now}, and not {claimed}")
        if act.run != len(state.runs) + 1:
            raise Impossible(f"the next run would be {len(state.runs) + 1}")
        if "agent_role" not in self.definition["states"][state.stage]:
            raise Impossible(f"nobody can claim in {state.stage}")
        # A delay that was seen to pass stays passed, as does a lease that was seen to end.
        ready_ns = self.clock.first(state.since_ns, window.end_ns, from_ms=state.eligible_ms)
        if ready_ns is None:
            raise Impossible(f"the task waits until {state.eligible_ms}")
        moment = self.clock.first(
            max(ready_ns, window.begin_ns),
            window.end_ns,
            from_ms=act.granted_ms,
            below_ms=act.granted_ms + 1,
        )
        if moment is None:
            raise Impossible(f"it cannot have been granted at {act.granted_ms}")
        lease = Lease(act.run, act.ends_ms, act.ends_ms)
        runs = (*state.runs, "running")
        held = replace(state, eligible_ms=0, runs=runs, lease=lease, since_ns=moment)
        return held, moment

    def _done(
        self,
        state: State,
        act: Kept | Noted | Moved | Failed | Released,
        window: Window,
    ) -> Step:
        """Let the holder do something with its lease."""
        lease = state.lease
        if lease is None or lease.run != act.run:
            raise Impossible(f"{_fate(state, act.run)}, and nothing can be done with it")
        end_ns = window.end_ns
        moment = self.clock.first(window.begin_ns, end_ns, below_ms=lease.ends_to_ms)
        if moment is None:
            raise Impossible(f"the lease of run {act.run} had ended at {lease.ends_to_ms}")
        match act:
            case Kept():
                return self._kept(state, act, moment, end_ns)
            case Noted():
                life = replace(lease, showed_life=True)
                return replace(state, lease=life, marks=(*state.marks, act.mark)), moment
            case Moved():
                return self._moved(state, act), moment
            case Failed():
                failed = replace(
                    state.ended("failed"),
                    failed=state.failed + 1,
                    eligible_ms=self.clock.lowest_ms(moment, end_ns) + self.retry_delay_ms,
                )
                return failed, moment
            case Released():
                return state.ended("released"), moment

    def _kept(self, state: State, act: Kept, begin_ns: int, end_ns: int) -> Step:
        if act.ends_ms is None:
            ends_from_ms = self.clock.lowest_ms(begin_ns, end_ns) + act.ttl_ms
            lease = Lease(act.run, ends_from_ms, FOREVER_MS, showed_life=True)
            return replace(state, lease=lease), begin_ns
        assert state.lease is not None
        at_ms = act.ends_ms - act.ttl_ms
        if at_ms >= state.lease.ends_to_ms:
            raise Impossible(f"the lease ended at {state.lease.ends_to_ms}, before {at_ms}")
        moment = self.clock.first(begin_ns, end_ns, from_ms=at_ms, below_ms=at_ms + 1)
        if moment is None:
            raise Impossible(f"it cannot have been done at {at_ms}")
        lease = Lease(act.run, act.ends_ms, act.ends_ms, showed_life=True)
        return replace(state, lease=lease), moment

    def _moved(self, state: State, act: Moved) -> State:
        for way in self.definition["transitions"]:
            if (way["from"], way["trigger"]) == (state.stage, act.trigger):
                if act.to_stage not in (None, way["to"]):
                    break
                new = State(
                    way["to"], state.version + 1, runs=state.runs, marks=state.marks
                ).ended("completed")
                return replace(new, eligible_ms=0)
        raise Impossible(f"{act.trigger} does not lead from {state.stage} to {act.to_stage}")

    def _refused(self, state: State, act: Expired | Gone, window: Window) -> Step:
        if isinstance(act, Expired) and state.lease is not None and state.lease.run == act.run:
            over = self._over(state, window)
            return over, max(over.since_ns, window.begin_ns)
        wanted = ("stale",) if isinstance(act, Expired) else ("completed", "failed", "released")
        if act.run > len(state.runs) or state.runs[act.run - 1] not in wanted:
            raise Impossible(_fate(state, act.run))
        return state, window.begin_ns

    def _seen(self, state: State, act: Seen, window: Window) -> Step:
        begin_ns, end_ns = window.begin_ns, window.end_ns
        moment: int | None = begin_ns
        lease = state.lease
        if lease is not None:
            if act.runs[len(state.runs) - 1 : len(state.runs)] == ("stale",):
                state = self._over(state, window)
                moment = max(state.since_ns, begin_ns)
            else:
                moment = self.clock.first(begin_ns, end_ns, below_ms=lease.ends_to_ms)
        if moment is None:
            raise Impossible("its lease is over")
        would_be = Seen(state.stage, state.version, state.runs, state.marks)
        if would_be != act:
            raise Impossible(f"it would be {', '.join(_differences(would_be, act))}")
        return state, moment


def _fate(state: State, run: int) -> str:
    if run > len(state.runs):
        return f"there is no run {run} yet"
    if state.runs[run - 1] == "running":
        return f"run {run} is still running"
    return f"run {run} is {state.runs[run - 1]}"


def _differences(would_be: Seen, is_seen: Seen) -> Iterator[str]:
    for name in ("stage", "version", "runs", "marks"):
        if getattr(would_be, name) != getattr(is_seen, name):
            yield f"{name} {getattr(would_be, name)}"
