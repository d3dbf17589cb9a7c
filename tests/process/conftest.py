"""Fixtures of the tests that run the service as a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.process.serving import environment
from tests.process.stand_ins import tools


@pytest.fixture(params=[False, True], ids=["of this machine", "stand-ins"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    variables = environment(tmp_path)
    path = tools(tmp_path / "bin", all_of_them=request.param)
    return {**variables, "PATH": f"{path}:{variables['PATH']}"}
