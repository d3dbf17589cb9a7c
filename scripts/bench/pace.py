"""How fast the machine is at this moment: virtual ones differ by half from hour to hour."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

SECONDS: Final = 0.5
SYNCS: Final = 50
PAGE: Final = bytes(4096)

# Additions in plain Python, so that it is what a service in Python can do.
_COUNT: Final = """
import sys, time
end, count = time.monotonic() + float(sys.argv[1]), 0
while time.monotonic() < end:
    for _ in range(10_000):
        count += 1
print(count)
"""


def pace(cores: int, scratch: Path) -> dict[str, float]:
    """Return millions of additions a second by all cores, and the milliseconds of a sync."""
    command = [sys.executable, "-c", _COUNT, str(SECONDS)]
    counting = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(cores)
    ]
    counts = [int(each.communicate()[0]) for each in counting]
    return {
        "additions_m_per_s": round(sum(counts) / SECONDS / 1e6, 1),
        "sync_ms": round(_sync_ms(scratch), 3),
    }


def between(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """Return the mean of what was found before a figure and after it."""
    return {name: round((before[name] + after[name]) / 2, 3) for name in before}


def _sync_ms(scratch: Path) -> float:
    """Return how long it takes to have a page on disk that is appended to a file, mostly."""
    times_ms = []
    with tempfile.TemporaryFile(dir=scratch, buffering=0) as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            file.write(PAGE)
            os.fsync(file.fileno())
            times_ms.append((time.perf_counter() - began) * 1000)
    return statistics.median(times_ms)
