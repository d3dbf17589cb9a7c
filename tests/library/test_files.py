"""Files, schemas, connections and the package itself."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.library.conftest import Clock, Told, event
from tickets import sqlite_task_ledger
from tickets.sqlite_task_ledger import InvalidTransitionError, Ledger, SchemaError, StatusEvent
from tickets.sqlite_task_ledger.sqlite_store import SCHEMA_PATH

PACKAGE = Path(sqlite_task_ledger.__file__).parent
ROOT = Path(__file__).parents[2]
SCHEMA = SCHEMA_PATH.read_text(encoding="utf-8")
# What the package is to be good for, as its page shows it, and the same with a file.
EXAMPLE, WITH_A_FILE = re.findall(
    r"^```python\n(.*?)^```$",
    (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)


def installed(folder: Path) -> Path:
    """Put the package where nothing else of ours is; return the place to import from."""
    place = folder / "site"
    shutil.copytree(
        PACKAGE, place / "sqlite_task_ledger", ignore=shutil.ignore_patterns("__pycache__")
    )
    return place


def python(place: Path, folder: Path, *arguments: str) -> str:
    """Run Python with the package and the standard library, and nothing else."""
    code = "import sys; sys.path[:0] = [sys.argv[1]]; del sys.argv[1];"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", code + arguments[0], str(place)],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


# L-01
@pytest.mark.parametrize("has_file", [False, True])
def test_L01_the_example_runs_as_it_is_printed(tmp_path: Path, has_file: bool) -> None:
    place = installed(tmp_path)
    example = EXAMPLE
    if has_file:
        (tmp_path / "schema").mkdir()
        printed = python(place, tmp_path, "import sqlite_task_ledger.__main__")
        (tmp_path / "schema" / "status_schema.sql").write_text(printed, encoding="utf-8")
        assert "ledger.init_schema()\n" in EXAMPLE
        example = EXAMPLE.replace("ledger.init_schema()\n", WITH_A_FILE)

    python(place, tmp_path, example)

    with Ledger(tmp_path / "status_ledger.db") as ledger:
        snapshot = ledger.get_snapshot("task_001")
        assert snapshot is not None
        assert (snapshot.state, snapshot.stage, snapshot.event_count) == (
            "RUNNING",
            "collecting inputs",
            2,
        )
        assert [each.state for each in ledger.list_events("task_001")] == [
            "RECEIVED",
            "RUNNING",
        ]


# L-01
def test_L01_the_package_has_the_schema_where_the_example_looks_for_it() -> None:
    assert (PACKAGE / "schema" / "status_schema.sql").is_file()


# L-02
def test_L02_a_schema_can_be_applied_again(tell: Told) -> None:
    tell("QUEUED")

    tell.ledger.init_schema()
    tell.ledger.init_schema(SCHEMA)

    assert tell.ledger.current_state("r") == "QUEUED"


# L-02
@pytest.mark.parametrize("table", ["task_events", "task_state_snapshot", "delivery_log"])
def test_L02_a_schema_without_a_table_is_refused_and_leaves_nothing(
    tmp_path: Path, table: str
) -> None:
    lacking = SCHEMA.replace(f"EXISTS {table} (", f"EXISTS other_{table} (")
    path = tmp_path / "l.db"
    with Ledger(path) as ledger:
        with pytest.raises(SchemaError) as caught:
            ledger.init_schema(lacking)
        assert caught.value.code == "schema_error"
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    finally:
        connection.close()


def test_a_schema_without_a_column_is_refused(tmp_path: Path) -> None:
    with (
        Ledger(tmp_path / "l.db") as ledger,
        pytest.raises(SchemaError, match="task_state_snapshot lacks attempts"),
    ):
        ledger.init_schema(
            SCHEMA.replace("NOT NULL,\n    attempts            INTEGER NOT NULL", "NOT NULL")
        )


def test_nothing_works_before_there_is_a_schema(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.db") as ledger:
        for act in (
            lambda: ledger.write_event(event("QUEUED")),
            lambda: ledger.current_state("r"),
            ledger.list_events,
            ledger.find_stale,
            ledger.verify_snapshot,
            lambda: ledger.try_deliver("c", "k"),
        ):
            with pytest.raises(SchemaError):
                act()
        ledger.init_schema()
        assert ledger.write_event(event("QUEUED")).n == 1


def test_memory_works_and_closing_twice_is_harmless() -> None:
    ledger = Ledger(":memory:")
    ledger.init_schema()
    ledger.write_event(event("QUEUED"))
    assert ledger.current_state("r") == "QUEUED"

    ledger.close()
    ledger.close()


def test_a_file_is_in_wal_mode_and_outlives_its_ledger(tell: Told) -> None:
    tell("QUEUED")
    tell.ledger.close()

    with Ledger(str(tell.path)) as again:
        assert again.current_state("r") == "QUEUED"
    connection = sqlite3.connect(tell.path)
    try:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    finally:
        connection.close()


# L-28
@pytest.mark.parametrize("isolation_level", [None, "DEFERRED"])
def test_L28_a_callers_transaction_decides(
    tell: Told, clock: Clock, isolation_level: str | None
) -> None:
    connection = sqlite3.connect(tell.path, isolation_level=isolation_level)  # type: ignore[arg-type]  # a literal in the stubs
    connection.row_factory = sqlite3.Row
    try:
        ledger = Ledger.from_connection(connection, clock=clock)
        connection.execute("BEGIN")
        ledger.write_event(event("QUEUED"))
        with pytest.raises(InvalidTransitionError):
            ledger.write_events([event("RUNNING"), event("RECEIVED")])
        assert ledger.current_state("r") == "QUEUED"
        assert tell.ledger.current_state("r") is None
        # Here it would be too late if something had been committed.
        connection.rollback()
        assert tell.ledger.list_events() == []
        assert tell.ledger.get_snapshot("r") is None

        connection.execute("BEGIN")
        ledger.write_event(event("QUEUED"))
        with pytest.raises(InvalidTransitionError):
            ledger.write_event(event("COMPLETED"))
        connection.commit()
        assert tell.ledger.current_state("r") == "QUEUED"

        ledger.write_event(event("RUNNING"))
        assert not connection.in_transaction
        assert tell.ledger.current_state("r") == "RUNNING"
        ledger.close()
        assert connection.execute("SELECT 1").fetchone()[0] == 1
    finally:
        connection.close()


def test_an_event_can_be_given_in_order() -> None:
    assert StatusEvent("QUEUED", "a", "s", "r").req == "r"


def test_the_library_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    place = installed(tmp_path)
    code = "import sqlite_task_ledger; print(*sorted(m.split('.')[0] for m in sys.modules))"

    loaded = set(python(place, tmp_path, code).split())

    assert loaded - sys.stdlib_module_names <= {"sqlite_task_ledger", "__main__"}
