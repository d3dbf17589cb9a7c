"""What happens to the files of a folder, step by step.

A name and a file are two things, as on a file system: each needs its own flush to outlast a
power cut. Which names the folder holds when it is flushed is looked up, since Python makes some
of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Create:
    """A name was given to a new, empty file."""

    name: str
    file: int


@dataclass(frozen=True, slots=True)
class Delete:
    """A name was taken away."""

    name: str


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes were written into a file."""

    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """A file was cut."""

    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """A file is on the disk, with all that was done to it before the step ``since``."""

    file: int
    since: int


@dataclass(frozen=True, slots=True)
class SyncNames:
    """The folder is on the disk, with all names as they were before the step ``since``."""

    since: int


@dataclass(frozen=True, slots=True)
class Answered:
    """A client was told that its write is done; ``number`` says which."""

    number: int


Step = Create | Delete | Write | Truncate | Sync | SyncNames | Answered


class Recording:
    """What was done to the files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.steps: list[Step] = []
        self._count = 0
        self._files: dict[str, int] = {}
        self._open: dict[int, int] = {}

    def opened(self, path: str, address: int) -> None:
        """Note where SQLite keeps a file that it has opened."""
        self._open.pop(address, None)
        if (name := self._name(path)) is not None:
            self._open[address] = self._file(name)

    def deleted(self, path: str) -> None:
        """Note that a name goes."""
        name = self._name(path)
        if name is not None and self._files.pop(name, None) is not None:
            self.steps.append(Delete(name))

    def on_file(self, address: int, make: Callable[[int], Step]) -> None:
        """Note what is done to an open file, where it is one of this folder."""
        if (file := self._open.get(address)) is not None:
            self.steps.append(make(file))

    def on_path(self, path: str, make: Callable[[int], Step]) -> None:
        """Note what is done to the file of a path, where that is known and not deleted."""
        name = self._name(path)
        if name is not None and name in self._files:
            self.steps.append(make(self._files[name]))

    def look_at_names(self) -> int:
        """Note the files that are new in the folder; return the number of the next step."""
        for path in sorted(self.folder.iterdir()):
            if self._name(str(path)) is not None:
                self._file(path.name)
        return len(self.steps)

    def _file(self, name: str) -> int:
        if name not in self._files:
            self._count += 1
            self._files[name] = self._count
            self.steps.append(Create(name, self._count))
        return self._files[name]

    def _name(self, path: str) -> str | None:
        folder, _, name = path.rpartition("/")
        is_ours = folder == str(self.folder) and name.endswith((".db", "-wal", "-journal"))
        return name if is_ours else None
