"""The lock file on which the writing processes of one database queue."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable
from typing import Final

from tickets.errors import Busy
from tickets.floor import FLOOR

_HELPER_IDLE_S: Final = 10.0  # then the thread ends; starting it again costs 0.1 ms


class FileLock:
    """An exclusive lock between processes; one thread at a time uses an instance.

    Two files: who waits for ``<path>`` holds ``<path>-next`` meanwhile, so that the process
    that has just let go, and wants it again at once, queues behind the one that was waiting.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = -1
        self._next = -1
        self._helper = _Helper(self._take, self.release)

    def acquire(self, deadline: float) -> None:
        """Take the lock; raises Busy when ``time.monotonic()`` reaches ``deadline``."""
        while True:
            if self._helper.is_asked() or not self._try():
                self._helper.acquire(deadline)
            # A lock on a file that somebody unlinked excludes nobody who came later.
            if os.fstat(self._lock).st_nlink:
                return
            self.drop()

    def release(self) -> None:
        """Let the next process in."""
        fcntl.flock(self._lock, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the files, which gives up the lock."""
        if not self._helper.is_asked():
            self.drop()

    def drop(self) -> None:
        """Close the files without a word to whoever shares them: the parent after a fork."""
        for descriptor in (self._lock, self._next):
            if descriptor >= 0:
                os.close(descriptor)
        self._lock = self._next = -1

    def _try(self) -> bool:
        if self._lock < 0:
            self._lock = _open(self._path)
        if self._next < 0:
            self._next = _open(f"{self._path}-next")
        if not _lock_now(self._next):
            return False
        try:
            return _lock_now(self._lock)
        finally:
            fcntl.flock(self._next, fcntl.LOCK_UN)

    def _take(self) -> None:
        fcntl.flock(self._next, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        finally:
            fcntl.flock(self._next, fcntl.LOCK_UN)


class _Helper:
    """A thread that blocks on the lock in place of a writer, who can then give up in time.

    flock() has no timeout, and a writer that sleeps and tries again finds the lock late: two
    processes with one writer each were a third slower that way, with eight a tenth. A lock
    that comes when nobody wants it any more is given back; who asks while the thread still
    blocks waits for the same lock.
    """

    def __init__(self, take: Callable[[], None], give: Callable[[], None]) -> None:
        self._take = take
        self._give = give
        self._mutex = threading.Lock()
        self._request = _closed_lock()
        self._bell = _closed_lock()
        self._is_asked = False
        self._is_wanted = False
        self._error: OSError | None = None
        self._thread: threading.Thread | None = None

    def is_asked(self) -> bool:
        """Tell whether the thread is going for the lock."""
        with self._mutex:
            return self._is_asked

    def acquire(self, deadline: float) -> None:
        """Have the lock taken; raises Busy at the deadline, OSError."""
        with self._mutex:
            self._is_wanted = True
            if not self._is_asked:
                self._is_asked = True
                self._request.release()
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._run, name="tickets-lock", daemon=True
                    )
                    self._thread.start()
        try:
            with FLOOR.away:
                has_it = self._bell.acquire(timeout=max(0.0, deadline - time.monotonic()))
        except BaseException:
            if not self._give_up():
                self._give()
            raise
        if not has_it and self._give_up():
            raise Busy
        if self._error is not None:
            raise self._error

    def _give_up(self) -> bool:
        """Stop wanting the lock; False where it came in this very instant."""
        with self._mutex:
            if self._is_asked:
                self._is_wanted = False
                return True
            self._bell.acquire(blocking=False)
            return False

    def _run(self) -> None:
        while self._is_requested():
            self._error = None
            try:
                self._take()
            except OSError as error:
                self._error = error
            with self._mutex:
                self._is_asked = False
                if self._is_wanted:
                    self._is_wanted = False
                    self._bell.release()
                elif self._error is None:
                    self._give()

    def _is_requested(self) -> bool:
        if self._request.acquire(timeout=_HELPER_IDLE_S):
            return True
        with self._mutex:
            if self._request.acquire(blocking=False):
                return True
            self._thread = None
            return False


def _closed_lock() -> threading.Lock:
    """Return a lock to wait at until somebody else opens it."""
    lock = threading.Lock()
    lock.acquire()
    return lock


def _open(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _lock_now(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
