"""Clients at work, each in a thread of its own, until a drill ends or one of them fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Protocol

from tests.process.crowd import Service
from tests.process.serving import START_S


class Runner(Protocol):
    """Somebody who does something until the drill ends."""

    def run(self) -> None:
        """Do it; a failure goes to those that all of them share."""


@contextmanager
def at_work(
    service: Service,
    failures: list[BaseException],
    ending: threading.Event,
    runners: Sequence[Runner],
) -> Iterator[None]:
    """Let clients act; at the end each finishes what it is about. Raises the first failure."""
    with ThreadPoolExecutor(len(runners)) as pool:
        working = [pool.submit(each.run) for each in runners]
        try:
            yield
        except BaseException as error:  # noqa: BLE001 - raised again, or what led to it
            failures.append(error)
            service.give_up()
        finally:
            ending.set()
            wait(working, START_S)
        if failures:
            raise failures[0] from None
