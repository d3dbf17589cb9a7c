"""Tickets, tasks, events and ledger agree whenever a server is killed, and when all is over.

People and agents act at random, each by a seed of its own, and repeat what was not answered.
Whenever the whole service was killed, everything that lies in its database is compared; at
the end also what each client was answered, with what the service shows.
"""

from __future__ import annotations

import random
import re
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path

import pytest

from tests import databases
from tests.dispatching import check_tickets
from tests.drills import rounds, seed
from tests.factories import Json
from tests.faults.agents import Memory, agents_at_work, look, rules
from tests.faults.agents import begin as begin_games
from tests.faults.crews import Runner, at_work
from tests.faults.history import check
from tests.faults.task_walk import check_tasks
from tests.faults.test_kill_loop import kill_a_worker
from tests.faults.ticket_agents import Worker
from tests.faults.ticket_book import ROLES, WORKSPACES, Book
from tests.faults.ticket_clerk import Clerk, begin, free_all
from tests.faults.ticket_feeds import Follower, listed
from tests.faults.ticket_people import Person
from tests.faults.ticket_promises import Promises
from tests.faults.ticket_replay import check_tickets_told
from tests.process.clients import Client, eventually, free_port, tickets
from tests.process.crowd import Service, check_database, kill_all
from tests.process.serving import Server
from tests.worlds import World
from tickets.clock import SystemClock
from tickets.db.database import Database

SEED = seed(8)
ROUNDS = rounds(3, drill=12)
FEWEST_STEPS, MOST_STEPS = 40, 250
PEOPLE, PLAYERS = 4, 3
# What an agent may have in hand is made less at any time, and nothing is taken from it then.
LIMIT = "an agent has no more in hand than it may"
TROUBLE = re.compile(r".*(?:refused what happened|Traceback|internal_error).*")


def check_stored(home: Path) -> tuple[int, int]:
    """Assert that all agrees in a database that no server has open; return what there was."""
    with closing(databases.open_home(home)) as database:
        eventually(partial(is_alone, database))
        world = World(database, SystemClock())
        check_tickets(world, but=LIMIT)
        return check_tickets_told(world), check_tasks(world)


def is_alone(database: Database) -> bool:
    """Tell whether a server of PostgreSQL is through with what killed processes began."""
    if database.dialect == "sqlite":
        return True
    with database.read() as tx, tx.raw() as connection:
        [(count,)] = connection.execute(
            "SELECT COUNT(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
            # A pooler keeps its connections, which rest by then.
            + (" AND state <> 'idle'" if databases.Kind.is_pooled else "")
        ).fetchall()
    return bool(count == 0)


def restless(client: Client) -> list[Json]:
    """Return the tickets that wait although nothing is in their way."""
    shown = [
        ticket
        for workspace_id in WORKSPACES
        for ticket in listed(client, f"/tickets?workspace_id={workspace_id}")
    ]
    return [ticket for ticket in shown if not ticket["blocked_by"] and is_waiting(ticket)]


def is_waiting(ticket: Json) -> bool:
    """Tell whether the service is to start a ticket, or to let it go on, once it can."""
    state: str = ticket["dispatch"]["state"]
    # What was taken from its agent while it was blocked waits for somebody who assigns it.
    is_dependent = ticket["blocked_kind"] == "dependency" and state != "none"
    return is_dependent or state == "waiting"


def come_to_rest(client: Client) -> None:
    """Wait until no lease is left, and nothing waits that could begin."""
    eventually(lambda: not client.get("/health")["active_leases"])
    with suppress(AssertionError):
        eventually(lambda: not restless(client))
    found = restless(client)
    assert found == [], [(each["id"], each["status"], each["dispatch"]) for each in found]


@pytest.mark.drill
def test_tickets_tasks_events_and_ledger_agree_through_kills(tmp_path: Path) -> None:
    chance = random.Random(SEED)
    place = ("--port", str(free_port()), "--workers", "2")
    often = ("--dispatch-sweep-interval-ms", "200")
    service = Service()
    memory = Memory(service)
    book = Book(service, memory.failures, memory.ending)
    follower = Follower(book)
    runners: list[Runner] = [
        follower,
        Clerk(book, "clerk", SEED),
        *(Person(book, f"person{number}", SEED) for number in range(PEOPLE)),
        *(Worker(book, f"agent-{w}-{name}", SEED) for w in WORKSPACES for name in ROLES),
    ]
    servers: list[Server] = []
    with ExitStack() as stack:

        def serve() -> Server:
            servers.append(stack.enter_context(tickets(tmp_path, *place, *often)))
            service.is_now(servers[-1])
            return servers[-1]

        server = serve()
        first = Clerk(book, "first", SEED)
        begin(first)
        with Client(server) as client:
            begin_games(client, memory)
        with (
            agents_at_work(memory, SEED, PLAYERS),
            at_work(service, memory.failures, memory.ending, runners),
        ):
            for _ in range(ROUNDS):
                service.go_on(chance.randint(FEWEST_STEPS, MOST_STEPS))
                kill_a_worker(server, chance)
                service.go_on(chance.randint(FEWEST_STEPS, MOST_STEPS))
                service.is_now(None)
                kill_all(server)
                check_stored(tmp_path)
                server = serve()
            service.go_on(MOST_STEPS)
        for workspace_id in WORKSPACES:
            free_all(first, workspace_id)
        first.client.close()
        with Client(server) as client:
            come_to_rest(client)
            look(client, memory)
            Promises(client, book, follower.check(client)).check()
            metrics = client.send("GET", "/metrics").body.decode()
        assert server.stop() == 0

    assert [found[0] for each in servers for found in TROUBLE.finditer(each.log)] == []
    assert "tickets_ledger_feed_errors_total 0.0" in metrics
    assert service.unanswered >= ROUNDS
    assert check(memory.history.calls(), rules()) > ROUNDS
    count, facts = check_stored(tmp_path)
    check_database(tmp_path)
    print(f"{count} tickets, {facts} facts of tasks, {len(book.writes)} writes")  # noqa: T201
