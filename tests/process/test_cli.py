"""The command line, run as users and installers run it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.process.serving import environment, run_cli, running
from tickets import __version__

# Of files, and of what is said before there is a database.
pytestmark = pytest.mark.sqlite

SERVE = ["-m", "tickets"]


@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["serve", "--version"], ["--port", "1", "--version", "--nonsense"]],
)
def test_version_is_printed_wherever_it_is_asked_for(
    tmp_path: Path, arguments: list[str]
) -> None:
    result = run_cli(*arguments, home=tmp_path)

    assert (result.returncode, result.stdout) == (0, f"tickets v{__version__}\n")


# D-32
@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["serve", "--help"]])
def test_help_explains_and_starts_nothing(tmp_path: Path, arguments: list[str]) -> None:
    result = run_cli(*arguments, home=tmp_path)

    assert result.returncode == 0
    assert result.stdout.startswith("usage: tickets")
    assert list(tmp_path.iterdir()) == []


# D-31, D-32
@pytest.mark.parametrize(
    "arguments",
    [
        ["--nonsense"],
        ["serve", "--prt", "1"],
        ["nonsense"],
        ["--port"],
        ["--port", "65536"],
        ["--port=-1"],
        ["--port", "http"],
        ["--workers", "0"],
        ["--gates", "maybe"],
        ["--token", ""],
        ["--token", "a", "--token-file", "b"],
        ["--host", "0.0.0.0"],
        ["--db", "mysql://localhost/tickets"],
        ["prune"],
        ["prune", "--older-than", "a month"],
        ["backup"],
        ["copy", "--to", "b.db"],
        ["copy", "--from", "a.db"],
        ["copy", "--from", "a.db", "--to", "mysql://localhost/tickets"],
    ],
)
def test_wrong_usage_is_status_2_and_a_sentence(tmp_path: Path, arguments: list[str]) -> None:
    result = run_cli(*arguments, home=tmp_path)

    assert result.returncode == 2
    assert result.stderr.strip()
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


# D-31
@pytest.mark.parametrize(
    "config",
    [
        "{",
        "[]",
        '{"port": "x"}',
        '{"port": true}',
        '{"port": 65536}',
        '{"port": 1e3}',
        '{"db": 1}',
        '{"db": ""}',
        '{"api_token": ""}',
        '{"api_token": 1}',
        '{"gates": "maybe"}',
    ],
)
def test_a_bad_config_file_is_status_1_and_a_sentence(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)

    result = run_cli("serve", "--config", "config.json", home=tmp_path)

    assert result.returncode == 1
    assert "config" in result.stderr
    assert "Traceback" not in result.stderr


# D-31
@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_database_that_cannot_be_is_status_1_and_a_sentence(
    tmp_path: Path, command: str
) -> None:
    (tmp_path / "file").touch()

    result = run_cli(command, "--db", "file/below/t.db", home=tmp_path, TICKETS_PORT="0")

    assert result.returncode == 1
    assert "file/below" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("text", ["raise ImportError", "version = 'of long ago'"])
def test_a_parser_in_c_that_is_missing_and_insisted_on_is_status_1_and_a_sentence(
    tmp_path: Path, text: str
) -> None:
    # Found before any that is installed.
    (tmp_path / "gunicorn_h1c.py").write_text(text)

    command = ("serve", "--port", "0")
    by_flag = run_cli(*command, "--http-parser", "fast", home=tmp_path)
    by_variable = run_cli(*command, home=tmp_path, TICKETS_HTTP_PARSER="fast")

    for result in (by_flag, by_variable):
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.count("\n") == 1
        assert "install the extra fast (" in result.stderr
    with running([*SERVE, "--port", "0", "--db", "t.db"], home=tmp_path) as server:
        assert server.get("/health")[0] == 200
        assert server.stop() == 0


# D-33
def test_a_bad_token_is_never_shown(tmp_path: Path) -> None:
    result = run_cli("--token", " hunter2 ", home=tmp_path)

    assert result.returncode == 2
    assert "hunter2" not in result.stderr + result.stdout


def test_the_manifest_has_what_an_installer_requires(tmp_path: Path) -> None:
    result = run_cli("--export-manifest", home=tmp_path)

    assert result.returncode == 0
    manifest = json.loads(result.stdout)
    assert manifest["schema_version"] == 1
    for key in ("name", "display_name", "description", "icon", "repo"):
        assert isinstance(manifest[key], str)
        assert manifest[key]
    assert set(manifest["platforms"]) == {
        "aarch64-macos",
        "x86_64-macos",
        "x86_64-linux",
        "aarch64-linux",
        "riscv64-linux",
        "x86_64-windows",
        "aarch64-windows",
    }
    assert all(set(each) == {"asset", "binary"} for each in manifest["platforms"].values())
    assert "build_from_source" not in manifest
    assert manifest["launch"] == {"command": "tickets", "args": []}
    assert manifest["health"] == {"endpoint": "/health", "port_from_config": "port"}
    assert manifest["ports"] == [
        {"name": "api", "config_key": "port", "default": 7700, "protocol": "http"}
    ]
    steps = [
        (step["id"], step["type"], step["required"]) for step in manifest["wizard"]["steps"]
    ]
    assert steps == [
        ("port", "number", True),
        ("api_token", "secret", False),
        ("db_path", "text", True),
    ]
    assert all(step["title"] and step["options"] == [] for step in manifest["wizard"]["steps"])
    assert manifest["depends_on"] == manifest["connects_to"] == []


# D-33
def test_from_json_writes_a_config_that_only_its_owner_reads(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "er"
    answers = {"home": str(home), "port": "7801", "db_path": "a.db", "api_token": "t", "x": 1}

    result = run_cli("--from-json", json.dumps(answers), home=tmp_path)

    assert (result.returncode, result.stdout) == (0, '{"status":"ok"}\n')
    config = home / "config.json"
    assert config.read_text() == '{\n  "port": 7801,\n  "db": "a.db",\n  "api_token": "t"\n}\n'
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert list(home.iterdir()) == [config]


# D-31
@pytest.mark.parametrize("arguments", [[], ["{"], ["[]"], ["1"]])
def test_from_json_without_an_object_is_status_1(tmp_path: Path, arguments: list[str]) -> None:
    result = run_cli("--from-json", *arguments, home=tmp_path)

    assert result.returncode == 1
    assert result.stderr
    assert list(tmp_path.iterdir()) == []


def test_bare_flags_serve_from_the_home_that_an_installer_set_up(tmp_path: Path) -> None:
    home = tmp_path / "instance"
    answers = {"home": str(home), "port": 0, "api_token": "secret-of-the-instance"}
    assert run_cli("--from-json", json.dumps(answers), home=tmp_path).returncode == 0

    with running(SERVE, home=tmp_path, NULLTICKETS_HOME=str(home)) as server:
        assert server.get("/health")[0] == 200
        assert server.get("/tasks")[0] == 401
        assert "auth      on" in server.log
        assert "secret-of-the-instance" not in server.log
        assert (home / "nulltickets.db").is_file()
        assert server.stop() == 0


def test_it_says_on_start_what_it_serves(tmp_path: Path) -> None:
    command = [*SERVE, "--port=0", "--db", "below/t.db", "--workers", "1", "--threads=8"]

    with running(command, home=tmp_path) as server:
        log = server.log
        assert f"tickets v{__version__}" in log
        assert "below/t.db (durability full)" in log
        assert "auth      off" in log
        assert "1 x 8 threads" in log
        assert server.get("/health")[0] == 200
        assert server.stop() == 0
    assert (tmp_path / "below" / "t.db").is_file()


# D-33
def test_a_database_in_memory_leaves_nothing_behind(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    command = [*SERVE, "--port", "0", "--db", ":memory:"]
    with running(command, home=tmp_path, TMPDIR=str(scratch)) as server:
        assert server.get("/health")[0] == 200
        assert server.stop() == 0

    assert list(scratch.iterdir()) == []
    assert list(tmp_path.iterdir()) == [scratch]


# D-29
def test_a_host_that_others_reach_needs_a_token_or_the_word(tmp_path: Path) -> None:
    command = [*SERVE, "--port", "0", "--db", "t.db", "--host", "0.0.0.0"]

    assert run_cli(*command[2:], home=tmp_path).returncode == 2
    with running([*command, "--insecure"], home=tmp_path) as server:
        assert server.stop() == 0
    with running(command, home=tmp_path, TICKETS_TOKEN="t") as server:
        assert server.get("/tasks")[0] == 401
        assert server.stop() == 0


def test_a_database_is_migrated_checked_copied_and_pruned(tmp_path: Path) -> None:
    def tickets(*arguments: str) -> str:
        result = run_cli(*arguments, "--db", "t.db", home=tmp_path)
        assert (result.returncode, result.stderr) == (0, "")
        return result.stdout

    assert "applied tracker/0001" in tickets("migrate")
    assert tickets("migrate") == "t.db is up to date\n"
    checked = tickets("check-db")
    assert f"sqlite     {sqlite3.sqlite_version}" in checked
    assert "integrity  ok" in checked
    assert "migrations up to date" in checked
    tickets("backup", "copy.db")
    assert (tmp_path / "copy.db").stat().st_size > 0
    assert "deleted 0" in tickets("prune", "--older-than", "30d")


def test_a_backup_never_overwrites(tmp_path: Path) -> None:
    run_cli("migrate", "--db", "t.db", home=tmp_path)
    (tmp_path / "copy.db").write_text("precious")

    result = run_cli("backup", "copy.db", "--db", "t.db", home=tmp_path)

    assert result.returncode == 1
    assert (tmp_path / "copy.db").read_text() == "precious"


def test_a_broken_database_is_status_1(tmp_path: Path) -> None:
    run_cli("migrate", "--db", "t.db", home=tmp_path)
    file = tmp_path / "t.db"
    content = bytearray(file.read_bytes())
    content[4_096:40_960] = b"\xa5" * len(content[4_096:40_960])
    file.write_bytes(content)

    result = run_cli("check-db", "--db", "t.db", home=tmp_path)

    assert result.returncode == 1
    assert "Traceback" not in result.stderr


def test_a_database_of_a_newer_version_is_not_called_broken(tmp_path: Path) -> None:
    first = run_cli("migrate", "--db", "t.db", home=tmp_path)
    with closing(sqlite3.connect(tmp_path / "t.db")) as connection, connection:
        connection.execute("INSERT INTO schema_migrations VALUES ('tracker', 99, 'x', 'y', 1)")

    result = run_cli("check-db", "--db", "t.db", home=tmp_path)

    assert first.stdout.startswith("t.db is new\n")
    assert result.returncode == 1
    assert "migrations not for this program: the database is newer" in result.stdout
    assert "integrity  ok" in result.stdout


def test_a_setting_that_is_misspelt_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text('{"portt": 1, "prot": 2, "mine": 2, "token_file": "t"}')
    (tmp_path / "t").write_text("secret")

    result = run_cli(
        *("serve", "--config", "c.json", "--port", "0", "--host", "192.0.2.1", "--insecure"),
        home=tmp_path,
        TICKETS_WORKER="4",
        TICKETS_URL="http://localhost",
    )

    assert (
        "TICKETS_WORKER is no setting and is ignored; TICKETS_WORKERS is one" in result.stderr
    )
    for name in ("portt", "prot"):
        assert f"{name} is no setting and is ignored; port is one" in result.stderr
    assert "token_file" not in result.stderr
    assert "mine" not in result.stderr
    assert "TICKETS_URL" not in result.stderr


def test_a_config_file_that_was_named_and_is_missing_is_told(tmp_path: Path) -> None:
    refused = ("--port", "0", "--host", "192.0.2.1", "--insecure")
    by_flag = run_cli("serve", "--config", "nope.json", *refused, home=tmp_path)
    by_variable = run_cli("serve", *refused, home=tmp_path, TICKETS_CONFIG="nope.json")
    by_default = run_cli("serve", *refused, home=tmp_path)

    told = "tickets: there is no config file nope.json, so the defaults apply\n"
    assert by_flag.stderr.startswith(told)
    assert by_variable.stderr.startswith(told)
    assert "config" not in by_default.stderr


def test_a_place_that_is_none_for_files_is_not_called_full(tmp_path: Path) -> None:
    result = run_cli("migrate", "--db", "/proc/tickets.db", home=tmp_path)

    assert result.returncode == 1
    assert "full" not in result.stderr
    assert "cannot be used" in result.stderr


def test_a_new_database_is_told_at_the_start(tmp_path: Path) -> None:
    command = [*SERVE, "--port", "0", "--workers", "1", "--db", "t.db"]

    for is_new in (True, False):
        with running(command, home=tmp_path) as server:
            assert ("tickets: t.db is new\n" in server.log) == is_new
            assert server.stop() == 0


@pytest.mark.parametrize(
    "command", [["check-db"], ["backup", "b.db"], ["prune", "--older-than=1d"]]
)
def test_a_database_that_is_not_there_is_not_created(
    tmp_path: Path, command: list[str]
) -> None:
    result = run_cli(*command, "--db", "t.db", home=tmp_path)

    assert result.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_routes_and_openapi_name_the_claim(tmp_path: Path) -> None:
    routes = run_cli("routes", home=tmp_path)
    openapi = run_cli("openapi", home=tmp_path)

    assert routes.returncode == openapi.returncode == 0
    assert "POST    /leases/claim" in routes.stdout
    assert "post" in json.loads(openapi.stdout)["paths"]["/leases/claim"]


def test_a_short_prune_forgets_no_key_that_may_still_be_repeated(tmp_path: Path) -> None:
    run_cli("migrate", "--db", "t.db", home=tmp_path)
    rows = "('api', ?, 'POST', '/', x'00', 201, '{}', ?, NULL)"
    with closing(sqlite3.connect(tmp_path / "t.db")) as database, database:
        now_ms = time.time_ns() // 1_000_000
        for key, age_ms in (("yesterday", 2 * 86_400_000), ("today", 60_000)):
            database.execute(
                f"INSERT INTO idempotency_keys VALUES {rows}",  # a constant
                (key, now_ms - age_ms),
            )

    pruned = run_cli("prune", "--older-than", "1s", "--db", "t.db", home=tmp_path)

    assert "deleted 1 idempotency_keys" in pruned.stdout
    with closing(sqlite3.connect(tmp_path / "t.db")) as database:
        assert database.execute("SELECT key FROM idempotency_keys").fetchall() == [("today",)]


# D-45
def test_the_search_index_is_built_anew(tmp_path: Path) -> None:
    run_cli("migrate", "--db", "t.db", home=tmp_path)
    with closing(sqlite3.connect(tmp_path / "t.db")) as database, database:
        database.execute(
            "INSERT INTO kv_entries (namespace, key, value_json, created_at_ms, updated_at_ms)"
            " VALUES ('n', 'k', '\"needle\"', 1, 1)"
        )

    result = run_cli("rebuild-search", "--db", "t.db", home=tmp_path)

    assert (result.returncode, result.stdout) == (0, "indexed 1 entries\n")
    with closing(sqlite3.connect(tmp_path / "t.db")) as database:
        found = database.execute("SELECT rowid FROM kv_search('needle')").fetchall()
    assert found == [(1,)]


@pytest.mark.parametrize("command", ["routes", "openapi"])
def test_a_reader_that_has_enough_is_no_failure_to_speak_of(
    tmp_path: Path, command: str
) -> None:
    reading, writing = os.pipe()
    os.close(reading)

    # Unbuffered output fails while it is written, the rest when it is flushed at the end.
    for buffering in ({"PYTHONUNBUFFERED": "1"}, {}):
        result = subprocess.run(
            [sys.executable, *SERVE, command],
            env=environment(tmp_path, **buffering),
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
        assert (result.returncode, result.stderr) == (128 + signal.SIGPIPE, "")
    os.close(writing)


def test_a_backup_into_a_folder_without_room_for_files_is_a_sentence(tmp_path: Path) -> None:
    run_cli("migrate", "--db", "t.db", home=tmp_path)

    result = run_cli("backup", "--db", "t.db", "/proc/backup.db", home=tmp_path)

    assert result.returncode == 1
    assert result.stderr.startswith(
        "tickets: The folder /proc for the backup cannot be used now: "
    )
    assert ".part" not in result.stderr
