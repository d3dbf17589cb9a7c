"""The two ways to make a load: wrk, and processes of our own where there is no wrk."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection as Pipe
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Protocol

from scripts.bench.agents import Part, run_part
from scripts.bench.connection import Address
from scripts.bench.outcome import Outcome

LUA = Path(__file__).with_name("load.lua")
# Added to wrk's duration, which is whole seconds; the script ends it when its window is over.
SLACK_S = 5
PROCESSES = 2
ANSWER_S = 120.0


@dataclass(frozen=True)
class Agents:
    """Agents that loop: claim, events, transition. See load.lua for the order."""

    role: str
    connections: int
    events: int = 1
    order: str = "causal"


@dataclass(frozen=True)
class Posts:
    """The same document, sent again and again."""

    path: str
    body: bytes
    connections: int


Load = Agents | Posts


class Generator(Protocol):
    """Puts a load on a service."""

    name: str

    def run(self, address: Address, load: Load, seconds: float) -> Outcome:
        """Load a service for so long and return what came of it."""

    def close(self) -> None:
        """End what it keeps running."""


class WrkFailed(Exception):
    """wrk ended without a result."""


class Wrk:
    """wrk with our script; one thread of it is far faster than the service."""

    def __init__(self) -> None:
        self.name = wrk_version()

    def run(self, address: Address, load: Load, seconds: float) -> Outcome:
        """Run wrk once."""
        with tempfile.NamedTemporaryFile(prefix="bench-body-") as file:
            if isinstance(load, Posts):
                file.write(load.body)
                file.flush()
            arguments = wrk_arguments(load, seconds, file.name)
            if address.token:
                arguments.append(address.token)
            command = ["wrk", "-t1", f"-c{load.connections}", f"-d{int(seconds) + SLACK_S}"]
            command += ["-s", str(LUA), address.url, "--", *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise WrkFailed(done.stderr or done.stdout)
        return parse_wrk(done.stdout)

    def close(self) -> None:
        """Nothing keeps running."""


def wrk_arguments(load: Load, seconds: float, body_file: str) -> list[str]:
    """Return what load.lua is told."""
    if isinstance(load, Agents):
        return ["agents", f"{seconds}", load.role, str(load.events), load.order]
    return ["post", f"{seconds}", load.path, body_file]


def parse_wrk(output: str) -> Outcome:
    """Return what the last line of wrk's output says. Raises WrkFailed for another line."""
    lines = output.strip().splitlines()
    try:
        return Outcome.of(json.loads(lines[-1]))
    except (IndexError, KeyError, TypeError, ValueError):
        raise WrkFailed(f"no result at the end of wrk's output:\n{output}") from None


def wrk_version() -> str:
    """Return what wrk calls itself."""
    # It has no flag that shows its version and succeeds.
    said = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False).stdout
    return " ".join(said.split()[:2]) or "wrk"


def has_wrk() -> bool:
    """Return whether wrk is installed."""
    return shutil.which("wrk") is not None


class Processes:
    """Processes of Python that stay, each with a thread for each of its connections."""

    def __init__(self, processes: int = PROCESSES) -> None:
        self.name = f"Python, {processes} processes"
        spawn = multiprocessing.get_context("spawn")
        self._barrier = spawn.Barrier(processes)
        self._workers = []
        for _ in range(processes):
            here, there = spawn.Pipe()
            worker = spawn.Process(target=_serve, args=(there, self._barrier), daemon=True)
            worker.start()
            there.close()
            self._workers.append((worker, here))

    def run(self, address: Address, load: Load, seconds: float) -> Outcome:
        """Let every process run its part at the same time."""
        if isinstance(load, Agents) and load.order != "causal":
            raise ValueError("only wrk can send events and transition together")
        shares = shared_out(load.connections, len(self._workers))
        for (_, pipe), share in zip(self._workers, shares, strict=True):
            pipe.send((address, _part(load, share, seconds)))
        return Outcome.side_by_side([_received(pipe, seconds) for _, pipe in self._workers])

    def close(self) -> None:
        """End the processes."""
        for worker, pipe in self._workers:
            pipe.send(None)
            worker.join()
            pipe.close()


def shared_out(count: int, among: int) -> Sequence[int]:
    """Return whole shares that differ by at most one."""
    return [count // among + (1 if i < count % among else 0) for i in range(among)]


def _part(load: Load, connections: int, seconds: float) -> Part:
    if isinstance(load, Agents):
        return Part(connections, seconds, role=load.role, events=load.events)
    return Part(connections, seconds, path=load.path, body=load.body)


def _received(pipe: Pipe, seconds: float) -> Outcome:
    if not pipe.poll(seconds + ANSWER_S):
        raise TimeoutError("a process of the generator does not answer")
    answer = pipe.recv()
    if isinstance(answer, Exception):
        raise answer
    assert isinstance(answer, Outcome)
    return answer


def _serve(pipe: Pipe, barrier: Barrier) -> None:
    # The end of the pipe is the end of the benchmark, however it came.
    with suppress(EOFError, KeyboardInterrupt):
        _serve_all(pipe, barrier)


def _serve_all(pipe: Pipe, barrier: Barrier) -> None:
    while (work := pipe.recv()) is not None:
        address, part = work
        try:
            pipe.send(run_part(address, part, lambda: barrier.wait(ANSWER_S)))
        except Exception as error:  # noqa: BLE001  # raised again on the other side
            pipe.send(error)


def choose(name: str) -> Generator:
    """Return the generator of this name; ``auto`` is wrk where it is installed."""
    if name == "wrk" or (name == "auto" and has_wrk()):
        return Wrk()
    return Processes()
