"""One HTTP request to Linear and its answer; the only place that opens a connection to it."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

from tickets.lifecycle.linear.errors import Passing

TIMEOUT_S: Final = 10.0
# Fifty issues with long descriptions; more than that is not an answer of Linear's.
MAX_ANSWER_BYTES: Final = 32 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """Whatever carries a request to Linear; tests bring one of their own."""

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes, /) -> Answer:
        """Send a POST and return the answer. Raises Passing where there is none."""


def post(url: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """Send a POST on a connection of its own, and follow no redirection with the key.

    Raises Passing for whatever the network does, or does not within ten seconds.
    """
    parts = urlsplit(url)
    kind = (
        http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    )
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    target = parts.path or "/"
    try:
        connection.request(
            "POST", f"{target}?{parts.query}" if parts.query else target, body, dict(headers)
        )
        response = connection.getresponse()
        content = response.read(MAX_ANSWER_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        # The class only: the text may name hosts, and a proxy's may repeat what was sent.
        raise Passing(f"no answer from Linear ({type(error).__name__})") from error
    finally:
        connection.close()
    if len(content) > MAX_ANSWER_BYTES:
        raise Passing("the answer from Linear is too large")
    found = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, found, content)
