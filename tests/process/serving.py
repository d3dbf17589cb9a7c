"""Starts real servers for tests: a process, the port it chose, and a promise that it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
DUMMY = Path(__file__).with_name("dummy_server.py")
START_S = 30.0
STOP_S = 20.0

_LISTENING = re.compile(r"listening http://(\S+):(\d+)\n")


class LogReader:
    """Reads a process's standard error to its end, so that the process never waits for us."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        self._stream = process.stderr
        self._log = b""
        self._is_over = False
        self._changed = threading.Condition()
        threading.Thread(target=self._run, daemon=True).start()

    def text(self) -> str:
        with self._changed:
            return self._log.decode(errors="replace")

    def wait_for(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Return the first match, or None where the process ends or dawdles without one."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._is_over or pattern.search(self._log.decode(errors="replace")),
                timeout=START_S,
            )
            return pattern.search(self._log.decode(errors="replace"))

    def _run(self) -> None:
        with self._stream as stream:
            while data := os.read(stream.fileno(), 65_536):
                with self._changed:
                    self._log += data
                    self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()


@dataclass
class Server:
    """One running server."""

    process: subprocess.Popen[bytes]
    host: str
    port: int
    reader: LogReader

    @property
    def log(self) -> str:
        """What the server has written so far."""
        return self.reader.text()

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


def eventually(ask: Callable[[], T | None], *, within_s: float = START_S) -> T:
    """Ask until the answer is true-ish, and return it."""
    deadline = time.monotonic() + within_s
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"not within {within_s} s: {ask}"
        time.sleep(0.005)
    return answer


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
        reader = LogReader(process)
        match = reader.wait_for(_LISTENING)
        if match is None:
            raise AssertionError(f"the server did not start: {reader.text()}")
        yield Server(process, match[1].strip("[]"), int(match[2]), reader)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_S)
