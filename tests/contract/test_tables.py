"""Tables in the documentation say what the code says."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tickets import errors
from tickets.app import openapi_document, route_table
from tickets.config import Settings
from tickets.errors import TicketsError
from tickets.lifecycle import errors as lifecycle_errors
from tickets.server_connection import REFUSALS
from tickets.tracker.operations.events import SYSTEM_KINDS
from tickets.tracker.operations.facts import KINDS

DOCS = Path(__file__).parents[2] / "docs"

MODULES = {errors.__name__, lifecycle_errors.__name__}

_ROW = re.compile(r"^\| `([a-z_]+)` \| (\d{3}) \|", re.MULTILINE)
_SERVER_ROW = re.compile(r"^\| (\d{3}) \| `([a-z_]+)` \|", re.MULTILINE)
_TREE = re.compile(r"^ {4}[│├└─ ]*(\w+) +(?:(\d{3}) +)?([a-z_]+)", re.MULTILINE)


def family(root: type[TicketsError] = TicketsError) -> Iterator[type[TicketsError]]:
    """Yield every class of the family that these modules define."""
    if root.__module__ in MODULES:
        yield root
    for child in root.__subclasses__():
        yield from family(child)


def codes() -> set[tuple[str, int]]:
    """Return code and status of every class; one code may have two."""
    return {(kind.code, kind.status) for kind in family()}


def test_the_table_of_errors_has_a_row_for_each_class() -> None:
    table = (DOCS / "errors.md").read_text(encoding="utf-8")

    assert sorted((code, int(status)) for code, status in _ROW.findall(table)) == sorted(
        codes()
    )


def test_each_refusal_of_the_server_has_a_row() -> None:
    table = (DOCS / "errors.md").read_text(encoding="utf-8")
    rows = {(code, int(status)) for status, code in _SERVER_ROW.findall(table)}
    refused = {(code, status) for _, status, code, _ in REFUSALS}

    assert rows == refused - codes()


@pytest.mark.parametrize("module", [errors, lifecycle_errors], ids=lambda each: each.__name__)
def test_the_tree_in_each_module_is_its_part_of_the_family(module: ModuleType) -> None:
    drawn = {(name, code) for name, _, code in _TREE.findall(module.__doc__ or "")}
    own: set[tuple[str, str]] = set()
    others: set[tuple[str, str]] = set()
    for kind in family():
        part = own if kind.__module__ == module.__name__ else others
        part.add((kind.__name__, kind.code))

    # A tree may show where it grows from.
    assert own <= drawn <= own | others


def test_each_error_of_the_openapi_document_is_in_the_table() -> None:
    shown = {
        (code, int(status))
        for methods in openapi_document()["paths"].values()
        for operation in methods.values()
        for status, response in operation["responses"].items()
        for content in response.get("content", {}).values()
        for code in content.get("examples", {})
    }

    assert shown <= codes()


def test_routes_openapi_and_the_api_page_list_the_same_operations() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    routes = [(method, path) for method, path, _ in route_table()]

    assert re.findall(r"^### `([A-Z]+) (\S+)`$", page, re.MULTILINE) == routes
    assert [
        (method.upper(), path)
        for path, methods in openapi_document()["paths"].items()
        for method in methods
    ] == routes


def test_each_setting_is_in_the_page_on_running() -> None:
    page = (DOCS / "running.md").read_text(encoding="utf-8")

    documented = set(re.findall(r"^\| `([a-z_]+)` \|", page, re.MULTILINE))

    assert {field.name for field in dataclasses.fields(Settings)} <= documented


def test_the_kinds_that_agents_may_not_write_are_those_that_the_service_writes() -> None:
    written = set()
    for path in (Path(errors.__file__).parent / "tracker" / "operations").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        written |= set(re.findall(r'system_event\(\s*tx,\s*"(\w+)"', text))
        written |= set(re.findall(r'event_kind="(\w+)"', text))

    # Clients that were there before it may use this one for something of their own.
    assert written - {"withdrawn"} == SYSTEM_KINDS


def test_each_kind_of_change_is_in_the_page_on_the_lifecycle() -> None:
    page = (DOCS / "lifecycle.md").read_text(encoding="utf-8")
    documented = {
        kind
        for row in re.findall(r"^\| (`[a-z_.]+`(?:, `[a-z_.]+`)*) \|", page, re.MULTILINE)
        for kind in re.findall(r"`([a-z_.]+)`", row)
    }
    written = {
        kind
        for path in (Path(errors.__file__).parent / "tracker" / "operations").glob("*.py")
        for kind in re.findall(
            r'\brecord(?:_many)?\(\s*tx,\s*"([a-z_.]+)"', path.read_text(encoding="utf-8")
        )
    }

    assert written == documented == set(KINDS)
