"""Who is calling: the API token, a lease token, or nobody in particular."""

from __future__ import annotations

import enum
import hmac
from dataclasses import dataclass

from falcon import Request

from tickets.errors import Unauthorized
from tickets.ids import hash_token
from tickets.web.rawpath import path_segments

_LEASE_RUN_PARTS = frozenset({"events", "transition", "fail", "gates", "release"})
_PUBLIC = frozenset(
    {("health",), ("ready",), ("openapi.json",), (".well-known", "openapi.json"), ("docs",)}
)
# What comes here proves itself by a signature of its body.
_SIGNED = "webhooks"


class Access(enum.Enum):
    """Who may use an endpoint where an API token is configured.

    PUBLIC: everybody. API: the API token. READER: the API token, or the live lease token of
    the run or task in question. LEASE: the lease's token, or the API token as operator; this
    one holds also where no API token is configured.
    """

    PUBLIC = "public"
    API = "api"
    READER = "reader"
    LEASE = "lease"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What a request proved. ``token_hash`` is set for a well-formed lease token only.

    ``is_trusted`` is true with the right API token, and for everybody where none is
    configured. ``is_operator`` is true with the right API token only.
    """

    is_trusted: bool
    is_operator: bool
    token_hash: bytes | None

    @property
    def principal(self) -> str:
        """The name under which this caller's idempotency keys are kept."""
        if self.token_hash is not None and not self.is_operator:
            return f"lease:{self.token_hash.hex()}"
        return "api"

    @property
    def reader(self) -> bytes | None:
        """The lease token hash that reads must be checked against; None reads everything."""
        return None if self.is_trusted else self.token_hash

    @property
    def holder(self) -> bytes | None:
        """The lease token hash that writes on a lease must match; None for the operator."""
        return None if self.is_operator else self.token_hash


class Authenticator:
    """Decides from path and bearer token who calls; one for each application."""

    def __init__(self, api_token: str | None) -> None:
        self._api_token = None if api_token is None else api_token.encode()

    def identify(self, req: Request) -> Caller:
        """Return the caller.

        Where an API token is configured, every path but the public ones, unknown ones
        included, wants a bearer token: on a lease path any, else the API token or something
        that could be a lease token and is looked at later. Raises Unauthorized.
        """
        token = bearer_token(req)
        token_hash = None if token is None else hash_token(token)
        if self._api_token is None:
            return Caller(is_trusted=True, is_operator=False, token_hash=token_hash)
        is_operator = token is not None and hmac.compare_digest(
            token.encode("utf-8", "surrogateescape"), self._api_token
        )
        caller = Caller(is_trusted=is_operator, is_operator=is_operator, token_hash=token_hash)
        segments = path_segments(req.env)
        if segments in _PUBLIC or segments[:1] == (_SIGNED,) or is_operator:
            return caller
        if token is None:
            raise Unauthorized("Send the API token as header 'Authorization: Bearer …'")
        if token_hash is None and not _is_lease_path(segments):
            raise Unauthorized("The bearer token is not the API token of this server")
        return caller


def require(caller: Caller, access: Access) -> None:
    """Return where ``caller`` may go on to an endpoint with this ``access``.

    READER and LEASE callers are checked again by the operation, against the lease.
    Raises Unauthorized.
    """
    if access is Access.LEASE:
        if not caller.is_operator and caller.token_hash is None:
            raise Unauthorized("A lease token (64 hex characters) is required as bearer token")
        return
    if access is Access.PUBLIC or caller.is_trusted:
        return
    if access is Access.API or caller.token_hash is None:
        raise Unauthorized


def bearer_token(req: Request) -> str | None:
    """Return the token of ``Authorization: Bearer <token>``, or None.

    The scheme may be written in any case, and any number of spaces may follow it; from there on
    the token is verbatim. Source: RFC 9110, section 11.4.
    """
    header = req.env.get("HTTP_AUTHORIZATION")
    if header is None:
        return None
    scheme, space, token = header.lstrip(" ").partition(" ")
    return token.lstrip(" ") if space and scheme.lower() == "bearer" else None


def _is_lease_path(segments: tuple[str, ...]) -> bool:
    if len(segments) < 3:
        return False
    head, _, part = segments[:3]
    return (head == "leases" and part == "heartbeat") or (
        head == "runs" and part in _LEASE_RUN_PARTS
    )
