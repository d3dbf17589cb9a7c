"""Keeps the claim index true as time passes and tasks finish, in bounded steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import itemgetter

import msgspec

from tickets.db.database import Row, Transaction
from tickets.tracker.domain.retry import (
    NEVER_AGAIN_MS,
    Backoff,
    Retry,
    RetryPolicy,
    next_step,
)
from tickets.tracker.operations.facts import (
    EXPIRIES,
    RETRIES,
    announce,
    record,
    system_event,
    vacate,
)
from tickets.tracker.operations.managers import Managers
from tickets.tracker.operations.pipelines import Definitions
from tickets.tracker.operations.task_feed import TaskFeed

# Rows that one claim handles on its way, so that a burst of expiries or retries costs many
# requests a little and none of them much.
STEP_ROWS = 100
# Dependents freed in the transaction of the transition itself; the others follow in steps.
RELEASE_STEP_ROWS = 500

MAX_ATTEMPTS_EXCEEDED = "max_attempts_exceeded"
LEASE_EXPIRED = "lease_expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A run that ended without success. ``event_kind`` is the event that tells of a retry."""

    task_id: str
    run_id: str
    event_kind: str
    is_charged: bool
    failed_at_ms: int
    error: str | None = None


class Readiness:
    """What makes tasks claimable besides requests: time, and other tasks."""

    def __init__(
        self,
        definitions: Definitions,
        random_unit: Callable[[], float],
        managers: Managers,
        feed: TaskFeed,
    ) -> None:
        self._definitions = definitions
        self._random_unit = random_unit
        self._managers = managers
        self._feed = feed

    def advance(self, tx: Transaction, *, now_ms: int) -> bool:
        """Do one step of everything that is due; tell whether there may be more to do."""
        if not is_anything_due(tx, now_ms=now_ms):
            return False
        more = self.sweep_expired(tx, now_ms=now_ms)
        more = _promote_due(tx, now_ms=now_ms) or more
        return _continue_release(tx) or more

    def sweep_expired(self, tx: Transaction, *, now_ms: int) -> bool:
        """End the runs of the leases that ran out first; tell whether a full step was done.

        A run that showed life counts as a failed attempt; one that nobody touched is free, and
        so is one of a managed task, whose manager decides what becomes of it. The task waits
        its retry delay in any case, counted from the expiry.

        Source: docs/lifecycle.md, Expiry.
        """
        rows = tx.many("leases.over", now_ms=now_ms, limit=STEP_ROWS)
        for row in rows:
            self._expire(tx, row, now_ms=now_ms)
        return len(rows) == STEP_ROWS

    def expire_if_over(self, tx: Transaction, task_id: str, *, now_ms: int) -> bool:
        """End the run of this task if its lease ran out; tell whether that was so.

        For requests that must see the task as a sweep would leave it.
        """
        lease = tx.one("leases.over_of_task", task_id=task_id, now_ms=now_ms)
        if lease is None:
            return False
        self._expire(tx, lease, now_ms=now_ms)
        return True

    def _expire(self, tx: Transaction, lease: Row, *, now_ms: int) -> None:
        tx.run("leases.expire", lease_id=lease["id"])
        manager = self._managers.of(lease)
        is_charged = bool(lease["showed_life"]) and manager is None
        tx.one(
            "runs.end",
            run_id=lease["run_id"],
            status="stale",
            ended_at_ms=lease["expires_at_ms"],
            usage_json="{}",
            error_text=None,
        )
        record(
            tx,
            "lease.expired",
            now_ms=now_ms,
            task_id=lease["task_id"],
            run_id=lease["run_id"],
            lease_id=lease["id"],
            counted=is_charged,
        )
        self._feed.expired(tx, lease["task_id"], run_id=lease["run_id"], now_ms=now_ms)
        tx.count(EXPIRIES, "true" if is_charged else "false")
        failure = Failure(
            task_id=lease["task_id"],
            run_id=lease["run_id"],
            event_kind="lease_expired",
            is_charged=is_charged,
            failed_at_ms=lease["expires_at_ms"],
        )
        self.after_failure(tx, failure, now_ms=now_ms)
        if manager is not None:
            manager.on_lease_expired(
                tx, lease["task_id"], run_id=lease["run_id"], now_ms=now_ms
            )

    def after_failure(self, tx: Transaction, failure: Failure, *, now_ms: int) -> bool:
        """Let the task of a run that ended without success wait, or give it up.

        Return whether it was given up.
        Source: docs/lifecycle.md, Failure and retry.
        """
        task = tx.one("tasks.get", task_id=failure.task_id)
        assert task is not None, "runs refer to their task by foreign key"
        vacate(tx, task["stage"])
        policy = retry_policy(task)
        if not failure.is_charged:
            # Nothing was used up; a limit that was lowered meanwhile waits for a failure.
            policy = replace(policy, max_attempts=None)
        failed_attempts = task["failed_attempts"] + int(failure.is_charged)
        step = next_step(
            policy, failed_attempts=failed_attempts, random_unit=self._random_unit()
        )
        if isinstance(step, Retry):
            self._retry_later(tx, failure, step, failed_attempts=failed_attempts, now_ms=now_ms)
            return False
        if failure.event_kind == LEASE_EXPIRED:
            data = {"reason": failure.event_kind, "counted": True}
            system_event(
                tx, failure.event_kind, run_id=failure.run_id, now_ms=now_ms, data=data
            )
        self._give_up(tx, task, failure, failed_attempts=failed_attempts, now_ms=now_ms)
        return True

    def _retry_later(
        self,
        tx: Transaction,
        failure: Failure,
        step: Retry,
        *,
        failed_attempts: int,
        now_ms: int,
    ) -> None:
        next_eligible_at_ms = _delay(
            tx, failure, step, failed_attempts=failed_attempts, now_ms=now_ms
        )
        # Of an expiry the ledger knows: the task is stale until somebody claims it.
        if failure.event_kind != LEASE_EXPIRED:
            self._feed.retrying(
                tx,
                failure.task_id,
                run_id=failure.run_id,
                error=failure.error,
                next_eligible_at_ms=next_eligible_at_ms,
                now_ms=now_ms,
            )

    def _give_up(
        self,
        tx: Transaction,
        task: Row,
        failure: Failure,
        *,
        failed_attempts: int,
        now_ms: int,
    ) -> None:
        """Put the task into the dead letter: into its dead-letter stage, or where it stands.

        A dead-letter stage that has a role is a triage stage: its role may claim the task.
        """
        definition = self._definitions.get(tx, task["pipeline_id"])
        name = task["dead_letter_stage"]
        target = None if name is None else definition.stage(name)
        is_move = target is not None and target.name != task["stage"]
        stage = target if target is not None and is_move else definition.stage(task["stage"])
        assert stage is not None, "a stage of the definition"
        is_triage = is_move and not stage.terminal and stage.agent_role is not None
        row = tx.one(
            "tasks.give_up",
            task_id=task["id"],
            stage=stage.name,
            version_step=int(target is not None),
            claim_role=stage.agent_role,
            is_terminal=int(stage.terminal),
            is_dead=int(not is_triage),
            failed_attempts=0 if is_triage else failed_attempts,
            dead_letter_reason=MAX_ATTEMPTS_EXCEEDED,
            next_eligible_at_ms=0 if is_triage else NEVER_AGAIN_MS,
            now_ms=now_ms,
        )
        data = {
            "reason": MAX_ATTEMPTS_EXCEEDED,
            "failed_attempts": failed_attempts,
            "from_stage": task["stage"],
            "dead_letter_stage": None if target is None else target.name,
        }
        run_id = failure.run_id
        system_event(tx, "dead_letter", run_id=run_id, now_ms=now_ms, data=data)
        record(
            tx,
            "task.dead_lettered",
            now_ms=now_ms,
            task_id=task["id"],
            run_id=run_id,
            **data,
        )
        self._feed.dead_lettered(
            tx,
            task["id"],
            run_id=run_id,
            stage=stage.name,
            error=failure.error or failure.event_kind,
            reason=MAX_ATTEMPTS_EXCEEDED,
            now_ms=now_ms,
        )
        settle_dependents(tx, task["id"], was_resolved=is_resolved(task), now_resolved=False)
        assert row is not None
        announce(tx, row)


def _delay(
    tx: Transaction, failure: Failure, step: Retry, *, failed_attempts: int, now_ms: int
) -> int:
    """Let the task wait for its next try; return until when."""
    next_eligible_at_ms = failure.failed_at_ms + step.delay_ms
    task = tx.one(
        "tasks.retry_later",
        task_id=failure.task_id,
        is_delayed=int(next_eligible_at_ms > now_ms),
        next_eligible_at_ms=next_eligible_at_ms,
        failed_attempts=failed_attempts,
        now_ms=now_ms,
    )
    assert task is not None, "runs refer to their task by foreign key"
    data = {
        "reason": failure.event_kind,
        "failed_attempts": failed_attempts,
        "retry_delay_ms": step.delay_ms,
        "next_eligible_at_ms": next_eligible_at_ms,
    }
    if failure.event_kind == LEASE_EXPIRED:
        data["counted"] = failure.is_charged
    system_event(tx, failure.event_kind, run_id=failure.run_id, now_ms=now_ms, data=data)
    tx.count(RETRIES, failure.event_kind)
    announce(tx, task)
    return next_eligible_at_ms


def is_anything_due(tx: Transaction, *, now_ms: int) -> bool:
    """Tell whether a lease or delay is over, or dependents wait to be freed."""
    moments = tx.one("leases.moments")
    assert moments is not None, "a row without a table"
    return bool(moments["release_count"]) or any(
        moment is not None and moment <= now_ms
        for moment in (moments["next_expiry_ms"], moments["next_due_ms"])
    )


def retry_policy(task: Row) -> RetryPolicy:
    """Return a stored task's retry policy."""
    backoff = task["retry_backoff_json"]
    return RetryPolicy(
        max_attempts=task["max_attempts"],
        retry_delay_ms=task["retry_delay_ms"],
        backoff=None if backoff is None else Backoff(**msgspec.json.decode(backoff)),
        dead_letter_stage=task["dead_letter_stage"],
    )


def is_resolved(task: Row) -> bool:
    """Tell whether tasks that wait for this one may start."""
    return bool(task["is_terminal"]) and task["dead_letter_reason"] is None


def settle_dependents(
    tx: Transaction, task_id: str, *, was_resolved: bool, now_resolved: bool
) -> None:
    """Carry a change of a task's resolution over to the tasks that wait for it.

    Freeing is done in steps, since a late start harms nobody. Blocking again is done at
    once and whole: a start that should not have been cannot be taken back.
    """
    if was_resolved == now_resolved:
        return
    newest_seq = tx.value("dependencies.newest_seq", task_id=task_id)
    if newest_seq is None:
        return
    if now_resolved:
        tx.run("dependencies.save_release", task_id=task_id, after_seq=0, upto_seq=newest_seq)
        _release_step(tx, task_id, after_seq=0, upto_seq=newest_seq)
        return
    release = tx.one("dependencies.release_of", task_id=task_id)
    skipped = (release["after_seq"], release["upto_seq"]) if release is not None else (0, 0)
    tx.run("dependencies.drop_release", task_id=task_id)
    for edge in tx.many(
        "dependencies.dependents",
        task_id=task_id,
        after_seq=0,
        upto_seq=newest_seq,
        limit=newest_seq,
    ):
        if not skipped[0] < edge["seq"] <= skipped[1]:
            tx.one("tasks.count_open_dependencies", task_id=edge["task_id"], step=1)


def _release_step(tx: Transaction, task_id: str, *, after_seq: int, upto_seq: int) -> None:
    edges = tx.many(
        "dependencies.dependents",
        task_id=task_id,
        after_seq=after_seq,
        upto_seq=upto_seq,
        limit=RELEASE_STEP_ROWS,
    )
    # In one order everywhere: who frees other dependents of the same tasks locks them too.
    for edge in sorted(edges, key=itemgetter("task_id")):
        row = tx.one("tasks.count_open_dependencies", task_id=edge["task_id"], step=-1)
        assert row is not None
        announce(tx, row)
    if len(edges) < RELEASE_STEP_ROWS:
        tx.run("dependencies.drop_release", task_id=task_id)
    else:
        tx.run(
            "dependencies.save_release",
            task_id=task_id,
            after_seq=edges[-1]["seq"],
            upto_seq=upto_seq,
        )


def _continue_release(tx: Transaction) -> bool:
    rows = tx.many("dependencies.releases")
    for row in rows:
        _release_step(tx, row["task_id"], after_seq=row["after_seq"], upto_seq=row["upto_seq"])
    return bool(rows)


def _promote_due(tx: Transaction, *, now_ms: int) -> bool:
    rows = tx.many("tasks.due", now_ms=now_ms, limit=STEP_ROWS)
    for row in rows:
        ready = tx.one("tasks.make_ready", seq=row["seq"])
        assert ready is not None
        announce(tx, ready)
    return len(rows) == STEP_ROWS
