"""The application with the stand-in in Linear's place."""

from __future__ import annotations

import pytest

from tests.conftest import Client, FrozenClock
from tests.linear.mirror import Mirror
from tests.linear.stand_in import StandIn
from tickets.app import Application
from tickets.config import Settings
from tickets.db.database import Database


@pytest.fixture
def linear(clock: FrozenClock) -> StandIn:
    return StandIn(clock, key="lin_api_the_key_of_the_robot")


@pytest.fixture
def app(db: Database, settings: Settings, clock: FrozenClock, linear: StandIn) -> Application:
    return Application(db, settings, clock, random_unit=lambda: 0.5, linear=linear)


@pytest.fixture
def mirror(client: Client, app: Application, clock: FrozenClock, linear: StandIn) -> Mirror:
    return Mirror(client, app, clock, linear)
