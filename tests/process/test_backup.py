"""``tickets backup`` and ``prune`` beside a service at work."""

from __future__ import annotations

import json
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests import databases
from tests.factories import SIMPLE
from tests.process.serving import Server, run_cli, running

SERVE = ["-m", "tickets", "--port", "0", "--workers", "2", "--db"]
# A server has tools of its own for backups.
FILES = pytest.mark.sqlite
WRITERS = 4
COPIES = 3


class Writer(threading.Thread):
    """Creates tasks, one after the other, until it is told to stop."""

    def __init__(self, server: Server, pipeline_id: str) -> None:
        super().__init__()
        self._server = server
        self._pipeline_id = pipeline_id
        self._stopping = threading.Event()
        self.has_begun = threading.Event()
        self.ids: list[str] = []

    def run(self) -> None:
        while not self._stopping.is_set():
            body = {"pipeline_id": self._pipeline_id, "title": "T", "description": "D"}
            self.ids.append(post(self._server, "/tasks", body)["id"])
            self.has_begun.set()

    def stop(self) -> None:
        self._stopping.set()
        self.join()


def post(server: Server, path: str, body: Any) -> Any:
    request = urllib.request.Request(
        f"http://{server.host}:{server.port}{path}", json.dumps(body).encode(), method="POST"
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def task_ids(server: Server) -> list[str]:
    ids: list[str] = []
    query = "limit=1000"
    while True:
        page = server.get(f"/tasks?{query}")[1]
        ids += [task["id"] for task in page["items"]]
        if page["next_cursor"] is None:
            return ids
        query = f"limit=1000&cursor={page['next_cursor']}"


@FILES
def test_a_copy_made_while_four_threads_write_is_whole_and_serves(tmp_path: Path) -> None:
    answered: list[set[str]] = []
    with running([*SERVE, "t.db"], home=tmp_path) as server:
        pipeline_id = post(server, "/pipelines", {"name": "p", "definition": SIMPLE})["id"]
        writers = [Writer(server, pipeline_id) for _ in range(WRITERS)]
        for writer in writers:
            writer.start()
        for writer in writers:
            assert writer.has_begun.wait(30)
        for number in range(COPIES):
            answered.append({id_ for writer in writers for id_ in list(writer.ids)})
            result = run_cli("backup", f"copy{number}.db", "--db", "t.db", home=tmp_path)
            assert (result.returncode, result.stderr) == (0, "")
        for writer in writers:
            writer.stop()
        everything = {id_ for writer in writers for id_ in writer.ids}
        assert server.stop() == 0

    for number in range(COPIES):
        checked = run_cli("check-db", "--db", f"copy{number}.db", home=tmp_path)
        assert checked.returncode == 0
        assert "integrity  ok" in checked.stdout
    with running([*SERVE, f"copy{COPIES - 1}.db"], home=tmp_path) as server:
        ids = task_ids(server)
        assert len(ids) == len(set(ids))
        # Whatever was answered before the copy began is in it, and nothing that never was.
        assert answered[-1] <= set(ids) <= everything
        claim = post(server, "/leases/claim", {"agent_id": "a", "agent_role": "coder"})
        assert claim["task"]["id"] == ids[0]
        assert server.stop() == 0


@FILES
def test_a_copy_has_nothing_beside_it_and_is_its_owners(tmp_path: Path) -> None:
    run_cli("migrate", "--db", "t.db", home=tmp_path)
    (tmp_path / "copies").mkdir()

    result = run_cli("backup", "copies/c.db", "--db", "t.db", home=tmp_path)

    assert result.returncode == 0
    assert [each.name for each in (tmp_path / "copies").iterdir()] == ["c.db"]
    assert (tmp_path / "copies" / "c.db").stat().st_mode & 0o077 == 0


@FILES
def test_a_copy_where_none_can_be_is_status_1(tmp_path: Path) -> None:
    run_cli("migrate", "--db", "t.db", home=tmp_path)

    result = run_cli("backup", "missing/c.db", "--db", "t.db", home=tmp_path)

    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "missing").exists()


def test_prune_beside_a_service_takes_what_ended_and_leaves_the_rest(tmp_path: Path) -> None:
    with running([*SERVE, databases.of_home(tmp_path)], home=tmp_path) as server:
        pipeline_id = post(server, "/pipelines", {"name": "p", "definition": SIMPLE})["id"]
        body = {"pipeline_id": pipeline_id, "title": "T", "description": "D"}
        ended, live = (post(server, "/tasks", body)["id"] for _ in range(2))
        post(server, f"/tasks/{ended}/cancel", {})

        place = databases.of_home(tmp_path)
        result = run_cli("prune", "--older-than", "0s", "--db", place, home=tmp_path)

        assert (result.returncode, result.stderr) == (0, "")
        assert "deleted 1 tasks\n" in result.stdout
        assert "deleted 4 changes\n" in result.stdout
        assert task_ids(server) == [live]
        status, answer = server.get("/changes?after=1")
        assert (status, answer["error"]["code"]) == (410, "changes_pruned")
        assert server.stop() == 0
