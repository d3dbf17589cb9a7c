"""What can go wrong with a call to Linear, by what it means for the queue.

LinearFailure            base; its text never holds a secret
├── Passing              try again later; counts as an attempt
├── Limited              wait until a time; does not count, and stops the whole workspace
├── KeyRefused           the key is wrong; stop until somebody has verified it
└── Refused              this will never work; nothing is tried again
    ├── AlreadyThere     what was to be created exists under this id
    └── NotThere         Linear has no such thing
"""

from __future__ import annotations


class LinearFailure(Exception):
    """A call to Linear that brought nothing."""


class Passing(LinearFailure):
    """The network, Linear's servers, or a lock in them: likely better in a while."""


class Limited(LinearFailure):
    """We asked too much; Linear may be asked again at ``until_ms``."""

    def __init__(self, until_ms: int) -> None:
        self.until_ms = until_ms
        super().__init__("rate limited")


class KeyRefused(LinearFailure):
    """Linear does not know the key, or the key may not do anything any more."""


class Refused(LinearFailure):
    """Linear understood and said no."""


class AlreadyThere(Refused):
    """Something with the id that we chose exists."""


class NotThere(Refused):
    """What the call is about does not exist."""
