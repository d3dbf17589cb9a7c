from __future__ import annotations

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import REVIEW, Factory


def test_without_pipelines_the_array_is_empty(client: Client, clock: FrozenClock) -> None:
    assert client.get("/ops/queue", status=200).json == {
        "roles": [],
        "generated_at_ms": clock.now_ms(),
    }


# D-52
def test_each_role_has_all_counters_in_this_order(
    client: Client, make: Factory, clock: FrozenClock
) -> None:
    make.task(make.pipeline(REVIEW))
    clock.advance(ms=250)

    response = client.get("/ops/queue", status=200)

    first, second = response.json["roles"]
    assert list(first.items()) == [
        ("role", "coder"),
        ("claimable_count", 1),
        ("oldest_claimable_age_ms", 250),
        ("failed_count", 0),
        ("stuck_count", 0),
        ("near_expiry_leases", 0),
        ("assigned_count", 0),
        ("blocked_count", 0),
        ("scheduled_count", 0),
        ("leased_count", 0),
        ("dead_letter_count", 0),
        ("expired_leases", 0),
    ]
    assert (second["role"], second["oldest_claimable_age_ms"]) == ("reviewer", None)


def test_both_windows_are_parameters(client: Client, make: Factory, clock: FrozenClock) -> None:
    make.task()
    make.claim(lease_ttl_ms=90_000)
    clock.advance(ms=10_000)

    (narrow,) = client.get("/ops/queue").json["roles"]
    (wide,) = client.get("/ops/queue?near_expiry_ms=80000&stuck_ms=10000").json["roles"]

    assert (narrow["near_expiry_leases"], narrow["stuck_count"]) == (0, 0)
    assert (wide["near_expiry_leases"], wide["stuck_count"]) == (1, 1)


# D-11, D-47
@pytest.mark.parametrize("name", ["near_expiry_ms", "stuck_ms"])
@pytest.mark.parametrize("value", ["-1", "x", "", "1.5", "9223372036854775807"])
def test_a_window_that_makes_no_sense_is_refused(client: Client, name: str, value: str) -> None:
    response = client.get(f"/ops/queue?{name}={value}", status=400)

    error = response.json["error"]
    assert (error["code"], error["details"][0]["field"]) == ("invalid_request", name)
