"""Every setting that can be given from outside: its name, how its text is read, its help."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

MAX_PORT = 65_535
MAX_WORKERS = 64
MAX_THREADS = 1_000
MAX_POOL_SIZE = 1_000
MAX_BODY_BYTES = 1 << 30
MAX_MS = 10 * 366 * 86_400_000
LOG_LEVELS = ("debug", "info", "warning", "error")
SERVER_SCHEMES = ("postgresql://", "postgres://")

_DURATION_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
# Between the user and the host, or as a parameter.
_PASSWORD = re.compile(r"(//[^/@:]*:)(?:.*(?=@)|[^@&/]*)|([?&]password=)[^&]*")
_DURATION = re.compile(r"([0-9]{1,15})(ms|s|m|h|d)")


class DatabaseUrl(str):
    """The URL of a database on a PostgreSQL server, which may hold a password."""

    __slots__ = ()

    @property
    def shown(self) -> str:
        """The URL without the password, for people and logs."""
        return _PASSWORD.sub(r"\1\2***", self)

    def __repr__(self) -> str:
        return repr(self.shown)


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One setting: ``--some-name``, ``TICKETS_SOME_NAME`` and the config key ``some_name``.

    ``parse`` turns text into the value and raises ValueError with a sentence that follows the
    setting's name. ``kind`` is the JSON type expected in a config file; an integer may be
    written there as a numeric string too, as installers do.
    """

    name: str
    parse: Callable[[str], object]
    metavar: str
    help: str
    kind: type[str | int | bool] = str

    @property
    def flag(self) -> str:
        """Return the command-line spelling."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """Return the environment variable."""
        return "TICKETS_" + self.name.upper()


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        # int() would also take "1_000", " 7 " and digits of other scripts.
        if re.fullmatch(r"[0-9]{1,18}", text) is None or not low <= int(text) <= high:
            raise ValueError(f"must be an integer from {low} to {high}, not {text!r}")
        return int(text)

    return parse


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"must be one of {', '.join(words)}, not {text!r}")
        return text

    return parse


def _retention_ms(text: str) -> int | None:
    return None if text == "keep" else _integer(1, MAX_MS)(text)


def _host(text: str) -> str:
    if not text or not text.isascii() or any(c.isspace() for c in text) or "/" in text:
        raise ValueError(f"must be a host name or an IP address, not {text!r}")
    return text.removeprefix("[").removesuffix("]")


def _text(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("must not be empty")
    return text


def _server_url(text: str) -> DatabaseUrl:
    if not text.startswith(SERVER_SCHEMES):
        # It is not quoted, because it may hold a password all the same.
        raise ValueError("must be a URL that begins with postgresql://")
    return DatabaseUrl(text)


def _linear_url(text: str) -> str:
    """Return where the API is; without encryption only here, as the key is sent along."""
    parts = urlsplit(text)
    schemes = ("https", "http") if is_loopback(parts.hostname or "") else ("https",)
    if parts.scheme not in schemes or not parts.hostname or parts.username:
        raise ValueError("must be a URL that begins with https:// and holds no password")
    return text


def _boolean(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off", ""):
        return False
    raise ValueError(f"must be true or false, not {text!r}")


def parse_token(text: str) -> str:
    """Return an API token that a client can send in a header, or raise ValueError.

    The message never shows the token.
    """
    if not text:
        raise ValueError("must not be empty; leave it out to run without authorization")
    if not text.isascii() or not text.isprintable() or text != text.strip():
        raise ValueError("must be printable ASCII without spaces at its ends")
    return text


def parse_duration_ms(text: str) -> int:
    """Return a span such as ``30d``, ``12h``, ``90m``, ``10s`` or ``500ms`` in milliseconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"must be a number with a unit (ms, s, m, h, d), not {text!r}")
    span_ms = int(match[1]) * _DURATION_MS[match[2]]
    if span_ms > MAX_MS:
        raise ValueError("must be at most 3660d")
    return span_ms


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a socket bound to ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


OPTIONS = (
    Option(name="host", parse=_host, metavar="H", help="address to listen on (127.0.0.1)"),
    Option(
        name="port",
        parse=_integer(0, MAX_PORT),
        kind=int,
        metavar="N",
        help="port to listen on; 0 lets the system choose (7700)",
    ),
    Option(
        name="db",
        parse=_text,
        metavar="PATH|URL",
        help="SQLite file, :memory: for one that is deleted at exit, or postgresql://…"
        " (HOME/nulltickets.db)",
    ),
    Option(
        name="workers",
        parse=_integer(1, MAX_WORKERS),
        kind=int,
        metavar="N",
        help="worker processes (2, or 1 on a single core)",
    ),
    Option(
        name="threads",
        parse=_integer(1, MAX_THREADS),
        kind=int,
        metavar="N",
        help="requests that a worker process handles at once, waiting ones included (128)",
    ),
    Option(
        name="wait_slots",
        parse=_integer(0, MAX_THREADS),
        kind=int,
        metavar="N",
        help="long polls that a worker process holds at once (all threads but a quarter)",
    ),
    Option(
        name="durability",
        parse=_one_of("full", "normal"),
        metavar="full|normal",
        help="full: an answered write survives power loss; normal: only a crash (full)",
    ),
    Option(
        name="gates",
        parse=_one_of("enforce", "inform"),
        metavar="enforce|inform",
        help="for pipelines that do not say: do required gates block a transition (enforce)",
    ),
    Option(
        name="log_level",
        parse=_one_of(*LOG_LEVELS),
        metavar="|".join(LOG_LEVELS),
        help="how much to log on standard error (info)",
    ),
    Option(
        name="max_body_bytes",
        parse=_integer(1_024, MAX_BODY_BYTES),
        kind=int,
        metavar="N",
        help="largest request body (8388608)",
    ),
    Option(
        name="busy_timeout_ms",
        parse=_integer(1, 600_000),
        kind=int,
        metavar="N",
        help="longest wait for a database that another process holds (5000)",
    ),
    Option(
        name="pool_size",
        parse=_integer(1, MAX_POOL_SIZE),
        kind=int,
        metavar="N",
        help="PostgreSQL: most connections that a worker process lends to requests (10)",
    ),
    Option(
        name="prepared_statements",
        parse=_one_of("auto", "on", "off"),
        metavar="auto|on|off",
        help="PostgreSQL: auto prepares them unless a pooler stands between (auto)",
    ),
    Option(
        name="direct_db",
        parse=_server_url,
        metavar="URL",
        help="PostgreSQL: the same database without the pooler of --db, for notifications",
    ),
    Option(
        name="idempotency_retention_ms",
        parse=_integer(1_000, MAX_MS),
        kind=int,
        metavar="N",
        help="how long an Idempotency-Key is remembered (86400000, a day)",
    ),
    Option(
        name="trace_retention_ms",
        parse=_retention_ms,
        kind=int,
        metavar="N|keep",
        help="how long trace spans are kept (keep)",
    ),
    Option(
        name="changes_retention_ms",
        parse=_retention_ms,
        kind=int,
        metavar="N|keep",
        help="how long the feed of changes reaches back (keep)",
    ),
    Option(
        name="ledger_feed",
        parse=_one_of("on", "off"),
        metavar="on|off",
        help="write what happens to tasks into the task ledger too (on)",
    ),
    Option(
        name="ledger_heartbeat_min_interval_ms",
        parse=_integer(0, MAX_MS),
        kind=int,
        metavar="N",
        help="heartbeats and run events reach the ledger no more often for one task (30000)",
    ),
    Option(
        name="ledger_watchdog_interval_ms",
        parse=_integer(0, MAX_MS),
        kind=int,
        metavar="N",
        help="how often the ledger's quiet tasks are marked; 0 for never (30000)",
    ),
    Option(
        name="http_parser",
        parse=_one_of("auto", "fast", "python"),
        metavar="auto|fast|python",
        help="HTTP parser: in C where it is installed, C or nothing, Python (auto)",
    ),
    Option(
        name="dispatch_inline",
        parse=_one_of("on", "off"),
        metavar="on|off",
        help="off: tickets that were assigned start with the next sweep (on)",
    ),
    Option(
        name="dispatch_sweep_interval_ms",
        parse=_integer(100, MAX_MS),
        kind=int,
        metavar="N",
        help="how often tickets that wait are looked at again (5000)",
    ),
    Option(
        name="sealing_key_file",
        parse=_text,
        metavar="PATH",
        help="the key that seals keys of Linear in the database; made where it is missing"
        " (beside the SQLite file, else HOME/sealing.key)",
    ),
    Option(
        name="linear_api_url",
        parse=_linear_url,
        metavar="URL",
        help="where Linear's GraphQL API is (https://api.linear.app/graphql)",
    ),
    Option(
        name="insecure",
        parse=_boolean,
        kind=bool,
        metavar="",
        help="allow a host that others can reach without an API token",
    ),
)
