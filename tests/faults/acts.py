"""What a request did to a task, by its answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Claimed:
    """A claim was granted. ``run`` is the attempt; what its answer did not show is None."""

    run: int
    granted_ms: int
    ends_ms: int
    stage: str | None = None
    version: int | None = None
    failed: int | None = None


@dataclass(frozen=True)
class Kept:
    """A heartbeat; without ``ends_ms`` nobody has read its answer."""

    run: int
    ttl_ms: int
    ends_ms: int | None


@dataclass(frozen=True)
class Noted:
    """An event was added."""

    run: int
    mark: str


@dataclass(frozen=True)
class Moved:
    """A transition; without ``to_stage`` nobody has read its answer."""

    run: int
    trigger: str
    to_stage: str | None


@dataclass(frozen=True)
class Failed:
    """The run was failed."""

    run: int


@dataclass(frozen=True)
class Released:
    """The task was given back."""

    run: int


@dataclass(frozen=True)
class Expired:
    """Anything at all was refused, because the lease is over."""

    run: int


@dataclass(frozen=True)
class Gone:
    """Anything at all was refused, because the run had ended by request."""

    run: int


@dataclass(frozen=True)
class Odd:
    """Anything at all was answered as it never should be."""

    run: int
    code: str


@dataclass(frozen=True)
class Seen:
    """The task was read, with the statuses of its runs and the marks of its events."""

    stage: str
    version: int
    runs: tuple[str, ...]
    marks: tuple[str, ...]


Act = Claimed | Kept | Noted | Moved | Failed | Released | Expired | Gone | Odd | Seen
