from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import FrozenClock
from tests.worlds import looked_up
from tickets.db.database import Database
from tickets.db.sqlite_database import SqliteDatabase
from tickets.errors import InvalidFilter, InvalidQuery
from tickets.tracker.domain.documents import SearchQuery
from tickets.tracker.operations import kv as module
from tickets.tracker.operations.kv import KvOperations


@pytest.fixture
def kv(db: Database, clock: FrozenClock) -> KvOperations:
    return KvOperations(db, clock)


def found(kv: KvOperations, q: str, **query: Any) -> list[str]:
    return [entry.key for entry in kv.search(SearchQuery(q=q, **query))]


def index_rows(db: Database) -> list[Any]:
    id_ = "rowid" if db.dialect == "sqlite" else "id"
    return looked_up(db, f"SELECT {id_}, namespace, key, content FROM kv_search ORDER BY {id_}")


class TestSearch:
    # D-44
    def test_words_are_found_in_namespace_key_and_value_but_not_in_field_names(
        self, kv: KvOperations
    ) -> None:
        kv.put("Team Alpha", "release-notes", {"field": "line1\nline2", "n": 12345})

        for q in ("alpha", "notes", "line2", "12345", "TEAM line1", "release-notes"):
            assert found(kv, q) == ["release-notes"], q
        for q in ("field", "nline2", "alph", "team missing"):
            assert found(kv, q) == [], q

    # D-50
    def test_a_part_of_a_run_of_characters_without_spaces_is_found(
        self, kv: KvOperations
    ) -> None:
        kv.put("n", "k", "日本語テキスト")

        assert found(kv, "日本") == ["k"]
        assert found(kv, "本日") == []

    def test_no_operator_of_the_index_is_understood(self, kv: KvOperations) -> None:
        kv.put("n", "plain", "welcome near and or not key")

        for q in ("AND", '"', "welcome*", "NEAR(welcome key)", "-welcome", "key:plain", "^key"):
            kv.search(SearchQuery(q=q))
        assert found(kv, "AND NOT") == ["plain"]
        assert found(kv, "welc*") == []

    def test_a_term_without_a_word_is_ignored_and_alone_finds_nothing(
        self, kv: KvOperations
    ) -> None:
        kv.put("n", "k", "word")

        assert found(kv, "!!! word") == ["k"]
        assert found(kv, "!!!") == []

    def test_a_query_of_thousands_of_terms_is_answered(self, kv: KvOperations) -> None:
        kv.put("n", "k", " ".join(f"w{number}" for number in range(3000)))

        assert found(kv, " ".join(f"w{number}" for number in range(3000))) == ["k"]

    def test_a_replaced_value_is_found_by_its_new_words_only(self, kv: KvOperations) -> None:
        kv.put("n", "k", "before")
        kv.put("n", "k", "after")

        assert found(kv, "before") == []
        assert found(kv, "after") == ["k"]

    @pytest.mark.sqlite
    def test_the_best_match_comes_first_and_equals_by_age(self, kv: KvOperations) -> None:
        kv.put("n", "long", "needle " + "hay " * 50)
        kv.put("n", "twin2", "needle straw")
        kv.put("n", "twin1", "needle straw")
        kv.put("n", "best", "needle needle")

        assert found(kv, "needle") == ["best", "twin2", "twin1", "long"]
        assert found(kv, "needle", limit=2) == ["best", "twin2"]

    def test_the_namespace_is_compared_exactly(self, kv: KvOperations) -> None:
        for namespace in ("team", "Team", "team x"):
            kv.put(namespace, namespace, "word")

        assert found(kv, "word", namespace="team") == ["team"]
        assert found(kv, "word", namespace="") == []

    def test_ten_entries_are_shown_unless_told_otherwise(self, kv: KvOperations) -> None:
        for number in range(12):
            kv.put("n", f"k{number}", "word")

        assert len(found(kv, "word")) == 10
        assert len(found(kv, "word", limit=12)) == 12

    @pytest.mark.parametrize(
        ("path", "value", "expected"),
        [
            ("$.n", "5", ["number", "text"]),
            ("$.n", "true", ["flag"]),
            ("$.n", "null", ["null"]),
            ("$.n", None, ["number", "text", "flag", "null"]),
            ("$.n", "6", []),
            ("$.missing", None, []),
            (None, "5", ["number", "text", "flag", "null"]),
        ],
    )
    # D-46
    def test_a_filter_compares_by_type(
        self, kv: KvOperations, path: str | None, value: str | None, expected: list[str]
    ) -> None:
        for key, content in (("number", 5), ("text", "5"), ("flag", True), ("null", None)):
            kv.put("n", key, {"n": content, "w": "word"})

        assert sorted(found(kv, "word", filter_path=path, filter_value=value)) == sorted(
            expected
        )

    # D-46
    def test_a_filter_looks_beyond_the_first_part_of_the_matches(
        self, kv: KvOperations, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "FIRST_CANDIDATES", 2)
        monkeypatch.setattr(module, "MAX_CANDIDATES", 4)
        for number in range(20):
            kv.put("n", f"k{number:02}", {"even": number % 2 == 0, "w": "word"})

        even = found(kv, "word", limit=8, filter_path="$.even", filter_value="true")

        assert even == [f"k{number:02}" for number in range(0, 16, 2)]

    # D-46
    def test_a_filter_path_that_cannot_be_read_is_refused(self, kv: KvOperations) -> None:
        for q in ("word", "!!!"):
            with pytest.raises(InvalidFilter):
                kv.search(SearchQuery(q=q, filter_path="n.x"))

    def test_a_blank_query_is_refused_before_its_filter(self, kv: KvOperations) -> None:
        for q in ("", "  \t"):
            with pytest.raises(InvalidQuery):
                kv.search(SearchQuery(q=q, filter_path="bad"))


# D-45
class TestRebuild:
    @pytest.mark.sqlite
    def test_a_rebuild_restores_a_lost_or_wrong_index(
        self, kv: KvOperations, db: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "REBUILD_STEP_ROWS", 3)
        for number in range(8):
            kv.put("n", f"k{number}", {"w": [number, 10**30, "word"]})
        kv.delete("n", "k3")
        before = index_rows(db)
        with db.write() as tx, tx.raw() as connection:
            connection.execute("DELETE FROM kv_search WHERE rowid < 3")
            connection.execute("UPDATE kv_search SET content = 'wrong' WHERE rowid = 5")
            connection.execute("INSERT INTO kv_search (rowid, content) VALUES (4, 'gone')")
            connection.execute("INSERT INTO kv_search (rowid, content) VALUES (99, 'gone')")

        assert kv.rebuild_search() == 7

        assert index_rows(db) == before
        assert len(found(kv, "word")) == 7
        assert found(kv, "gone") == []

    @pytest.mark.parametrize("count", [0, 1, 3, 4])
    def test_a_rebuild_ends_at_every_boundary_of_its_steps(
        self, kv: KvOperations, monkeypatch: pytest.MonkeyPatch, count: int
    ) -> None:
        monkeypatch.setattr(module, "REBUILD_STEP_ROWS", 3)
        for number in range(count):
            kv.put("n", f"k{number}", "word")

        assert kv.rebuild_search() == count
        assert len(found(kv, "word")) == count

    @pytest.mark.sqlite
    def test_the_index_survives_vacuum(self, kv: KvOperations, db: SqliteDatabase) -> None:
        for number in range(5):
            kv.put("n", f"k{number}", f"word{number}")
        kv.delete("n", "k0")

        with db.exclusive() as connection:
            connection.execute("VACUUM")

        assert [found(kv, f"word{number}") for number in range(5)] == [
            [],
            *([f"k{number}"] for number in range(1, 5)),
        ]
