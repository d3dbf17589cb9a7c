"""Print the schema: ``python -m sqlite_task_ledger > schema/status_schema.sql``."""

import sys

from .sqlite_store import SCHEMA_PATH

sys.stdout.write(SCHEMA_PATH.read_text(encoding="utf-8"))
