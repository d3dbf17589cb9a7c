"""The command line: ``tickets serve`` and the acts of whoever runs the service."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tickets import __version__
from tickets.config import ConfigError, Settings, doubtful_settings, load_settings
from tickets.config_file import write_config_from_json
from tickets.config_options import OPTIONS, parse_duration_ms
from tickets.errors import TicketsError
from tickets.manifest import manifest

# As of a program that SIGPIPE ended, which is what a shell expects of one in a pipe.
READER_LEFT = 128 + 13

_EPILOG = """\
Every option can also be set in the environment (--log-level is TICKETS_LOG_LEVEL) or in the
config file (log_level); flags win over the environment, the environment over the file.
Without a command, tickets serves.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status: 0, 1 for a failure, 2 for wrong usage."""
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it has enough. What is left in the buffer would fail again at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return READER_LEFT
    except KeyboardInterrupt:
        return 130
    return status


def _run(arguments: list[str]) -> int:
    if "--version" in arguments:
        return _say(f"tickets v{__version__}")
    if arguments[:1] == ["--export-manifest"]:
        return _say(json.dumps(manifest(__version__), indent=2))
    parser = _parser()
    try:
        if arguments[:1] == ["--from-json"]:
            return _from_json(arguments[1:])
        if not arguments or (arguments[0].startswith("-") and not _asks_for_help(arguments)):
            arguments.insert(0, "serve")
        parsed = parser.parse_args(arguments)
        command: Callable[[argparse.Namespace], int] = parsed.command
        return command(parsed)
    except ConfigError as error:
        return _fail(str(error), status=error.exit_status)
    except BrokenPipeError:
        raise
    except (TicketsError, OSError) as error:
        return _fail(str(error) or type(error).__name__)


def _asks_for_help(arguments: list[str]) -> bool:
    return arguments[0] in ("-h", "--help")


def _say(text: str) -> int:
    sys.stdout.write(text + "\n")
    return 0


def _fail(text: str, *, status: int = 1) -> int:
    sys.stderr.write(f"tickets: {text}\n")
    return status


def _from_json(arguments: list[str]) -> int:
    if not arguments:
        raise ConfigError("--from-json needs an argument")
    write_config_from_json(arguments[0], os.environ)
    return _say('{"status":"ok"}')


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tickets",
        description="A headless task tracker and lease coordinator for AI agents.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.add_argument(
        "--export-manifest", action="store_true", help="print the installer's manifest (first)"
    )
    parser.add_argument(
        "--from-json", metavar="JSON", help="write the config file from an installer's answers"
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_server_commands(commands)
    _add_database_commands(commands)
    return parser


def _add_server_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve = _command(commands, "serve", "migrate the database and serve it over HTTP", _serve)
    for option in OPTIONS:
        if option.kind is bool:
            serve.add_argument(
                option.flag, action="store_const", const="true", help=option.help
            )
        elif option.name != "db":
            serve.add_argument(option.flag, metavar=option.metavar, help=option.help)
    serve.add_argument(
        "--token", metavar="T", help="API token; visible in the process list, so better a file"
    )
    serve.add_argument("--token-file", metavar="FILE", help="file that holds the API token")
    _command(commands, "routes", "print every method and path", _routes)
    _command(commands, "openapi", "print the OpenAPI document", _openapi)


def _add_database_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
) -> None:
    _command(commands, "migrate", "bring the database up to date", _migrate)
    _command(commands, "check-db", "check the database file; exit 1 if broken", _check_db)
    backup = _command(commands, "backup", "copy the live database to a new file", _backup)
    backup.add_argument("file", metavar="FILE", help="where to; must not exist yet")
    prune = _command(
        commands, "prune", "delete old ended tasks, changes, traces and keys", _prune
    )
    prune.add_argument(
        "--older-than", metavar="AGE", required=True, help="such as 30d, 12h or 90m"
    )
    _command(commands, "rebuild-search", "index the store anew", _rebuild_search)
    copy = _command(
        commands, "copy", "copy a whole database, of either kind, to a new one", _copy, db=False
    )
    for flag, dest in (("--from", "source"), ("--to", "target")):
        copy.add_argument(
            flag, dest=dest, metavar="DB", required=True, help="a path, or postgresql://…"
        )
    importer = _command(
        commands, "import-nulltickets", "copy a nullTickets database into this one", _import
    )
    importer.add_argument("file", metavar="FILE", help="the nullTickets database; only read")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace], int],
    *,
    db: bool = True,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=summary, description=summary.capitalize() + ".", allow_abbrev=False
    )
    parser.set_defaults(command=run)
    if db:
        database = next(option for option in OPTIONS if option.name == "db")
        parser.add_argument(database.flag, metavar=database.metavar, help=database.help)
    parser.add_argument(
        "--config", metavar="FILE", help="config file; may be missing (HOME/config.json)"
    )
    return parser


# The modules behind the commands are imported when a command runs: the installer's and the
# shell's calls stay fast, and a broken dependency cannot break --help.


def _settings(parsed: argparse.Namespace) -> Settings:
    return load_settings(vars(parsed), os.environ)


def _serve(parsed: argparse.Namespace) -> int:
    from tickets.server import serve

    settings = _settings(parsed)
    for sentence in doubtful_settings(vars(parsed), os.environ):
        sys.stderr.write(f"tickets: {sentence}\n")
    return serve(settings)


def _routes(_: argparse.Namespace) -> int:
    from tickets.commands import print_routes

    return print_routes()


def _openapi(_: argparse.Namespace) -> int:
    from tickets.commands import print_openapi

    return print_openapi()


def _migrate(parsed: argparse.Namespace) -> int:
    from tickets.commands import migrate_database

    return migrate_database(_settings(parsed))


def _check_db(parsed: argparse.Namespace) -> int:
    from tickets.commands import check_database

    return check_database(_settings(parsed))


def _backup(parsed: argparse.Namespace) -> int:
    from tickets.commands import backup_database

    return backup_database(_settings(parsed), Path(parsed.file))


def _prune(parsed: argparse.Namespace) -> int:
    from tickets.commands import prune_database

    try:
        older_than_ms = parse_duration_ms(parsed.older_than)
    except ValueError as error:
        raise ConfigError(f"--older-than {error}", usage=True) from None
    return prune_database(_settings(parsed), older_than_ms=older_than_ms)


def _rebuild_search(parsed: argparse.Namespace) -> int:
    from tickets.commands import rebuild_search_index

    return rebuild_search_index(_settings(parsed))


def _copy(parsed: argparse.Namespace) -> int:
    from tickets.commands import copy_database

    places = (
        load_settings({"config": parsed.config, "db": each.removeprefix("sqlite:")}, os.environ)
        for each in (parsed.source, parsed.target)
    )
    return copy_database(*places)


def _import(parsed: argparse.Namespace) -> int:
    from tickets.commands import import_database

    return import_database(_settings(parsed), Path(parsed.file))
