"""What a read or write block is given: named statements, and what goes with their commit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tickets.db.registry import Registry, Statement

Row = dict[str, Any]


class Transaction(ABC):
    """One open transaction; it lives as long as the block that it was made for."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._depth = 0
        self._open = True
        self.topics: list[str] = []
        self.counts: list[tuple[tuple[str, ...], int]] = []

    @property
    @abstractmethod
    def writable(self) -> bool:
        """Whether this is a write block's transaction."""

    @property
    @abstractmethod
    def is_alone(self) -> bool:
        """Whether nobody else writes while this is open: all its statements see the same."""

    @abstractmethod
    def one(self, name: str, /, **params: object) -> Row | None:
        """Return the first row, or None."""

    @abstractmethod
    def many(self, name: str, /, **params: object) -> list[Row]:
        """Return every row."""

    @abstractmethod
    def value(self, name: str, /, **params: object) -> Any:
        """Return the first column of the first row, or None."""

    @abstractmethod
    def run(self, name: str, /, **params: object) -> int:
        """Return the number of rows written."""

    @abstractmethod
    def run_many(self, name: str, /, params: Iterable[Mapping[str, object]]) -> int:
        """Run a statement once for each set of parameters; return the rows written."""

    @abstractmethod
    def hold(self, name: str, /, **params: object) -> None:
        """Let nobody else change what the statement locks, until this transaction ends.

        What is read afterwards is as the last holder left it. Nothing to do where there is
        one writer at a time, and in a read block.
        """

    @abstractmethod
    def raw(self, doing: str = "") -> Any:
        """Give the rest of this package the driver's connection, as a context manager."""

    @abstractmethod
    def _control(self, sql: str) -> None:
        """Run a statement of ours about the transaction itself."""

    @abstractmethod
    def _can_undo(self) -> bool:
        """Tell whether there is still a transaction with a savepoint to go back to."""

    def wake(self, topic: str) -> None:
        """Wake whoever waits for ``topic`` once this is committed, once for each call."""
        assert self.writable, "only a write can wake somebody"
        self.topics.append(topic)

    def count(self, metric: str, *labels: str, times: int = 1) -> None:
        """Count so many more in ``metric`` once this is committed, for whoever observes."""
        self.counts.append(((metric, *labels), times))

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what the block did, wake-ups and counts included, where it raises."""
        self._depth += 1
        name = f"level_{self._depth}"
        topics, counts = len(self.topics), len(self.counts)
        self._control(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            del self.topics[topics:]
            del self.counts[counts:]
            if self._can_undo():
                self._control(f"ROLLBACK TO {name}")
                self._control(f"RELEASE {name}")
            raise
        else:
            self._control(f"RELEASE {name}")
        finally:
            self._depth -= 1

    def end(self) -> None:
        """Refuse whatever comes later."""
        self._open = False

    def _statement(self, name: str, kind: str) -> Statement:
        statement = self._registry[name]
        assert statement.kind == kind, f"{name} is :{statement.kind}, not :{kind}"
        return statement
