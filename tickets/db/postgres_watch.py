"""Blocks that get no answer any more, and where the server cannot be reached either.

A connection over a network that loses packets ends after a while by itself. Behind a proxy or a
server that stands still it does not, because its other end is alive; a statement would wait for
its answer for ever.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

import psycopg

# A block that lasts longer is looked into; a lock or much work may well be the reason.
STALLED_S: Final = 10.0
_PERIOD_S: Final = 1.0

T = TypeVar("T", bound=Hashable)


class Watch(Generic[T]):
    """What is being used since when; ``cut`` is told of all that has to end."""

    def __init__(
        self,
        parameters: dict[str, Any],
        cut: Callable[[list[T]], None],
        *,
        stalled_s: float = STALLED_S,
    ) -> None:
        self._parameters = parameters
        self._cut = cut
        self._stalled_s = stalled_s
        self._since: dict[T, float] = {}
        self._mutex = threading.Lock()
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, used: T) -> None:
        """Remember that something is used from now on."""
        self._since[used] = time.monotonic()
        if self._thread is None:
            self._start()

    def end(self, used: T) -> None:
        """Forget it again."""
        self._since.pop(used, None)

    def close(self) -> None:
        """Look no more."""
        self._is_over.set()

    def _start(self) -> None:
        with self._mutex:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="tickets-watch", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        while not self._is_over.wait(min(_PERIOD_S, self._stalled_s)):
            slow = self._older_than(self._stalled_s)
            if not slow:
                continue
            asked_at = time.monotonic()
            if _answers(self._parameters):
                # It is at work, or waits for a lock: that is asked again later.
                self._since.update(dict.fromkeys(slow & self._since.keys(), asked_at))
            else:
                self._cut(list(slow & self._since.keys()))

    def _older_than(self, seconds: float) -> set[T]:
        limit = time.monotonic() - seconds
        return {used for used, since in self._since.copy().items() if since < limit}


def _answers(parameters: dict[str, Any]) -> bool:
    """Tell whether the server lets somebody in, before its time to do that is over."""
    try:
        psycopg.connect(**parameters).close()
    except psycopg.Error:
        return False
    return True


def hang_up(connection: psycopg.Connection[Any]) -> None:
    """End a connection under whoever waits for its answer, who notices at once."""
    try:
        with socket.socket(fileno=os.dup(connection.fileno())) as other:
            other.shutdown(socket.SHUT_RDWR)
    except (OSError, psycopg.Error):
        # It ended meanwhile.
        return
