"""``POST /leases/{id}/heartbeat``."""

from __future__ import annotations

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import EPOCH_MS, Factory, Json, bearer, refused

FLOOR_MS = 300_000


@pytest.fixture
def claim(make: Factory) -> Json:
    make.task()
    return make.claim(lease_ttl_ms=1_000)


def test_a_heartbeat_gives_at_least_five_minutes_from_now(
    make: Factory, clock: FrozenClock, claim: Json
) -> None:
    clock.advance(ms=999)

    response = make.heartbeat(claim)

    assert response.json == {"expires_at_ms": EPOCH_MS + 999 + FLOOR_MS}


# D-04: a longer ttl is remembered
def test_a_heartbeat_gives_the_lease_its_own_ttl_where_that_is_more(
    make: Factory, clock: FrozenClock
) -> None:
    make.task()
    claim = make.claim(lease_ttl_ms=3_600_000)
    clock.advance(ms=10)

    assert make.heartbeat(claim).json == {"expires_at_ms": EPOCH_MS + 10 + 3_600_000}


# D-04: never shorten, unless asked
def test_a_heartbeat_never_shortens_a_lease_unless_asked(
    make: Factory, clock: FrozenClock, claim: Json
) -> None:
    make.heartbeat(claim, {"lease_ttl_ms": 600_000})
    make.heartbeat(claim, {"lease_ttl_ms": 400_000})
    clock.advance(ms=-50_000)

    assert make.heartbeat(claim).json == {"expires_at_ms": EPOCH_MS + 400_000}


@pytest.mark.parametrize("ttl_ms", [1, 86_400_000])
def test_a_ttl_in_the_body_is_exact(make: Factory, claim: Json, ttl_ms: int) -> None:
    response = make.heartbeat(claim, {"lease_ttl_ms": ttl_ms})

    assert response.json == {"expires_at_ms": EPOCH_MS + ttl_ms}


def test_a_ttl_in_the_body_is_the_ttl_from_then_on(
    make: Factory, clock: FrozenClock, claim: Json
) -> None:
    make.heartbeat(claim, {"lease_ttl_ms": 600_000})
    clock.advance(ms=5)

    assert make.heartbeat(claim).json == {"expires_at_ms": EPOCH_MS + 5 + 600_000}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{bad",
        b"[]",
        b"\xff",
        b"{}",
        b'{"lease_ttl_ms":0}',
        b'{"lease_ttl_ms":86400001}',
        b'{"lease_ttl_ms":"7"}',
        b'{"lease_ttl_ms":null}',
    ],
)
def test_any_other_body_is_ignored(client: Client, claim: Json, body: bytes) -> None:
    response = client.post(
        f"/leases/{claim['lease_id']}/heartbeat",
        body,
        headers=bearer(claim["lease_token"]),
        status=200,
    )

    assert response.json == {"expires_at_ms": EPOCH_MS + FLOOR_MS}


def test_the_last_millisecond_is_in_time(
    make: Factory, clock: FrozenClock, claim: Json
) -> None:
    clock.advance(ms=999)

    make.heartbeat(claim, status=200)


# D-07: a known expired lease is 410, also after somebody else claimed the task
def test_a_heartbeat_at_the_exact_expiry_is_too_late_for_ever(
    make: Factory, clock: FrozenClock, claim: Json
) -> None:
    clock.advance(ms=1_000)

    assert make.heartbeat(claim, status=410).json == refused("expired")
    make.claim(agent="a2")
    assert make.heartbeat(claim, status=410).json == refused("expired")


def test_a_wrong_token_is_refused_before_the_time_is_looked_at(
    client: Client, clock: FrozenClock, claim: Json
) -> None:
    clock.advance(ms=1_000)

    response = client.post(
        f"/leases/{claim['lease_id']}/heartbeat", headers=bearer("0" * 64), status=401
    )

    assert response.json == refused("unauthorized")


def test_the_token_is_not_case_sensitive(client: Client, claim: Json) -> None:
    client.post(
        f"/leases/{claim['lease_id']}/heartbeat",
        headers=bearer(claim["lease_token"].upper()),
        status=200,
    )


def test_an_unknown_lease_is_not_found(client: Client) -> None:
    response = client.post("/leases/nope/heartbeat", headers=bearer("0" * 64), status=404)

    assert response.json == refused("not_found")


@pytest.mark.parametrize("part", ["transition", "fail", "release"])
def test_the_lease_of_an_ended_run_is_not_found(make: Factory, claim: Json, part: str) -> None:
    bodies: dict[str, Json] = {
        "transition": {"trigger": "complete"},
        "fail": {"error": ""},
        "release": {},
    }
    make.on_run(claim, part, bodies[part])

    assert make.heartbeat(claim, status=404).json == refused("not_found")
