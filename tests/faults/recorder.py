"""Records what SQLite does to the files of a database, in the order in which it does it.

The recorder is a VFS, SQLite's word for its layer over the operating system: the one for Unix,
but for the functions that open, write, cut, flush and delete, which take a note as well. It is
put in front with ctypes, in the very library that Python's ``sqlite3`` is linked with, so that
what is recorded is what the service does, with its statements, its settings and its SQLite; a
driver that can record by itself would bring another version of the library.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

from tests.faults.steps import Recording, Step, Sync, SyncNames, Truncate, Write
from tickets.db import log, sqlite


def can_record() -> bool:
    """Tell whether Python's SQLite can be reached, which it cannot where it is built in."""
    try:
        ctypes.CDLL(_sqlite3.__file__).sqlite3_vfs_find  # noqa: B018
    except (AttributeError, OSError):
        return False
    return True


@contextmanager
def recording(folder: Path) -> Iterator[Recording]:
    """Record what is done to the databases in a folder; they are opened and closed inside."""
    made = Recording(folder.resolve())
    really_sync, really_flush = sqlite.sync, log.flush

    def sync(path: Path) -> None:
        since = made.look_at_names()
        really_sync(path)
        if path == made.folder:
            made.steps.append(SyncNames(since))

    def flush(descriptor: int) -> None:
        since = len(made.steps)
        really_flush(descriptor)
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        made.on_path(path, lambda which: Sync(which, since))

    with (
        mock.patch.object(sqlite, "sync", sync),
        mock.patch.object(log, "flush", flush),
        _front().recording_into(made),
    ):
        yield made


# What follows is SQLite's C interface, see sqlite3.h: sqlite3_vfs and sqlite3_io_methods.

_ADDRESS = ctypes.c_void_p
_INT, _INT64 = ctypes.c_int, ctypes.c_int64
_OK = 0

_Open = ctypes.CFUNCTYPE(_INT, _ADDRESS, _ADDRESS, _ADDRESS, _INT, _ADDRESS)
_Delete = ctypes.CFUNCTYPE(_INT, _ADDRESS, _ADDRESS, _INT)
_Write = ctypes.CFUNCTYPE(_INT, _ADDRESS, _ADDRESS, _INT, _INT64)
_Truncate = ctypes.CFUNCTYPE(_INT, _ADDRESS, _INT64)
_Sync = ctypes.CFUNCTYPE(_INT, _ADDRESS, _INT)
_OpenFolder = ctypes.CFUNCTYPE(_INT, _ADDRESS, _ADDRESS)
_SetSystemCall = ctypes.CFUNCTYPE(_INT, _ADDRESS, ctypes.c_char_p, _ADDRESS)
_GetSystemCall = ctypes.CFUNCTYPE(_ADDRESS, _ADDRESS, ctypes.c_char_p)


class _Methods(ctypes.Structure):
    """The functions of an open file."""

    _fields_: ClassVar[Any] = [
        ("version", _INT),
        ("close", _ADDRESS),
        ("read", _ADDRESS),
        ("write", _ADDRESS),
        ("truncate", _ADDRESS),
        ("sync", _ADDRESS),
        ("others", _ADDRESS * 13),
    ]


class _Vfs(ctypes.Structure):
    _fields_: ClassVar[Any] = [
        ("version", _INT),
        ("file_bytes", _INT),
        ("path_bytes", _INT),
        ("next", _ADDRESS),
        ("name", ctypes.c_char_p),
        ("app_data", _ADDRESS),
        ("open", _ADDRESS),
        ("delete", _ADDRESS),
        ("others", _ADDRESS * 11),
        ("set_system_call", _ADDRESS),
        ("get_system_call", _ADDRESS),
        ("next_system_call", _ADDRESS),
    ]


class _Front:
    """The VFS; one for the whole process, since SQLite keeps its address."""

    def __init__(self) -> None:
        # The symbols are looked up in the libraries that the module is linked with, too.
        self._library = ctypes.CDLL(_sqlite3.__file__)
        self._library.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
        self._unix: _Vfs = self._library.sqlite3_vfs_find(None).contents
        self._vfs = _Vfs.from_buffer_copy(self._unix)
        self._vfs.name = b"recorder"
        self._really_open = _Open(self._unix.open)
        self._really_delete = _Delete(self._unix.delete)
        self._kept: list[Any] = [_Open(self._on_open), _Delete(self._on_delete)]
        self._vfs.open, self._vfs.delete = map(_address, self._kept)
        self._methods: dict[int, _Methods] = {}
        self._recording: Recording | None = None
        self._folders: list[int] = []
        self._watch_folders()

    @contextmanager
    def recording_into(self, made: Recording) -> Iterator[None]:
        """Stand before the VFS for Unix during the block."""
        assert self._recording is None, "one recording at a time"
        self._recording = made
        self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1)
        try:
            yield
        finally:
            self._library.sqlite3_vfs_register(ctypes.byref(self._unix), 1)
            self._library.sqlite3_vfs_unregister(ctypes.byref(self._vfs))
            self._recording = None

    def _on_open(self, vfs: int, path: int, file: int, flags: int, shown: int) -> int:
        # The path goes on as an address: SQLite keeps parameters behind its end.
        status: int = self._really_open(vfs, path, file, flags, shown)
        if status == _OK and path and self._recording is not None:
            self._recording.opened(_text(path), file)
            methods = _ADDRESS.from_address(file)
            assert methods.value is not None
            methods.value = ctypes.addressof(self._noting(methods.value))
        return status

    def _on_delete(self, vfs: int, path: int, is_synced: int) -> int:
        if self._recording is not None:
            self._recording.deleted(_text(path))
        return self._with_folder(lambda: int(self._really_delete(vfs, path, is_synced)))

    def _noting(self, address: int) -> _Methods:
        """Return the functions at an address with three of them taking notes."""
        if address in self._methods:
            return self._methods[address]
        unix = _Methods.from_address(address)
        really_write = _Write(unix.write)
        really_truncate = _Truncate(unix.truncate)
        really_sync = _Sync(unix.sync)

        def write(file: int, data: int, size: int, offset: int) -> int:
            copied = ctypes.string_at(data, size)
            self._note(file, lambda which: Write(which, offset, copied))
            return int(really_write(file, data, size, offset))

        def truncate(file: int, size: int) -> int:
            self._note(file, lambda which: Truncate(which, size))
            return int(really_truncate(file, size))

        def sync(file: int, flags: int) -> int:
            return self._with_folder(lambda: synced(file, flags))

        def synced(file: int, flags: int) -> int:
            since = len(self._recording.steps) if self._recording is not None else 0
            status = int(really_sync(file, flags))
            self._note(file, lambda which: Sync(which, since))
            return status

        noting = _Methods.from_buffer_copy(unix)
        made = [_Write(write), _Truncate(truncate), _Sync(sync)]
        noting.write, noting.truncate, noting.sync = map(_address, made)
        self._kept += made
        self._methods[address] = noting
        return noting

    def _note(self, file: int, make: Callable[[int], Step]) -> None:
        if self._recording is not None:
            self._recording.on_file(file, make)

    def _watch_folders(self) -> None:
        """Be called when SQLite opens a folder, which it does in order to flush it."""
        get = _GetSystemCall(self._unix.get_system_call)
        name = b"openDirectory"
        vfs = ctypes.addressof(self._unix)
        really_open_folder = _OpenFolder(get(vfs, name))

        def open_folder(path: int, descriptor: int) -> int:
            if self._recording is not None:
                self._folders.append(self._recording.look_at_names())
            return int(really_open_folder(path, descriptor))

        self._kept.append(_OpenFolder(open_folder))
        _SetSystemCall(self._unix.set_system_call)(vfs, name, _address(self._kept[-1]))

    def _with_folder(self, work: Callable[[], int]) -> int:
        """Do what may flush the folder, and note it where it did."""
        status = work()
        if self._folders and self._recording is not None:
            self._recording.steps.append(SyncNames(self._folders.pop()))
        return status


@functools.cache
def _front() -> _Front:
    return _Front()


def _address(function: Any) -> int | None:
    return ctypes.cast(function, _ADDRESS).value


def _text(address: int) -> str:
    return os.fsdecode(ctypes.string_at(address))
