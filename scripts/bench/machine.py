"""What a figure was measured on and with; nothing that names the machine or its owner."""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from scripts.bench.service import ROOT

PACKAGES = ("tickets-tracker", "falcon", "gunicorn", "gunicorn_h1c", "msgspec", "orjson")


def machine(scratch: Path) -> dict[str, Any]:
    """Return processor, memory, system, and the file system that the database is on."""
    return {
        "cpu": _cpu_model(),
        "cores": cores(),
        "memory_gib": round(_memory_bytes() / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "file_system": file_system(scratch.resolve(), _mounts()),
    }


def cores() -> int:
    """Return how many cores there are for this process."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions(health: dict[str, Any]) -> dict[str, str]:
    """Return the versions of everything that takes part in an answer."""
    found = {"python": platform.python_version()}
    if health.get("sqlite_version"):
        found["sqlite"] = str(health["sqlite_version"])
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def commit() -> str:
    """Return the commit that is checked out, with a + where files differ from it."""
    head = _git("rev-parse", "--short=12", "HEAD")
    return head + ("+" if head and _git("status", "--porcelain", "-uno") else "") or "unknown"


def today() -> str:
    """Return the date."""
    return dt.datetime.now(dt.UTC).date().isoformat()


def file_system(path: Path, mounts: str) -> str:
    """Return the type of the file system that a path is on; ``mounts`` as in /proc/mounts."""
    best, kind = -1, "unknown"
    for line in mounts.splitlines():
        _, point, found, *_ = line.split()
        # Of mounts on one point the last is the one in use.
        if path.is_relative_to(point) and len(point) >= best:
            best, kind = len(point), found
    return kind


def _mounts() -> str:
    try:
        return Path("/proc/mounts").read_text()
    except OSError:
        return ""


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
