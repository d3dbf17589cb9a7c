"""A second host: in a network namespace where that is allowed, else on a port of this one."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.process.proxies import Proxy, proxy_to

_NAMESPACES = Path("/var/run/netns")
_CLONE_NEWNET = 0x40000000
# Of the addresses that are kept for trying out networks, four for each process.
_FIRST, _COUNT = (198, 18), 1 << 15


class Host(ABC):
    """Where a service and its clients are, and their line to the database server."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Let what this thread starts, and whom it connects to, be there."""
        yield

    @abstractmethod
    def cut(self) -> None:
        """Cut the line; nobody at either end is told."""

    @abstractmethod
    def mend(self) -> None:
        """Let it be as before."""


class PortHost(Host):
    """This machine; the line is a proxy that can stand still."""

    def cut(self) -> None:
        self.proxy.stall()

    def mend(self) -> None:
        self.proxy.flow()


class NamespaceHost(Host):
    """A network namespace; the line is a pair of devices of which one can be down."""

    def __init__(self, proxy: Proxy, name: str) -> None:
        super().__init__(proxy)
        self._name = name

    @contextmanager
    def inside(self) -> Iterator[None]:
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(_NAMESPACES / self._name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
            try:
                yield
            finally:
                _enter(here)
        finally:
            os.close(there)
            os.close(here)

    def cut(self) -> None:
        _ip("link", "set", f"{self._name}-0", "down")

    def mend(self) -> None:
        _ip("link", "set", f"{self._name}-0", "up")


def network() -> str:
    """Return what a second host can be here."""
    name = f"tk{os.getpid()}"
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return "two ports"
    if subprocess.run(
        ["ip", "netns", "add", name], capture_output=True, check=False
    ).returncode:
        return "two ports"
    _ip("netns", "delete", name)
    return "namespaces"


@contextmanager
def second_host(kind: str, server: Path) -> Iterator[Host]:
    """Give another host, with a line to the database server in this folder."""
    if kind == "two ports":
        with proxy_to(server) as proxy:
            yield PortHost(proxy)
        return
    name = f"tk{os.getpid()}"
    ours, theirs = _addresses()
    with ExitStack() as stack:
        _ip("netns", "add", name)
        stack.callback(_ip, "netns", "delete", name)
        _ip("link", "add", f"{name}-0", "type", "veth", "peer", "name", f"{name}-1")
        # The other end goes with it.
        stack.callback(_ip, "link", "delete", f"{name}-0")
        _ip("link", "set", f"{name}-1", "netns", name)
        _ip("address", "add", f"{ours}/30", "dev", f"{name}-0")
        _ip("link", "set", f"{name}-0", "up")
        _ip("-n", name, "address", "add", f"{theirs}/30", "dev", f"{name}-1")
        _ip("-n", name, "link", "set", f"{name}-1", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        yield NamespaceHost(stack.enter_context(proxy_to(server, ours)), name)


def _addresses() -> tuple[str, str]:
    first = os.getpid() % _COUNT * 4
    high, low = _FIRST[1] + (first >> 16), first & 0xFFFF
    block = f"{_FIRST[0]}.{high}.{low >> 8}"
    return f"{block}.{(low & 0xFF) + 1}", f"{block}.{(low & 0xFF) + 2}"


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
