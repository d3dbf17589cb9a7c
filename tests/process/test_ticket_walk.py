"""The way of a ticket through an agent to its end, as its page shows it with curl."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.process.clients import Client, tickets
from tests.process.pages import documents, shell_of
from tests.process.serving import ROOT, START_S

PAGE = (ROOT / "docs" / "tickets.md").read_text(encoding="utf-8")


def test_a_ticket_goes_through_an_agent_to_its_end(
    tmp_path: Path, shell: dict[str, str]
) -> None:
    with tickets(tmp_path, "--workers", "1") as server, Client(server) as client:
        result = subprocess.run(
            ["sh", "-eu"],
            input=shell_of(PAGE, "From a title to done", server.port),
            env=shell,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=START_S,
            check=True,
        )
        [ticket] = client.get("/tickets?workspace_id=web")["items"]
        known = client.get(f"/ledger/tasks/ticket:{ticket['id']}?workspace_id=web")

    printed = documents(result.stdout)
    assert printed[-1] == {"status": "done", "output_json": {"sha": "c0ffee"}}
    assert (ticket["status"], known["state"]) == ("done", "COMPLETED")
