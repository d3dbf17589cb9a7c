"""Commands of other pages, run as they are written there."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.process.clients import Client, tickets
from tests.process.pages import blocks_of, documents
from tests.process.serving import ROOT, START_S

LEDGER = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
LINEAR = (ROOT / "docs" / "linear.md").read_text(encoding="utf-8")


def run(block: str, home: Path, shell: dict[str, str], **variables: str) -> str:
    """Run a block of a page; return what it prints. A command that fails ends it."""
    return subprocess.run(
        ["sh", "-eu"],
        input=block,
        env={**shell, **variables},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=True,
    ).stdout


def test_a_script_reports_to_the_ledger_and_is_told_on_once(
    tmp_path: Path, shell: dict[str, str]
) -> None:
    with tickets(tmp_path, "--workers", "1") as server:
        report, quiet, tell = blocks_of(LEDGER, "With curl", server.port)
        reported = documents(run(report, tmp_path, shell))
        # Without a threshold it would not be quiet for minutes, with one of a second not yet.
        hurried = quiet.replace("1000", "1")
        assert hurried != quiet
        stale, swept = documents(run(hurried, tmp_path, shell))
        run(tell, tmp_path, shell)
        run(f"{tell.rstrip()} || true", tmp_path, shell)

    assert [answer.get("state") for answer in reported] == ["RECEIVED", *["RUNNING"] * 3]
    assert "COMPLETED" in reported[-1]["allowed_next"]
    assert [item["req"] for item in stale["items"]] == swept["items"] == ["import-7"]
    assert (tmp_path / "mail.txt").read_text() == "import-7 is late\n"


def test_a_webhook_is_sent_by_hand(tmp_path: Path, shell: dict[str, str]) -> None:
    settings = {
        "enabled": True,
        "auth_kind": "api_key",
        "api_key": "lin_api_0000",
        "team_id": "7f0a1a52-1111-4222-8333-444455556666",
        "webhook_secrets": ["whsec-0123456789"],
    }
    # There is no Linear: nobody listens on the port of discard.
    nowhere = {"TICKETS_LINEAR_API_URL": "http://127.0.0.1:9/graphql"}
    with tickets(tmp_path, "--workers", "1", **nowhere) as server, Client(server) as client:
        client.post("/workspaces", {"id": "team", "name": "The team"}, status=201)
        path = "/workspaces/team/integrations/linear"
        assert client.send("PUT", path, settings).status == 201
        [block] = blocks_of(LINEAR, "What comes in", server.port)
        answers = [
            documents(run(block, tmp_path, shell, SECRET=secret))[0]
            for secret in ("whsec-0123456789", "another")
        ]

    assert answers[0] == {"status": "accepted"}
    assert answers[1]["error"]["code"] == "invalid_signature"
