"""``tickets`` with a clock that a test sets, or with one defence taken out.

ODD_CLOCK names a file whose eight bytes are added to the service's clock, in milliseconds.
ODD_DEFECT names a defect below: what checks histories has to notice each of them.
"""

from __future__ import annotations

import hmac
import itertools
import mmap
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import databases
from tests.process.serving import Server, running
from tickets import cli, clock
from tickets.errors import Unauthorized
from tickets.tracker.operations import access, leases
from tickets.tracker.operations.leases import LeaseOperations
from tickets.tracker.operations.readiness import Readiness
from tickets.tracker.operations.runs import RunOperations
from tickets.web.idempotency import IdempotencyKeys

EARLY_MS = 150
UNMOVED_EVERY = 20


class Offset:
    """Eight bytes that all processes of a server read and a test writes."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(bytes(8))
        with file.open("r+b") as opened:
            self._view = memoryview(mmap.mmap(opened.fileno(), 8)).cast("q")

    @property
    def ms(self) -> int:
        """What is added to the clock."""
        return int(self._view[0])

    @ms.setter
    def ms(self, offset_ms: int) -> None:
        self._view[0] = offset_ms


def wrap_clock(offset: Offset) -> None:
    """Let the service's clock be off."""
    now_ms = clock.SystemClock.now_ms

    def shifted(self: clock.SystemClock) -> int:
        return now_ms(self) + offset.ms

    clock.SystemClock.now_ms = shifted  # type: ignore[method-assign]  # what this is for


def revive_leases() -> None:
    """Let whoever has the token of a lease write, also when it is over."""

    def check_token(lease: Mapping[str, Any], *, token_hash: bytes | None, now_ms: int) -> None:
        if token_hash is None or not hmac.compare_digest(lease["token_hash"], token_hash):
            raise Unauthorized

    for module in (access, leases):
        vars(module)["check_usable"] = check_token


def expire_early() -> None:
    """Take tasks from agents that still hold them."""
    advance = Readiness.advance

    def hasty(self: Readiness, tx: Any, *, now_ms: int) -> bool:
        return advance(self, tx, now_ms=now_ms + EARLY_MS)

    Readiness.advance = hasty  # type: ignore[method-assign]


def grant_twice() -> None:
    """Drop what keeps a task with one holder."""
    grant = LeaseOperations._grant

    def generous(self: LeaseOperations, tx: Any, *args: Any, **more: Any) -> Any:
        with tx.raw() as connection:
            connection.execute("DROP INDEX IF EXISTS idx_runs_one_running")
        claim = grant(self, tx, *args, **more)
        with tx.raw() as connection:
            connection.execute(f"UPDATE tasks SET is_leased = 0 WHERE id = '{claim.task.id}'")
        return claim

    LeaseOperations._grant = generous  # type: ignore[method-assign]


def lose_moves() -> None:
    """Answer some transitions without moving the task."""
    move = RunOperations._move
    count = itertools.count(1)

    def forgetful(self: RunOperations, tx: Any, task: Any, *args: Any, **more: Any) -> Any:
        if next(count) % UNMOVED_EVERY:
            return move(self, tx, task, *args, **more)
        return tx.one("tasks.release", task_id=task["id"])

    RunOperations._move = forgetful  # type: ignore[method-assign]


def skip_attempts() -> None:
    """Count some attempts twice."""
    grant = LeaseOperations._grant
    count = itertools.count(1)

    def skipping(self: LeaseOperations, tx: Any, seq: int, *args: Any, **more: Any) -> Any:
        if not next(count) % UNMOVED_EVERY:
            with tx.raw() as connection:
                connection.execute(
                    f"UPDATE tasks SET last_attempt = last_attempt + 1 WHERE seq = {seq}"
                )
        return grant(self, tx, seq, *args, **more)

    LeaseOperations._grant = skipping  # type: ignore[method-assign]


def forget_keys() -> None:
    """Do a repeated request once more."""

    def once(_self: Any, _req: Any, _resp: Any, work: Callable[[], Any], **_more: Any) -> Any:
        return work()

    IdempotencyKeys.once = once  # type: ignore[method-assign, assignment]


DEFECTS: dict[str, Callable[[], None]] = {
    "leases are revived": revive_leases,
    "leases end early": expire_early,
    "two hold one task": grant_twice,
    "stage changes are lost": lose_moves,
    "attempts have gaps": skip_attempts,
    "keys are forgotten": forget_keys,
}


@contextmanager
def odd(home: Path, *flags: str, **variables: str) -> Iterator[Server]:
    """Serve the database of ``home`` with what these variables say."""
    place = databases.of_home(home)
    command = [__file__, "serve", "--port", "0", "--db", place, "--workers", "2", *flags]
    variables = {"TMPDIR": str(home), **variables}
    with running([*command, "--log-level", "warning"], home=home, **variables) as server:
        yield server


if __name__ == "__main__":
    if "ODD_CLOCK" in os.environ:
        wrap_clock(Offset(Path(os.environ["ODD_CLOCK"])))
    if "ODD_DEFECT" in os.environ:
        DEFECTS[os.environ["ODD_DEFECT"]]()
    sys.exit(cli.main(sys.argv[1:]))
