"""``/store``."""

from __future__ import annotations

from falcon import Request, Response

from tickets.errors import (
    InvalidCursor,
    InvalidFilter,
    InvalidLimit,
    InvalidPath,
    InvalidQuery,
    MissingParam,
    NotFound,
    PreconditionFailed,
    ReservedNamespace,
)
from tickets.tracker.domain.documents import EntriesQuery, NewEntry, SearchQuery
from tickets.tracker.domain.records import Entry
from tickets.tracker.operations.kv import KvOperations, check_names, check_search_text
from tickets.web.arrays import NEXT_CURSOR_HEADER, cut_array
from tickets.web.conditions import ETAG_HEADER, etag, read_condition
from tickets.web.endpoint import endpoint
from tickets.web.query import parse_query
from tickets.web.rawpath import ends_with_slash

CONDITION_HEADERS = ("If-Match", "If-None-Match")


def _check_names(_resource: object, _req: Request, namespace: str, key: str) -> None:
    check_names(namespace, key)


def _check_search_text(_resource: object, req: Request) -> None:
    check_search_text(parse_query(req.query_string).get("q"))


class EntryItem:
    """HTTP for one entry."""

    def __init__(self, kv: KvOperations) -> None:
        self._kv = kv

    @endpoint(
        "Store a value",
        body=NewEntry,
        status=204,
        before_body=_check_names,
        headers=(ETAG_HEADER,),
        request_headers=CONDITION_HEADERS,
        errors=(ReservedNamespace, InvalidPath, PreconditionFailed),
    )
    def on_put(
        self, req: Request, resp: Response, namespace: str, key: str, document: NewEntry
    ) -> None:
        """``PUT /store/{namespace}/{key}`` → 204, for a new entry and for a known one.

        ``ETag`` is the new version. With ``If-Match: "<version>"`` the entry must have that
        version, with ``If-Match: *`` it must be there, with ``If-None-Match: *`` it must not.
        """
        version = self._kv.put(namespace, key, document.value, condition=read_condition(req))
        resp.set_header(ETAG_HEADER, etag(version))

    @endpoint(
        "Get an entry",
        answer=Entry,
        headers=(ETAG_HEADER,),
        errors=(ReservedNamespace, InvalidPath, NotFound),
    )
    def on_get(self, _req: Request, resp: Response, namespace: str, key: str) -> Entry:
        """``GET /store/{namespace}/{key}`` → 200 entry; ``ETag`` is its version."""
        entry = self._kv.get(namespace, key)
        resp.set_header(ETAG_HEADER, etag(entry.version))
        return entry

    @endpoint(
        "Delete an entry",
        status=204,
        request_headers=CONDITION_HEADERS,
        errors=(ReservedNamespace, InvalidPath, PreconditionFailed),
    )
    def on_delete(self, req: Request, _resp: Response, namespace: str, key: str) -> None:
        """``DELETE /store/{namespace}/{key}`` → 204, also where there was no entry.

        ``If-Match`` and ``If-None-Match`` work as for PUT.
        """
        self._kv.delete(namespace, key, condition=read_condition(req))


class NamespaceItem:
    """HTTP for all entries of a namespace."""

    def __init__(self, kv: KvOperations) -> None:
        self._kv = kv

    @endpoint(
        "List the entries of a namespace by key",
        query=EntriesQuery,
        answer=list[Entry],
        headers=(NEXT_CURSOR_HEADER,),
        errors=(ReservedNamespace, InvalidPath, InvalidLimit, InvalidCursor),
    )
    def on_get(
        self, _req: Request, resp: Response, namespace: str, query: EntriesQuery
    ) -> list[Entry]:
        """``GET /store/{namespace}?prefix=&limit=&cursor=`` → 200 ``[entry, …]``.

        Ordered by the bytes of the key; whole without ``limit``.
        """
        return cut_array(resp, self._kv.list_by_key(namespace, query))

    @endpoint("Delete a namespace", status=204, errors=(ReservedNamespace, InvalidPath))
    def on_delete(self, req: Request, _resp: Response, namespace: str) -> None:
        """``DELETE /store/{namespace}`` → 204, also where it held no entry.

        A path that ends with a slash is refused: it was to name a key, and the key was empty.
        """
        if ends_with_slash(req.env):
            raise InvalidPath("The key is empty; without the slash the whole namespace goes")
        self._kv.delete_namespace(namespace)


class StoreSearch:
    """HTTP for the search over all entries."""

    def __init__(self, kv: KvOperations) -> None:
        self._kv = kv

    @endpoint(
        "Search the store",
        query=SearchQuery,
        answer=list[Entry],
        before_body=_check_search_text,
        errors=(MissingParam, InvalidQuery, InvalidLimit, InvalidFilter),
    )
    def on_get(self, _req: Request, _resp: Response, query: SearchQuery) -> list[Entry]:
        """``GET /store/search?q=&namespace=&limit=&filter_path=&filter_value=`` → 200 array.

        Entries that hold every word of ``q`` in namespace, key or value, best match first.
        ``filter_path`` such as ``$.a.b[0]`` keeps the entries whose value has something
        there, and with ``filter_value`` exactly that: a string by its text, anything else as
        the JSON it spells. Refused are, in this order: no ``q``, an empty one, ``limit``.
        """
        return self._kv.search(query)
