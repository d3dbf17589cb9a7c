"""What ``/metrics`` tells of the sync with Linear."""

from __future__ import annotations

from tests.linear.faults import refusal
from tests.linear.mirror import Mirror


def gauges(mirror: Mirror) -> dict[str, float]:
    lines = mirror.client.get("/metrics", status=200).text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith("tickets_linear_"))
    return {name.removeprefix("tickets_linear_"): float(value) for name, value in pairs}


def test_what_waits_and_what_was_given_up_is_shown(mirror: Mirror) -> None:
    ticket = mirror.mirrored()
    mirror.linear.faults.append(refusal(200, "no", type="invalid input"))
    mirror.patch(ticket["id"], title="Refused")
    mirror.push()
    mirror.create()
    mirror.clock.advance(ms=2_500)

    found = gauges(mirror)

    assert found['integrations{state="ok"}'] == 1
    assert found['pending{queue="outbox"}'] == 1
    assert found['oldest_pending_seconds{queue="outbox"}'] == 2.5
    assert found["given_up"] == 1
    assert found['pending{queue="inbox"}'] == 0
    assert found['oldest_pending_seconds{queue="inbox"}'] == 0


def test_an_integration_that_is_off_is_told_apart(mirror: Mirror) -> None:
    mirror.connect(enabled=False)

    found = gauges(mirror)

    assert (found['integrations{state="ok"}'], found['integrations{state="off"}']) == (0, 1)
