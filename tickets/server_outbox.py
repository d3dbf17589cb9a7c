"""One answer on its way to its client: collected whole, sent at once, the rest as it is taken.

No thread waits for a client that does not read. Head and body leave in one call, because each
call gives up the interpreter lock.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable

# The kernel takes 1 024 pieces at most in one call.
PIECES_MAX = 512


class Outbox:
    """What the client of one connection has not taken yet."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._pieces: list[memoryview] = []

    def __len__(self) -> int:
        return sum(len(piece) for piece in self._pieces)

    def add(self, pieces: Iterable[bytes]) -> None:
        """Append bytes; they are not copied."""
        self._pieces += [memoryview(piece) for piece in pieces if piece]

    def clear(self) -> None:
        """Forget what nobody will take."""
        self._pieces.clear()

    def flush(self) -> bool:
        """Send what the socket takes without waiting; return whether nothing is left.

        Raises OSError where the client went away.
        """
        try:
            while self._pieces:
                self._forget(self._sock.sendmsg(self._pieces[:PIECES_MAX]))
        except (BlockingIOError, InterruptedError):
            return False
        return True

    def _forget(self, sent: int) -> None:
        done = 0
        for piece in self._pieces:
            if len(piece) > sent:
                break
            sent -= len(piece)
            done += 1
        del self._pieces[:done]
        if sent:
            self._pieces[0] = self._pieces[0][sent:]
