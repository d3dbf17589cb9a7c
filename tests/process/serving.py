"""Starts real servers for tests: a process, the port it chose, and a promise that it ends."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
DUMMY = Path(__file__).with_name("dummy_server.py")
START_S = 30.0
STOP_S = 20.0

_LISTENING = re.compile(rb"listening http://(\S+):(\d+)\n")


@dataclass
class Server:
    """One running server; ``log`` is what it has written so far."""

    process: subprocess.Popen[bytes]
    host: str
    port: int
    log: bytes

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=START_S)

    def exchange(self, *parts: bytes) -> tuple[int, dict[str, str], bytes]:
        """Send bytes as they are and return status, headers and body of the answer."""
        with self.connect() as client:
            for part in parts:
                client.sendall(part)
            return read_answer(client)

    def get(self, path: str) -> tuple[int, Any]:
        status, _, body = self.exchange(
            f"GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n".encode()
        )
        return status, json.loads(body)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the process and return its exit status, in time."""
        self.process.send_signal(number)
        return self.process.wait(STOP_S)


def read_answer(client: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers (lower case) and body of the next answer on the connection."""
    # Byte by byte, so that nothing of a following answer is taken with it.
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += _received(client, 1)
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    body = b""
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    while len(body) < int(headers.get("content-length", "0")):
        body += _received(client, int(headers["content-length"]) - len(body))
    return int(first.split()[1]), headers, body


def _received(client: socket.socket, size: int) -> bytes:
    data = client.recv(size)
    if not data:
        raise ConnectionError("the server closed the connection without an answer")
    return data


def environment(home: Path, **variables: str) -> dict[str, str]:
    """Return an environment that holds nothing of the tester's own settings."""
    path = os.environ.get("PATH", os.defpath)
    return {"PATH": path, "HOME": str(home), "PYTHONPATH": str(ROOT), **variables}


def run_cli(
    *arguments: str, home: Path, cwd: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run ``tickets`` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "tickets", *arguments],
        env=environment(home, **variables),
        cwd=cwd or home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


@contextmanager
def running(command: Sequence[str], *, home: Path, **variables: str) -> Iterator[Server]:
    """Start a server, wait until it listens, and kill its process group at the end."""
    process = subprocess.Popen(
        [sys.executable, *command],
        env=environment(home, **variables),
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield _started(process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_S)
        assert process.stderr is not None
        process.stderr.close()


def _started(process: subprocess.Popen[bytes]) -> Server:
    assert process.stderr is not None
    log = b""
    deadline = time.monotonic() + START_S
    with selectors.DefaultSelector() as selector:
        selector.register(process.stderr, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            if not selector.select(deadline - time.monotonic()):
                break
            data = os.read(process.stderr.fileno(), 65_536)
            log += data
            match = _LISTENING.search(log)
            if match:
                return Server(process, match[1].decode().strip("[]"), int(match[2]), log)
            if not data:
                break
    raise AssertionError(f"the server did not start: {log.decode(errors='replace')}")
