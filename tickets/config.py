"""The settings of one process: flags over environment over config file over defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tickets.config_file import (
    DEFAULT_DB,
    DEFAULT_PORT,
    ConfigError,
    home_directory,
    read_config,
)
from tickets.config_options import (
    OPTIONS,
    SERVER_SCHEMES,
    DatabaseUrl,
    Option,
    is_loopback,
    parse_token,
)

__all__ = [
    "ConfigError",
    "DatabaseUrl",
    "Settings",
    "check_exposure",
    "doubtful_settings",
    "load_settings",
]

DEFAULT_THREADS = 128
MAX_TOKEN_FILE_BYTES = 4_096
# Of four letters one may be missing.
NEARLY = 0.75
_MEMORY = ":memory:"
# Relative to the config file where they stand in it.
_PATHS = ("db", "sealing_key_file")
# Those that are no option's.
_OTHER_VARIABLES = ("CONFIG", "HOME", "TOKEN", "TOKEN_FILE")


def _default_workers() -> int:
    # Two are enough to keep a second core busy; SQLite has one writer anyway.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return 2 if (cores or 1) >= 2 else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be chosen about one service; documented in docs/running.md.

    A retention of None keeps rows for ever.
    """

    db: Path | DatabaseUrl
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    api_token: str | None = field(default=None, repr=False)
    workers: int = field(default_factory=_default_workers)
    threads: int = DEFAULT_THREADS
    wait_slots: int = DEFAULT_THREADS - DEFAULT_THREADS // 4
    durability: str = "full"
    gates: str = "enforce"
    insecure: bool = False
    log_level: str = "info"
    max_body_bytes: int = 8 << 20
    busy_timeout_ms: int = 5_000
    # As many as a process keeps busy: most of a request is Python, one thread at a time.
    pool_size: int = 10
    prepared_statements: str = "auto"
    direct_db: DatabaseUrl | None = None
    idempotency_retention_ms: int = 86_400_000
    trace_retention_ms: int | None = None
    changes_retention_ms: int | None = None
    ledger_feed: str = "on"
    ledger_heartbeat_min_interval_ms: int = 30_000
    ledger_watchdog_interval_ms: int = 30_000
    http_parser: str = "auto"
    dispatch_inline: str = "on"
    dispatch_sweep_interval_ms: int = 5_000
    linear_api_url: str = "https://api.linear.app/graphql"
    sealing_key_file: Path | None = None

    @property
    def in_memory(self) -> bool:
        """Return whether the database is to be a scratch file that is deleted at exit."""
        return str(self.db) == _MEMORY

    @property
    def key_path(self) -> Path | None:
        """Return where the key of secrets is, or will be; None where no place is known."""
        if self.sealing_key_file is not None or isinstance(self.db, DatabaseUrl):
            return self.sealing_key_file
        return Path(f"{self.db}.key")

    @property
    def shown_db(self) -> str:
        """Return the database as it may be shown to people."""
        return self.db.shown if isinstance(self.db, DatabaseUrl) else str(self.db)


def load_settings(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Settings:
    """Return the settings that flags, environment and config file add up to.

    ``flags`` maps option names (``log_level``; besides those in OPTIONS ``config``, ``token``
    and ``token_file``) to their text, None where not given. A database path from flag or
    environment is relative to the working directory, one from the config file or by default
    to the directory of the config file, even where that file is missing.

    Raises ConfigError.
    """
    config_path, config = _config(flags, environ)
    values: dict[str, object] = {}
    for option in OPTIONS:
        if option.name not in _PATHS:
            _pick(values, option, flags, environ, config)
    values["db"] = _database(flags, environ, config, config_path)
    values["sealing_key_file"] = _key_file(flags, environ, config, config_path, values["db"])
    values["api_token"] = _token(flags, environ, config, config_path)
    if "wait_slots" not in values:
        # A waiting agent holds a thread, so a quarter of them stays free for everybody else.
        threads = values.get("threads", DEFAULT_THREADS)
        assert isinstance(threads, int)
        values["wait_slots"] = threads - max(1, threads // 4)
    return Settings(**values)  # type: ignore[arg-type]  # each value went through its parser


def doubtful_settings(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each thing in environment and config file that is hardly meant so.

    A config file that was named may be missing, and names that are like no setting are somebody
    else's: both are as clients of nullTickets expect. Raises ConfigError where the config file
    cannot be read.
    """
    path, config = _config(flags, environ)
    options = [option.name for option in OPTIONS]
    known = {
        "TICKETS_": [*(name.upper() for name in options), *_OTHER_VARIABLES],
        "": [*options, "api_token", "token_file"],
    }
    sentences = []
    if _named_config(flags, environ) and path is not None and not path.exists():
        sentences.append(f"there is no config file {path}, so the defaults apply")
    variables = [name for name in environ if name.startswith("TICKETS_")]
    for prefix, names in (("TICKETS_", variables), ("", list(config))):
        for name in names:
            word = name.removeprefix(prefix)
            meant = get_close_matches(word, known[prefix], n=1, cutoff=NEARLY)
            if meant and word not in known[prefix]:
                sentences.append(
                    f"{name} is no setting and is ignored; {prefix}{meant[0]} is one"
                )
    return sentences


def check_exposure(settings: Settings) -> None:
    """Return unless others could reach the service without a token.

    Raises ConfigError.
    """
    if is_loopback(settings.host) or settings.api_token or settings.insecure:
        return
    raise ConfigError(
        f"refusing to listen on {settings.host} without an API token: set one (TICKETS_TOKEN,"
        " --token-file, config api_token), or say --insecure where the network is trusted",
        usage=True,
    )


def _config(
    flags: Mapping[str, str | None], environ: Mapping[str, str]
) -> tuple[Path | None, dict[str, object]]:
    """Return where the config file is, or would be, and what it says."""
    home = home_directory(environ)
    named = _named_config(flags, environ)
    if named:
        path = Path(named)
    elif home is not None:
        path = home / "config.json"
    else:
        return None, {}
    return path, read_config(path)


def _named_config(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> str | None:
    return flags.get("config") or environ.get("TICKETS_CONFIG")


def _pick(
    values: dict[str, object],
    option: Option,
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    config: Mapping[str, object],
) -> None:
    text = flags.get(option.name)
    if text is not None:
        values[option.name] = _parsed(option, text, option.flag, usage=True)
        return
    for variable in _variables(option):
        if environ.get(variable):
            values[option.name] = _parsed(option, environ[variable], variable, usage=False)
            return
    if config.get(option.name) is not None:
        text = _config_text(option, config[option.name])
        values[option.name] = _parsed(option, text, f"config {option.name}", usage=False)


def _variables(option: Option) -> tuple[str, ...]:
    # The reference's container image sets this one.
    old = ("NULLTICKETS_PORT",) if option.name == "port" else ()
    return (option.variable, *old)


def _config_text(option: Option, value: object) -> str:
    # bool is an int in Python, but true is no port.
    if option.kind is bool and isinstance(value, bool):
        return "true" if value else "false"
    if option.kind is int and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if option.kind is not bool and isinstance(value, str):
        return value
    raise ConfigError(f"config {option.name}: wrong type, expected {option.kind.__name__}")


def _parsed(option: Option, text: str, source: str, *, usage: bool) -> object:
    try:
        return option.parse(text)
    except ValueError as error:
        raise ConfigError(f"{source} {error}", usage=usage) from None


def _database(
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    config: Mapping[str, object],
    config_path: Path | None,
) -> Path | DatabaseUrl:
    given, from_user = _path_text("db", flags, environ, config)
    text = DEFAULT_DB if given is None else given
    if text.startswith(SERVER_SCHEMES):
        return DatabaseUrl(text)
    if text.startswith("file:"):
        text = _file_uri(text)
    elif "://" in text:
        raise ConfigError(
            f"unsupported database {text.partition('://')[0]}://", usage=from_user
        )
    if from_user or text == _MEMORY:
        return Path(text)
    if config_path is None:
        raise ConfigError("no database: give --db PATH, or set TICKETS_HOME or HOME")
    return config_path.parent / text


def _key_file(
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    config: Mapping[str, object],
    config_path: Path | None,
    db: object,
) -> Path | None:
    """Return the file that was named; a server's has its place in the home directory."""
    text, from_user = _path_text("sealing_key_file", flags, environ, config)
    if text is None:
        is_server = isinstance(db, DatabaseUrl)
        return config_path.parent / "sealing.key" if is_server and config_path else None
    return Path(text) if from_user or config_path is None else config_path.parent / text


def _path_text(
    name: str,
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    config: Mapping[str, object],
) -> tuple[str | None, bool]:
    """Return what was given, and whether that is relative to the working directory."""
    option = next(option for option in OPTIONS if option.name == name)
    picked: dict[str, object] = {}
    _pick(picked, option, flags, environ, config)
    from_user = flags.get(name) is not None or bool(environ.get(option.variable))
    return (str(picked[name]) if name in picked else None), from_user


def _file_uri(uri: str) -> str:
    parts = urlsplit(uri)
    query = parse_qs(parts.query)
    if query.get("mode") == ["memory"] or parts.path == _MEMORY:
        return _MEMORY
    if parts.netloc not in ("", "localhost") or set(query) - {"mode"} or not parts.path:
        raise ConfigError(f"unsupported database URI {uri!r}; give a path", usage=True)
    return unquote(parts.path)


def _token(
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    config: Mapping[str, object],
    config_path: Path | None,
) -> str | None:
    if flags.get("token") is not None and flags.get("token_file") is not None:
        raise ConfigError("--token and --token-file exclude each other", usage=True)
    sources: tuple[tuple[str, object, str, object], ...] = (
        ("--token", flags.get("token"), "--token-file", flags.get("token_file")),
        (
            "TICKETS_TOKEN",
            environ.get("TICKETS_TOKEN"),
            "TICKETS_TOKEN_FILE",
            environ.get("TICKETS_TOKEN_FILE"),
        ),
        (
            "config api_token",
            config.get("api_token"),
            "config token_file",
            config.get("token_file"),
        ),
    )
    for name, token, file_name, file in sources:
        usage = name.startswith("--")
        if token is not None:
            return _checked_token(token, name, usage=usage)
        if file is not None:
            if not isinstance(file, str) or not file:
                raise ConfigError(f"{file_name} must be a path", usage=usage)
            from_config = file_name.startswith("config") and config_path is not None
            path = config_path.parent / file if from_config and config_path else Path(file)
            return _checked_token(_read_token(path), f"{file_name} {path}", usage=usage)
    return None


def _checked_token(token: object, source: str, *, usage: bool) -> str:
    if not isinstance(token, str):
        raise ConfigError(f"{source}: wrong type, expected str")
    try:
        return parse_token(token)
    except ValueError as error:
        raise ConfigError(f"{source} {error}", usage=usage) from None


def _read_token(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_TOKEN_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read the token file {path}: {error.strerror}") from error
    if len(content) > MAX_TOKEN_FILE_BYTES:
        raise ConfigError(f"the token file {path} is larger than {MAX_TOKEN_FILE_BYTES} bytes")
    return content.decode("ascii", errors="replace").strip()
