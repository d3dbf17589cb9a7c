"""``tickets serve``: one socket, one migrated database, gunicorn's worker processes."""

from __future__ import annotations

import errno
import logging
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication
from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from tickets import __version__
from tickets.clock import SystemClock
from tickets.commands import apply_migrations, prepare_place
from tickets.config import ConfigError, Settings, check_exposure
from tickets.server_turns import Turns
from tickets.server_worker import Worker
from tickets.web.counters import Counters, share

if TYPE_CHECKING:
    from tickets.db.database import Database

BACKLOG = 1_024
# Agents heartbeat every half minute. A connection closed just when a heartbeat is on its
# way costs the agent its run, so idle connections live long; they need no thread.
KEEPALIVE_S = 620
# Longer than the longest long poll (60 s), though those end early when a worker stops.
GRACEFUL_TIMEOUT_S = 65
# The main thread of a worker reports every second; one that is silent this long hangs.
WORKER_TIMEOUT_S = 60
WORKER_CONNECTIONS_MAX = 4_096
DESCRIPTORS_WANTED = 65_536
# SQLite needs about four for each thread, everything else fits into a hundred.
DESCRIPTORS_PER_THREAD = 4
DESCRIPTORS_RESERVED = 100
MEMORY_DIRECTORY = "/dev/shm"  # noqa: S108  # gunicorn makes its files there safely

# gunicorn's own "info" describes gunicorn, not the service.
_GUNICORN_LEVELS = {
    "debug": "debug",
    "info": "warning",
    "warning": "warning",
    "error": "error",
}

WsgiLoader = Callable[[Settings], Any]


def serve(settings: Settings) -> int:
    """Serve until told to stop, which ends in SystemExit with status 0.

    Raises ConfigError and the errors of the database where it cannot start.
    """
    check_exposure(settings)
    check_parser(settings)
    _exit_on_signals()
    with closing(listen(settings)) as listener, ExitStack() as stack:
        is_new = isinstance(settings.db, Path) and not settings.db.exists()
        if settings.in_memory:
            settings = replace(settings, db=stack.enter_context(_scratch()) / "tickets.db")
            is_new = False
        prepare_place(settings)
        # Here and not in the workers: they start with a database that is up to date, and
        # without connections that crossed a fork.
        with closing(_open_database(settings)) as db:
            apply_migrations(db)
        if is_new:
            _say(f"tickets: {settings.shown_db} is new\n")
        run(settings, listener, load=_load_application)
    return 0


def check_parser(settings: Settings) -> None:
    """Return unless the parser in C is insisted on and missing: gunicorn answers 500 then.

    Raises ConfigError.
    """
    if settings.http_parser != "fast":
        return
    try:
        # Also missing from one that is too old for gunicorn.
        from gunicorn_h1c import LimitRequestLine  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "http_parser is fast, but the parser in C is not installed: install the extra fast"
            " (pip install 'tickets-tracker[fast]'), which wants a C compiler"
        ) from error


def listen(settings: Settings) -> socket.socket:
    """Return a listening socket that is nobody else's.

    Raises ConfigError at once where the address cannot be had. Without SO_REUSEPORT two
    servers can never share a port and split the requests between them.
    """
    where = f"{settings.host}:{settings.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"cannot listen on {where}: {error.strerror}") from error
    try:
        # Only lets a restarted server have a port whose old connections still linger.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        hint = "; is another server running?" if error.errno == errno.EADDRINUSE else ""
        raise ConfigError(f"cannot listen on {where}: {error.strerror}{hint}") from error
    return listener


def run(settings: Settings, listener: socket.socket, *, load: WsgiLoader) -> None:
    """Run gunicorn on ``listener`` until it stops, which ends in SystemExit.

    Each worker process calls ``load`` once, after it was forked.
    """
    _exit_on_signals()
    logging.basicConfig(
        stream=sys.stderr,
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    Worker.max_body_bytes = settings.max_body_bytes
    Worker.turns = Turns()
    # Twice: while workers are replaced, old and new ones serve.
    Worker.counters = Counters(2 * settings.workers)
    share(Worker.counters)
    _Service(settings, listener, load=load).run()


class _Service(BaseApplication):
    """gunicorn with its configuration from our settings, never from its own files or flags."""

    def __init__(
        self, settings: Settings, listener: socket.socket, *, load: WsgiLoader
    ) -> None:
        self._settings = settings
        self._load = load
        self._connections = _connection_limit(settings)
        _say(_greeting(settings, listener))
        # gunicorn closes the descriptor that it is given.
        self._descriptor = listener.detach()
        super().__init__()

    def load_config(self) -> None:
        settings = self._settings
        options: dict[str, Any] = {
            "bind": [f"fd://{self._descriptor}"],
            "worker_class": Worker,
            "workers": settings.workers,
            "threads": settings.threads,
            "worker_connections": self._connections,
            "timeout": WORKER_TIMEOUT_S,
            "graceful_timeout": GRACEFUL_TIMEOUT_S,
            "keepalive": KEEPALIVE_S,
            "http_parser": settings.http_parser,
            "loglevel": _GUNICORN_LEVELS[settings.log_level],
            "control_socket_disable": True,
            # Heartbeats of the workers, which a full disk must not stop.
            "worker_tmp_dir": MEMORY_DIRECTORY
            if os.access(MEMORY_DIRECTORY, os.W_OK)
            else None,
            # Nobody sets SCRIPT_NAME or the scheme by a header, not even from this machine.
            "forwarded_allow_ips": "",
            "proc_name": "tickets",
            "pre_fork": _lend_counters,
            "post_fork": _remember_signals,
            "child_exit": _forget_worker,
        }
        for name, value in options.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return self._load(self._settings)


def _exit_on_signals() -> None:
    # Until gunicorn takes over: stopping a server that is still starting is no failure, and
    # its scratch directory goes.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, lambda *_: sys.exit(0))


def _remember_signals(arbiter: Any, worker: Any) -> None:
    worker.early_signals = arbiter.SIG_QUEUE


def _open_database(settings: Settings) -> Database:
    from tickets.app import open_database

    return open_database(settings)


def _load_application(settings: Settings) -> Any:
    from tickets.app import create_app, open_database

    app = create_app(open_database(settings), settings, SystemClock())
    app.metrics.count_worker()
    app.metrics.add_reading(_connections)
    app.start()
    return app


def _connections() -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "tickets_connections", "Connections that clients hold.", value=Worker.turns.total()
    )


def _connection_limit(settings: Settings) -> int:
    """Return how many connections a worker can hold, after asking for more descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, DESCRIPTORS_WANTED), hard))
            soft = min(wanted, DESCRIPTORS_WANTED)
    own = DESCRIPTORS_RESERVED + DESCRIPTORS_PER_THREAD * settings.threads
    free = WORKER_CONNECTIONS_MAX if soft == resource.RLIM_INFINITY else soft - own
    return max(settings.threads + 1, min(WORKER_CONNECTIONS_MAX, free))


@contextmanager
def _scratch() -> Iterator[Path]:
    """Yield a directory that goes with the server; forked workers leave it alone."""
    owner = os.getpid()
    directory = Path(tempfile.mkdtemp(prefix="tickets-"))
    try:
        yield directory
    finally:
        if os.getpid() == owner:
            shutil.rmtree(directory, ignore_errors=True)


def _lend_counters(_: object, worker: Any) -> None:
    Worker.counters.lend(worker.age)


def _forget_worker(_: object, worker: Any) -> None:
    Worker.turns.forget(worker.age)
    Worker.counters.take_back(worker.age)


def _greeting(settings: Settings, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return (
        f"tickets v{__version__}\n"
        f"  database  {settings.shown_db} (durability {settings.durability})\n"
        f"  auth      {'on' if settings.api_token else 'off'}\n"
        f"  workers   {settings.workers} x {settings.threads} threads\n"
        f"  listening {url}\n"
    )


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
