"""Who does something: ``user``, ``user:<name>``, ``agent:<id>``, ``system`` or ``linear…``."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from tickets.errors import Invalid

SYSTEM: Final = "system"
USER: Final = "user"
MAX_ACTOR_CHARACTERS: Final = 512


class Scope(Struct, frozen=True, kw_only=True):
    """In whose workspace a request acts, and as whom.

    ``lease_hash`` is the hash of a lease token that is to prove it; an empty one is that of
    something that is no token.
    """

    workspace_id: str
    actor: str = USER
    lease_hash: bytes | None = None

    @property
    def agent_id(self) -> str | None:
        """The agent that acts, None for anybody else."""
        return agent_of(self.actor)


def agent_of(actor: str) -> str | None:
    """Return the agent's id, None where it is no agent."""
    kind, _, id_ = actor.partition(":")
    return id_ if kind == "agent" else None


def check_actor(text: str) -> str:
    """Return who a client says it is. Raises Invalid for what only the service may be."""
    kind, _, name = text.partition(":")
    is_known = kind in ("user", "agent") and (bool(name) or text == USER)
    if not is_known or len(text) > MAX_ACTOR_CHARACTERS:
        raise Invalid.field("X-Actor", "must be user, user:<name> or agent:<agent_id>")
    return text


def kind_of(actor: str) -> str:
    """Return what an actor is in a trigger: ``user``, ``agent``, ``remote`` or ``system``."""
    kind = actor.partition(":")[0]
    return "remote" if kind == "linear" else kind
