"""The benchmark's arithmetic and files; that it runs is shown in tests/process."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from scripts.bench import __main__ as command
from scripts.bench.connection import Address
from scripts.bench.costs import cost_table
from scripts.bench.generators import Agents, Posts, WrkFailed, parse_wrk, shared_out
from scripts.bench.generators import wrk_arguments as arguments
from scripts.bench.machine import file_system
from scripts.bench.outcome import Outcome, percentile
from scripts.bench.pace import between
from scripts.bench.report import markdown, merged, plain_table, remark, write
from scripts.bench.results import Result, Row, growth, number, ratio_row, row_of
from scripts.bench.rounds import next_window
from scripts.bench.seed import pieces
from scripts.bench.service import Chosen

RESULT = (
    '{"socket_errors":1,"seconds":2.000000,"taken":3,"empty":4,"errors":{"event 404":5},'
    '"times_us":{"claim":[1000,3000],"event":[2000],"transition":[4000]}}'
)
WRK = f"""\
Running 7s test @ http://127.0.0.1:7700
  1 threads and 8 connections
Requests/sec:   1410.74
Transfer/sec:    309.09KB
{RESULT}
"""


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 99, None),
        ([7], 50, 7),
        ([7], 99, 7),
        ([3, 1, 2], 50, 2),
        ([4, 1, 2, 3], 50, 2),
        (range(1, 101), 99, 99),
        (range(1, 102), 99, 100),
        (range(1, 101), 100, 100),
        ([5, 6], 0, 5),
    ],
)
def test_a_percentile_is_a_value_that_was_seen(
    values: list[float], percent: float, expected: float | None
) -> None:
    assert percentile(values, percent) == expected


def test_the_end_of_wrks_output_is_read() -> None:
    outcome = parse_wrk(WRK)

    assert outcome == Outcome(
        seconds=2.0,
        times_us={"claim": [1000, 3000], "event": [2000], "transition": [4000]},
        errors=Counter({"event 404": 5}),
        taken=3,
        empty=4,
        socket_errors=1,
    )


@pytest.mark.parametrize("output", ["", "Requests/sec: 3\n", '{"seconds":1}\n', "[]\n"])
def test_wrk_without_a_result_is_a_failure(output: str) -> None:
    with pytest.raises(WrkFailed):
        parse_wrk(output)


def test_loads_one_after_the_other_add_up() -> None:
    total = parse_wrk(WRK)

    total.add(parse_wrk(WRK))

    assert (total.seconds, total.taken, total.empty, total.socket_errors) == (4.0, 6, 8, 2)
    assert total.errors == {"event 404": 10}
    assert total.times_us["claim"] == [1000, 3000, 1000, 3000]


def test_loads_at_the_same_time_share_their_seconds() -> None:
    total = Outcome.side_by_side([parse_wrk(WRK), parse_wrk(WRK), Outcome()])

    assert (total.seconds, total.taken) == (2.0, 6)


def test_rates_count_good_answers() -> None:
    outcome = parse_wrk(WRK)

    assert outcome.per_second("claim") == 1.0
    assert outcome.loops_per_second() == pytest.approx(4 / 3 / 2)
    assert (outcome.ms(50, "claim"), outcome.ms(99, "claim"), outcome.ms(100)) == (
        1.0,
        3.0,
        4.0,
    )
    assert outcome.ms(99, "none") is None
    assert Outcome().loops_per_second() == 0.0


@pytest.mark.parametrize(
    ("reached", "target", "at_most", "verdict"),
    [
        (800, 800, False, "reached"),
        (799.9, 800, False, "missed"),
        (40, 40, True, "reached"),
        (40.1, 40, True, "missed"),
        (None, 40, True, "not measured"),
        (40, None, False, ""),
    ],
)
def test_a_verdict_compares_with_the_target(
    reached: float | None, target: float | None, at_most: bool, verdict: str
) -> None:
    assert Row("figure", reached, "ms", target, at_most).verdict == verdict


@pytest.mark.parametrize(
    ("small", "large", "expected"),
    [
        (0.5, 0.79, "flat"),
        (10.0, 13.0, "flat"),
        (10.0, 13.1, "logarithmic"),
        (10.0, 25.0, "logarithmic"),
        (10.0, 25.1, "growing"),
        (0.1, 0.5, "growing"),
        (5.0, 1.0, "flat"),
        (None, 1.0, "not measured"),
    ],
)
def test_growth_is_named(small: float | None, large: float | None, expected: str) -> None:
    assert growth(small, large) == expected


def test_numbers_show_the_digits_that_mean_something() -> None:
    shown = [number(value) for value in (1234567.8, 800, 99.96, 12.34, 0.853, 5)]

    assert shown == ["1 234 568", "800", "100.0", "12.3", "0.85", "5"]


def test_a_ratio_says_what_was_divided() -> None:
    row = ratio_row("r", 600, 800, 0.85)

    assert (row.reached, row.verdict) == (0.75, "missed")
    assert row.reached_text == "0.75 (600 / 800)"


@pytest.mark.parametrize("rates", [(1, 0), (None, 1), (1, None)])
def test_a_ratio_of_nothing_is_not_measured(rates: tuple[float | None, float | None]) -> None:
    row = ratio_row("r", *rates, 0.85)

    assert (row.reached_text, row.verdict) == ("–", "not measured")


@pytest.mark.parametrize(
    "row", [Row("p99", 12.3456, "ms", 40, at_most=True), ratio_row("r", 6.5, 8, 0.8)]
)
def test_a_row_survives_its_file(row: Row) -> None:
    [document] = json.loads(json.dumps(Result([row], {"more": 1}).document()))["rows"]

    assert document["verdict"] == row.verdict
    assert row_of(document) == row


def test_requests_are_compared_between_the_fewest_and_the_most_rows() -> None:
    taken = {
        "10": Outcome(times_us={"tasks": [1000], "queue": [1000]}),
        "20": Outcome(times_us={"tasks": [9000], "queue": [1000]}),
        "30": Outcome(times_us={"tasks": [1000], "queue": [9000, 9000, 20_000]}),
    }

    assert cost_table(taken) == [
        {
            "request": "tasks",
            "p50_ms": {"10": 1.0, "20": 9.0, "30": 1.0},
            "p99_ms": {"10": 1.0, "20": 9.0, "30": 1.0},
            "growth": "flat",
        },
        {
            "request": "queue",
            "p50_ms": {"10": 1.0, "20": 1.0, "30": 9.0},
            "p99_ms": {"10": 1.0, "20": 1.0, "30": 20.0},
            "growth": "growing",
        },
    ]


@pytest.mark.parametrize(
    ("last_s", "backlog", "fastest", "window_s"),
    [
        (0.05, 1_000, 10.0, 0.1),
        (0.3, 1_000, 1_000.0, 0.4),
        (0.4, 1_000, 2_000.0, 0.2),
        (0.4, 100, 10_000.0, 0.05),
        (1.5, 1_000_000, 1_000.0, 2.0),
    ],
)
def test_a_round_is_as_long_as_the_backlog_lasts(
    last_s: float, backlog: int, fastest: float, window_s: float
) -> None:
    assert next_window(last_s, backlog, fastest) == pytest.approx(window_s)


def test_work_is_shared_out_without_loss() -> None:
    assert list(shared_out(17, 2)) == [9, 8]
    assert list(shared_out(1, 2)) == [1, 0]
    assert list(pieces(450, 200)) == [200, 200, 50]
    assert list(pieces(-5, 200)) == []


def test_the_script_is_told_what_to_send() -> None:
    agents = arguments(Agents("coder", 8, order="together"), 0.5, "file")
    posts = arguments(Posts("/tasks", b"{}", 16), 2, "file")

    assert agents == ["agents", "0.5", "coder", "1", "together"]
    assert posts == ["post", "2", "/tasks", "file"]


def test_the_service_gets_only_what_was_chosen() -> None:
    url = "postgresql+x://host/bench"

    assert Chosen().flags("file") == ["--port", "0", "--db", "file"]
    assert Chosen(workers=3, durability="normal").flags("file") == [
        *("--port", "0", "--db", "file", "--workers", "3", "--durability", "normal")
    ]
    assert Chosen(ledger_feed="off").flags("file")[-2:] == ["--ledger-feed", "off"]
    assert (Chosen().kind, Chosen(db=url).kind) == ("sqlite", "postgresql")


def test_an_address_is_a_url_without_a_path() -> None:
    assert Address.of("http://[::1]:80/") == Address("::1", 80)
    assert Address.of("http://[::1]:80").url == "http://[::1]:80"
    for text in ("https://host", "host:7700", "http://host/path"):
        with pytest.raises(ValueError, match="not a URL"):
            Address.of(text)


def test_the_file_system_is_that_of_the_nearest_mount() -> None:
    mounts = "disk / ext4 rw 0 0\nnone /tmp tmpfs rw 0 0\ndisk /tmp/far xfs rw 0 0\n"

    kinds = [file_system(Path(path), mounts) for path in ("/tmp/a", "/tmpfile", "/tmp/far")]

    assert kinds == ["tmpfs", "ext4", "xfs"]
    assert file_system(Path("/tmp"), "") == "unknown"


def figure(**details: Any) -> dict[str, Any]:
    rows = [Row("loops", 900.0, "/s", 800), Row("p99", 50.0, "ms", 40, at_most=True)]
    return {**Result(rows, details).document(), "date": "2024-01-02", "commit": "abc"}


def document(**figures: dict[str, Any]) -> dict[str, Any]:
    about = {"database": "sqlite", "machine": {"cores": 2, "cpu": "C"}, "sizes": "full"}
    return {"about": about, "figures": figures}


def test_a_figure_that_is_measured_again_leaves_the_others_as_they_are() -> None:
    old = document(loops=figure(took_s=1), bulk=figure(took_s=2))

    result = merged(old, document(bulk=figure(took_s=3)))

    assert {name: each["took_s"] for name, each in result["figures"].items()} == {
        "loops": 1,
        "bulk": 3,
    }


def test_tables_line_up() -> None:
    assert plain_table(("a", "bb"), [("ccc", "d")]) == "a    bb\n---  --\nccc  d"


def test_a_page_shows_verdicts_costs_and_what_was_measured_with() -> None:
    taken = {"10": Outcome(times_us={"tasks": [1000]}), "1000": Outcome()}
    costs = figure(
        rows_of_kinds={"10": {"tasks": 10}, "1000": {"tasks": 1000}},
        requests=cost_table(taken),
    )

    page = markdown(document(costs=costs), chart=None)

    assert "| loops | ≥ 800 /s | 900 /s | reached | – |" in page
    assert "| p99 | ≤ 40 ms | 50 ms | missed | – |" in page
    assert "| tasks | 1.00 | 1.00 | – | – | not measured |" in page
    assert "| tasks | 10 | 1 000 |" in page
    assert "| machine | cores 2, cpu C |" in page
    assert "| figure costs | 2024-01-02, commit abc |" in page
    assert "![" not in page


def test_a_page_says_how_fast_the_machine_was_at_each_figure() -> None:
    before = {"additions_m_per_s": 20.0, "sync_ms": 0.2}
    after = {"additions_m_per_s": 31.0, "sync_ms": 0.4}
    measured = {**figure(), "pace": between(before, after)}

    page = markdown(document(loops=measured), chart=None)

    assert "| loops | ≥ 800 /s | 900 /s | reached | 26 |" in page
    assert "| figure loops | 2024-01-02, commit abc, 25.5 M additions/s, sync 0.3 ms |" in page


@pytest.mark.parametrize(("sizes", "is_remarked"), [("full", False), ("quick", True)])
def test_verdicts_of_less_than_a_full_run_are_not_left_alone(
    sizes: str, *, is_remarked: bool
) -> None:
    result = document(loops=figure())
    result["about"]["sizes"] = sizes

    said = f"Sizes: {sizes}. A target is one of a full run"

    assert remark(result).startswith(said) == is_remarked
    assert (said in markdown(result, chart=None)) == is_remarked


def test_files_are_named_by_database_and_the_chart_is_a_picture(tmp_path: Path) -> None:
    points = [
        {"backlog": size, "loops_per_s": 900.0, "claim_p99_ms": p99}
        for size, p99 in ((100, 9.0), (1_000, None))
    ]
    result = document(backlogs=figure(points=points))

    files = write(result, tmp_path / "new", "sqlite")
    again = write(result, tmp_path / "again", "sqlite")

    names = ["sqlite.json", "sqlite-claims.svg", "sqlite.md"]
    assert [file.name for file in files] == names
    assert json.loads(files[0].read_text()) == result
    assert ET.parse(files[1]).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert "tasks that wait" in files[1].read_text()
    assert "(sqlite-claims.svg)" in files[2].read_text()
    # A repeated result that changed nothing is no change.
    assert [file.read_bytes() for file in files] == [file.read_bytes() for file in again]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--generator", "wrk"], "wrk is not installed"),
        (["--order", "together"], "needs wrk"),
        (["--only", "everything"], "invalid choice"),
        (["--db", "./x.db"], "not ./x.db"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_is(
    flags: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", "")

    with pytest.raises(SystemExit, match="2"):
        command.main(flags)

    assert said in capsys.readouterr().err


def test_every_figure_is_explained() -> None:
    readme = (command.KEPT / "README.md").read_text()

    assert [name for name in command.FIGURES if f"`{name}`" not in readme] == []
