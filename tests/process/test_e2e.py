"""``make e2e``: the whole API with curl, and that its script notices what it leaves out."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.serving import ROOT, environment
from tests.process.stand_ins import tools

# The script has a file of its own.
pytestmark = pytest.mark.sqlite

SCRIPT_S = 120


def end_to_end(home: Path, path: str) -> subprocess.CompletedProcess[str]:
    variables = environment(home)
    # A setting of the caller's that the script's own service must not see.
    variables |= {"PATH": f"{path}:{variables['PATH']}", "TICKETS_GATES": "inform"}
    return subprocess.run(
        ["sh", ROOT / "scripts" / "e2e.sh"],
        env=variables,
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SCRIPT_S,
        check=False,
    )


@pytest.mark.parametrize("all_of_them", [False, True], ids=["of this machine", "stand-ins"])
def test_the_whole_api_works_with_curl(tmp_path: Path, all_of_them: bool) -> None:
    result = end_to_end(tmp_path, tools(tmp_path / "bin", all_of_them=all_of_them))

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.endswith("routes work\n")


def test_a_route_that_is_left_out_is_a_failure(tmp_path: Path) -> None:
    path = tools(tmp_path / "bin")
    (tmp_path / "bin" / "python").write_text(
        '#!/bin/sh\n[ "$*" != "-m tickets routes" ] || echo "PATCH /new  Not walked"\n'
        f'exec {shlex.quote(sys.executable)} "$@"\n'
    )

    result = end_to_end(tmp_path, path)

    assert result.returncode == 1
    assert "< PATCH /new" in result.stderr
    assert result.stdout == ""
