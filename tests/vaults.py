"""A vault for tests that look at something else."""

from __future__ import annotations

from cryptography.fernet import Fernet, MultiFernet

from tickets.lifecycle.vault import Vault


class PassingVault(Vault):
    """One whose key is in no file, and gone with the process."""

    _only = MultiFernet([Fernet(Fernet.generate_key())])

    def __init__(self) -> None:
        super().__init__(None)

    def _keys(self, *, may_make: bool = False) -> MultiFernet:
        del may_make
        return self._only
