"""What the README promises, run as it is written there."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.factories import REVIEW
from tests.process.clients import Client, eventually, tickets
from tests.process.serving import ROOT, START_S, STOP_S, Server, environment
from tests.process.stand_ins import jq, tools

README = (ROOT / "README.md").read_text(encoding="utf-8")
WALK = "The first five minutes"
AGENT = "An agent in twenty lines of shell"


def shell_of(heading: str, port: int) -> str:
    """Return the shell blocks below a heading, with this server's port in them."""
    section = re.search(rf"^## {heading}\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)
    assert section is not None, heading
    blocks = re.findall(r"^```sh\n(.*?)^```$", section[1], re.DOTALL | re.MULTILINE)
    assert blocks, heading
    return "\n".join(blocks).replace("localhost:7700", f"localhost:{port}")


def documents(text: str) -> list[Any]:
    """Return the JSON documents that were printed one after the other."""
    found = []
    decoder = json.JSONDecoder()
    while text := text.strip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


@pytest.fixture(params=[False, True], ids=["of this machine", "stand-ins"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    variables = environment(tmp_path)
    path = tools(tmp_path / "bin", all_of_them=request.param)
    return {**variables, "PATH": f"{path}:{variables['PATH']}"}


def test_the_first_five_minutes_end_with_a_task_that_is_done(
    tmp_path: Path, shell: dict[str, str]
) -> None:
    with tickets(tmp_path, "--workers", "1") as server:
        result = subprocess.run(
            ["sh", "-eu"],
            input=shell_of(WALK, server.port),
            env=shell,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )
        why = why_of(server, json.loads((tmp_path / "task.json").read_text())["id"])

    assert (result.returncode, result.stderr) == (0, "")
    answers = documents(result.stdout)
    assert all("error" not in answer for answer in answers)
    assert (answers[-1]["stage"], answers[-1]["task_version"]) == ("done", 3)
    assert answers[-1]["latest_run"]["status"] == "completed"
    assert why == ["terminal_stage"]


def why_of(server: Server, task_id: str) -> list[str]:
    """Return why a task cannot be claimed, as the walk tells its reader to ask."""
    assert "/tasks/$ID/why" in README
    with Client(server) as client:
        return [reason["code"] for reason in client.get(f"/tasks/{task_id}/why")["reasons"]]


@contextmanager
def agent(script: str, shell: dict[str, str], home: Path) -> Iterator[None]:
    """Run a shell agent, and end it with the heartbeats that it has begun."""
    (home / "agent.sh").write_text(script)
    process = subprocess.Popen(
        ["sh", "agent.sh"],
        env=shell,
        cwd=home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_S)


def test_the_shell_agent_works_through_its_tasks(tmp_path: Path, shell: dict[str, str]) -> None:
    work = tmp_path / "work"
    work.write_text('#!/bin/sh\nread line; echo "$line" >>done; [ "$line" != \'break\' ]\n')
    work.chmod(0o755)
    with tickets(tmp_path, "--workers", "1") as server, Client(server) as client:
        pipeline_id = client.pipeline(REVIEW)
        good = client.task(pipeline_id, description="build", priority=1)
        bad = client.task(pipeline_id, description="break", retry_policy={"max_attempts": 1})

        with agent(shell_of(AGENT, server.port), shell, tmp_path):
            eventually(lambda: client.get(f"/tasks/{bad}")["dead_letter_reason"])
            # It waits by now, and is woken.
            late = client.task(pipeline_id, description="build late")
            eventually(lambda: client.get(f"/tasks/{late}")["stage"] == "review")

        assert client.get(f"/tasks/{good}")["stage"] == "review"
        run = client.get(f"/tasks/{bad}")["latest_run"]
        assert (run["status"], run["error"]) == ("failed", "work failed")
        assert (tmp_path / "done").read_text().split("\n") == [
            "build",
            "break",
            "build late",
            "",
        ]


def test_the_twenty_lines_are_no_more_than_that() -> None:
    lines = [line.strip() for line in shell_of(AGENT, 7700).splitlines()]

    assert len([line for line in lines if line and not line.startswith("#")]) <= 20


def test_a_missing_jq_is_stood_in_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "document.json"
    file.write_text('{"a": {"b": "ü", "c": [1]}, "d": null}')

    for wanted in (["-r", ".a.b"], [".a.b"], ["-r", ".d.e"], ["{d, x}"]):
        jq([*wanted, str(file)])

    assert capsys.readouterr().out == 'ü\n"ü"\nnull\n{\n  "d": null,\n  "x": null\n}\n'
