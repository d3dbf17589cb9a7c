"""How many statements something takes."""

from __future__ import annotations

from typing import Any


class Counted:
    """A transaction that counts its statements."""

    def __init__(self, tx: Any) -> None:
        self._tx = tx
        self.count = 0

    def run(self, *args: Any, **values: Any) -> Any:
        """Count a write."""
        self.count += 1
        return self._tx.run(*args, **values)

    def many(self, *args: Any, **values: Any) -> Any:
        """Count a read."""
        self.count += 1
        return self._tx.many(*args, **values)
