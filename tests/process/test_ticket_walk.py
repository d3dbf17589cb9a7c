"""The ways of a ticket through an agent, as its page shows them with curl and with a script."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from typing import Any

from tests.factories import Json
from tests.process.agents import AGENT, README, agent, program
from tests.process.clients import Client, eventually, tickets
from tests.process.pages import blocks_of, documents, shell_of
from tests.process.serving import ROOT, START_S, Server

PAGE = (ROOT / "docs" / "tickets.md").read_text(encoding="utf-8")
FIRST, ASKING = "From a title to done", "Asking a person"
OF_WEB = {"X-Workspace-Id": "web"}


def walk(server: Server, home: Path, shell: dict[str, str], *headings: str) -> list[Any]:
    """Run the commands of some sections; return what they print."""
    result = subprocess.run(
        ["sh", "-eu"],
        input="".join(shell_of(PAGE, heading, server.port) for heading in headings),
        env=shell,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=True,
    )
    return documents(result.stdout)


def test_a_ticket_goes_through_an_agent_to_its_end(
    tmp_path: Path, shell: dict[str, str]
) -> None:
    with tickets(tmp_path, "--workers", "1") as server, Client(server) as client:
        printed = walk(server, tmp_path, shell, FIRST)
        [ticket] = client.get("/tickets?workspace_id=web")["items"]
        known = client.get(f"/ledger/tasks/ticket:{ticket['id']}?workspace_id=web")

    assert printed[-1] == {"status": "done", "output_json": {"sha": "c0ffee"}}
    assert (ticket["status"], known["state"]) == ("done", "COMPLETED")


def test_a_ticket_whose_agent_asks_a_person_goes_on_with_the_answer(
    tmp_path: Path, shell: dict[str, str]
) -> None:
    with tickets(tmp_path, "--workers", "1") as server, Client(server) as client:
        printed = walk(server, tmp_path, shell, FIRST, ASKING)
        ticket = client.get("/tickets?workspace_id=web")["items"][-1]
        dispatches = client.get(f"/tickets/{ticket['id']}/dispatches?workspace_id=web")
        runs = client.get(f"/tasks/{ticket['dispatch']['task_id']}/runs")["items"]

    assert all("error" not in answer for answer in printed)
    pages = [answer["items"] for answer in printed if "items" in answer]
    [waiting], comments = pages
    assert (waiting["status_reason"], waiting["blocked_kind"]) == (
        "Into which language?",
        "input",
    )
    assert not waiting["is_blocked"]
    assert [(comment["author"], comment["body"]) for comment in comments] == [
        ("system", "Given to ada"),
        ("system", "Blocked: Into which language?"),
        ("user", "Into Danish."),
    ]
    assert ticket["status"] == "done"
    assert len(dispatches["items"]) == 1
    assert [run["status"] for run in runs] == ["released", "completed"]


def start(client: Client, **fields: Any) -> str:
    """Make a ticket for ada, a coder; return its id."""
    client.post("/workspaces", {"id": "web", "name": "The web team"}, status=201)
    assert client.send("PUT", "/workspaces/web/agents/ada", {"role": "coder"}).status == 201
    body = {"title": "Fix the login page", "assigned_agent_id": "ada", **fields}
    return str(client.post("/tickets", body, status=201, headers=OF_WEB)["id"])


def command(server: Server) -> tuple[dict[str, str], str]:
    """Return the variables that make the agent of the README one for tickets, and its work."""
    line, work = blocks_of(PAGE, "An agent for tickets", server.port)
    *variables, program_, script = shlex.split(line)
    assert (program_, script) == ("sh", "agent.sh")
    return dict(variable.split("=", 1) for variable in variables), work


def test_the_agent_of_the_readme_works_on_a_ticket(
    tmp_path: Path, shell: dict[str, str]
) -> None:
    schema = {"type": "object", "required": ["sha"]}
    with tickets(tmp_path, "--workers", "1") as server, Client(server) as client:
        ticket_id = start(client, expected_output_schema=schema)
        variables, work = command(server)
        program(tmp_path, work)
        script = shell_of(README, AGENT, server.port)
        with agent(script, shell, tmp_path, **variables):
            ticket = ended(client, ticket_id)

    assert (ticket["status"], ticket["output_json"]) == ("done", {"sha": "c0ffee"})
    assert str(schema["type"]) in (tmp_path / "schema.json").read_text()


def ended(client: Client, ticket_id: str) -> Json:
    """Wait for the end of a ticket; return it."""
    path = f"/tickets/{ticket_id}?workspace_id=web"
    eventually(lambda: client.get(path)["finished_at_ms"])
    ticket: Json = client.get(path)
    return ticket


def test_the_agent_of_the_readme_gives_back_what_waits_for_a_person(
    tmp_path: Path, shell: dict[str, str]
) -> None:
    with tickets(tmp_path, "--workers", "1") as server, Client(server) as client:
        ticket_id = start(client)
        variables, work = command(server)
        asking = work.replace("ticket.output", "ticket.blocked").replace(
            '"output": {"sha": "c0ffee"}', '"reason": "Which page?"'
        )
        program(tmp_path, f"[ ! -e asked ] || exit 0; touch asked\n{asking}\nexit 75")
        script = shell_of(README, AGENT, server.port)
        with agent(script, shell, tmp_path, **variables):
            path = f"/tickets/{ticket_id}?workspace_id=web"
            task_id = client.get(path)["dispatch"]["task_id"]
            eventually(lambda: statuses(client, task_id) == ["released"])
            blocked = client.get(path)
            client.post(
                f"/tickets/{ticket_id}/transition", {"to": "in_progress"}, headers=OF_WEB
            )
            ticket = ended(client, ticket_id)
            assert statuses(client, task_id) == ["released", "completed"]

    assert (blocked["status"], blocked["status_reason"]) == ("blocked", "Which page?")
    assert ticket["status"] == "done"


def statuses(client: Client, task_id: str) -> list[str]:
    """Return what became of each run of a task."""
    return [run["status"] for run in client.get(f"/tasks/{task_id}/runs")["items"]]
