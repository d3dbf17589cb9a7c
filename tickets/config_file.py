"""The config file: read with its limits, written for its owner's eyes only."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

MAX_CONFIG_BYTES = 1 << 20
DEFAULT_PORT = 7700
DEFAULT_DB = "nulltickets.db"


class ConfigError(Exception):
    """The service cannot start as it was asked to; the text is for whoever started it.

    ``usage`` marks a wrong command line (exit status 2); anything else exits with 1.
    """

    def __init__(self, message: str, *, usage: bool = False) -> None:
        super().__init__(message)
        self.usage = usage

    @property
    def exit_status(self) -> int:
        """Return the exit status of the process."""
        return 2 if self.usage else 1


def read_config(path: Path) -> dict[str, object]:
    """Return the JSON object in ``path``; a file that is not there is an empty one.

    Raises ConfigError.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read the config file {path}: {error.strerror}") from error
    if len(text) > MAX_CONFIG_BYTES:
        raise ConfigError(f"the config file {path} is larger than {MAX_CONFIG_BYTES} bytes")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        # The parser's own message would quote the file, and with it the token.
        raise ConfigError(f"the config file {path} is not valid JSON") from None
    if not isinstance(document, dict):
        raise ConfigError(f"the config file {path} must hold a JSON object")
    return document


def home_directory(environ: Mapping[str, str]) -> Path | None:
    """Return where config file and database live by default, or None where nothing says so.

    The same directory as nullTickets', so that an installation is found by its successor.
    """
    for name in ("TICKETS_HOME", "NULLTICKETS_HOME"):
        if environ.get(name):
            return Path(environ[name])
    for name in ("HOME", "USERPROFILE"):
        if environ.get(name):
            return Path(environ[name], ".nulltickets")
    return None


def write_config_from_json(text: str, environ: Mapping[str, str]) -> Path:
    """Write the config file that an installer's answers describe, and return its path.

    Reads ``home``, ``port``, ``db_path`` and ``api_token``; a port that is none becomes 7700.
    The file replaces an older one whole, with mode 0600 because of the token.

    Raises ConfigError.
    """
    try:
        answers = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError("--from-json: the argument is not valid JSON") from None
    if not isinstance(answers, dict):
        raise ConfigError("--from-json: the argument must be a JSON object")
    home = answers.get("home")
    directory = Path(home) if isinstance(home, str) and home else home_directory(environ)
    if directory is None:
        raise ConfigError(
            "--from-json: no home given, and neither TICKETS_HOME nor HOME is set"
        )
    db_path, token = answers.get("db_path"), answers.get("api_token")
    config: dict[str, object] = {
        "port": _port_or_default(answers.get("port")),
        "db": db_path if isinstance(db_path, str) and db_path else DEFAULT_DB,
    }
    if isinstance(token, str) and token:
        config["api_token"] = token
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _replace(directory / "config.json", json.dumps(config, indent=2) + "\n")
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot write {directory / 'config.json'}: {error}") from error
    return directory / "config.json"


def _port_or_default(answer: object) -> int:
    text = str(answer) if isinstance(answer, int | str) and answer is not True else ""
    if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65_535:
        return int(text)
    return DEFAULT_PORT


def _replace(path: Path, text: str) -> None:
    # mkstemp creates with mode 0600: the token is never readable by others, not even briefly.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".config-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
