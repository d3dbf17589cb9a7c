"""Long polls: ask, wait for a wake-up without touching the database, ask again."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from falcon import Request

from tickets.db.wakeups import Wakeups

T = TypeVar("T")


class Waiting:
    """The places for waiting requests of one process.

    A wait holds a thread of the server, so there are fewer places than threads: a request
    that finds none is answered at once and never keeps others from being served.
    """

    def __init__(
        self, wakeups: Wakeups, *, places: int, count_refused: Callable[[], object]
    ) -> None:
        self._wakeups = wakeups
        self._places = threading.BoundedSemaphore(places) if places > 0 else None
        self._count_refused = count_refused
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Answer all waiting requests soon, and let no more wait."""
        self._stopping.set()
        self._wakeups.wake_all()

    def until(
        self,
        ask: Callable[[], T],
        *,
        is_enough: Callable[[T], bool],
        topics: Sequence[str],
        wait_ms: int,
        all_woken: bool = False,
        is_gone: Callable[[], bool] = lambda: False,
        on_full: Callable[[], object] = lambda: None,
    ) -> T:
        """Return the first answer that is enough, or the last one when the time is over.

        ``ask`` runs once at first and once for each wake-up of a topic. With ``all_woken``
        every wait on a topic is woken, else as many as there were wake-ups. Where ``is_gone``
        says so, nothing is asked for any more and the wake-up goes to the next in line.
        ``on_full`` is called where a wait was wanted and there is no place for it.
        """
        if wait_ms <= 0:
            return ask()
        if self._places is None or not self._places.acquire(blocking=False):
            self._count_refused()
            on_full()
            return ask()
        try:
            deadline = time.monotonic() + wait_ms / 1000
            with self._wakeups.subscribe(topics, all_woken=all_woken) as subscription:
                answer = ask()
                while not is_enough(answer) and not self._stopping.is_set():
                    left_s = deadline - time.monotonic()
                    if left_s <= 0 or not subscription.wait(left_s):
                        break
                    if is_gone():
                        subscription.pass_on()
                        break
                    answer = ask()
                    if not is_enough(answer):
                        subscription.pass_on()
                return answer
        finally:
            self._places.release()


def client_is_gone(req: Request) -> bool:
    """Tell whether the client closed its connection, where the server lets us see that.

    What such a client was granted, nobody would work on until the lease runs out.
    """
    client: socket.socket | None = req.env.get("gunicorn.socket")
    if client is None:
        return False
    try:
        poll = select.poll()
        poll.register(client, select.POLLIN)
        # Without the poll, the socket's own timeout would apply. Data is the next request.
        return bool(poll.poll(0)) and client.recv(1, socket.MSG_PEEK) == b""
    except (OSError, ValueError):
        return True
