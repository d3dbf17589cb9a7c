"""The vault: secrets of others', sealed with a key that the database does not hold."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from tickets.lifecycle.errors import SecretsUnreadable

# What was stored before there was a vault does not begin like this.
SEALED: Final = "sealed:"

logger = logging.getLogger(__name__)


class Vault:
    """Seals what the service has to show again, so that a database alone gives none of it away.

    ``path`` is a file with a Fernet key in each line: the first one seals, each of them opens.
    It is made where it is missing and something is to be sealed. It is read each time, which is
    seldom, so that another process may have made or changed it.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._told: str | None = None

    def seal(self, secret: str) -> str:
        """Return a text from which only ``open`` gets the secret. Raises SecretsUnreadable."""
        return SEALED + self._keys(may_make=True).encrypt(secret.encode()).decode()

    def open(self, sealed: str) -> str:
        """Return what was sealed. Raises SecretsUnreadable."""
        if not sealed.startswith(SEALED):
            return sealed
        try:
            return self._keys().decrypt(sealed[len(SEALED) :]).decode()
        except InvalidToken:
            raise SecretsUnreadable from None

    def _keys(self, *, may_make: bool = False) -> MultiFernet:
        if self._path is None:
            self._tell("no place for the key of secrets: name one by sealing_key_file")
            raise SecretsUnreadable
        try:
            if may_make and not self._path.exists():
                _make(self._path)
            lines = self._path.read_bytes().split()
            # No key, and what is none, is a ValueError to the library.
            keys = MultiFernet([Fernet(line) for line in lines])
        except (OSError, ValueError) as error:
            self._tell(f"the key file {self._path} is of no use: {error}")
            raise SecretsUnreadable from error
        self._told = None
        return keys

    def _tell(self, trouble: str) -> None:
        """Log what is wrong with the file, not again while it is still the same."""
        if trouble != self._told:
            logger.error("%s", trouble)
        self._told = trouble


def _make(path: Path) -> None:
    """Put a new key there, whole and for nobody else to read, unless somebody was quicker."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{uuid4()}")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(Fernet.generate_key() + b"\n")
            file.flush()
            # What it sealed is of use only as long as it is there.
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
