from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import Client, FrozenClock
from tests.factories import refused


def raw(path: str) -> dict[str, Any]:
    """Return what sends this target with its percent signs as they are."""
    return {"extra_environ": {"tests.raw_path": path}}


def put(client: Client, path: str, value: Any, **headers: str) -> Any:
    return client.put_json(f"/store/{path}", {"value": value}, headers=headers, status=204)


def search(client: Client, query: str, *, status: int = 200) -> Any:
    return client.get(f"/store/search?{query}", status=status).json


def keys(client: Client, query: str) -> list[str]:
    return [entry["key"] for entry in search(client, query)]


def error(response: Any) -> tuple[int, str]:
    return response.status_int, response.json["error"]["code"]


class TestEntries:
    def test_an_entry_is_stored_and_read(self, client: Client, clock: FrozenClock) -> None:
        created = put(client, "team/a", {"b": [1, None]})
        clock.advance(ms=7)
        put(client, "team/a", {"c": 2})

        response = client.get("/store/team/a", status=200)

        assert created.body == b""
        assert response.json == {
            "namespace": "team",
            "key": "a",
            "value": {"c": 2},
            "created_at_ms": clock.now_ms() - 7,
            "updated_at_ms": clock.now_ms(),
            "version": 2,
        }
        assert list(response.json) == [
            "namespace",
            "key",
            "value",
            "created_at_ms",
            "updated_at_ms",
            "version",
        ]

    # D-19
    def test_numbers_come_back_exactly(self, client: Client) -> None:
        value = '"value":[123456789012345678901234567890,-5,9007199254740993,0.1]'
        client.put("/store/n/k", "{" + value + "}", status=204)

        assert value in client.get("/store/n/k").text

        # D-02
        path = "/store/team%20alpha/key%2F1"
        client.put_json(path, {"value": 1}, status=204, **raw(path))

        response = client.get("/store/team alpha", status=200)

        assert [(entry["namespace"], entry["key"]) for entry in response.json] == [
            ("team alpha", "key/1")
        ]
        assert client.get(path, **raw(path)).json["value"] == 1

    # D-17
    def test_a_path_that_is_not_utf8_is_refused(self, client: Client) -> None:
        response = client.get("/store/n/x", status=400, **raw("/store/n/%FF"))

        assert error(response) == (400, "invalid_path")

    def test_a_value_is_required_and_may_be_null(self, client: Client) -> None:
        put(client, "n/k", None)
        assert client.get("/store/n/k").json["value"] is None

        response = client.put_json("/store/n/k", {}, status=400)

        assert response.json["error"]["details"] == [
            {"field": "value", "problem": "is required"}
        ]

    # D-16
    def test_an_unreadable_body_gets_an_error_that_is_json(self, client: Client) -> None:
        response = client.put("/store/n/k", '{"value":', status=400)

        assert error(response) == (400, "invalid_json")

    # D-16, D-48
    @pytest.mark.parametrize("path", ["/store/search/k", "/store/%73earch/k", "/store/search"])
    def test_the_namespace_search_is_refused_whatever_the_body(
        self, client: Client, path: str
    ) -> None:
        methods = ["GET", "PUT", "DELETE"] if path.endswith("k") else ["DELETE"]
        for method in methods:
            response = client.request(
                "/store/x",
                method=method,
                body=b"{bad",
                environ=raw(path)["extra_environ"],
                status=400,
            )

            assert error(response) == (400, "reserved_namespace")

    def test_names_that_are_too_long_are_refused(self, client: Client) -> None:
        for path in (f"{'x' * 513}/k", f"n/{'x' * 513}"):
            response = client.put_json(f"/store/{path}", {"value": 1}, status=400)
            assert error(response) == (400, "invalid_request")
        put(client, f"{'x' * 512}/{'y' * 512}", 1)

    def test_an_unknown_entry_is_not_found(self, client: Client) -> None:
        assert error(client.get("/store/n/k", status=404)) == (404, "not_found")

    def test_deleting_answers_204_whether_there_was_something_or_not(
        self, client: Client
    ) -> None:
        put(client, "n/a", 1)
        put(client, "n/b", 1)

        for path in ("n/a", "n/a", "n", "n"):
            assert client.delete(f"/store/{path}", status=204).body == b""

        assert client.get("/store/n").json == []

    # D-27
    def test_other_methods_and_deeper_paths_are_not_there(self, client: Client) -> None:
        assert (
            client.post("/store/n/k", status=405).headers["Allow"] == "DELETE, GET, HEAD, PUT"
        )
        client.put("/store/n", status=405)
        client.get("/store/n/k/x", status=404)
        client.get("/store", status=404)

    # D-38
    def test_a_replay_does_not_undo_what_happened_in_between(self, client: Client) -> None:
        put(client, "n/k", 1, **{"Idempotency-Key": "once"})
        put(client, "n/k", 2)

        put(client, "n/k", 1, **{"Idempotency-Key": "once"})

        assert client.get("/store/n/k").json["value"] == 2


# D-49
class TestConditions:
    def test_the_etag_is_the_quoted_version(self, client: Client) -> None:
        assert put(client, "n/k", 1).headers["ETag"] == '"1"'
        assert put(client, "n/k", 2).headers["ETag"] == '"2"'
        assert client.get("/store/n/k").headers["ETag"] == '"2"'

    def test_of_two_writers_with_one_version_the_second_is_refused(
        self, client: Client
    ) -> None:
        tag = put(client, "n/k", 0).headers["ETag"]
        put(client, "n/k", 1, **{"If-Match": tag})

        for method in ("PUT", "DELETE"):
            response = client.request(
                "/store/n/k",
                method=method,
                body=b'{"value":2}',
                headers={"If-Match": tag},
                status=412,
            )
            assert error(response) == (412, "precondition_failed")

        assert client.get("/store/n/k").json["value"] == 1

    def test_create_only_and_replace_only(self, client: Client) -> None:
        client.put_json("/store/n/k", {"value": 0}, headers={"If-Match": "*"}, status=412)
        put(client, "n/k", 1, **{"If-None-Match": "*"})
        client.put_json("/store/n/k", {"value": 2}, headers={"If-None-Match": "*"}, status=412)
        put(client, "n/k", 3, **{"If-Match": "*"})
        client.delete("/store/n/k", headers={"If-Match": ' "7" , "2" '}, status=204)

    def test_a_weak_tag_does_for_if_none_match_only(self, client: Client) -> None:
        put(client, "n/k", 1)

        for header in ("If-Match", "If-None-Match"):
            client.put_json("/store/n/k", {"value": 2}, headers={header: 'W/"1"'}, status=412)
        put(client, "n/k", 2, **{"If-None-Match": '"5"'})

    @pytest.mark.parametrize("tag", ['"1', "", '"1" "2"', "*, *", '"1",'])
    def test_a_malformed_condition_is_refused(self, client: Client, tag: str) -> None:
        for method in ("PUT", "DELETE"):
            response = client.request(
                "/store/n/k",
                method=method,
                body=b'{"value":2}',
                headers={"If-Match": tag},
                status=400,
            )
            assert error(response) == (400, "invalid_request")

    def test_a_replay_needs_no_condition_any_more(self, client: Client) -> None:
        put(client, "n/k", 0)
        for _ in range(2):
            put(client, "n/k", 1, **{"If-Match": '"1"', "Idempotency-Key": "once"})

        assert client.get("/store/n/k").json["version"] == 2


# D-60
class TestList:
    def test_the_list_is_a_bare_array_in_the_order_of_keys(self, client: Client) -> None:
        for key in ("b", "a", "B"):
            put(client, f"n/{key}", key)

        response = client.get("/store/n", status=200)

        assert [entry["key"] for entry in response.json] == ["B", "a", "b"]
        assert "X-Next-Cursor" not in response.headers
        assert client.get("/store/unknown").json == []

    def test_a_cut_list_says_where_to_go_on(self, client: Client) -> None:
        for path in ("/store/n/a%0A1", "/store/n/a%252F", "/store/n/%E2%9C%93", "/store/n/b"):
            client.put_json("/store/x/y", {"value": 1}, status=204, **raw(path))

        walked = []
        cursor: str | None = ""
        while cursor is not None:
            query = {"limit": "1", **({"cursor": cursor} if cursor else {})}
            response = client.get("/store/n", query, status=200)
            walked += [entry["key"] for entry in response.json]
            cursor = response.headers.get("X-Next-Cursor")

        assert walked == ["a\n1", "a%2F", "b", "✓"]

    def test_a_prefix_is_decoded_and_selects(self, client: Client) -> None:
        for key in ("a b", "a", "b"):
            client.put_json(f"/store/n/{key}", {"value": 1}, status=204)

        assert [entry["key"] for entry in client.get("/store/n?prefix=a+").json] == ["a b"]

    def test_bad_parameters_are_refused(self, client: Client) -> None:
        for query, code in (
            ("limit=0", "invalid_limit"),
            ("limit=x", "invalid_limit"),
            ("cursor=%21", "invalid_cursor"),
            ("cursor=", "invalid_cursor"),
        ):
            assert error(client.get(f"/store/n?{query}", status=400)) == (400, code)


class TestSearch:
    def test_the_query_is_decoded(self, client: Client) -> None:
        put(client, "n/k", "endpoints and methods")

        assert keys(client, "q=endpoints+methods") == ["k"]
        assert keys(client, "q=methods%20endpoints&namespace=n") == ["k"]
        assert keys(client, "q=methods&namespace=") == []

    def test_an_answer_holds_whole_entries_and_no_score(
        self, client: Client, clock: FrozenClock
    ) -> None:
        put(client, "n/k", {"title": "Fix the login"})

        assert search(client, "q=login") == [client.get("/store/n/k").json]

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("", "missing_param"),
            ("q", "missing_param"),
            ("limit=0&filter_path=x", "missing_param"),
            ("q=", "invalid_query"),
            ("q=+", "invalid_query"),
            ("q=&limit=x", "invalid_query"),
            ("q=a&limit=0&filter_path=x", "invalid_limit"),
            ("q=a&limit=1001", "invalid_limit"),
            ("q=a&limit=-1", "invalid_limit"),
            ("q=a&limit=x", "invalid_limit"),
            ("q=a&filter_path=x", "invalid_filter"),
            ("q=%FF", "invalid_request"),
        ],
    )
    # D-46, D-47
    def test_the_first_fault_is_named(self, client: Client, query: str, code: str) -> None:
        response = client.get(f"/store/search?{query}", status=400)

        assert error(response) == (400, code)

    # D-46
    def test_a_filter_is_typed(self, client: Client) -> None:
        for key, n in (("number", 5), ("text", "5"), ("other", 6)):
            put(client, f"n/{key}", {"n": n, "word": "word"})

        assert sorted(keys(client, "q=word&filter_path=$.n&filter_value=5")) == [
            "number",
            "text",
        ]
        assert len(keys(client, "q=word&filter_path=%24.n")) == 3

    def test_search_is_a_literal_path(self, client: Client) -> None:
        put(client, "Search/k", "word")

        assert keys(client, "q=word") == ["k"]
        assert client.get("/store/Search").json[0]["key"] == "k"
        client.head("/store/search?q=word", status=200)


def test_an_empty_key_does_not_delete_the_namespace(client: Client) -> None:
    put(client, "n/k", 1)

    for path in ("/store/n/", "/store/n//"):
        assert client.delete(path, status=400).json == refused("invalid_path")

    client.get("/store/n/k", status=200)
    client.delete("/store//n", status=204)
    client.get("/store/n/k", status=404)
