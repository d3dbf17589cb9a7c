"""The page on operating: its metrics are those of a scrape, its numbers those of the code."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # comes with Schemathesis
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import Client
from tests.databases import POSTGRES, SQLITE, Kind
from tests.factories import Factory
from tickets.app import route_table
from tickets.config import Settings
from tickets.server import GRACEFUL_TIMEOUT_S, KEEPALIVE_S
from tickets.tracker.domain.documents import MAX_WAIT_MS

PAGE = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
# What a kind of database is not called in the labels of the build.
FOREIGN_ENGINE = {SQLITE: "postgresql", POSTGRES: "sqlite"}
# Known to the server only, which an application under test does without.
OF_THE_SERVER = {"tickets_connections"}


def block(language: str, number: int = 0) -> str:
    """Return a block of the page."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return str(found[number])


def rules() -> list[dict[str, Any]]:
    """Return the alerts."""
    found: list[dict[str, Any]] = yaml.safe_load(block("yaml", 1))["groups"][0]["rules"]
    return found


RULES = [pytest.param(rule, id=rule["alert"]) for rule in rules()]


def has(name: str) -> bool:
    """Tell whether the page says that the kind of database of this run has a metric."""
    row = re.search(rf"^\| `{name}` \|[^|]*\|(.*)\|$", PAGE, re.MULTILINE)
    other = {SQLITE: "PostgreSQL only", POSTGRES: "SQLite only"}[Kind.chosen]
    return row is None or other not in row[1]


def scraped(client: Client, make: Factory) -> dict[str, set[str]]:
    """Return every series' name, with the labels it has somewhere."""
    make.task()
    make.claim()
    client.get("/metrics", status=200)
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(client.get("/metrics", status=200).text):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


def test_the_page_lists_what_a_scrape_shows(client: Client, make: Factory) -> None:
    listed = {
        name: set(re.findall(r"`(\w+)`", labels)) - {FOREIGN_ENGINE[Kind.chosen]}
        for name, labels in re.findall(r"^\| `(tickets_\w+)` \|([^|]*)\|", PAGE, re.MULTILINE)
        if has(name)
    }

    shown = scraped(client, make)

    assert listed.keys() - OF_THE_SERVER == {
        re.sub(r"_(bucket|sum|count)$", "", name) for name in shown
    }
    for name in listed.keys() - OF_THE_SERVER:
        assert listed[name] == shown.get(name, shown.get(f"{name}_sum")), name


@pytest.mark.parametrize("rule", RULES)
def test_alerts_are_about_series_that_are_there(
    client: Client, make: Factory, rule: dict[str, Any]
) -> None:
    shown = scraped(client, make)
    asked = re.findall(r"\b(tickets_\w+)(?:\{([^[]*)\})?", rule["expr"])

    assert asked or 'up{job="tickets"}' in rule["expr"]
    for name, matchers in asked:
        if not has(name):
            assert "only" in rule_text(rule["alert"])
            continue
        assert name in shown
        assert set(re.findall(r'(\w+)=~?"', matchers)) <= shown[name]
    assert set(re.findall(r'route="([^"]+)"', rule["expr"])) <= {
        path for _, path, _ in route_table()
    }
    assert rule["labels"]["severity"] in {"page", "look"}
    assert rule["annotations"]["todo"]


def rule_text(alert: str) -> str:
    """Return what the page writes of an alert before its duration, comments included."""
    return block("yaml", 1).partition(f"alert: {alert}\n")[2].partition("for:")[0]


# Values that a query selects must occur, or it would never find anything.
@pytest.mark.parametrize("rule", RULES)
def test_alerts_ask_for_values_that_are_counted(
    client: Client, make: Factory, rule: dict[str, Any]
) -> None:
    scraped(client, make)
    text = client.get("/metrics", status=200).text

    for matcher in re.findall(r'(?:kind|outcome|charged|phase|state)="\w[^"]*"', rule["expr"]):
        assert matcher in text


def test_the_unit_gives_the_service_time_to_stop() -> None:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # as its manual says
    unit.read_string(block("ini"))

    assert int(unit["Service"]["TimeoutStopSec"]) > GRACEFUL_TIMEOUT_S
    assert unit["Service"]["KillMode"] == "mixed"


def test_the_proxy_waits_longer_and_closes_sooner_than_the_service() -> None:
    nginx = block("nginx")

    assert seconds(nginx, "proxy_read_timeout") > MAX_WAIT_MS / 1000
    assert seconds(nginx, "keepalive_timeout") < KEEPALIVE_S
    assert f"client_max_body_size {Settings(db=Path('x')).max_body_bytes >> 20}m;" in nginx
    # With a path behind the address, nginx would decode the one it was sent.
    assert re.search(r"proxy_pass http://\w+;", nginx)


def seconds(nginx: str, name: str) -> int:
    """Return the first value of a directive."""
    found = re.search(rf"\b{name} (\d+)s;", nginx)
    assert found is not None
    return int(found[1])
