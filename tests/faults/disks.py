"""What a disk may hold after a power cut, as far as SQLite was ever promised.

What was flushed is there. Of all that came later each piece is there or not, whatever became
of the pieces before it: a piece is what one write did to one sector, so writes are torn and
come out of order. A sector that nothing reached holds zeros. Names that were not flushed are
there as they were at some moment since, for file systems keep them in order.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from tests.faults.steps import Create, Delete, Step, Sync, SyncNames, Truncate, Write

SECTORS: Final = (512, 4096)
# How likely a piece has reached the disk; all and nothing are what happens most.
CHANCES: Final = (0.0, 0.0, 0.1, 0.5, 0.9, 1.0)


class File:
    """A file: what is on the disk for sure, and what may be."""

    def __init__(self) -> None:
        self._safe = bytearray()
        self._waiting: list[tuple[int, Write | Truncate]] = []

    def change(self, number: int, step: Write | Truncate) -> None:
        """Take a change that is not flushed."""
        self._waiting.append((number, step))

    def sync(self, since: int) -> None:
        """Bring every change before the step ``since`` to the disk."""
        for number, step in self._waiting:
            if number < since:
                _apply(self._safe, step)
        self._waiting = [each for each in self._waiting if each[0] >= since]

    def whole(self) -> bytes:
        """Return it as programs see it."""
        content = bytearray(self._safe)
        for _, step in self._waiting:
            _apply(content, step)
        return bytes(content)

    def after_cut(self, chance: random.Random) -> bytes:
        """Return it as it may be found."""
        content = bytearray(self._safe)
        sector, likely = chance.choice(SECTORS), chance.choice(CHANCES)
        last = len(self._waiting)
        if chance.random() < 0.3:
            # The first ones in order, the last of them torn, and nothing after it.
            last, likely = chance.randint(0, last), 1.0
        for position, (_, step) in enumerate(self._waiting[:last], start=1):
            chances = 0.5 if position == last < len(self._waiting) else likely
            for piece in _pieces(step, sector):
                if chance.random() < chances:
                    _apply(content, piece)
        size = len(self.whole())
        if size > len(content) and chance.random() < 0.2:
            content.extend(bytes(size - len(content)))
        return bytes(content)


class Disk:
    """The files of a folder while a recording is played."""

    def __init__(self) -> None:
        self._files: dict[int, File] = {}
        self._safe_names: dict[str, int] = {}
        self._waiting: list[tuple[int, Create | Delete]] = []
        self._played = 0

    def play(self, step: Step) -> None:
        """Do what was recorded."""
        number, self._played = self._played, self._played + 1
        match step:
            case Create():
                self._files[step.file] = File()
                self._waiting.append((number, step))
            case Delete():
                self._waiting.append((number, step))
            case Write() | Truncate():
                self._files[step.file].change(number, step)
            case Sync():
                self._files[step.file].sync(step.since)
            case SyncNames():
                for _, change in (each for each in self._waiting if each[0] < step.since):
                    _rename(self._safe_names, change)
                self._waiting = [each for each in self._waiting if each[0] >= step.since]

    def whole(self) -> dict[str, bytes]:
        """Return the files as programs see them."""
        return {name: self._files[file].whole() for name, file in self._names().items()}

    def after_cut(self, chance: random.Random) -> dict[str, bytes]:
        """Return the files as they may be found."""
        names = dict(self._safe_names)
        for _, change in self._waiting[: chance.randint(0, len(self._waiting))]:
            _rename(names, change)
        return {name: self._files[file].after_cut(chance) for name, file in names.items()}

    def _names(self) -> dict[str, int]:
        names = dict(self._safe_names)
        for _, change in self._waiting:
            _rename(names, change)
        return names


def _rename(names: dict[str, int], change: Create | Delete) -> None:
    if isinstance(change, Create):
        names[change.name] = change.file
    else:
        names.pop(change.name, None)


def _apply(content: bytearray, step: Write | Truncate) -> None:
    if isinstance(step, Truncate):
        del content[step.size :]
        content.extend(bytes(step.size - len(content)))
        return
    content.extend(bytes(max(0, step.offset - len(content))))
    content[step.offset : step.offset + len(step.data)] = step.data


def _pieces(step: Write | Truncate, sector: int) -> Iterator[Write | Truncate]:
    """Split a write where sectors meet."""
    if isinstance(step, Truncate):
        yield step
        return
    begin, end = step.offset, step.offset + len(step.data)
    while begin < end:
        border = min(end, (begin // sector + 1) * sector)
        piece = step.data[begin - step.offset : border - step.offset]
        yield Write(step.file, begin, piece)
        begin = border
