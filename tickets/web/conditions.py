"""``If-Match`` and ``If-None-Match``: writes that depend on the version that is stored."""

from __future__ import annotations

import re
from dataclasses import dataclass

from falcon import Request

from tickets.errors import Invalid, PreconditionFailed

ETAG_HEADER = "ETag"

_ANY = frozenset({"*"})
_TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
_TAGS = re.compile(rf"[ \t]*{_TAG}[ \t]*(?:,[ \t]*{_TAG}[ \t]*)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What a write wants of the stored version: sets of entity tags, None for no wish."""

    match: frozenset[str] | None = None
    none_match: frozenset[str] | None = None

    def check(self, version: int | None) -> None:
        """Return where ``version`` will do; None means that nothing is stored.

        Raises PreconditionFailed. Source: RFC 9110, sections 13.1.1 and 13.1.2.
        """
        if self.match is not None and not _holds(self.match, version):
            raise PreconditionFailed
        if self.none_match is not None and _holds(self.none_match, version):
            raise PreconditionFailed("The entry is there already, as If-None-Match names it")


UNCONDITIONAL = Condition()


def read_condition(req: Request) -> Condition:
    """Return the condition in the request's headers. Raises Invalid for a malformed one."""
    none_match = _tags(req, "If-None-Match")
    if none_match is not None:
        # Weak comparison here, strong comparison for If-Match.
        none_match = frozenset(tag.removeprefix("W/") for tag in none_match)
    return Condition(match=_tags(req, "If-Match"), none_match=none_match)


def etag(version: int) -> str:
    """Return the entity tag of a version: the number in double quotes."""
    return f'"{version}"'


def _tags(req: Request, header: str) -> frozenset[str] | None:
    text = req.get_header(header)
    if text is None:
        return None
    if text.strip() == "*":
        return _ANY
    if re.fullmatch(r"[ \t]*[0-9]+[ \t]*", text) is not None:
        # Quotes within quotes are easily lost in a shell; the number alone is as clear.
        return frozenset({f'"{text.strip()}"'})
    if _TAGS.fullmatch(text) is None:
        raise Invalid.field(header, 'must be * or a version in double quotes, such as "3"')
    return frozenset(re.findall(_TAG, text))


def _holds(tags: frozenset[str], version: int | None) -> bool:
    return version is not None and (tags == _ANY or etag(version) in tags)
