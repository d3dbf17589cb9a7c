"""Bytes of one connection until a request is whole, so that no thread waits for a slow client.

This decides *when* a request is handed on. What the bytes mean is decided by gunicorn's parser,
which reads them again from the start; a wrong guess here costs time, never safety. Two things
are refused here, because the parser in C takes them: lines that end with a bare LF, and folded
headers. A proxy in front may read both differently (RFC 9112, sections 2.2 and 5.2).
"""

from __future__ import annotations

import re

# More than the parser allows (100 fields of 8 190 bytes), so that it is the one to refuse.
HEAD_MAX_BYTES = 1 << 20
# The parsers refuse more than 100 fields; that in C takes more than 256 for a bad request line.
HEAD_MAX_LINES = 200
CHUNK_LINE_MAX_BYTES = 8_190
TRAILERS_MAX_BYTES = 64 << 10
# What lengths and extensions of chunks may add to a body; chunks of 16 bytes need half of that.
FRAMING_MAX_BYTES = 64 << 10

_LENGTH = re.compile(
    rb"\r\ncontent-length[ \t]*:[ \t]*([0-9]{0,18})[ \t]*(?=\r\n)", re.IGNORECASE
)
_CODING = re.compile(rb"\r\ntransfer-encoding[ \t]*:[ \t]*([^\r\n]*)", re.IGNORECASE)
_EXPECT = re.compile(
    rb"\A(?:\r\n)?[^\r\n]* HTTP/1\.1\r\n(?:.*\r\n)?expect[ \t]*:[ \t]*100-continue[ \t]*\r\n",
    re.IGNORECASE | re.DOTALL,
)


class Inbox:
    """What a client has sent and nobody has parsed yet; lives as long as its connection."""

    _head_bytes: int | None
    _chunk_at: int | None
    _expects_continue: bool

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._data = bytearray()
        self._is_oversized = False
        self._reset()

    def __len__(self) -> int:
        return len(self._data)

    def add(self, data: bytes) -> None:
        """Append what was received."""
        self._data += data

    @property
    def flaw(self) -> str | None:
        """What makes the request unacceptable, once ``is_whole()`` said True."""
        return self._flaw

    @property
    def is_oversized(self) -> bool:
        """Whether chunks announce more than a body may hold; it stays so once they are taken.

        What they announce may never come, so such a body cannot be read.
        """
        return self._is_oversized

    @property
    def is_crowded(self) -> bool:
        """Whether there are too many headers, once ``is_whole()`` said True."""
        return self._is_crowded

    def take(self) -> bytes:
        """Return all bytes, which may be more or less than one request, and forget them."""
        data = bytes(self._data)
        self._data.clear()
        self._reset()
        return data

    def expects_continue(self) -> bool:
        """Return once True where the client waits for 100 before it sends the body."""
        expected, self._expects_continue = self._expects_continue, False
        return expected

    def is_whole(self) -> bool:
        """Return whether a request can be handled without waiting, or must be refused."""
        if self._head_bytes is None and not self._find_head():
            return self._is_refusable()
        if self._chunk_at is not None:
            return self._has_last_chunk()
        return len(self._data) >= self._needed_bytes

    def _reset(self) -> None:
        self._head_bytes = None
        self._searched_bytes = 0
        self._needed_bytes = 0
        self._chunk_at = None
        self._body_bytes = 0
        self._expects_continue = False
        self._flaw: str | None = None
        self._is_crowded = False

    def _is_refusable(self) -> bool:
        # A head with a bare LF may never end in the way that is waited for.
        self._judge(bytes(self._data))
        is_flawed = self._flaw is not None or self._is_crowded
        return is_flawed or len(self._data) > HEAD_MAX_BYTES

    def _judge(self, head: bytes) -> None:
        self._flaw = _flaw(head)
        self._is_crowded = head.count(b"\r\n") > HEAD_MAX_LINES

    def _find_head(self) -> bool:
        end = self._data.find(b"\r\n\r\n", max(0, self._searched_bytes - 3))
        self._searched_bytes = len(self._data)
        if end < 0:
            return False
        self._head_bytes = self._needed_bytes = end + 4
        self._is_oversized = False
        head = bytes(self._data[: end + 2])
        self._judge(head)
        lengths = _LENGTH.findall(head)
        codings = _CODING.findall(head)
        if codings:
            if [coding.strip().lower() for coding in codings] == [b"chunked"] and not lengths:
                self._chunk_at = self._head_bytes
        elif len(lengths) == 1 and lengths[0] and int(lengths[0]) <= self._max_body_bytes:
            self._needed_bytes += int(lengths[0])
        # Otherwise there is no body, or one that is refused without being waited for.
        if self._chunk_at is not None or self._needed_bytes > len(self._data):
            self._expects_continue = _EXPECT.search(head) is not None
        return True

    def _has_last_chunk(self) -> bool:
        data = self._data
        while True:
            assert self._chunk_at is not None
            end = data.find(b"\r\n", self._chunk_at)
            if end < 0:
                return self._is_overgrown(CHUNK_LINE_MAX_BYTES, since=self._chunk_at)
            size_text = bytes(data[self._chunk_at : end]).partition(b";")[0].strip()
            if re.fullmatch(rb"[0-9a-fA-F]+", size_text) is None:
                return True
            size = int(size_text, 16)
            if size == 0:
                is_over = data.find(b"\r\n\r\n", end) >= 0
                return is_over or self._is_overgrown(TRAILERS_MAX_BYTES, since=end)
            if self._body_bytes + size > self._max_body_bytes:
                self._is_oversized = True
                return True
            start, next_chunk = end + 2, end + 2 + size + 2
            if len(data) < next_chunk:
                return self._is_overgrown(size + 2, since=start)
            if data[next_chunk - 2 : next_chunk] != b"\r\n":
                return True
            self._chunk_at = next_chunk
            self._body_bytes += size

    def _is_overgrown(self, limit_bytes: int, *, since: int) -> bool:
        """Tell whether a part of the body is too long, or all that is no content of it."""
        assert self._head_bytes is not None
        framing_bytes = since - self._head_bytes - self._body_bytes
        if framing_bytes > self._max_body_bytes + FRAMING_MAX_BYTES:
            self._flaw = "chunks that are too small"
        return self._flaw is not None or len(self._data) - since > limit_bytes


def _flaw(head: bytes) -> str | None:
    if head.count(b"\n") != head.count(b"\r\n"):
        return "bare LF as line terminator"
    if b"\r\n " in head or b"\r\n\t" in head:
        return "folded header"
    return None
