"""Cuts the power at any step of a recording and compares what comes back with what was there.

Writers take turns, so there is one row of states, from commit to commit. After a cut the
database must be in one of them, whole: not before the last answered write, and not after the
last commit that was written. The states are read from the recording itself, as it was at the
end of each commit with nothing lost.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tests.conftest import FrozenClock
from tests.faults.disks import Disk
from tests.faults.histories import Answer, History, open_database
from tests.faults.states import digest
from tests.faults.steps import Answered, Create, Step, Write
from tests.worlds import World
from tickets.errors import TicketsError

_FRAME_HEADER_BYTES: Final = 24  # before each page in the log; see SQLite's file format, 4.1


class Cut(NamedTuple):
    """A power cut: after so many steps, and the seed of what the disk was able to keep."""

    step: int
    seed: int


class Found(NamedTuple):
    """What came back: commits that had to be there, those that are, and what is wrong."""

    least: int
    commit: int
    damage: str


class Past:
    """All states that the database of a recording was in."""

    def __init__(self, history: History, scratch: Path) -> None:
        self._scratch = scratch
        self._begun = history.begun
        self._steps = history.steps
        self._ends = [end for end in _commits(history.steps) if end > history.begun]
        self._commit_of: list[int] = []
        self._numbers: dict[str, int] = {}
        self._survey(history)

    def moments(self, count: int, chance: random.Random) -> list[Cut]:
        """Choose moments for cuts: half of them around commits, where it matters most."""
        found = []
        for number in range(count):
            step = chance.randint(self._begun, len(self._steps))
            if number % 2 and self._ends:
                step = chance.choice(self._ends) + chance.randint(-2, 3)
            step = min(max(step, self._begun), len(self._steps))
            found.append(Cut(step, chance.getrandbits(32)))
        return found

    @property
    def commits(self) -> int:
        """How many there were since the work began."""
        return len(self._ends)

    @property
    def answers(self) -> int:
        """How many writes were answered meanwhile."""
        return len(self._commit_of)

    def cut(self, cuts: Sequence[Cut]) -> Iterator[tuple[Cut, Found]]:
        """Cut the power, each time in a world of its own, and yield what came back."""
        disk, played = Disk(), 0
        least = 0
        for cut in sorted(cuts):
            for step in self._steps[played : cut.step]:
                disk.play(step)
                if isinstance(step, Answered):
                    least = max(least, self._commit_of[step.number])
            played = cut.step
            most = sum(end <= cut.step for end in self._ends)
            yield cut, self._found(disk, random.Random(cut.seed), least, most)

    def _found(self, disk: Disk, chance: random.Random, least: int, most: int) -> Found:
        commit = 0
        try:
            with recovered(disk.after_cut(chance), self._scratch, chance) as world:
                assert world.db.integrity_check() == []
                world.check()
                commit = self._numbers.get(digest(world.file), -1)
                assert 0 <= commit <= most, "a state that was not there"
                world.finish(world.pipeline())
                world.check()
        except (AssertionError, TicketsError) as error:
            return Found(least, commit, repr(error))
        return Found(least, commit, "")

    def _survey(self, history: History) -> None:
        """Read the state at the end of each commit, and in which one each answer came true."""
        missing = {answer.agent: 0 for answer in history.answers}
        waiting = {
            agent: [each for each in enumerate(history.answers) if each[1].agent == agent]
            for agent in missing
        }
        commit_of: dict[int, int] = {}
        disk, played = Disk(), 0
        for number, end in enumerate([history.begun, *self._ends]):
            for step in self._steps[played:end]:
                disk.play(step)
            played = end
            with recovered(disk.whole(), self._scratch) as world:
                world.check()
                self._numbers[digest(world.file)] = number
                # An agent waits for each answer, so it has one write in a commit at most.
                for answers in waiting.values():
                    if answers and number and _is_true(world, answers[0][1]):
                        commit_of[answers.pop(0)[0]] = number
        assert not any(waiting.values()), "an answered write is in no state"
        self._commit_of = [commit_of[number] for number in range(len(history.answers))]


@contextmanager
def recovered(
    files: dict[str, bytes], folder: Path, chance: random.Random | None = None
) -> Iterator[World]:
    """Open what a disk holds as the service does when it is started again.

    With ``chance`` the files that nobody flushes are there too, full of anything.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    if chance is not None:
        for name in ("t.db-shm", "t.db-wake", "t.db-lock"):
            size = chance.choice((0, 3, 4096, 32768))
            (folder / name).write_bytes(chance.randbytes(size))
    db = open_database(folder / "t.db")
    try:
        yield World(db, FrozenClock())
    finally:
        db.close()


def _is_true(world: World, answer: Answer) -> bool:
    return bool(world.query(answer.sql, *answer.values))


def _commits(steps: Sequence[Step]) -> Iterator[int]:
    """Yield after how many steps each transaction is written whole.

    The header of its last page in the log holds the size of the database, that of the other
    pages zero.
    """
    logs = {
        step.file for step in steps if isinstance(step, Create) and step.name.endswith("-wal")
    }
    is_last = False
    for number, step in enumerate(steps):
        if not isinstance(step, Write) or step.file not in logs:
            continue
        if is_last:
            yield number + 1
        is_last = len(step.data) == _FRAME_HEADER_BYTES and step.data[4:8] != bytes(4)
