"""Pages keep what they promise: links lead somewhere, commands exist, nothing is outdated."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tickets.app import open_database
from tickets.cli import _parser
from tickets.config import DatabaseUrl, load_settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
MODULES = sorted((ROOT / "tickets").rglob("*.py"))

# Programs that a page may tell its reader to run besides our own.
PROGRAMS = re.compile(
    "cat|cd|chmod|chown|cp|createdb|createuser|curl|docker|echo|git|install|jq|ln|ls|mkdir|mv|openssl"
    "|pg_dump|pg_restore|pip|python3?|rm|sh|sudo|systemctl|tail|tee|useradd"
)

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^()\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_SOURCE = re.compile(r"Source: (docs/\w+\.md),\s+([^.;]+)[.;]")


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return _BLOCK.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return what can stand behind # in a link to this page, as GitHub makes it."""
    seen: Counter[str] = Counter()
    found = set()
    for heading in _HEADING.findall(prose(page)):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the commands in a page's blocks of shell, word by word."""
    for language, block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if language != "sh":
            continue
        # What stands between quotes goes on over the ends of lines.
        block = re.sub(r"'[^']*'", lambda found: found[0].replace("\n", " "), block)
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            words: list[str] = []
            for word in [*lexer, ";"]:
                if word in {";", "|", "||", "&", "&&"}:
                    if words:
                        yield words
                    words = []
                elif words or not re.fullmatch(r"\w+=.*", word):
                    words.append(word)


def test_the_api_page_is_what_the_code_makes_of_it(tmp_path: Path) -> None:
    made = tmp_path / "api.md"
    subprocess.run(
        [sys.executable, ROOT / "scripts" / "api_docs.py", made],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        check=True,
    )

    is_current = made.read_text("utf-8") == (ROOT / "docs" / "api.md").read_text("utf-8")

    assert is_current, "docs/api.md is out of date: make api-docs"


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(prose(page)):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.is_file() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_pages_that_are_named_are_there(page: Path) -> None:
    named = set(
        re.findall(r"`((?:docs|scripts|sql|tests|tickets)/[\w/.-]+\.\w+)`", prose(page))
    )

    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_the_one_flag_of_the_first_section_chooses_a_server() -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## ")[2]
    command = re.search(r"`tickets (serve --db \S+)`", section.partition("\n## ")[0])
    assert command is not None
    parsed = _parser().parse_args(command[1].split())

    settings = load_settings({"db": parsed.db}, {})

    assert isinstance(settings.db, DatabaseUrl)
    assert open_database(settings).dialect == "postgres"


def test_sources_that_the_code_gives_are_headings() -> None:
    given = [
        (module.name, page, " ".join(heading.split()))
        for module in MODULES
        for page, heading in _SOURCE.findall(module.read_text(encoding="utf-8"))
    ]

    assert given
    assert [source for source in given if not has_heading(*source[1:])] == []


def has_heading(page: str, beginning: str) -> bool:
    """Tell whether a heading of the page begins with these words, in whatever case."""
    text = (ROOT / page).read_text(encoding="utf-8").replace("`", "")
    return bool(re.search(rf"^#+ {re.escape(beginning)}\b", text, re.MULTILINE | re.IGNORECASE))


RUN = [
    pytest.param(words, id=f"{name}: {shlex.join(words)}"[:60])
    for page, name in zip(PAGES, NAMES, strict=True)
    if name.startswith("docs/")
    for words in commands(page)
]


@pytest.mark.parametrize("words", RUN)
def test_commands_in_the_documentation_exist(words: list[str]) -> None:
    program, *arguments = words

    if program == "tickets":
        # Raises SystemExit for an unknown command or flag, and for missing ones.
        _parser().parse_args(
            arguments if not arguments or arguments[0][0] != "-" else ["serve", *arguments]
        )
    elif program == "make":
        assert arguments[0] in targets()
    else:
        assert PROGRAMS.fullmatch(program)


def targets() -> set[str]:
    """Return the targets of the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_make_targets_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")

    assert (
        set(re.findall(r"(?:^|`|&& )make ([a-z][a-z0-9-]*)", text, re.MULTILINE)) <= targets()
    )
