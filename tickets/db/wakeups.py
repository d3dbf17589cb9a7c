"""Wake-ups for long polls over every process that has the database open.

A topic is a slot in a small shared file of counters. Who commits counts up; a waiting
process looks at one counter, and at the slots it cares for only when that one has moved.
"""

from __future__ import annotations

import errno
import logging
import mmap
import os
import threading
import time
import weakref
import zlib
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tickets.floor import FLOOR

SLOTS: Final = 1024
_NO_SLOT: Final = -1  # a wake-up for everybody, which nobody passes on
_GLOBAL: Final = SLOTS  # the index of the counter that moves with every other
_SIZE: Final = (SLOTS + 1) * 8
_WRAP: Final = (1 << 64) - 1
_POLL_S: Final = 0.008  # a wake-up from another process is at most this late
_LINGER_S: Final = 1.0  # the watcher outlives the last wait: the next one is often near
_LOOK_AGAIN_S: Final = 1.0  # how often to see whether the file was replaced

_log = logging.getLogger(__name__)


class Subscription:
    """One waiter, from before it looks at the database until its wait is over."""

    def __init__(self, owner: Local, slots: frozenset[int], *, all_woken: bool) -> None:
        self._owner = owner
        self._slots = slots
        self._pending: set[int] = set()
        self._taken: set[int] = set()
        self._bell = threading.Lock()
        self._bell.acquire()
        self.all_woken = all_woken

    def wait(self, timeout_s: float) -> bool:
        """Return True once a topic was published since the start or the last True."""
        with FLOOR.away:
            heard = self._bell.acquire(timeout=min(max(0.0, timeout_s), threading.TIMEOUT_MAX))
        with self._owner.mutex:
            if not self._pending:
                return False
            if not heard:
                self._bell.acquire(blocking=False)
            self._taken, self._pending = self._pending, set()
            return True

    def pass_on(self) -> None:
        """Hand the last wake-up, of no use here, to the next in line for its topic.

        It only travels from older to younger waiters, so it cannot go in circles.
        """
        with self._owner.mutex:
            slots, self._taken = self._taken, set()
            self._owner.forward(self, slots)

    def close(self) -> None:
        """Leave the line; a wake-up that was not looked at goes to the next in it."""
        with self._owner.mutex:
            self._owner.remove(self, self._slots, self._pending)
            self._pending = set()

    def ring(self, slot: int) -> bool:
        """Wake the waiter; False where it is awake already. The mutex is held."""
        if slot in self._pending:
            return False
        first = not self._pending
        self._pending.add(slot)
        if first:
            self._bell.release()
        return first

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Slot:
    """The waiters of one slot, oldest first, and the count they have been told of."""

    def __init__(self, seen: int) -> None:
        self.seen = seen
        self.waiters: dict[Subscription, None] = {}


class Local:
    """The waiters of this process."""

    def __init__(self) -> None:
        self.mutex = threading.Lock()
        self.slots: dict[int, _Slot] = {}
        self.watcher: threading.Thread | None = None

    def remove(self, gone: Subscription, slots: Iterable[int], pending: set[int]) -> None:
        """Take a waiter out of its lines and give its wake-ups to who stood behind it."""
        self.forward(gone, pending)
        for index in slots:
            slot = self.slots.get(index)
            if slot is None or gone not in slot.waiters:
                continue
            del slot.waiters[gone]
            if not slot.waiters:
                del self.slots[index]

    def forward(self, giver: Subscription, slots: Iterable[int]) -> None:
        """Wake, for each slot, the first waiter behind ``giver`` that is not awake yet."""
        for index in slots:
            slot = self.slots.get(index)
            if slot is None or giver not in slot.waiters:
                continue
            waiters = iter(slot.waiters)
            for waiter in waiters:
                if waiter is giver:
                    break
            for waiter in waiters:
                if not waiter.all_woken and waiter.ring(index):
                    break

    def tell(self, index: int, slot: _Slot, count: int) -> None:
        """Wake as many waiters as the slot was counted up, and all who want every change."""
        news = (count - slot.seen) & _WRAP
        if not news:
            return
        slot.seen = count
        for waiter in slot.waiters:
            if waiter.all_woken:
                waiter.ring(index)
            elif news and waiter.ring(index):
                news -= 1


class Wakeups:
    """The shared counters of one database; ``path`` is the database's own path.

    Wake-ups are hints: a waiter looks at the database after one, and when its time is over.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(f"{path}-wake")
        self._local = Local()
        self._map: mmap.mmap | None = None
        self._counters = memoryview(bytearray(_SIZE)).cast("Q")
        self._inode = -1
        self._looked_at = -_LOOK_AGAIN_S
        _ALIVE.add(self)

    def publish(self, topics: Iterable[str]) -> None:
        """Count each topic up, once for each time it is named, and wake waiters here.

        Called inside the write gate: two processes must not count at the same instant.
        """
        self._look_at_file()
        counters = self._counters
        slots = [slot_of(topic) for topic in topics]
        for index in slots:
            counters[index] = (counters[index] + 1) & _WRAP
        counters[_GLOBAL] = (counters[_GLOBAL] + 1) & _WRAP
        self._tell(slots)

    def subscribe(self, topics: Iterable[str], *, all_woken: bool = False) -> Subscription:
        """Start to listen; look at the database after this and before wait().

        Of the waiters of a topic only as many are woken as it was published times, the
        oldest first. With ``all_woken`` this one is woken by each.
        """
        self._look_at_file()
        slots = frozenset(slot_of(topic) for topic in topics)
        local = self._local
        waiter = Subscription(local, slots, all_woken=all_woken)
        with local.mutex:
            for index in slots:
                count = self._counters[index]
                slot = local.slots.setdefault(index, _Slot(count))
                local.tell(index, slot, count)
                slot.waiters[waiter] = None
            if local.watcher is None:
                local.watcher = threading.Thread(
                    target=self._watch, args=(local,), name="tickets-wakeups", daemon=True
                )
                local.watcher.start()
        return waiter

    def wake_all(self) -> None:
        """Wake every waiter of this process, whatever it waits for, each for itself."""
        local = self._local
        with local.mutex:
            for slot in local.slots.values():
                for waiter in slot.waiters:
                    waiter.ring(_NO_SLOT)

    def after_fork(self) -> None:
        """Start without the parent's waiters; the shared counters stay."""
        self._local = Local()

    def _tell(self, indexes: Iterable[int] | None = None) -> None:
        """Compare these slots, or all, with what their waiters know."""
        local = self._local
        with local.mutex:
            for index in indexes if indexes is not None else local.slots:
                slot = local.slots.get(index)
                if slot is not None:
                    local.tell(index, slot, self._counters[index])

    def _watch(self, local: Local) -> None:
        """Look for what other processes published, while anybody here waits."""
        seen = -1
        last_wanted = time.monotonic()
        while True:
            time.sleep(_POLL_S)
            now = time.monotonic()
            if now - self._looked_at >= _LOOK_AGAIN_S:
                self._look_at_file()
            count = self._counters[_GLOBAL]
            if count != seen:
                seen = count
                self._tell()
            if local.slots:
                last_wanted = now
            elif now - last_wanted > _LINGER_S:
                with local.mutex:
                    if not local.slots:
                        local.watcher = None
                        return

    def _look_at_file(self) -> None:
        """Open the file, again where somebody replaced or deleted it meanwhile."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_AGAIN_S:
            return
        self._looked_at = now
        try:
            if self._path.exists() and self._path.stat().st_ino == self._inode:
                return
            self._open()
        except OSError as error:
            # Waiters in other processes then wait until their time is over; those here
            # are still woken, by the counters at hand.
            _log.warning("%s cannot be used: %s", self._path, error)

    def _open(self) -> None:
        self._path.absolute().parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _allocate(fd)
            self._map = mmap.mmap(fd, _SIZE)
            self._inode = os.fstat(fd).st_ino
        finally:
            os.close(fd)
        self._counters = memoryview(self._map).cast("Q")


def _allocate(fd: int) -> None:
    """Give the file its size on disk: writing into a hole of a full disk would kill us."""
    if os.fstat(fd).st_size >= _SIZE:
        return
    try:
        os.posix_fallocate(fd, 0, _SIZE)
    except (AttributeError, OSError) as error:
        if getattr(error, "errno", None) == errno.ENOSPC:
            raise
        os.pwrite(fd, bytes(_SIZE), 0)


def slot_of(topic: str) -> int:
    """Return the slot of a topic; it may be that of others too."""
    # Python's own hash differs from process to process.
    return zlib.crc32(topic.encode()) % SLOTS


_ALIVE: weakref.WeakSet[Wakeups] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for wakeups in list(_ALIVE):
        wakeups.after_fork()


os.register_at_fork(after_in_child=_after_fork_in_child)
