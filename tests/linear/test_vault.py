"""Secrets of others': what the database holds of them, and who can open it."""

from __future__ import annotations

import logging
import stat
import threading
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests.conftest import Client, FrozenClock
from tests.linear.mirror import LINEAR, SECRETS, Mirror
from tests.linear.stand_in import StandIn
from tickets.app import Application
from tickets.config import Settings
from tickets.db.database import Database, Row
from tickets.lifecycle.errors import SecretsUnreadable
from tickets.lifecycle.vault import Vault


def stored(db: Database) -> Row:
    with db.read() as tx:
        row = tx.one("integrations_linear.get", workspace_id="w")
    assert row is not None
    return row


class TestVault:
    def test_what_is_sealed_is_opened_by_whoever_has_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "made" / "key"
        sealed = Vault(path).seal("lin_api_x")

        assert "lin_api_x" not in sealed
        assert Vault(path).open(sealed) == "lin_api_x"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert list(path.parent.iterdir()) == [path]

    def test_the_first_key_seals_and_each_of_them_opens(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        old = Vault(path).seal("a")
        before = path.read_bytes()
        path.write_bytes(Fernet.generate_key() + b"\n" + before)
        new = Vault(path).seal("b")

        assert (Vault(path).open(old), Vault(path).open(new)) == ("a", "b")
        path.write_bytes(before)
        with pytest.raises(SecretsUnreadable):
            Vault(path).open(new)

    @pytest.mark.parametrize("content", [b"", b"no key", b"\0" * 44])
    def test_a_file_that_is_no_key_seals_nothing_and_is_left_alone(
        self, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        path = tmp_path / "key"
        path.write_bytes(content)

        with caplog.at_level(logging.ERROR), pytest.raises(SecretsUnreadable):
            Vault(path).seal("a")

        assert path.read_bytes() == content
        assert str(path) in caplog.text

    def test_without_a_place_for_the_key_nothing_is_sealed(self) -> None:
        with pytest.raises(SecretsUnreadable):
            Vault(None).seal("a")

    def test_many_who_seal_first_agree_on_one_key(self, tmp_path: Path) -> None:
        path = tmp_path / "key"
        sealed: list[str] = []
        begin = threading.Barrier(8)

        def seal() -> None:
            vault = Vault(path)
            begin.wait()
            sealed.append(vault.seal("a"))

        threads = [threading.Thread(target=seal) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [Vault(path).open(each) for each in sealed] == ["a"] * 8


def test_the_database_shows_neither_key_nor_secrets(mirror: Mirror, db: Database) -> None:
    text = repr(stored(db))

    for secret in (mirror.linear.key, *SECRETS):
        assert secret not in text
        assert secret[-4:] in mirror.client.get(LINEAR, status=200).text


def test_a_host_without_the_key_says_so_and_leaves_the_work_to_others(
    mirror: Mirror,
    db: Database,
    clock: FrozenClock,
    tmp_path: Path,
    linear: StandIn,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ticket = mirror.create()
    settings = Settings(db=Path("unused"), sealing_key_file=tmp_path / "other")
    other = Application(db, settings, clock, linear=linear)
    stranger = Client(other)

    shown = stranger.get(LINEAR, status=200).json
    assert shown["api_key"] == {"set": True, "last4": None}
    assert shown["status"] == "secrets_unreadable"
    stranger.get(LINEAR, status=200)
    told = [record for record in caplog.records if "key file" in record.getMessage()]
    assert len(told) == 1
    assert mirror.client.get(LINEAR, status=200).json["status"] == "ok"
    for path in (f"{LINEAR}/verify", "/webhooks/linear/w"):
        refused = stranger.post_json(path, {}, status=503).json
        assert refused["error"]["code"] == "secrets_unreadable"
    with pytest.raises(SecretsUnreadable):
        other.lifecycle.pushing.push_due()
    assert linear.calls == []

    clock.advance(ms=60_000)
    mirror.settle()
    assert mirror.issue(mirror.get(ticket["id"]))["title"] == "Title"


def test_what_was_stored_before_there_was_a_vault_works_and_is_sealed(
    mirror: Mirror, db: Database, app: Application
) -> None:
    with db.write() as tx:
        tx.run(
            "integrations_linear.seal",
            workspace_id="w",
            as_it_was=stored(db)["api_key"],
            api_key=mirror.linear.key,
            webhook_secrets_json=f'["{SECRETS[0]}"]',
        )
    ticket = mirror.mirrored()
    assert mirror.issue(ticket)["title"] == "Title"

    app.lifecycle.integrations.seal_stored()

    assert mirror.linear.key not in repr(stored(db))
    assert SECRETS[0] not in repr(stored(db))
    mirror.patch(ticket["id"], title="Sealed")
    mirror.settle()
    assert mirror.issue(ticket)["title"] == "Sealed"
    sealed = stored(db)
    app.lifecycle.integrations.seal_stored()
    assert stored(db) == sealed
