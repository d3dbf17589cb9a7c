"""What the commands besides ``serve`` do: one function each, returning the exit status."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from tickets.clock import SystemClock
from tickets.config import ConfigError, Settings

if TYPE_CHECKING:
    from tickets.db.database import Database


def print_routes() -> int:
    """Print one line for each method and path."""
    from tickets.app import route_table

    for method, path, summary in route_table():
        _say(f"{method:<7} {path:<48} {summary}".rstrip())
    return 0


def print_openapi() -> int:
    """Print the OpenAPI document, indented, so that a new version can be compared."""
    from tickets.app import openapi_document

    _say(json.dumps(openapi_document(), indent=2, ensure_ascii=False))
    return 0


def migrate_database(settings: Settings) -> int:
    """Create the database where it is missing, apply what is pending, and say what was done."""
    prepare_place(settings)
    if isinstance(settings.db, Path) and not settings.db.exists():
        _say(f"{settings.shown_db} is new")
    with closing(_open(settings)) as db:
        applied = apply_migrations(db)
    for name in applied:
        _say(f"applied {name}")
    _say(f"{settings.shown_db} is up to date")
    return 0


def check_database(settings: Settings) -> int:
    """Print what the integrity check finds and what is pending; 1 where it cannot be used."""
    _require_database(settings)
    from tickets.db.migrations import MigrationError, pending
    from tickets.db.registry import sql_root

    with closing(_open(settings)) as db:
        problems = db.integrity_check()
        try:
            waiting = pending(db, sql_root())
            schema = f"pending: {', '.join(waiting)}" if waiting else "up to date"
            is_ours = True
        except MigrationError as error:
            schema, is_ours = f"not for this program: {error}", False
        engine, remarks = db.engine, db.remarks()
    _say(f"database   {settings.shown_db}")
    _say(f"{engine.name:<10} {engine.version}")
    for remark in remarks:
        _say(f"           {remark}")
    _say(f"migrations {schema}")
    _say(f"integrity  {'ok' if not problems else 'BROKEN'}")
    for problem in problems:
        _say(f"           {problem}")
    return 1 if problems or not is_ours else 0


def backup_database(settings: Settings, file: Path) -> int:
    """Copy the database, which may be in use, to ``file``, which must not exist yet."""
    _require_database(settings)
    if file.exists():
        raise ConfigError(f"{file} exists; a backup never overwrites")
    if not file.parent.is_dir():
        raise ConfigError(f"the folder {file.parent} for the backup does not exist")
    with closing(_open(settings)) as db:
        db.backup(file)
    _say(f"{settings.shown_db} copied to {file}")
    return 0


def prune_database(settings: Settings, *, older_than_ms: int) -> int:
    """Delete rows that nobody needs any more and print how many of each kind."""
    from tickets.app import prune

    _require_database(settings)
    with closing(_open(settings)) as db:
        apply_migrations(db)
        _say_counts("deleted", prune(db, settings, older_than_ms))
    return 0


def rebuild_search_index(settings: Settings) -> int:
    """Index the store anew, while the database may be in use, and say how much there was."""
    from tickets.app import rebuild_search

    _require_database(settings)
    with closing(_open(settings)) as db:
        apply_migrations(db)
        _say_counts("indexed", {"entries": rebuild_search(db)})
    return 0


def import_database(settings: Settings, file: Path) -> int:
    """Copy another tracker's rows into this database and print how many of each kind."""
    from tickets.app import check_nulltickets, import_nulltickets

    _require(file)
    check_nulltickets(file)
    prepare_place(settings)
    with closing(_open(settings)) as db:
        apply_migrations(db)
        counts = import_nulltickets(db, file, tell=lambda remark: _say(f"note: {remark}"))
    _say_counts("imported", counts)
    return 0


def copy_database(source: Settings, target: Settings) -> int:
    """Copy all of one database to another, new one, and print how many rows each table has."""
    from tickets.app import copy_database as copy
    from tickets.db.migrations import pending
    from tickets.db.registry import sql_root

    _require_database(source)
    if _place(source) == _place(target):
        raise ConfigError("source and target are the same database", usage=True)
    prepare_place(target)
    with closing(_open(source)) as old, closing(_open(target)) as new:
        if pending(old, sql_root()):
            raise ConfigError(
                f"{source.shown_db} is of an earlier version: bring it up to date first, with"
                " tickets migrate"
            )
        apply_migrations(new)
        done = copy(old, new)
    for name, sums in done.sums.items():
        _say(f"{name:<20} {sums}")
    what = "is a copy already" if done.was_there else "is a copy now; every row was compared"
    _say(f"{target.shown_db} {what}")
    return 0


def prepare_place(settings: Settings) -> None:
    """Create the directories above a database file; a server needs nothing of that kind.

    Raises ConfigError.
    """
    path = settings.db
    if not isinstance(path, Path):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot create the database directory {path.parent}: {error.strerror}"
        ) from error
    if path.is_dir():
        raise ConfigError(f"the database {path} is a directory")


def apply_migrations(db: Database) -> list[str]:
    """Bring the open database up to date; return the names of what was applied.

    Raises ConfigError where database and program do not belong together.
    """
    from tickets.db.migrations import MigrationError, migrate
    from tickets.db.registry import sql_root

    try:
        return migrate(db, sql_root(), SystemClock().now_ms())
    except MigrationError as error:
        raise ConfigError(str(error)) from error


def _open(settings: Settings) -> Database:
    from tickets.app import open_database

    if settings.in_memory:
        raise ConfigError("this command needs a database file, not :memory:", usage=True)
    return open_database(settings)


def _place(settings: Settings) -> Path | str:
    return settings.db.resolve() if isinstance(settings.db, Path) else str(settings.db)


def _require_database(settings: Settings) -> None:
    if isinstance(settings.db, Path):
        _require(settings.db)


def _require(path: Path) -> None:
    if not path.is_file():
        raise ConfigError(f"there is no database {path}; name the file with --db")


def _say_counts(verb: str, counts: dict[str, int]) -> None:
    for name, count in counts.items():
        _say(f"{verb} {count} {name}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
