"""Leases: claimed, kept alive, and shown once."""

from __future__ import annotations

from collections.abc import Mapping

from tickets.clock import Clock
from tickets.db.database import Database, Transaction
from tickets.errors import IdempotencyConflict, LeaseExpired, NotFound
from tickets.ids import hash_token, new_id, new_token
from tickets.tracker.domain.documents import ClaimRequest
from tickets.tracker.domain.leases import DEFAULT_TTL_MS, check_usable, extended_until_ms
from tickets.tracker.domain.records import Claim, Heartbeat, Json, Run
from tickets.tracker.operations import rows
from tickets.tracker.operations.facts import record
from tickets.tracker.operations.managers import Managers
from tickets.tracker.operations.readiness import Readiness
from tickets.tracker.operations.task_feed import TaskFeed
from tickets.web.answers import to_json

# A lost heartbeat makes some clients kill a working agent, so it waits longest for the lock.
HEARTBEAT_PATIENCE_MS = 30_000
# Steps that one claim does of what is due before it answers that there is nothing: some
# thousand expiries or retries. Housekeeping goes on with the rest.
DUE_STEPS = 20
# So often a claim looks where others write at the same time: while it waits for a task that
# another one then takes, a third may have come, which only the next look shows.
LOOKS = 3
# An empty claim looks so far ahead among the leases of all roles for one of its own.
LEASES_LOOKED_AT = 50


class LeaseOperations:
    """Every change to a lease, one public method each, one transaction each."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        readiness: Readiness,
        managers: Managers,
        feed: TaskFeed,
    ) -> None:
        self._db = db
        self._clock = clock
        self._readiness = readiness
        self._managers = managers
        self._feed = feed

    def claim(self, request: ClaimRequest) -> list[Claim]:
        """Grant leases on the best tasks for this agent and role, best first.

        At most ``max_tasks`` (1 where absent); empty where nothing is claimable. What is due
        (expiries, retries) is done first, in bounded steps, and as long as nothing was found.

        Source: docs/lifecycle.md, Claim.
        """
        claims: list[Claim] = []
        for _ in range(DUE_STEPS):
            # Each step is a transaction of its own, so that others write in between.
            with self._db.write() as tx:
                more = self._readiness.advance(tx, now_ms=self._clock.now_ms())
                claims = self._take(tx, request)
            if claims or not more:
                break
        return claims

    def _take(self, tx: Transaction, request: ClaimRequest) -> list[Claim]:
        seqs: list[int] = []
        for _ in range(1 if tx.is_alone else LOOKS):
            seqs = self._best(tx, request)
            if seqs:
                break
        # Some were waited for: a lease lasts from when they are held.
        now_ms = self._clock.now_ms()
        return [self._grant(tx, seq, request, now_ms=now_ms) for seq in seqs]

    def _best(self, tx: Transaction, request: ClaimRequest) -> list[int]:
        wanted = request.max_tasks or 1
        limits = _stage_limits(request)
        if limits:
            return _best_within(tx, request, limits, wanted=wanted, clock=self._clock)
        found = tx.many(
            "tasks.next_claimable",
            agent_role=request.agent_role,
            agent_id=request.agent_id,
            limit=wanted,
        )
        return [row["seq"] for row in found]

    def _grant(self, tx: Transaction, seq: int, request: ClaimRequest, *, now_ms: int) -> Claim:
        task = tx.one("tasks.take", seq=seq)
        assert task is not None, "found claimable in this transaction"
        run_id, lease_id, token = new_id(), new_id(), new_token()
        ttl_ms = request.lease_ttl_ms if request.lease_ttl_ms is not None else DEFAULT_TTL_MS
        tx.run(
            "runs.start",
            id=run_id,
            task_id=task["id"],
            attempt=task["last_attempt"],
            agent_id=request.agent_id,
            agent_role=request.agent_role,
            now_ms=now_ms,
        )
        tx.run(
            "leases.grant",
            id=lease_id,
            run_id=run_id,
            task_id=task["id"],
            agent_id=request.agent_id,
            agent_role=request.agent_role,
            token_hash=hash_token(token),
            ttl_ms=ttl_ms,
            now_ms=now_ms,
            expires_at_ms=now_ms + ttl_ms,
        )
        record(
            tx,
            "task.claimed",
            now_ms=now_ms,
            task_id=task["id"],
            run_id=run_id,
            agent_id=request.agent_id,
            agent_role=request.agent_role,
            attempt=task["last_attempt"],
        )
        self._feed.claimed(tx, task, run_id=run_id, agent_id=request.agent_id, now_ms=now_ms)
        manager = self._managers.of(task)
        if manager is not None:
            manager.on_claim(
                tx,
                task["id"],
                run_id=run_id,
                attempt=task["last_attempt"],
                agent_id=request.agent_id,
                expires_at_ms=now_ms + ttl_ms,
                now_ms=now_ms,
            )
        run = Run(
            id=run_id,
            task_id=task["id"],
            attempt=task["last_attempt"],
            status="running",
            agent_id=request.agent_id,
            agent_role=request.agent_role,
            started_at_ms=now_ms,
            ended_at_ms=None,
            usage=Json(b"{}"),
            error=None,
        )
        return Claim(
            task=rows.task(task),
            run=run,
            lease_id=lease_id,
            lease_token=token,
            expires_at_ms=now_ms + ttl_ms,
        )

    def until_next_moment_ms(self, request: ClaimRequest) -> int | None:
        """Return how long until a delay or lease ends that could bring this agent a task.

        None where no such moment is known; never less than 0.
        """
        with self._db.read() as tx:
            moment_ms: int | None = tx.value(
                "leases.next_moment_ms",
                agent_role=request.agent_role,
                agent_id=request.agent_id,
                lease_limit=LEASES_LOOKED_AT,
            )
        return None if moment_ms is None else max(0, moment_ms - self._clock.now_ms())

    def renew_tokens(self, lease_ids: list[str]) -> dict[str, tuple[str, int]]:
        """Give fresh tokens to those of the leases that still run: id → (token, expiry).

        For a claim that is repeated because its answer was lost: the token in that answer
        was never stored, so it is replaced. Raises IdempotencyConflict where none still runs.
        """
        with self._db.write() as tx:
            now_ms = self._clock.now_ms()
            renewed: dict[str, tuple[str, int]] = {}
            for lease_id in lease_ids:
                token = new_token()
                row = tx.one(
                    "leases.renew_token",
                    lease_id=lease_id,
                    token_hash=hash_token(token),
                    now_ms=now_ms,
                )
                if row is not None:
                    renewed[lease_id] = (token, row["expires_at_ms"])
            if not renewed:
                raise IdempotencyConflict("The claim made with this Idempotency-Key is over")
            return renewed

    def heartbeat(
        self, lease_id: str, *, holder: bytes | None, ttl_ms: int | None
    ) -> Heartbeat:
        """Keep a lease alive; ``ttl_ms`` sets its end exactly, and is its ttl from then on.

        Raises NotFound, Unauthorized, LeaseExpired: a lease that is over is never revived,
        also where nobody has claimed the task since.

        Source: docs/lifecycle.md, Heartbeat.
        """
        with self._db.write(patience_ms=HEARTBEAT_PATIENCE_MS) as tx:
            lease = tx.one("leases.get", lease_id=lease_id)
            if lease is None:
                raise NotFound("No lease has this id")
            now_ms = self._clock.now_ms()
            check_usable(lease, token_hash=holder, now_ms=now_ms)
            extended = tx.one(
                "leases.extend",
                lease_id=lease_id,
                now_ms=now_ms,
                ttl_ms=ttl_ms if ttl_ms is not None else lease["ttl_ms"],
                expires_at_ms=extended_until_ms(
                    ttl_ms=lease["ttl_ms"],
                    expires_at_ms=lease["expires_at_ms"],
                    asked_ttl_ms=ttl_ms,
                    now_ms=now_ms,
                ),
            )
            if extended is None:
                raise LeaseExpired
            self._feed.alive(
                tx, lease["task_id"], since_ms=lease["granted_at_ms"], now_ms=now_ms
            )
            manager = self._managers.of(lease)
            if manager is not None:
                manager.on_heartbeat(
                    tx,
                    lease["task_id"],
                    run_id=lease["run_id"],
                    expires_at_ms=extended["expires_at_ms"],
                    now_ms=now_ms,
                )
            return Heartbeat(expires_at_ms=extended["expires_at_ms"])


def _stage_limits(request: ClaimRequest) -> dict[str, int]:
    per_state = request.concurrency.per_state if request.concurrency is not None else None
    return {stage: limit for stage, limit in (per_state or {}).items() if limit is not None}


def _best_within(
    tx: Transaction,
    request: ClaimRequest,
    limits: Mapping[str, int],
    *,
    wanted: int,
    clock: Clock,
) -> list[int]:
    """Return the best tasks that fit into stages whose limit is not reached.

    A stage that fills up on the way makes for one more look, so there are at most as many as
    there are limits that concern the role.
    """
    stages = sorted(
        row["stage"]
        for row in tx.many("pipelines.stages_of_role", agent_role=request.agent_role)
        if row["stage"] in limits
    )
    for stage in stages:
        tx.hold("tasks.lock_stage", stage=stage)
    now_ms = clock.now_ms()
    held = {
        stage: tx.value("leases.live_in_stage", stage=stage, now_ms=now_ms) for stage in stages
    }
    seqs: list[int] = []
    while len(seqs) < wanted:
        full = [stage for stage, count in held.items() if count >= limits[stage]]
        found = tx.many(
            "tasks.next_claimable_outside",
            agent_role=request.agent_role,
            agent_id=request.agent_id,
            full_stages_json=to_json(full),
            limit=wanted,
        )
        fresh = [row for row in found if row["seq"] not in seqs]
        if not fresh:
            break
        for row in fresh[: wanted - len(seqs)]:
            stage = row["stage"]
            if stage in held and held[stage] >= limits[stage]:
                break
            seqs.append(row["seq"])
            if stage in held:
                held[stage] += 1
    return seqs
