"""Wake-ups for long polls over every process and host that has the database open.

What is published here wakes waiters of this process at once, and travels to the others by
``NOTIFY``. That is sent after the commit and not in it: the server lets only one transaction at
a time commit notifications, and its flush to disk would be part of that.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

import psycopg

from tickets.db import postgres
from tickets.db.process import UNCLOSED
from tickets.db.wakeups import Local, Wakeups, slot_of

_CHANNEL: Final = "tickets_wakeups"
# One notification says what was published in so much time.
_GATHER_S: Final = 0.005
# A slot and its count take up to ten characters, and a payload has less than 8000.
_SLOTS_IN_PAYLOAD: Final = 500
# Waiters look again so often where notifications may be lost, and so often in any case.
_LOOK_AGAIN_S: Final = 1.0
_LOOK_ANYWAY_S: Final = 30.0
_LINGER_S: Final = 60.0
_POOLED: Final = "a pooler stands between, and direct_db names no way around it"

_log = logging.getLogger(__name__)


class PostgresWakeups(Wakeups):
    """Counters of this process, which notifications of the others count up too."""

    def __init__(self, parameters: dict[str, Any], direct: dict[str, Any]) -> None:
        super().__init__("")
        self._parameters = {"send": parameters, "listen": direct}
        self._sender: threading.Thread | None = None
        self._start_anew()

    def publish(self, topics: Iterable[str]) -> None:
        """Count each topic up, once for each time it is named, and wake waiters everywhere."""
        slots = Counter(slot_of(topic) for topic in topics)
        self._count(slots)
        with self._changed:
            self._outbox.update(slots)
            if self._sender is None and not self._is_closed:
                self._sender = threading.Thread(
                    target=self._send, name="tickets-notify", daemon=True
                )
                self._sender.start()
            self._changed.notify()

    def close(self) -> None:
        """End the threads and their connections."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def after_fork(self) -> None:
        """Start without the parent's waiters, threads and connections."""
        super().after_fork()
        UNCLOSED.append(self._connections)
        self._start_anew()

    def _start_anew(self) -> None:
        self._name = os.urandom(6).hex()
        self._counting = threading.Lock()
        self._changed = threading.Condition()
        self._outbox: Counter[int] = Counter()
        self._sender = None
        self._is_closed = False
        self._is_deaf = False
        self._connections: dict[str, postgres.Connection] = {}

    def _count(self, slots: Counter[int]) -> None:
        with self._counting:
            for index, times in slots.items():
                self._counters[index] += times
        self._tell(slots)

    def _look_at_file(self) -> None:
        """Do nothing: there is no file."""

    def _connection(self, use: str) -> postgres.Connection:
        """Return the connection for one use, a new one where it was lost."""
        connection = self._connections.get(use)
        if connection is None or postgres.is_lost(connection):
            connection = postgres.connect(self._parameters[use])
            self._connections[use] = connection
        return connection

    def _send(self) -> None:
        """Send what is published, the first at once and the rest in bundles."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._outbox or self._is_closed)
                if self._is_closed:
                    break
                slots, self._outbox = self._outbox, Counter()
            try:
                for payload in _payloads(self._name, slots):
                    self._connection("send").execute(
                        "SELECT pg_notify(%s, %s)", (_CHANNEL, payload)
                    )
            except psycopg.Error:
                with self._changed:
                    self._outbox.update(slots)
                time.sleep(_LOOK_AGAIN_S)
            time.sleep(_GATHER_S)
        self._hang_up("send")

    def _watch(self, local: Local) -> None:
        """Listen to what other processes publish, while anybody here waits."""
        last_wanted = time.monotonic()
        while not self._is_closed:
            try:
                if not self._is_deaf:
                    self._listen()
                else:
                    self.wake_all()
                    time.sleep(_LOOK_AGAIN_S)
            except psycopg.Error:
                # Nothing is heard now: waiters look again by themselves.
                self._hang_up("listen")
                self.wake_all()
                time.sleep(_LOOK_AGAIN_S)
            now = time.monotonic()
            if local.slots:
                last_wanted = now
            elif now - last_wanted > _LINGER_S:
                with local.mutex:
                    if not local.slots:
                        local.watcher = None
                        break
        self._hang_up("listen")

    def _listen(self) -> None:
        """Take in notifications for a while."""
        if "listen" not in self._connections:
            connection = self._connection("listen")
            if connection.is_pooled:
                # Others would hear what is sent to us: waiters look again by themselves.
                self._is_deaf = True
                self._hang_up("listen")
                _log.warning("long polls look again every second: %s", _POOLED)
                return
            connection.execute(f"LISTEN {_CHANNEL}", prepare=False)
            # What came before is lost.
            self.wake_all()
        until = time.monotonic() + _LOOK_ANYWAY_S
        while time.monotonic() < until and not self._is_closed:
            self._hear(self._connections["listen"])
        self.wake_all()

    def _hear(self, connection: postgres.Connection) -> None:
        """Take in the notifications of one period."""
        for notice in connection.notifies(timeout=_LOOK_AGAIN_S, stop_after=1):
            name, _, listed = notice.payload.partition(" ")
            if name == self._name:
                continue
            pairs = (pair.split(":") for pair in listed.split(","))
            self._count(Counter({int(slot): int(times) for slot, times in pairs}))

    def _hang_up(self, use: str) -> None:
        connection = self._connections.pop(use, None)
        if connection is not None:
            connection.close()


def _payloads(name: str, slots: Counter[int]) -> Iterator[str]:
    pairs = [f"{slot}:{times}" for slot, times in slots.items()]
    for start in range(0, len(pairs), _SLOTS_IN_PAYLOAD):
        yield f"{name} {','.join(pairs[start : start + _SLOTS_IN_PAYLOAD])}"
