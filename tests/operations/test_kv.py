from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import FrozenClock
from tests.worlds import looked_up
from tickets.db.database import Database
from tickets.errors import (
    Invalid,
    InvalidCursor,
    NotFound,
    PreconditionFailed,
    ReservedNamespace,
)
from tickets.tracker.domain.documents import EntriesQuery, SearchQuery
from tickets.tracker.operations.kv import KvOperations
from tickets.web.conditions import Condition

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=6
)


@pytest.fixture
def kv(db: Database, clock: FrozenClock) -> KvOperations:
    return KvOperations(db, clock)


def keys(entries: Any) -> list[str]:
    return [entry.key for entry in entries]


def found(kv: KvOperations, q: str, **query: Any) -> list[str]:
    return keys(kv.search(SearchQuery(q=q, **query)))


def matching(*tags: str) -> Condition:
    return Condition(match=frozenset(tags))


def changes(db: Database) -> list[tuple[str, dict[str, Any]]]:
    with db.read() as tx:
        rows = tx.many("changes.page", after_id=0, upto_id=2**62, limit=1000)
    return [(row["kind"], json.loads(row["data_json"])) for row in rows]


def index_rows(db: Database) -> list[Any]:
    if db.dialect == "postgres":
        return looked_up(db, "SELECT id, text, words FROM kv_search ORDER BY id")
    return looked_up(db, "SELECT rowid, namespace, key, content FROM kv_search ORDER BY rowid")


class TestEntries:
    def test_replacing_keeps_the_creation_time_and_counts_the_version(
        self, kv: KvOperations, clock: FrozenClock
    ) -> None:
        created_at_ms = clock.now_ms()
        assert kv.put("team", "a", 1) == 1
        clock.advance(ms=5)

        assert kv.put("team", "a", {"two": 2}) == 2

        entry = kv.get("team", "a")
        assert bytes(entry.value) == b'{"two":2}'
        assert (entry.version, entry.created_at_ms) == (2, created_at_ms)
        assert entry.updated_at_ms == created_at_ms + 5

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(namespace=NAMES, key=NAMES, value=JSON_VALUES)
    def test_any_name_and_value_comes_back_exactly(
        self, kv: KvOperations, namespace: str, key: str, value: object
    ) -> None:
        kv.put(namespace, key, value)

        entry = kv.get(namespace, key)

        assert (entry.namespace, entry.key) == (namespace, key)
        assert json.loads(bytes(entry.value)) == value

    # D-19
    def test_an_integer_of_any_size_stays_exact(self, kv: KvOperations) -> None:
        kv.put("n", "big", [2**63, -(2**63) - 1, 10**400])

        assert bytes(kv.get("n", "big").value) == (
            f"[{2**63},{-(2**63) - 1},{10**400}]".encode()
        )

    def test_null_is_a_value(self, kv: KvOperations) -> None:
        kv.put("n", "nothing", None)

        assert bytes(kv.get("n", "nothing").value) == b"null"

    def test_names_are_told_apart_by_case_and_spelling(self, kv: KvOperations) -> None:
        for namespace, key in (("a", "b"), ("A", "b"), ("a", "B"), ("a", " b")):
            kv.put(namespace, key, f"{namespace}{key}")

        assert bytes(kv.get("a", "b").value) == b'"ab"'
        assert keys(kv.list_by_key("a", EntriesQuery())[0]) == [" b", "B", "b"]

    def test_an_unknown_entry_is_not_found(self, kv: KvOperations) -> None:
        with pytest.raises(NotFound):
            kv.get("team", "a")

    def test_names_of_512_bytes_fit_and_longer_ones_are_refused(self, kv: KvOperations) -> None:
        fits = "é" * 256
        kv.put(fits, fits, 1)
        assert kv.get(fits, fits).key == fits

        for namespace, key in ((fits + "x", "k"), ("n", fits + "x"), ("", "k"), ("n", "")):
            with pytest.raises(Invalid):
                kv.put(namespace, key, 1)

    # D-48
    def test_the_namespace_search_is_reserved_for_everything(self, kv: KvOperations) -> None:
        for work in (
            lambda: kv.put("search", "k", 1),
            lambda: kv.get("search", "k"),
            lambda: kv.delete("search", "k"),
            lambda: kv.list_by_key("search", EntriesQuery()),
            lambda: kv.delete_namespace("search"),
        ):
            with pytest.raises(ReservedNamespace):
                work()
        assert kv.put("Search", "k", 1) == 1

    def test_deleting_is_repeatable_and_leaves_the_others(
        self, kv: KvOperations, db: Database
    ) -> None:
        kv.put("n", "a", "alpha")
        kv.put("n", "b", "beta")

        kv.delete("n", "a")
        kv.delete("n", "a")

        assert keys(kv.list_by_key("n", EntriesQuery())[0]) == ["b"]
        assert found(kv, "alpha") == []
        assert len(index_rows(db)) == 1

    def test_deleting_a_namespace_takes_its_entries_out_of_the_search_too(
        self, kv: KvOperations, db: Database
    ) -> None:
        for namespace, key in itertools.product(("n", "m"), "ab"):
            kv.put(namespace, key, "word")

        kv.delete_namespace("n")
        kv.delete_namespace("n")

        assert kv.list_by_key("n", EntriesQuery()) == ([], None)
        assert [entry.namespace for entry in kv.search(SearchQuery(q="word"))] == ["m", "m"]
        assert len(index_rows(db)) == 2

    def test_every_write_that_changed_something_is_in_the_feed(
        self, kv: KvOperations, db: Database
    ) -> None:
        kv.put("n", "a", 1)
        kv.put("n", "b", 1)
        kv.delete("n", "a")
        kv.delete("n", "a")
        kv.delete_namespace("n")
        kv.delete_namespace("n")

        assert changes(db) == [
            ("store.put", {"namespace": "n", "key": "a", "version": 1}),
            ("store.put", {"namespace": "n", "key": "b", "version": 1}),
            ("store.deleted", {"namespace": "n", "key": "a"}),
            ("store.deleted", {"namespace": "n", "key": None, "count": 1}),
        ]


# D-49
class TestConditions:
    def test_a_write_with_the_present_version_goes_through_once(self, kv: KvOperations) -> None:
        kv.put("n", "k", 0)

        assert kv.put("n", "k", 1, condition=matching('"1"')) == 2
        with pytest.raises(PreconditionFailed):
            kv.put("n", "k", 2, condition=matching('"1"'))

        assert bytes(kv.get("n", "k").value) == b"1"

    def test_a_weak_or_foreign_tag_never_matches(self, kv: KvOperations) -> None:
        kv.put("n", "k", 0)

        for tag in ('W/"1"', '"01"', '"x"', '"2"'):
            with pytest.raises(PreconditionFailed):
                kv.put("n", "k", 1, condition=matching(tag))
        assert kv.put("n", "k", 1, condition=matching('"x"', '"1"')) == 2

    def test_star_wants_an_entry_and_none_match_wants_none(self, kv: KvOperations) -> None:
        there, absent = matching("*"), Condition(none_match=frozenset({"*"}))
        with pytest.raises(PreconditionFailed):
            kv.put("n", "k", 0, condition=there)
        with pytest.raises(PreconditionFailed):
            kv.delete("n", "k", condition=there)

        assert kv.put("n", "k", 0, condition=absent) == 1
        assert kv.put("n", "k", 1, condition=there) == 2

        with pytest.raises(PreconditionFailed):
            kv.put("n", "k", 2, condition=absent)
        with pytest.raises(PreconditionFailed):
            kv.delete("n", "k", condition=absent)
        kv.delete("n", "k", condition=there)
        kv.delete("n", "k", condition=absent)

    def test_a_refused_delete_deletes_nothing(self, kv: KvOperations, db: Database) -> None:
        kv.put("n", "k", "word")

        with pytest.raises(PreconditionFailed):
            kv.delete("n", "k", condition=matching('"7"'))

        assert found(kv, "word") == ["k"]
        assert len(changes(db)) == 1

    @pytest.mark.parametrize("whole", [False, True])
    def test_an_entry_that_is_created_again_never_has_an_old_version(
        self, kv: KvOperations, whole: bool
    ) -> None:
        for value in range(3):
            kv.put("n", "k", value)
        if whole:
            kv.delete_namespace("n")
        else:
            kv.delete("n", "k")

        assert kv.put("n", "k", "new") == 4
        with pytest.raises(PreconditionFailed):
            kv.put("n", "k", "lost", condition=matching('"1"'))


# D-49, D-60
class TestList:
    def test_keys_are_in_the_order_of_their_bytes(self, kv: KvOperations) -> None:
        names = ["", "\U00010000", "z", "é", "Z", "a/b", "a b", "a"]
        for key in names[1:]:
            kv.put("n", key, None)

        entries, cursor = kv.list_by_key("n", EntriesQuery())

        assert keys(entries) == sorted(names[1:], key=lambda key: key.encode())
        assert cursor is None

    def test_a_walk_with_a_limit_meets_every_key_once(self, kv: KvOperations) -> None:
        names = [f"key {number:02}\n✓" for number in range(7)]
        for key in names:
            kv.put("n", key, None)

        walked: list[str] = []
        cursor = None
        while True:
            entries, cursor = kv.list_by_key("n", EntriesQuery(limit=3, cursor=cursor))
            walked += keys(entries)
            if cursor is None:
                break
            assert cursor.isascii()
            assert cursor.isprintable()

        assert walked == names

    def test_a_list_that_ends_with_its_limit_has_no_cursor(self, kv: KvOperations) -> None:
        kv.put("n", "a", None)
        kv.put("n", "b", None)

        assert kv.list_by_key("n", EntriesQuery(limit=2))[1] is None

    @pytest.mark.parametrize(
        ("prefix", "expected"),
        [
            ("", ["A", "a", "a\U0010ffff", "a\U0010ffffb", "aa", "b", "\ud7ff", "\ue000"]),
            ("a", ["a", "a\U0010ffff", "a\U0010ffffb", "aa"]),
            ("a\U0010ffff", ["a\U0010ffff", "a\U0010ffffb"]),
            ("\U0010ffff", []),
            ("\ud7ff", ["\ud7ff"]),
            ("aaa", []),
        ],
    )
    def test_a_prefix_selects_by_text(
        self, kv: KvOperations, prefix: str, expected: list[str]
    ) -> None:
        for key in ("A", "a", "aa", "a\U0010ffff", "a\U0010ffffb", "b", "\ud7ff", "\ue000"):
            kv.put("n", key, None)

        entries, _ = kv.list_by_key("n", EntriesQuery(prefix=prefix))

        assert sorted(keys(entries)) == sorted(expected)

    @settings(
        max_examples=40,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(names=st.sets(NAMES, max_size=8), prefix=NAMES, limit=st.integers(1, 3))
    def test_prefix_and_cursor_together_meet_every_key_once(
        self, kv: KvOperations, names: set[str], prefix: str, limit: int
    ) -> None:
        kv.delete_namespace("n")
        names |= {prefix + name for name in names}
        for key in names:
            kv.put("n", key, None)

        walked: list[str] = []
        query = EntriesQuery(prefix=prefix, limit=limit)
        while True:
            entries, cursor = kv.list_by_key("n", query)
            walked += keys(entries)
            if cursor is None:
                break
            query = EntriesQuery(prefix=prefix, limit=limit, cursor=cursor)

        assert walked == sorted(name for name in names if name.startswith(prefix))

    @pytest.mark.parametrize("cursor", ["", "a", "a=", "/w==", "_w", "AA", "key 1"])
    def test_a_foreign_cursor_is_refused(self, kv: KvOperations, cursor: str) -> None:
        with pytest.raises(InvalidCursor):
            kv.list_by_key("n", EntriesQuery(cursor=cursor))
