"""Whether a message may be sent, or is a repeat that has to be held back."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from .errors import InvalidEventError
from .events import (
    MAX_NAME,
    MAX_STAGE,
    check_int,
    check_optional,
    check_req,
    check_text,
)
from .states import StateMachine

MAX_KEY: Final = 500
_HASH = re.compile(r"[0-9a-fA-F]{64}")


class Delivery(NamedTuple):
    """A permitted delivery; its fields are the columns of delivery_log."""

    id: int
    channel: str
    dedupe_key: str
    req: str | None
    state: str | None
    payload_hash: str | None
    cooldown_ms: int | None
    status: str
    delivered_at_ms: int
    suppressed_count: int
    last_suppressed_at_ms: int | None


class Decision(NamedTuple):
    """Whether to send.

    ``delivery_id`` is the row of a permitted delivery, or the one that held this one back; so
    are ``last_delivered_at_ms`` (of the delivery before) and ``suppressed_count``.
    ``retry_after_ms`` is None where waiting does not help. ``payload_changed`` says that the
    last message under this key was another one; it decides nothing.
    """

    allowed: bool
    reason: str
    delivery_id: int | None
    last_delivered_at_ms: int | None
    retry_after_ms: int | None
    suppressed_count: int
    payload_changed: bool


@dataclass(frozen=True, kw_only=True)
class Message:
    """What is to be sent where, under which rules.

    Raises InvalidEventError, InvalidStateError.
    """

    machine: StateMachine = field(repr=False)
    channel: str
    dedupe_key: str | None = None
    req: str | None = None
    state: str | None = None
    stage: str | None = None
    cooldown_ms: int | None = None
    req_cooldown_ms: int | None = None
    payload_hash: str | None = None

    def __post_init__(self) -> None:
        check_text("channel", self.channel, MAX_NAME)
        check_optional("dedupe_key", self.dedupe_key, MAX_KEY)
        check_optional("stage", self.stage, MAX_STAGE)
        if self.req is not None:
            check_req(self.req)
        if self.state is not None:
            check_text("state", self.state, MAX_NAME)
            object.__setattr__(self, "state", self.machine.canonical(self.state))
        for name in ("cooldown_ms", "req_cooldown_ms"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name))
        self._check_hash()
        if self.dedupe_key is None:
            object.__setattr__(self, "dedupe_key", self._default_key())

    def _check_hash(self) -> None:
        if self.payload_hash is None:
            return
        check_text("payload_hash", self.payload_hash, MAX_KEY)
        if _HASH.fullmatch(self.payload_hash) is None:
            raise InvalidEventError("payload_hash", "must be a SHA-256 in hexadecimal")
        object.__setattr__(self, "payload_hash", self.payload_hash.lower())

    def _default_key(self) -> str:
        if self.req is None or self.state is None:
            raise InvalidEventError("dedupe_key", "is required, or both req and state")
        return f"{self.req}:{self.state}:{self.stage or ''}"

    @property
    def key(self) -> str:
        """The key under which repeats are found, the default where none was given."""
        assert self.dedupe_key is not None, "set on construction"
        return self.dedupe_key

    @property
    def is_about_end(self) -> bool:
        """Whether this tells of a terminal state, which must get through."""
        return self.state in self.machine.terminal


def decide(
    message: Message, last: Delivery | None, last_of_req: Delivery | None, *, now_ms: int
) -> tuple[Decision, Delivery | None]:
    """Return the decision and the delivery that holds the message back, if one does.

    ``last`` and ``last_of_req`` are the newest that count under the same channel and key, and
    channel and req. A clock that was set back never lets a message through early.
    """
    changed = _is_changed(message, last)
    reason, wait_ms = _by_key(message, last, now_ms)
    if reason in ("duplicate", "cooldown"):
        assert last is not None, "something holds it back"
        return _held_back(reason, last, wait_ms, changed=changed), last
    req_cooldown_ms = message.req_cooldown_ms or 0
    if req_cooldown_ms and last_of_req is not None and not message.is_about_end:
        elapsed_ms = max(0, now_ms - last_of_req.delivered_at_ms)
        if elapsed_ms < req_cooldown_ms:
            wait_ms = req_cooldown_ms - elapsed_ms
            held = _held_back("req_cooldown", last_of_req, wait_ms, changed=changed)
            return held, last_of_req
    last_ms = None if last is None else last.delivered_at_ms
    return Decision(True, reason, None, last_ms, None, 0, changed), None


def _by_key(message: Message, last: Delivery | None, now_ms: int) -> tuple[str, int | None]:
    if last is None:
        return "first", None
    if message.cooldown_ms is None:
        return "duplicate", None
    if message.cooldown_ms == 0:
        return "no_cooldown", None
    elapsed_ms = max(0, now_ms - last.delivered_at_ms)
    if elapsed_ms >= message.cooldown_ms:
        return "cooldown_elapsed", None
    return "cooldown", message.cooldown_ms - elapsed_ms


def _held_back(
    reason: str, by: Delivery, retry_after_ms: int | None, *, changed: bool
) -> Decision:
    return Decision(
        allowed=False,
        reason=reason,
        delivery_id=by.id,
        last_delivered_at_ms=by.delivered_at_ms,
        retry_after_ms=retry_after_ms,
        suppressed_count=by.suppressed_count + 1,
        payload_changed=changed,
    )


def _is_changed(message: Message, last: Delivery | None) -> bool:
    hashes = (message.payload_hash, None if last is None else last.payload_hash)
    return None not in hashes and hashes[0] != hashes[1]
