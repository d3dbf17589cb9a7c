"""``tickets import-nulltickets``, as somebody who moves over uses it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import databases
from tests.factories import SIMPLE
from tests.nulltickets import OldDatabase, filled
from tests.process.serving import Server, run_cli, running


def imported(home: Path) -> subprocess.CompletedProcess[str]:
    """Import ``home``/old.db into the database of a service there."""
    place = databases.of_home(home)
    return run_cli("import-nulltickets", "old.db", "--db", place, home=home)


@contextmanager
def serving(home: Path) -> Iterator[Server]:
    place = databases.of_home(home)
    with running(["-m", "tickets", "--port", "0", "--db", place], home=home) as server:
        yield server


@pytest.mark.parametrize("era", ["gates", "store"])
def test_a_database_moves_over_and_is_served(tmp_path: Path, era: str) -> None:
    old = filled(tmp_path / "old.db", era=era)
    before = old.digest()

    first = imported(tmp_path)
    second = imported(tmp_path)

    assert (first.returncode, first.stderr) == (0, "")
    assert "imported 2 pipelines\n" in first.stdout
    assert "imported 5 runs\n" in first.stdout
    assert "note: 5 x idempotency keys left out\n" in first.stdout
    assert (second.returncode, second.stderr) == (0, "")
    counts = [line for line in second.stdout.splitlines() if line.startswith("imported")]
    assert len(counts) == 13
    assert all(line.startswith("imported 0 ") for line in counts)
    assert old.digest() == before
    checked = run_cli("check-db", "--db", databases.of_home(tmp_path), home=tmp_path)
    assert "integrity  ok" in checked.stdout
    with serving(tmp_path) as server:
        assert server.get("/tasks/t-review")[1]["failed_attempts"] == 1
        assert server.get("/runs/r-live")[1]["status"] == "stale"
        assert server.stop() == 0


def test_an_import_into_a_database_in_use_is_seen_at_once(tmp_path: Path) -> None:
    filled(tmp_path / "old.db", era="store")

    with serving(tmp_path) as server:
        result = imported(tmp_path)
        assert (result.returncode, result.stderr) == (0, "")
        assert len(server.get("/tasks")[1]["items"]) == 9
        assert server.get("/store/search?q=hello")[1][0]["key"] == "greeting"
        assert server.stop() == 0


def test_what_cannot_come_in_as_it_was_is_told(tmp_path: Path) -> None:
    old = OldDatabase(tmp_path / "old.db", era="store")
    old.pipeline("p1", SIMPLE)
    old.task("t1", max_attempts=0)
    old.task("t2")
    old.edge("t1", "t2")
    old.edge("t2", "t1")

    result = imported(tmp_path)

    assert result.returncode == 0
    assert "note: dependency cycle, remove an edge: t1 -> t2 -> t1\n" in result.stdout
    assert "note: 1 x max_attempts below 1, now 1\n" in result.stdout


# A database on a server is there before.
@pytest.mark.sqlite
@pytest.mark.parametrize("content", [b"", b"no database at all\n" * 300])
def test_another_file_is_refused_and_no_database_made(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "old.db").write_bytes(content)

    result = imported(tmp_path)

    assert result.returncode == 1
    assert "old.db" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    assert [each.name for each in tmp_path.iterdir()] == ["old.db"]


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    result = imported(tmp_path)

    assert result.returncode == 1
    assert "old.db" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.sqlite
def test_a_database_of_this_service_is_refused(tmp_path: Path) -> None:
    run_cli("migrate", "--db", "old.db", home=tmp_path)

    result = imported(tmp_path)

    assert result.returncode == 1
    assert "this service" in result.stderr
    assert not (tmp_path / "t.db").exists()
