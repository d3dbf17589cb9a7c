"""The first requests of a process come together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.serving import START_S, environment

# There is no database behind it.
pytestmark = pytest.mark.sqlite

# Reads a document of every declared type in many threads at once, as a fresh process does
# when agents have waited for it. What is learned of a type at its first use is learned then.
READ_AT_ONCE = """
import sys, threading
import msgspec
from tickets.app import _routes
from tickets.web.routes import operations

sys.setswitchinterval(1e-6)
types = set()
for operation in operations(_routes()):
    declared = operation.endpoint
    items = declared.body_items[1] if declared.body_items else None
    types |= {declared.body, declared.body_shown, declared.query, items} - {None}
for type_ in types:
    document = {name: "x" for name in type_.__struct_encode_fields__}
    together = threading.Barrier(16)

    def read():
        together.wait()
        try:
            msgspec.convert(document, type_)
        except msgspec.ValidationError:
            pass

    threads = [threading.Thread(target=read) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
"""


@pytest.mark.parametrize("attempt", range(3))
def test_documents_can_be_read_by_many_threads_at_once(tmp_path: Path, attempt: int) -> None:
    result = subprocess.run(
        [sys.executable, "-c", READ_AT_ONCE],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )

    assert (result.returncode, result.stderr) == (0, "")
