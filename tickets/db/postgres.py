"""What only PostgreSQL needs: connecting, and the translation of its errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ConnStatus
from psycopg.types.numeric import Int8Dumper, IntLoader

from tickets.db.errors import Collision, ConstraintViolated, StatementFailed
from tickets.errors import Busy, Invalid, PayloadTooLarge, StorageFull, TicketsError

# Whether statements are prepared: AUTO is unless a pooler stands between.
AUTO: Final = "auto"
ON: Final = "on"

DRIVER_ERRORS: Final = (psycopg.Error, UnicodeError, OverflowError)

# Used where the URL says nothing else. A server that vanished without a word is noticed after
# half a minute, and not after the hours that the system would wait.
_CONNECTION_DEFAULTS: Final = {
    "application_name": "tickets",
    "connect_timeout": "5",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
    # With several hosts in the URL: the one that takes writes.
    "target_session_attrs": "read-write",
}
# A host that died inside a transaction holds its locks no longer than this.
_IDLE_IN_TRANSACTION_MS: Final = 30_000
# Each statement sees the last commit, whatever the database has for its default.
_ISOLATION: Final = "READ COMMITTED"

_CONSTRAINTS: Final = {
    "23502": "not null",
    "23503": "foreign key",
    "23505": "unique",
    "23514": "check",
}
# What another writer at the same moment may be the reason of.
_PASSING_CONSTRAINTS: Final = frozenset({"23503", "23505"})
_SERVER_GOES: Final = "The database server closed the connection"
# The connection is of no use any more, though the server may still answer on it: its server
# is a standby now, or what it prepared is gone or no longer fits the schema.
USELESS_AFTER: Final = frozenset({"25006", "0A000", "26000"})
_MEANINGS: Final[dict[str, tuple[type[TicketsError], str | None]]] = {
    "22003": (Invalid, "A number does not fit into 64 bits"),
    "22021": (Invalid, "A text holds what the database cannot store"),
    "54000": (PayloadTooLarge, "A value is too large for the database"),
    "25006": (Collision, "The database server takes no writes now"),
    "25P03": (Collision, _SERVER_GOES),
    "0A000": (Collision, "The schema was changed meanwhile"),
    "26000": (Collision, _SERVER_GOES),
    "40001": (Collision, None),
    "40P01": (Collision, None),
    "42501": (TicketsError, "The database refuses its user a right that the service needs"),
    "53100": (StorageFull, None),
    "53200": (Busy, "The database server is out of memory"),
    "53300": (Busy, "The database server has no connection left"),
    "55P03": (Busy, None),
    "57014": (Busy, None),
    "57P01": (Collision, _SERVER_GOES),
    "57P02": (Collision, _SERVER_GOES),
    "57P03": (Busy, "The database server is starting or stopping"),
    "58030": (Busy, "The database server cannot read or write its files now"),
}
_MEANINGS_OF_CLASS: Final[dict[str, tuple[type[TicketsError], str | None]]] = {
    "08": (Collision, _SERVER_GOES),
    "28": (Busy, "The database server refuses the user or the password"),
    "3D": (Busy, "The database server has no such database"),
    "53": (Busy, "The database server is short of something"),
    "XX": (TicketsError, "The database server failed, or its files are damaged"),
}


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection on which every transaction is begun and ended by us.

    Behind a pooler, one transaction and the next may run on different connections to the
    server, so there each begins with ``settings``; elsewhere the session has them.
    """

    is_pooled = False
    settings = ""

    def opening(self, sql: str) -> str:
        """Return how a transaction is begun here that is begun with ``sql`` elsewhere."""
        if not self.is_pooled:
            return sql
        begin, _, rest = sql.partition(";")
        level = f" ISOLATION LEVEL {_ISOLATION}" if begin == "BEGIN" else ""
        return f"{begin}{level}{self.settings};{rest}"


def connection_parameters(url: str) -> dict[str, Any]:
    """Return what to connect with; raises ValueError for a URL that says nothing sensible.

    Nothing is quoted of what may be part of a password, written without its escapes.
    """
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise ValueError(str(error).partition(":")[0].strip()) from None
    hosts, ports = str(given.get("host", "")).split(","), str(given.get("port", "")).split(",")
    if any("@" in host[1:] for host in hosts if not host.startswith("/")) or not all(
        port.isdigit() or not port for port in ports
    ):
        raise ValueError("host or port cannot be; in a password @ is %40, / %2F and : %3A")
    return {**_CONNECTION_DEFAULTS, **given, "client_encoding": "UTF8"}


def connect(
    parameters: dict[str, Any],
    *,
    durable: bool = True,
    prepared: str = AUTO,
    lock_timeout_ms: int = 0,
) -> Connection:
    """Open a connection and notice whether a pooler stands between.

    ``lock_timeout_ms`` bounds how long a statement waits for a lock; 0 is for ever.
    """
    connection = Connection.connect(**parameters, autocommit=True)
    connection.prepared_max = None
    # One type for all integers, or each statement would be prepared once for each size of
    # each of its numbers; and sums of integers are integers.
    connection.adapters.register_dumper(int, Int8Dumper)
    connection.adapters.register_loader("numeric", IntLoader)
    with closed_on_error(connection):
        connection.is_pooled = _is_pooled(connection)
        if connection.is_pooled:
            connection.settings = _settings(
                "SET LOCAL", durable=durable, lock_timeout_ms=lock_timeout_ms
            )
        else:
            level = f"SET default_transaction_isolation = '{_ISOLATION}'"
            settings = _settings("SET", durable=durable, lock_timeout_ms=lock_timeout_ms)
            sql = f"{level}{settings}"
            connection.execute(sql.encode(), prepare=False)
    # Names of prepared statements are those of one connection: a pooler that knows nothing of
    # them would run what another client prepared under the same name.
    is_prepared = prepared == ON or (prepared == AUTO and not connection.is_pooled)
    connection.prepare_threshold = 0 if is_prepared else None
    return connection


def _is_pooled(connection: Connection) -> bool:
    """Tell whether whoever answered the connection is not the process that answers queries."""
    row = connection.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    return row is not None and row[0] != connection.info.backend_pid


def _settings(word: str, *, durable: bool, lock_timeout_ms: int) -> str:
    # The planner knows nothing of recursion and compiles, for half a second, a statement that
    # runs for a millisecond.
    return (
        f"; {word} jit = off; {word} synchronous_commit = {'on' if durable else 'off'};"
        f" {word} lock_timeout = {lock_timeout_ms};"
        f" {word} idle_in_transaction_session_timeout = {_IDLE_IN_TRANSACTION_MS}"
    )


@contextmanager
def closed_on_error(connection: Connection) -> Iterator[None]:
    """Close the connection where the block raises."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


def is_lost(connection: Connection) -> bool:
    """Tell whether the connection has ended."""
    return connection.closed or connection.pgconn.status == ConnStatus.BAD


def translate(error: Exception, doing: str = "") -> Exception:
    """Return the exception of ours that says what the driver's exception means."""
    if isinstance(error, OverflowError):
        return Invalid("A number does not fit into 64 bits")
    if isinstance(error, UnicodeError):
        return Invalid("A text is not valid Unicode")
    assert isinstance(error, psycopg.Error), "the driver raises nothing else"
    code = error.sqlstate or ""
    if code in _CONSTRAINTS:
        return ConstraintViolated(
            str(error),
            _CONSTRAINTS[code],
            error.diag.constraint_name or error.diag.column_name or "",
            may_pass=code in _PASSING_CONSTRAINTS,
        )
    meaning = _MEANINGS.get(code) or _MEANINGS_OF_CLASS.get(code[:2])
    if meaning is not None:
        family, text = meaning
        return family(text)
    if isinstance(error, errors.DataError) and "NUL" in str(error):
        return Invalid("A text holds the character U+0000, which this database cannot store")
    if not code and isinstance(error, psycopg.OperationalError):
        return Collision(_SERVER_GOES)
    return StatementFailed(f"{doing or 'statement'}: {error}")


def unreachable(error: psycopg.Error) -> Busy:
    """Return what to say where no connection could be had."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    return Busy(f"The database server cannot be reached: {reason}")


@contextmanager
def translated(doing: str = "") -> Iterator[None]:
    """Turn what the driver raises inside the block into the family; ``doing`` names it."""
    try:
        yield
    except DRIVER_ERRORS as error:
        raise translate(error, doing) from error
