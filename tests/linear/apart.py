"""The stand-in in a process of its own, where the network is bad until somebody calms it.

``python apart.py <seed> <file of a clock's offset> <webhooks' address>``. Besides the API it
answers ``GET /shown`` with everything that is in it, ``GET /after?count=n`` once it has done so
many requests, before their answers go out, and ``GET /calm``.
"""

from __future__ import annotations

import random
import signal
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.faults.odd_server import Offset
from tests.linear.faults import LOST_REQUEST, LOST_RESPONSE, SERVER_ERROR
from tests.linear.serving import served
from tests.linear.stand_in import StandIn
from tickets.clock import SystemClock
from tickets.lifecycle.linear.transport import Answer

KEY = "lin_api_the_key_of_the_robot"
SECRET = "whsec_the_secret_of_this_team"  # of a stand-in
PATIENCE_S = 20.0
# How an answer fares, and how long it takes on its way at the most.
FAULTS = (LOST_RESPONSE, LOST_REQUEST, SERVER_ERROR)
FAULT_WEIGHTS = (5, 2, 2)
FAULTY = 0.25
SLOWEST_S = 0.04
DELIVERED_EVERY_S = 0.02


class ShiftedClock:
    """The clock of the service beside it."""

    def __init__(self, file: Path) -> None:
        self._clock = SystemClock()
        self._offset = Offset(file)

    def now_ms(self) -> int:
        """Return the time there."""
        return self._clock.now_ms() + self._offset.ms


class Apart:
    """A stand-in, and what becomes of its answers."""

    def __init__(self, seed: int, file: Path, webhooks_url: str) -> None:
        self._chance = random.Random(seed)
        self._clock = ShiftedClock(file)
        self._linear = StandIn(self._clock, key=KEY)
        self._webhooks_url = webhooks_url
        self._done = threading.Condition()
        self._count = 0
        self._is_calm = threading.Event()
        self._linear.before_answer = self._on_its_way

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Do a request; perhaps nobody hears of it."""
        if not self._is_calm.is_set() and self._chance.random() < FAULTY:
            (fault,) = self._chance.choices(FAULTS, FAULT_WEIGHTS)
            self._linear.faults.append(fault)
        return self._linear(url, headers, body)

    def _on_its_way(self) -> None:
        with self._done:
            self._count += 1
            self._done.notify_all()
        self._is_calm.wait(self._chance.random() * SLOWEST_S)

    def answer(self, path: str) -> Any:
        """Answer whoever runs the drill."""
        parts = urlsplit(path)
        if parts.path == "/calm":
            self._is_calm.set()
        elif parts.path == "/after":
            goal = int(parse_qs(parts.query)["count"][0])
            with self._done:
                self._done.wait_for(lambda: self._count >= goal, PATIENCE_S)
        else:
            return self._shown()
        return {"count": self._count}

    def _shown(self) -> Any:
        linear = self._linear
        return {
            "count": self._count,
            "team_id": linear.team_id,
            "issues": [linear.named(issue_id) for issue_id in linear.issues],
            "comments": list(linear.comments.values()),
            "relations": list(linear.relations.values()),
        }

    def deliver(self) -> None:
        """Deliver webhooks as they come; one that nobody takes is lost."""
        while True:
            threading.Event().wait(DELIVERED_EVERY_S)
            while self._linear.webhooks:
                webhook = self._linear.webhooks.pop(0)
                headers, body = webhook.sent(SECRET, self._clock.now_ms())
                request = urllib.request.Request(  # an address of our own
                    self._webhooks_url, body, headers
                )
                with suppress(OSError, urllib.error.URLError):
                    urllib.request.urlopen(request, timeout=PATIENCE_S).close()


def main(seed: str, offset: str, webhooks_url: str) -> None:
    """Serve until somebody ends it."""
    apart = Apart(int(seed), Path(offset), webhooks_url)
    threading.Thread(target=apart.deliver, daemon=True).start()
    with served(apart, show=apart.answer) as url:
        parts = urlsplit(url)
        print(f"listening http://{parts.netloc}", file=sys.stderr, flush=True)  # noqa: T201
        signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
