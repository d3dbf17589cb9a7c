"""Clients for tests of real servers: JSON over a kept connection, and requests left open."""

from __future__ import annotations

import http.client
import json
import random
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests import databases
from tests.factories import Json
from tests.process import serving
from tests.process.serving import START_S, Server, read_answer, running

# Who has a client has something to wait for.
eventually = serving.eventually

# Below the ports that systems give to outgoing connections: nobody takes such a port while
# a server is restarted, and no client that tries to reach it is connected to itself.
RESTART_PORTS = range(20_000, 32_000)


@dataclass(frozen=True)
class Answer:
    """An answer to one request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One agent's connection, kept from request to request."""

    def __init__(self, server: Server, *, token: str | None = None) -> None:
        self._connection = http.client.HTTPConnection(server.host, server.port, timeout=START_S)
        self._token = token
        # When the last byte of the newest request had left, None before that.
        self.sent_ns: int | None = None

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the answer, whatever it is. Raises OSError or HTTPException for none."""
        headers = dict(headers or {})
        if (token or self._token) is not None:
            headers["Authorization"] = f"Bearer {token or self._token}"
        if key is not None:
            headers["Idempotency-Key"] = key
        data = None if body is None else json.dumps(body).encode()
        self.sent_ns = None
        self._connection.request(method, path, data, headers)
        self.sent_ns = time.monotonic_ns()
        response = self._connection.getresponse()
        shown = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, shown, response.read())

    def get(self, path: str) -> Any:
        """Return the document at a path that is there."""
        return self._expect(200, "GET", path).json

    def pages(self, path: str) -> list[Json]:
        """Return the items of every page."""
        items: list[Json] = []
        cursor: str | None = ""
        while cursor is not None:
            page = self.get(f"{path}?limit=1000" + (f"&cursor={cursor}" if cursor else ""))
            items += page["items"]
            cursor = page["next_cursor"]
        return items

    def post(self, path: str, body: Any = None, *, status: int = 200, **more: Any) -> Any:
        """Post a document; return what is answered, None where that is empty."""
        answer = self._expect(status, "POST", path, body, **more)
        return answer.json if answer.body else None

    def delete(self, path: str) -> None:
        """Delete what is there."""
        self._expect(200, "DELETE", path)

    def pipeline(self, definition: Json, name: str = "p") -> str:
        """Create a pipeline; return its id."""
        body = {"name": name, "definition": definition}
        return str(self.post("/pipelines", body, status=201)["id"])

    def task(self, pipeline_id: str, title: str = "t", **fields: Any) -> str:
        """Create a task; return its id."""
        body = {"pipeline_id": pipeline_id, "title": title, "description": "", **fields}
        return str(self.post("/tasks", body, status=201)["id"])

    def claim(self, role: str, agent: str = "a", **fields: Any) -> Json:
        """Claim a task that is there."""
        body = {"agent_id": agent, "agent_role": role, **fields}
        claim: Json = self.post("/leases/claim", body)
        return claim

    def on_run(self, claim: Json, part: str, body: Json, *, status: int = 200) -> Any:
        """Post to a part of a claimed run, with its token."""
        path = f"/runs/{claim['run']['id']}/{part}"
        return self.post(path, body, status=status, token=claim["lease_token"])

    def _expect(self, status: int, *request: Any, **more: Any) -> Answer:
        answer = self.send(*request, **more)
        assert answer.status == status, (request, answer)
        return answer

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Open:
    """A request that was sent and is not answered yet."""

    def __init__(
        self,
        server: Server,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: t", f"Content-Length: {len(data)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += [f"Authorization: Bearer {token}"] if token is not None else []
        lines += [f"Idempotency-Key: {key}"] if key is not None else []
        with ExitStack() as stack:
            self.socket: socket.socket = stack.enter_context(server.connect())
            self.socket.sendall("\r\n".join([*lines, "\r\n"]).encode() + data)
            # From here on it is whoever made this that closes it.
            stack.pop_all()

    def answer(self) -> Answer:
        """Wait for the answer, and close the connection."""
        with self.socket:
            return Answer(*read_answer(self.socket))


@contextmanager
def tickets(home: Path, *flags: str, **variables: str) -> Iterator[Server]:
    """Serve the database of ``home`` on a free port, unless the flags say another."""
    place = () if "--db" in flags else ("--db", databases.of_home(home))
    command = ["-m", "tickets", "serve", "--port", "0", *place, *flags]
    # A server that is killed cannot clear away its scratch directory.
    variables = {"TMPDIR": str(home), **variables}
    with running([*command, "--log-level", "warning"], home=home, **variables) as server:
        yield server


def free_port() -> int:
    """Return a port on which one server after the other can listen."""
    while True:
        port = random.choice(RESTART_PORTS)
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Tell whether a server could listen there now."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def workers_of(server: Server) -> list[int]:
    """Return the ids of a server's living worker processes."""
    return [
        pid
        for pid, parent, state in _processes()
        if parent == server.process.pid and not state.startswith("Z")
    ]


def _processes() -> Iterator[tuple[int, int, str]]:
    """Yield id, parent and state of every process; a small machine may have no ``ps``."""
    if not Path("/proc/self/stat").exists():
        command = ["ps", "-A", "-o", "pid=,ppid=,stat="]
        listing = subprocess.run(command, capture_output=True, text=True, check=True)
        for line in listing.stdout.splitlines():
            pid, parent, state = line.split()
            yield int(pid), int(parent), state
        return
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name in parentheses may hold anything.
            state, parent = file.read_text().rpartition(")")[2].split()[:2]
            yield int(file.parent.name), int(parent), state
