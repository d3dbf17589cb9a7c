"""``tickets copy`` and ``tickets rebuild-search``, run as whoever moves a service runs them."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.databases import POSTGRES, SQLITE, drop, empty_url, open_place, registry
from tests.process.clients import Client, tickets
from tests.process.serving import START_S, environment, run_cli
from tests.worlds import World, dump
from tickets.clock import SystemClock
from tickets.db.sqlite_database import SqliteDatabase

BOTH = pytest.mark.postgres
MANY = 200
# Runs the command line in a process that is killed while it reads a row of the source.
KILLED = """
import itertools, os, signal, sys
from tickets.cli import main
from tickets.db.sqlite_tables import SqliteTables

numbers, moment, read = itertools.count(1), int(sys.argv.pop(1)), SqliteTables.rows

def rows(self, table):
    for row in read(self, table):
        if next(numbers) == moment:
            os.kill(os.getpid(), signal.SIGKILL)
        yield row

SqliteTables.rows = rows
sys.exit(main())
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "old.db"
    assert run_cli("migrate", "--db", "old.db", home=tmp_path).returncode == 0
    with closing(SqliteDatabase(str(path), registry=registry(SQLITE))) as db:
        world = World(db, SystemClock())
        world.tasks(world.pipeline(), 3)
        world.do.kv.put("n", "k", "needle")
    return path


@pytest.fixture(params=[SQLITE, pytest.param(POSTGRES, marks=BOTH)])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == SQLITE:
        yield str(tmp_path / "new" / "new.db")
        return
    url = empty_url()
    yield url
    drop(url, keep=False)


def test_a_copy_is_made_once_and_then_only_compared(
    tmp_path: Path, source: Path, target: str
) -> None:
    command = ("copy", "--from", "sqlite:old.db", "--to", target)

    first, second = (run_cli(*command, home=tmp_path) for _ in range(2))

    assert (first.returncode, first.stderr) == (0, "")
    assert "every row was compared" in first.stdout
    assert [line.split()[:2] for line in first.stdout.splitlines() if "tasks " in line] == [
        ["tasks", "3"]
    ]
    assert (second.returncode, second.stderr) == (0, "")
    assert second.stdout.splitlines()[:-1] == first.stdout.splitlines()[:-1]
    assert second.stdout.endswith("is a copy already\n")


def test_a_copy_is_served(tmp_path: Path, source: Path, target: str) -> None:
    assert run_cli("copy", "--from", str(source), "--to", target, home=tmp_path).returncode == 0

    with tickets(tmp_path, "--db", target) as server, Client(server) as client:
        assert client.claim("coder")["task"]["title"] == "t"
        assert [entry["key"] for entry in client.get("/store/search?q=needle")] == ["k"]


# In the first table, in the tasks, after them, and where the target is a file, in reading back.
@pytest.mark.parametrize("moment", [1, MANY // 2, 2 * MANY])
def test_a_copy_that_is_killed_leaves_nothing_and_is_begun_again(
    tmp_path: Path, source: Path, target: str, moment: int
) -> None:
    with closing(SqliteDatabase(str(source), registry=registry(SQLITE))) as db:
        world = World(db, SystemClock())
        world.tasks(world.pipeline(), MANY)
    command = ("copy", "--from", "old.db", "--to", target)

    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(moment), *command],
        env=environment(tmp_path),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        timeout=START_S,
        check=False,
    )
    place = target if "://" in target else Path(target)
    with closing(open_place(place)) as db:
        left = dump(db)
    first, second = (run_cli(*command, home=tmp_path) for _ in range(2))

    assert killed.returncode == -signal.SIGKILL
    # The index of the search is never without rows of its own in a file.
    tables = {line.split()[0] for line in left}
    assert {name for name in tables if "kv_search" not in name} == {"schema_migrations"}
    assert (first.returncode, first.stderr) == (0, "")
    assert "every row was compared" in first.stdout
    assert f"{MANY + 3} rows" in first.stdout
    assert second.stdout.endswith("is a copy already\n")


def test_a_target_with_rows_of_its_own_is_refused(
    tmp_path: Path, source: Path, target: str
) -> None:
    command = ("copy", "--from", "old.db", "--to", target)
    assert run_cli(*command, home=tmp_path).returncode == 0
    with closing(sqlite3.connect(source)) as connection:
        connection.execute("UPDATE tasks SET title = 'changed' WHERE seq = 2")
        connection.commit()

    refused = run_cli(*command, home=tmp_path)

    assert refused.returncode == 1
    assert "tasks has 3 rows" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--from", "missing.db", "--to", "new.db"), "there is no database missing.db"),
        (("--from", "old.db", "--to", "./old.db"), "the same database"),
        (("--from", "old.db", "--to", ":memory:"), "not :memory:"),
    ],
)
def test_what_cannot_be_copied_is_said(
    tmp_path: Path, source: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    result = run_cli("copy", *arguments, home=tmp_path)

    assert result.returncode in (1, 2)
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


@BOTH
def test_a_search_index_is_made_anew_on_a_server(tmp_path: Path, source: Path) -> None:
    url = empty_url()
    assert run_cli("copy", "--from", str(source), "--to", url, home=tmp_path).returncode == 0
    with psycopg.connect(url) as connection:
        connection.execute("DELETE FROM kv_search")

    result = run_cli("rebuild-search", "--db", url, home=tmp_path)

    assert (result.returncode, result.stdout) == (0, "indexed 1 entries\n")
    with closing(open_place(url)) as db, db.read() as tx:
        found = tx.many("kv.search", match_query='"needle"', limit=9, offset=0)
    drop(url, keep=False)
    assert len(found) == 1
