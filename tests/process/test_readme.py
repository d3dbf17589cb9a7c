"""What the README promises, run as it is written there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.factories import REVIEW
from tests.process.agents import AGENT, README, agent, hurried, program
from tests.process.clients import Client, eventually, free_port, tickets
from tests.process.pages import documents, shell_of
from tests.process.serving import START_S, STOP_S, Server
from tests.process.stand_ins import jq

WALK = "The first five minutes"
# What `sh` is differs from machine to machine.
KINDS = ["sh", "bash", "dash", "busybox sh"]
FOUND = [(kind, shutil.which(kind.split()[0])) for kind in KINDS]
SHELLS = {os.path.realpath(path): kind for kind, path in FOUND if path is not None}.values()


def test_the_first_five_minutes_end_with_a_task_that_is_done(
    tmp_path: Path, shell: dict[str, str]
) -> None:
    with tickets(tmp_path, "--workers", "1") as server:
        result = subprocess.run(
            ["sh", "-eu"],
            input=shell_of(README, WALK, server.port),
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
    assert "/tasks/$(jq -r .id task.json)/why" in README
    with Client(server) as client:
        return [reason["code"] for reason in client.get(f"/tasks/{task_id}/why")["reasons"]]


def test_the_shell_agent_works_through_its_tasks(tmp_path: Path, shell: dict[str, str]) -> None:
    program(tmp_path, 'read line; echo "$line" >>done; [ "$line" != break ]')
    with tickets(tmp_path, "--workers", "1") as server, Client(server) as client:
        pipeline_id = client.pipeline(REVIEW)
        good = client.task(pipeline_id, description="build", priority=1)
        bad = client.task(pipeline_id, description="break", retry_policy={"max_attempts": 1})

        with agent(shell_of(README, AGENT, server.port), shell, tmp_path):
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


def test_a_shell_agent_that_is_ended_leaves_nothing_that_could_claim(
    tmp_path: Path, shell: dict[str, str]
) -> None:
    program(tmp_path, "cat >>done")
    with tickets(tmp_path, "--workers", "1") as server, Client(server) as client:
        pipeline_id = client.pipeline(REVIEW)
        first = client.task(pipeline_id, description="build")
        with agent(shell_of(README, AGENT, server.port), shell, tmp_path) as process:
            eventually(lambda: client.get(f"/tasks/{first}")["stage"] == "review")
            process.terminate()

            eventually(lambda: is_over(process.pid))

        second = client.task(pipeline_id, description="build")
        assert client.claim("coder")["task"]["id"] == second


def is_over(group: int) -> bool:
    """Tell whether no process of a group is left but its ended leader, whom we wait for."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pgid=,stat="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split() for line in listed.splitlines()]
    return all(state.startswith("Z") for number, state in rows if number == str(group))


def test_two_shell_agents_share_a_directory_and_the_work(
    tmp_path: Path, shell: dict[str, str]
) -> None:
    program(tmp_path, "cat >>done")
    with tickets(tmp_path, "--workers", "1") as server, Client(server) as client:
        pipeline_id = client.pipeline(REVIEW)
        tasks = [client.task(pipeline_id, description=f"t{n}\n") for n in range(12)]
        script = shell_of(README, AGENT, server.port)
        with agent(script, shell, tmp_path), agent(script, shell, tmp_path):
            eventually(lambda: not client.get("/tasks?stage=coding")["items"])

        runs = [client.get(f"/tasks/{task_id}")["latest_run"]["attempt"] for task_id in tasks]
        assert runs == [1] * len(tasks)


def test_a_shell_agent_stops_work_that_is_no_longer_its_own(
    tmp_path: Path, shell: dict[str, str]
) -> None:
    program(tmp_path, "echo $$ >pid; mv pid began; exec sleep 60")
    with tickets(tmp_path, "--workers", "1") as server, Client(server) as client:
        task_id = client.task(client.pipeline(REVIEW), description="build")
        script = hurried(server.port)
        with agent(script, shell, tmp_path):
            eventually((tmp_path / "began").exists)
            worker = int((tmp_path / "began").read_text())
            client.post(f"/tasks/{task_id}/cancel", {})

            eventually(lambda: is_gone(worker))


def test_a_result_of_a_shell_agent_outlasts_a_service_that_is_away(
    tmp_path: Path, shell: dict[str, str]
) -> None:
    program(tmp_path, "echo $$ >pid; mv pid began; while [ ! -e go ]; do sleep 0.05; done")
    port = ("--workers", "1", "--port", str(free_port()))
    with ExitStack() as stack:
        with tickets(tmp_path, *port) as server, Client(server) as client:
            task_id = client.task(client.pipeline(REVIEW), description="build")
            script = hurried(server.port)
            stack.enter_context(agent(script, shell, tmp_path))
            eventually((tmp_path / "began").exists)
            worker = int((tmp_path / "began").read_text())
        # Heartbeats find nobody now, and so does the first try to tell of the end.
        (tmp_path / "go").touch()
        eventually(lambda: is_gone(worker))
        with tickets(tmp_path, *port) as server, Client(server) as client:
            eventually(lambda: client.get(f"/tasks/{task_id}")["stage"] == "review")
            assert client.get(f"/tasks/{task_id}")["latest_run"]["attempt"] == 1


def is_gone(process: int) -> bool:
    """Tell whether there is no process of this number."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


# A script with a child: both are of the work.
LONG = "sleep 60 & echo $! >pids; echo $$ >>pids; mv pids began; wait"


def workers(home: Path) -> list[int]:
    """Return the processes of a work that has begun."""
    eventually((home / "began").exists)
    return [int(line) for line in (home / "began").read_text().split()]


@pytest.mark.parametrize("kind", SHELLS)
def test_a_shell_agent_that_is_stopped_gives_its_task_back(
    tmp_path: Path, shell: dict[str, str], kind: str
) -> None:
    program(tmp_path, LONG)
    with tickets(tmp_path, "--workers", "1") as server, Client(server) as client:
        task_id = client.task(client.pipeline(REVIEW), description="build")
        script = shell_of(README, AGENT, server.port)
        with agent(script, shell, tmp_path, kind=kind) as process:
            begun = workers(tmp_path)
            process.terminate()

            process.wait(STOP_S)
            assert client.get(f"/tasks/{task_id}")["latest_run"]["status"] == "released"
            assert client.claim("coder")["task"]["id"] == task_id
            eventually(lambda: all(is_gone(pid) for pid in begun))
            eventually(lambda: is_over(process.pid))


# Where the agent has a task and may not know it yet: a program, and what it is asked for.
MOMENTS = [
    ("curl", "/leases/claim"),
    ("jq", ".run.id"),
    ("jq", ".lease_id"),
    ("jq", ".lease_token"),
    ("jq", ".task.description"),
]


@pytest.mark.parametrize("kind", SHELLS)
def test_a_shell_agent_that_is_stopped_right_after_a_claim_gives_that_task_back(
    tmp_path: Path, shell: dict[str, str], kind: str
) -> None:
    program(tmp_path, 'read line; [ "$line" = short ] || exec sleep 60')
    with tickets(tmp_path, "--workers", "1") as server, Client(server) as client:
        pipeline_id = client.pipeline(REVIEW)
        script = shell_of(README, AGENT, server.port)
        for moment in MOMENTS:
            slow = {**shell, "PATH": dawdling(tmp_path, shell["PATH"], *moment)}
            # The token of the task before is not that of the other.
            before = client.task(pipeline_id, description="short\n")
            with agent(script, slow, tmp_path, kind=kind) as process:
                await_stage(client, before, "review")
                (tmp_path / "hold").touch()
                task_id = client.task(pipeline_id, description="long\n")
                eventually((tmp_path / "held").exists)
                process.terminate()
                (tmp_path / "hold").unlink()

                process.wait(STOP_S)
            assert client.get(f"/tasks/{task_id}")["latest_run"]["status"] == "released", moment
            client.post(f"/tasks/{task_id}/cancel", {})
            (tmp_path / "held").unlink()


def await_stage(client: Client, task_id: str, stage: str) -> None:
    """Wait until a task is in a stage."""
    eventually(lambda: client.get(f"/tasks/{task_id}")["stage"] == stage)


def dawdling(home: Path, path: str, program: str, wanted: str) -> str:
    """Return a PATH with a program that, asked for something, is not over while ``hold`` is."""
    real = shutil.which(program, path=path)
    slow = Path(tempfile.mkdtemp(dir=home))
    pause = "while [ -e hold ]; do touch held; sleep 0.01; done"
    (slow / program).write_text(
        f'#!/bin/sh\n{real} "$@"; status=$?\n'
        f'case "$*" in *{wanted}*) {pause} ;; esac; exit $status\n'
    )
    (slow / program).chmod(0o755)
    return f"{slow}:{path}"


@pytest.mark.parametrize("kind", SHELLS)
def test_a_shell_agent_that_is_killed_neither_holds_its_task_nor_works_on(
    tmp_path: Path, shell: dict[str, str], kind: str
) -> None:
    program(tmp_path, LONG)
    with ExitStack() as stack:
        server = stack.enter_context(tickets(tmp_path, "--workers", "1"))
        client = stack.enter_context(Client(server))
        task_id = client.task(client.pipeline(REVIEW), description="build")
        # The lease runs out soon after the claim, or after the last heartbeat.
        script = hurried(server.port).replace('"agent_id"', '"lease_ttl_ms": 2000, "agent_id"')
        script = script.replace("/heartbeat ", '/heartbeat -d {\\"lease_ttl_ms\\":2000} ')
        process = stack.enter_context(agent(script, shell, tmp_path, kind=kind))
        begun = workers(tmp_path)
        stack.callback(end_all, begun)

        process.kill()
        process.wait(STOP_S)

        eventually(lambda: is_over(process.pid))
        eventually(lambda: all(is_gone(pid) for pid in begun))
        eventually(lambda: client.get(f"/tasks/{task_id}")["latest_run"]["status"] == "stale")


def end_all(processes: list[int]) -> None:
    """Kill what is left of some processes."""
    for process in processes:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def test_the_forty_lines_are_no_more_than_that() -> None:
    lines = [line.strip() for line in shell_of(README, AGENT, 7700).splitlines()]

    assert len([line for line in lines if line and not line.startswith("#")]) <= 40


def test_a_missing_jq_is_stood_in_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "document.json"
    file.write_text('{"a": {"b": "ü", "c": [1]}, "d": null}')

    for wanted in (["-r", ".a.b"], [".a.b"], ["-r", ".d.e"], ["{d, x}"]):
        jq([*wanted, str(file)])

    assert capsys.readouterr().out == 'ü\n"ü"\nnull\n{\n  "d": null,\n  "x": null\n}\n'
