"""A copy of everything in one database to another one, perhaps of another kind.

All of it in one transaction of the target, which is committed only after every row was read
back and found to be the same: an interrupted copy leaves nothing behind, and is simply begun
again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from tickets.db.database import Database
from tickets.db.tables import Table, Tables, Values
from tickets.db.transaction import Transaction
from tickets.errors import Conflict, TicketsError

_LEDGER: Final = "schema_migrations"
_DIGEST_BYTES: Final = 16


@dataclass(slots=True)
class Sum:
    """How many rows there are, and a number that no other rows have; their order is free."""

    rows: int = 0
    digest: int = 0

    def add(self, row: Values) -> None:
        """Count one more row."""
        # Numbers, texts, bytes and None each look different, whatever database they come from.
        hashed = blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES)
        self.rows += 1
        self.digest += int.from_bytes(hashed.digest(), "big")
        self.digest %= 1 << (8 * _DIGEST_BYTES)

    def __str__(self) -> str:
        return f"{self.rows} rows {self.digest:032x}"


@dataclass(frozen=True, slots=True)
class Copy:
    """What a copy holds, table by table; ``was_there`` where there was nothing left to do."""

    sums: dict[str, Sum]
    was_there: bool


def copy_database(
    source: Database,
    target: Database,
    *,
    derived: frozenset[str],
    derive: Callable[[Transaction], None],
) -> Copy:
    """Copy every row but those of the ``derived`` tables, which ``derive`` makes anew.

    A target with exactly these rows is left as it is. Raises Conflict where it has others, or
    another schema; Busy where somebody else writes to one of the two; TicketsError where what
    was written is not what is read.
    """
    with source.write() as old_tx, target.write() as new_tx:
        old, new = source.tables(old_tx), target.tables(new_tx)
        tables = _common(old.found(), new.found(), derived)
        names = [table.name for table in tables]
        old.hold(names)
        new.hold([*names, *(derived & new.found().keys())])
        if not _is_empty(new):
            return Copy(_same(old, new, tables), was_there=True)
        with new.without_triggers(names):
            sums = {table.name: _copy(old, new, table) for table in tables}
        new.raise_counters(old.counters())
        _check(sums, {table.name: _sum(new.rows(table)) for table in tables})
        derive(new_tx)
    return Copy(sums, was_there=False)


def _common(
    old: dict[str, Table], new: dict[str, Table], derived: frozenset[str]
) -> list[Table]:
    """Return the tables to copy, each after those that its rows refer to."""
    left_out = {_LEDGER, *derived}
    old = {name: table for name, table in old.items() if name not in left_out}
    new = {name: table for name, table in new.items() if name not in left_out}
    for name in sorted(old.keys() | new.keys()):
        of_old = old[name].columns if name in old else ()
        of_new = new[name].columns if name in new else ()
        if of_old != of_new:
            raise Conflict(
                f"the databases differ: {name} has {_listed(of_old)} in the source and"
                f" {_listed(of_new)} in the target"
            )
    return _ordered(new)


def _listed(columns: tuple[str, ...]) -> str:
    return f"the columns {', '.join(columns)}" if columns else "no columns"


def _ordered(tables: dict[str, Table]) -> list[Table]:
    done: dict[str, Table] = {}
    while len(done) < len(tables):
        ready = [
            name
            for name in sorted(tables.keys() - done.keys())
            if tables[name].parents <= done.keys() | {name}
        ]
        assert ready, "tables refer to each other in a circle"
        done |= {name: tables[name] for name in ready}
    return list(done.values())


def _is_empty(new: Tables) -> bool:
    for table in new.found().values():
        with closing(new.rows(table)) as rows:
            if table.name != _LEDGER and next(rows, None) is not None:
                return False
    return True


def _same(old: Tables, new: Tables, tables: list[Table]) -> dict[str, Sum]:
    """Return the sums of both, where they are the same."""
    sums: dict[str, Sum] = {}
    for table in tables:
        sums[table.name], there = _sum(old.rows(table)), _sum(new.rows(table))
        if sums[table.name] != there:
            raise Conflict(
                f"the target is not empty, and is no copy of the source either: {table.name}"
                f" has {sums[table.name]} in the source and {there} in the target."
                " Nothing was changed; copy into a new database"
            )
    return sums


def _copy(old: Tables, new: Tables, table: Table) -> Sum:
    sums = Sum()

    def counted(rows: Iterable[Values]) -> Iterator[Values]:
        for row in rows:
            sums.add(row)
            yield row

    new.add(table, counted(old.rows(table)))
    return sums


def _sum(rows: Iterable[Values]) -> Sum:
    sums = Sum()
    for row in rows:
        sums.add(row)
    return sums


def _check(read: dict[str, Sum], written: dict[str, Sum]) -> None:
    wrong = [
        f"{name} has {sums} in the source and {written[name]} in the target"
        for name, sums in read.items()
        if sums != written[name]
    ]
    if wrong:
        raise TicketsError(f"the copy is not the same, so it was undone: {'; '.join(wrong)}")
