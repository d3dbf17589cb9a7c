"""The statements of the ``sql/`` tree by name, read and checked once at start."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

DIALECTS: Final = ("sqlite", "postgres")
KINDS: Final = ("one", "many", "value", "run")

_HEADER = re.compile(r"-- name: (?P<name>[a-z][a-z0-9_]*) :(?P<kind>\w+)\s*")
_DIRECTIVE = re.compile(r"--\s*(?P<word>name|uses|scans)\s*:", re.IGNORECASE)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
# Alternatives are tried in order, so what looks like a parameter inside a string, a quoted
# name, a comment or a cast (``::text``) is consumed before the last alternative sees it.
_TOKEN = re.compile(
    r"""(?P<quoted>'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`)
      | (?P<comment>--[^\n]*|/\*.*?\*/)
      | (?P<cast>::\s*\w+)
      | (?P<end>;)
      | :(?P<parameter>[A-Za-z_]\w*)""",
    re.VERBOSE | re.DOTALL,
)


class RegistryError(Exception):
    """The ``sql/`` tree cannot be used; the text names file and line."""


class Scan(NamedTuple):
    """A full scan that a statement owns up to."""

    table: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One named statement; ``sql`` is its text without comments and final semicolon."""

    name: str
    kind: str
    sql: str
    parameters: frozenset[str]
    uses: tuple[str, ...]
    scans: tuple[Scan, ...]
    description: str
    path: Path
    line: int


class Registry:
    """Every statement of one dialect, under ``<file stem>.<name>``."""

    def __init__(self, statements: dict[str, Statement]) -> None:
        self._statements = statements

    @classmethod
    def load(cls, root: Path, dialect: str | None = "sqlite") -> Registry:
        """Read each ``*.sql`` below ``root`` except in folders named ``migrations``.

        The files of the other dialect are checked too, then left aside; without a dialect
        both are.
        Raises RegistryError for whatever cannot be read without doubt.
        """
        if dialect not in (None, *DIALECTS):
            raise RegistryError(f"{root}: unknown dialect {dialect!r}")
        statements: dict[str, Statement] = {}
        overrides: dict[str, Statement] = {}
        for path, stem, file_dialect in _files(root):
            found = {f"{stem}.{each.name.split('.')[1]}": each for each in _parse(path, stem)}
            if file_dialect is None:
                statements |= found
            elif file_dialect == dialect:
                overrides |= found
        for name, override in overrides.items():
            base = statements.get(name)
            if base is not None and base.kind != override.kind:
                raise _error(override.path, override.line, f"{name} is :{base.kind} elsewhere")
        return cls(statements | overrides)

    def __getitem__(self, name: str) -> Statement:
        """Return a statement; raises RegistryError where there is none of this name."""
        try:
            return self._statements[name]
        except KeyError:
            raise RegistryError(f"no statement is named {name!r}") from None

    def for_psycopg(self) -> dict[str, bytes]:
        """Return each statement's text with ``%(name)s`` for ``:name``, as psycopg reads it."""
        return {name: _pyformat(each.sql) for name, each in self._statements.items()}

    def __contains__(self, name: object) -> bool:
        return name in self._statements

    def __iter__(self) -> Iterator[Statement]:
        return iter(self._statements.values())

    def __len__(self) -> int:
        return len(self._statements)


def sql_root() -> Path:
    """Return the ``sql`` folder: beside the package in a checkout, inside it in a wheel."""
    here = Path(__file__)
    checkout = here.parents[2] / "sql"
    if (checkout / "tracker").is_dir():
        return checkout
    return here.parents[1] / "_sql"


def _files(root: Path) -> Iterator[tuple[Path, str, str | None]]:
    """Yield path, stem and dialect of each file, refusing a stem in two folders."""
    folders: dict[str, Path] = {}
    for path in sorted(root.rglob("*.sql")):
        if "migrations" in path.relative_to(root).parts[:-1]:
            continue
        stem, *words = path.name.split(".")[:-1]
        if len(words) > 1 or (words and words[0] not in DIALECTS):
            raise _error(path, 1, "a file is named <stem>.sql or <stem>.<dialect>.sql")
        if folders.setdefault(stem, path.parent) != path.parent:
            raise _error(path, 1, f"the stem {stem!r} is used in {folders[stem]} too")
        yield path, stem, words[0] if words else None


def _parse(path: Path, stem: str) -> Iterator[Statement]:
    """Yield the statements of one file, refusing one name twice."""
    lines = path.read_text(encoding="utf-8").splitlines()
    starts = [number for number, line in enumerate(lines) if _directive(line) == "name"]
    for number, line in enumerate(lines[: starts[0] if starts else len(lines)]):
        if line.strip() and not line.lstrip().startswith("--"):
            raise _error(path, number + 1, "SQL stands before the first '-- name:' header")
        if _directive(line) is not None:
            raise _error(path, number + 1, "this line belongs under a '-- name:' header")
    seen: set[str] = set()
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        statement = _statement(path, stem, start + 1, lines[start:end])
        if statement.name in seen:
            raise _error(path, start + 1, f"{statement.name} is there twice")
        seen.add(statement.name)
        yield statement


def _statement(path: Path, stem: str, first_line: int, lines: list[str]) -> Statement:
    """Read one header and the one SQL statement under it."""
    header = _HEADER.fullmatch(lines[0])
    if header is None:
        raise _error(path, first_line, "a header reads '-- name: <name> :<kind>'")
    if header["kind"] not in KINDS:
        raise _error(path, first_line, f"unknown kind :{header['kind']}")
    uses: list[str] = []
    scans: list[Scan] = []
    description: list[str] = []
    body = 1
    while body < len(lines) and lines[body].startswith("--"):
        line, number = lines[body], first_line + body
        word = _directive(line)
        if word is not None and (description or not line.startswith(f"-- {word}: ")):
            raise _error(path, number, "'-- uses: …' and '-- scans: …' follow the name at once")
        if word == "uses":
            uses += _listed(path, number, line)
        elif word == "scans":
            scans.append(_scan(path, number, line))
        else:
            description.append(line[2:].strip())
        body += 1
    sql, parameters = _sql(path, first_line + body, "\n".join(lines[body:]))
    return Statement(
        name=f"{stem}.{header['name']}",
        kind=header["kind"],
        sql=sql,
        parameters=parameters,
        uses=tuple(uses),
        scans=tuple(scans),
        description=" ".join(description),
        path=path,
        line=first_line,
    )


def _directive(line: str) -> str | None:
    found = _DIRECTIVE.match(line)
    return found["word"].lower() if found else None


def _listed(path: Path, number: int, line: str) -> list[str]:
    names = [name.strip() for name in line.split(":", 1)[1].split(",")]
    if not all(names):
        raise _error(path, number, "an empty name after '-- uses:'")
    return names


def _scan(path: Path, number: int, line: str) -> Scan:
    table, _, why = (part.strip() for part in line.split(":", 1)[1].partition(","))
    if not table or not why:
        raise _error(path, number, "'-- scans: <table>, <why>' needs both")
    return Scan(table, why)


def _sql(path: Path, number: int, text: str) -> tuple[str, frozenset[str]]:
    """Return the statement without comments, and its parameters."""
    parts: list[str] = []
    parameters: set[str] = set()
    at = 0
    for token in _TOKEN.finditer(text):
        parts.append(text[at : token.start()])
        parts.append("" if token["comment"] else token[0])
        if token["parameter"]:
            parameters.add(token["parameter"])
        at = token.end()
        if token["end"]:
            break
    else:
        parts.append(text[at:])
        at = len(text)
    sql = "\n".join(line.rstrip() for line in "".join(parts).splitlines() if line.strip())
    if sql in ("", ";"):
        raise _error(path, number, "no SQL under this header")
    if not sql.endswith(";"):
        raise _error(path, number, "the statement does not end in ';'")
    if _COMMENT.sub("", text[at:]).strip():
        raise _error(path, number, "one header stands over one statement")
    return sql[:-1].rstrip(), frozenset(parameters)


def _pyformat(sql: str) -> bytes:
    def placed(token: re.Match[str]) -> str:
        name = token["parameter"]
        return f"%({name})s" if name else token[0].replace("%", "%%")

    parts: list[str] = []
    at = 0
    for token in _TOKEN.finditer(sql):
        parts += [sql[at : token.start()].replace("%", "%%"), placed(token)]
        at = token.end()
    return "".join([*parts, sql[at:].replace("%", "%%")]).encode()


def _error(path: Path, line: int, problem: str) -> RegistryError:
    return RegistryError(f"{path}:{line}: {problem}")
