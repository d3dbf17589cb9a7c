"""A network between a service and its database server that can stand still."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CHUNK = 65_536


class Proxy:
    """Carries bytes from a port of its own to a server's socket, as long as it is let to."""

    def __init__(self, target: Path, host: str) -> None:
        self._target = target
        self._listener = socket.create_server((host, 0))
        self._open: list[socket.socket] = [self._listener]
        self._flows = threading.Event()
        self._flows.set()
        self._is_over = False
        self.host = host
        self.port: int = self._listener.getsockname()[1]
        self._carry(self._accept)

    def url(self, url: str, **settings: object) -> str:
        """Return the URL of a database of the server as it is reached from here."""
        front, _, rest = url.partition("@/")
        name = rest.partition("?")[0]
        more = "&".join(f"{key}={value}" for key, value in settings.items())
        return f"{front}@{self.host}:{self.port}/{name}?{more}"

    def stall(self) -> None:
        """Carry nothing from now on; connections stay, and new ones come to nothing."""
        self._flows.clear()

    def flow(self) -> None:
        """Carry what has been waiting, and all that comes."""
        self._flows.set()

    def close(self) -> None:
        """End every connection."""
        self._is_over = True
        self._flows.set()
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _carry(self, work: object, *arguments: object) -> None:
        assert callable(work)
        threading.Thread(target=work, args=arguments, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._flows.wait()
                server = socket.socket(socket.AF_UNIX)
                self._open += [client, server]
                server.connect(str(self._target))
                self._carry(self._copy, client, server)
                self._carry(self._copy, server, client)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                self._flows.wait()
                target.sendall(data)
            # Whoever hangs up is heard of at the other end.
            target.shutdown(socket.SHUT_WR)


@contextmanager
def proxy_to(folder: Path, host: str = "127.0.0.1") -> Iterator[Proxy]:
    """Carry bytes to the server in this folder during the block."""
    proxy = Proxy(folder / ".s.PGSQL.5432", host)
    try:
        yield proxy
    finally:
        proxy.close()
