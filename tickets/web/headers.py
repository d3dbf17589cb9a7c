"""Names that several products give to the same thing."""

from __future__ import annotations

from typing import Final

# In which workspace a request acts, and as whom.
WORKSPACE_HEADER: Final = "X-Workspace-Id"
WORKSPACE_PARAMETER: Final = "workspace_id"
ACTOR_HEADER: Final = "X-Actor"
