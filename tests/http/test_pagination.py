"""``limit`` and ``cursor`` on every list."""

from __future__ import annotations

import pytest

from tests.conftest import Client
from tests.factories import Factory, Json, refused

PAGES = ("/tasks", "/artifacts", "{run}/events", "{task}/runs", "{task}/events", "/traces")
ARRAYS = (
    "/pipelines",
    "{task}/dependencies",
    "{task}/assignments",
    "{run}/gates",
    "/store/ns",
)
TIME_CURSORS = ("/tasks", "/artifacts")


@pytest.fixture
def paths(make: Factory) -> dict[str, str]:
    make.task()
    claim = make.claim()
    return {"run": f"/runs/{claim['run']['id']}", "task": f"/tasks/{claim['task']['id']}"}


# D-47: what is no limit is refused everywhere, and silently nothing
@pytest.mark.parametrize("path", [*PAGES, *ARRAYS, "/changes", "/store/search?q=x&"])
@pytest.mark.parametrize(
    "limit", ["0", "-1", "1001", "abc", "", "5.0", "1e2", "1_0", "%2B5", "9" * 20, "null"]
)
def test_a_limit_outside_1_to_1000_is_refused(
    client: Client, paths: dict[str, str], path: str, limit: str
) -> None:
    url = path.format(**paths)
    url += ("" if "?" in url else "?") + f"limit={limit}"

    assert client.get(url, status=400).json == refused("invalid_limit")


@pytest.mark.parametrize("path", [*PAGES, *ARRAYS, "/changes"])
@pytest.mark.parametrize("limit", ["1", "1000", "%35"])
def test_a_limit_from_1_to_1000_is_taken(
    client: Client, paths: dict[str, str], path: str, limit: str
) -> None:
    client.get(f"{path.format(**paths)}?limit={limit}", status=200)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_names_its_items_and_its_end(
    client: Client, paths: dict[str, str], path: str
) -> None:
    page: Json = client.get(path.format(**paths), status=200).json

    assert list(page) == ["items", "next_cursor"]
    assert page["next_cursor"] is None


# D-60: arrays stay arrays
@pytest.mark.parametrize("path", ARRAYS)
def test_an_array_stays_an_array(client: Client, paths: dict[str, str], path: str) -> None:
    response = client.get(path.format(**paths), status=200)

    assert isinstance(response.json, list)
    assert "X-Next-Cursor" not in response.headers


@pytest.mark.parametrize("path", TIME_CURSORS)
@pytest.mark.parametrize("cursor", ["abc", "1:", ":1", "", "1.5:x", "x:1", f"{2**63}:x"])
def test_a_cursor_of_time_and_id_is_read_exactly(
    client: Client, path: str, cursor: str
) -> None:
    assert client.get(f"{path}?cursor={cursor}", status=400).json == refused("invalid_cursor")


@pytest.mark.parametrize("path", TIME_CURSORS)
@pytest.mark.parametrize("cursor", ["1:x", "1%3Ax", "-1:x", "1:x:y", f"{2**63 - 1}:x"])
def test_the_row_of_a_cursor_need_not_exist(client: Client, path: str, cursor: str) -> None:
    client.get(f"{path}?cursor={cursor}", status=200)


@pytest.mark.parametrize("path", ["{run}/events", "{task}/runs", "{task}/events", "/traces"])
@pytest.mark.parametrize("cursor", ["abc", "", "1:x", "1.0", str(2**63)])
def test_a_cursor_of_an_id_is_an_integer(
    client: Client, paths: dict[str, str], path: str, cursor: str
) -> None:
    response = client.get(f"{path.format(**paths)}?cursor={cursor}", status=400)

    assert response.json == refused("invalid_cursor")
