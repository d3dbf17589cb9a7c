"""What setup.cfg must list by hand."""

from __future__ import annotations

import configparser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_every_package_is_listed() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / "tickets").rglob("__init__.py")
    }

    assert set(setup["options"]["packages"].split()) == found | {
        "tickets._sql",
        "sqlite_task_ledger",
    }
