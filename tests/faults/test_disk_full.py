"""A disk that is full for a while: writes are refused whole, and nothing else happens."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.drills import rounds, seed
from tests.factories import SIMPLE, Json
from tests.faults.small_disks import LEFT_BYTES_MAX, Disk, small_disk, ways
from tests.faults.soundness import check_home
from tests.process.clients import Client, eventually, tickets, workers_of
from tests.process.serving import Server

SEED = seed(8)
ROUNDS = rounds(2, drill=8)
WRITERS = 4
READS = ("/tasks", "/health", "/pipelines", "/changes", "/ops/queue", "/ready")
TEXT = "x" * 4_000


@dataclass
class Deed:
    """A request that was refused while the disk was full, to be repeated as it is."""

    path: str
    body: Json
    more: dict[str, Any]
    statuses: list[int] = field(default_factory=list)


@dataclass
class Filled:
    """What writers did until the disk was full."""

    titles: list[str]
    refused: Deed


def write_until_refused(server: Server, name: str, pipeline_id: str) -> Filled:
    """Create tasks until one is refused."""
    titles: list[str] = []
    with Client(server) as client:
        while True:
            title = f"{name} {len(titles)}"
            body = {"pipeline_id": pipeline_id, "title": title, "description": TEXT}
            deed = Deed("/tasks", body, {"key": title})
            answer = client.send("POST", deed.path, body, key=title)
            if answer.status != 201:
                deed.statuses.append(answer.status)
                return Filled(titles, deed)
            titles.append(title)


def deeds_on(claims: list[Json], number: int) -> list[Deed]:
    """Return one request of each kind that an agent sends about its run."""
    beat, step, move, fail, release = claims

    def on(claim: Json, part: str, body: Json) -> Deed:
        more = {"token": claim["lease_token"], "key": f"{part} {number}"}
        return Deed(f"/runs/{claim['run']['id']}/{part}", body, more)

    lease = {"token": beat["lease_token"], "key": f"heartbeat {number}"}
    return [
        Deed(f"/leases/{beat['lease_id']}/heartbeat", {"lease_ttl_ms": 600_000}, lease),
        on(step, "events", {"kind": "step", "data": TEXT}),
        on(move, "transition", {"trigger": "complete", "instructions": TEXT}),
        on(fail, "fail", {"error": TEXT}),
        on(release, "release", {"reason": TEXT}),
    ]


def is_refused(client: Client, deed: Deed, disk: Disk) -> bool:
    answer = client.send("POST", deed.path, deed.body, **deed.more)
    if answer.status < 300:
        # It found room in what was there already; its repetition is another matter.
        return False
    assert answer.status == disk.full_status, (deed, answer)
    expected = {507: "storage_full", 503: "busy"}[disk.full_status]
    assert answer.json["error"]["code"] == expected
    return True


def fill_and_clear(
    server: Server, client: Client, disk: Disk, pipeline_id: str, number: int, left: int
) -> tuple[list[str], int]:
    """Let the disk be full once; return the titles of tasks, and how much was refused."""
    claims = [client.claim("coder", f"agent {number}.{each}") for each in range(5)]
    expiring = client.claim("coder", f"expiring {number}", lease_ttl_ms=1)
    workers = sorted(workers_of(server))
    disk.fill(server, left)
    with ThreadPoolExecutor(WRITERS) as pool:
        names = [f"writer {number}.{each}" for each in range(WRITERS)]
        filled = list(
            pool.map(lambda name: write_until_refused(server, name, pipeline_id), names)
        )
    assert {each.refused.statuses[0] for each in filled} == {disk.full_status}
    deeds = deeds_on(claims, number)
    refused = [deed for deed in deeds if is_refused(client, deed, disk)]
    for path in READS:
        assert client.send("GET", path).status == 200, path
    assert sorted(workers_of(server)) == workers

    disk.clear(server)

    # The same requests, with the same keys, to the same processes.
    for deed in [*(each.refused for each in filled), *deeds]:
        eventually(lambda: client.send("POST", deed.path, deed.body, **deed.more).status < 300)  # noqa: B023  # at once
    assert sorted(workers_of(server)) == workers
    path = f"/runs/{expiring['run']['id']}"
    assert eventually(lambda: client.get(path)["status"] == "stale")
    titles = [title for each in filled for title in each.titles]
    return [*titles, *(each.refused.body["title"] for each in filled)], len(refused)


@pytest.mark.drill
@pytest.mark.parametrize("way", ways())
def test_a_full_disk_refuses_writes_whole_and_is_forgotten(tmp_path: Path, way: str) -> None:
    chance = random.Random(SEED)
    refused = 0
    with small_disk(way, tmp_path) as disk:
        scratch = {"TMPDIR": str(tmp_path)}
        with (
            tickets(disk.home, "--workers", "2", **scratch) as server,
            Client(server) as client,
        ):
            pipeline_id = client.pipeline(SIMPLE)
            titles = [f"t{number}" for number in range(20 * ROUNDS)]
            for title in titles:
                client.task(pipeline_id, title, priority=1)
            eventually(lambda: len(workers_of(server)) == 2)
            for number in range(ROUNDS):
                left = chance.randrange(LEFT_BYTES_MAX)
                more, count = fill_and_clear(server, client, disk, pipeline_id, number, left)
                titles += more
                refused += count
            stored = [task["title"] for task in client.pages("/tasks")]
            client.close()
            assert server.stop() == 0
        check_home(disk.home)

    # What was answered is there once, and so is what was repeated.
    assert sorted(stored) == sorted(titles)
    assert refused > 0
