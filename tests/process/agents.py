"""The shell agent of the README, run as it is written there."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.process.pages import shell_of
from tests.process.serving import ROOT, STOP_S

README = (ROOT / "README.md").read_text(encoding="utf-8")
AGENT = "An agent in forty lines of shell"


@contextmanager
def agent(
    script: str, shell: dict[str, str], home: Path, *, kind: str = "sh", **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a shell agent as the leader of a process group, its work in one of its own."""
    (home / "agent.sh").write_text(script)
    process = subprocess.Popen(
        [*kind.split(), "agent.sh"],
        env={**shell, **variables},
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        # It ends its work, which is not of its group.
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_S)


def hurried(port: int) -> str:
    """Return the agent with a tenth of a second between heartbeats instead of a minute."""
    script = shell_of(README, AGENT, port)
    assert script.count("sleep 1 ") == script.count("% 60") == 1
    return script.replace("sleep 1 ", "sleep 0.1 ").replace("% 60", "% 1")


def program(home: Path, text: str) -> None:
    """Write what the shell agent calls to work on a task."""
    work = home / "work"
    work.write_text(f"#!/bin/sh\n{text}\n")
    work.chmod(0o755)
