from __future__ import annotations

import hashlib
import random
from typing import Any, NamedTuple

import pytest

from tests import databases
from tests.conftest import FrozenClock
from tests.worlds import looked_up
from tickets.db.database import Database
from tickets.db.sqlite_database import SqliteDatabase
from tickets.errors import InvalidFilter, InvalidQuery
from tickets.tracker.domain.documents import SearchQuery
from tickets.tracker.domain.search import index_text, terms, tokens
from tickets.tracker.operations import kv as module
from tickets.tracker.operations.kv import KvOperations


class Example(NamedTuple):
    """Values under the keys k0, k1, …; and for each query which of them it finds."""

    values: tuple[object, ...]
    queries: dict[str, str]


# Of a kind that no compression makes short enough for an index.
LONG_WORD = "".join(hashlib.sha256(bytes([number])).hexdigest() for number in range(50))
EXAMPLES = {
    "case and compatibility forms": Example(
        ("Straße ﬁne", "STRASSE fine", "ＦＩＮＥ"),
        {"strasse": "k0 k1", "STRAẞE": "k0 k1", "fine": "k0 k1 k2", "ｆｉｎｅ": "k0 k1 k2"},
    ),
    "accents": Example(
        ("café", "cafe\u0301", "cafe", "и", "й", "Ελλάδα"),
        {"CAFE": "k0 k1 k2", "café": "k0 k1 k2", "и": "k3", "й": "k4", "ελλαδα": "k5"},
    ),
    "phrases": Example(
        ("release-notes", "notes release", "release of notes", ["release", "notes"]),
        {
            "release-notes": "k0 k3",
            "notes.release": "k1",
            "release notes": "k0 k1 k2 k3",
            "release_of_notes": "k2",
            "lease-notes": "",
            "release-note": "",
        },
    ),
    "a phrase that begins like what stands before it": Example(
        ("a a b", "a b a", "a a a"), {"a-a-b": "k0", "a-b": "k0 k1", "a-a": "k0 k2", "b-b": ""}
    ),
    "words that are operators elsewhere": Example(
        ("rock and roll", "rock or roll", "not near", "a & b | !c <-> d:*"),
        {
            "and": "k0",
            "rock OR": "k1",
            "NOT": "k2",
            "NEAR(not, near)": "",
            "not(near)": "k2",
            "&": "",
            "a&b": "k3",
            "!c": "k3",
            "c<->d": "k3",
            "d:*": "k3",
            "ro*": "",
            "'": "",
            '"rock"': "k0 k1",
            "\\": "",
            "%s :name": "",
        },
    ),
    "Chinese, Japanese, Korean": Example(
        ("日本語テキスト", "本日は晴天", "한국어를", "中文 text 中"),
        {
            "日本": "k0",
            "本日": "k1",
            "本 日": "k0 k1",
            "국어": "k2",
            "中text": "",
            "文text": "k3",
        },
    ),
    "Thai": Example(
        ("ภาษาไทย", "ไทย", "ไท ย"), {"ไทย": "k0 k1 k2", "ภาษา": "k0", "ยไท": "", "ษาไ": "k0"}
    ),
    "vowel signs": Example(
        ("हिन्दी भाषा", "கதை", "हिन्दी"), {"हिन्दी": "k0 k2", "हिन्दी भाषा": "k0", "கதை": "k1"}
    ),
    "stress and points": Example(
        ("за\u0301мок", "שָׁלוֹם", "مَدْرَسَة"), {"замок": "k0", "שלום": "k1", "مدرسة": "k2"}
    ),
    "numbers": Example(
        ([12345, -7, 0.5, 1e30, True, None], "12345.5", 123456, "0x1F"),
        {"12345": "k0 k1", "12345.5": "k1", "-7": "k0", "0.5": "k0", "1e30": "k0", "TRUE": "k0"}
        | {"null": "", "1234": "", "123456": "k2", "0X1f": "k3"},
    ),
    "words longer than any index takes": Example(
        (LONG_WORD, LONG_WORD + "y", LONG_WORD + "z tail", "ж" * 2000),
        {
            LONG_WORD: "k0",
            LONG_WORD + "y": "k1",
            LONG_WORD + "z-tail": "k2",
            LONG_WORD + "y-tail": "",
            "ж" * 2000: "k3",
            "ж" * 1999: "",
        },
    ),
    "texts of many words": Example(
        (
            " ".join(f"w{number}" for number in range(40_000)),
            "common " * 40_000 + "last word",
            " ".join(f"w{number}" for number in range(39_999, -1, -1)),
        ),
        {
            "w39998-w39999": "k0",
            "w39999-w39998": "k2",
            "w20000": "k0 k2",
            "w39999-w0": "",
            "common-last": "k1",
            "last-common": "",
            "common-common-last-word": "k1",
        },
    ),
    "texts of more than a megabyte of words": Example(
        (" ".join(f"{number:016x}" for number in range(150_000)), "0000000000000001"),
        {
            "0000000000000001": "k0 k1",
            f"{149_998:016x}-{149_999:016x}": "k0",
            f"{150_000:016x}": "",
        },
    ),
    "scalars next to each other": Example(
        ({"a": "one two", "b": ["three", 4]}, "two one"),
        {"two-three": "k0", "3-4": "", "three-4": "k0", "two-one": "k1", "a": ""},
    ),
    "nothing to find": Example(("", {}, [], None, "!!!", "word"), {"word": "k5", "!": ""}),
}


@pytest.fixture
def kv(db: Database, clock: FrozenClock) -> KvOperations:
    return KvOperations(db, clock)


def found(kv: KvOperations, q: str, **query: Any) -> list[str]:
    return [entry.key for entry in kv.search(SearchQuery(q=q, **query))]


def index_rows(db: Database) -> list[Any]:
    if db.dialect == "postgres":
        return looked_up(db, "SELECT id, text, words FROM kv_search ORDER BY id")
    return looked_up(db, "SELECT rowid, namespace, key, content FROM kv_search ORDER BY rowid")


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_each_query_finds_these_entries_in_every_database(
    kv: KvOperations, example: Example
) -> None:
    for number, value in enumerate(example.values):
        kv.put("ns", f"k{number}", value)

    answers = {q: " ".join(sorted(found(kv, q))) for q in example.queries}

    assert answers == example.queries


@pytest.mark.parametrize("seed", range(5))
def test_any_query_finds_what_comparing_word_by_word_finds(kv: KvOperations, seed: int) -> None:
    some = random.Random(seed)
    words = ["a", "b", "ab", "and", "日", "本", "ไ", "é", "E", "7", "-", "\n", "B a", "a.b.a"]

    def text(most: int) -> str:
        return some.choice(["", " "]).join(some.choices(words, k=some.randint(1, most)))

    texts: dict[str, tuple[tuple[str, ...], ...]] = {}
    for number in range(60):
        namespace, key, value = text(2), f"{text(2)} k{number}", [text(4), text(4)]
        kv.put(namespace, key, value)
        texts[key] = (tokens(namespace), tokens(key), tokens(index_text(value)))

    for _ in range(80):
        q = text(4) + " a"
        expected = {
            key
            for key, columns in texts.items()
            if all(any(holds(column, term) for column in columns) for term in terms(q))
        }
        assert set(found(kv, q, limit=100)) == expected, q


def holds(text: tuple[str, ...], phrase: tuple[str, ...]) -> bool:
    return any(text[at : at + len(phrase)] == phrase for at in range(len(text)))


@pytest.mark.postgres
@pytest.mark.parametrize("name", ["kv.search", "kv.search_in_namespace"])
def test_a_rare_word_is_looked_up_in_the_index(db: Database, name: str) -> None:
    numbers = "SELECT n FROM GENERATE_SERIES(1, 3000) AS n"
    with db.write() as tx, tx.raw() as connection:
        connection.execute(
            "INSERT INTO kv_entries (id, namespace, key, value_json, created_at_ms,"
            f" updated_at_ms) SELECT n, 'n', n, '', 1, 1 FROM ({numbers}) AS s"
        )
        connection.execute(
            "INSERT INTO kv_search (id, text)"
            f" SELECT n, '  w' || n || '  ' FROM ({numbers}) AS s"
        )
        # Entries that GIN has not sorted in yet make a look into it dearer to the planner
        # by every one of their pages, until a vacuum comes by.
        connection.execute("SELECT gin_clean_pending_list('idx_kv_search_words')")
        connection.execute("ANALYZE kv_entries, kv_search")
        sql = databases.registry("postgres").for_psycopg()[name].decode()
        given = {"match_query": '"w7"', "namespace": "n", "limit": 9, "offset": 0}
        rows = connection.execute(f"EXPLAIN {sql}", given, prepare=False).fetchall()

    plan = "\n".join(row[0] for row in rows)
    assert "idx_kv_search_words" in plan, plan


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
    def test_a_rebuild_restores_a_lost_or_wrong_index(
        self, kv: KvOperations, db: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "REBUILD_STEP_ROWS", 3)
        for number in range(8):
            kv.put("n", f"k{number}", {"w": [number, 10**30, "word"]})
        kv.delete("n", "k3")
        before = index_rows(db)
        with db.write() as tx, tx.raw() as connection:
            id_, text = ("rowid", "content") if db.dialect == "sqlite" else ("id", "text")
            connection.execute(f"DELETE FROM kv_search WHERE {id_} < 3")
            connection.execute(f"UPDATE kv_search SET {text} = 'wrong' WHERE {id_} = 5")
            if db.dialect == "sqlite":
                # Elsewhere a reference keeps the index from holding what is not there.
                for gone in (4, 99):
                    connection.execute(
                        "INSERT INTO kv_search (rowid, content) VALUES (?, 'gone')", (gone,)
                    )

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
