#!/usr/bin/env python3
"""Stand-ins for curl and other programs: as much of them as the documents and scripts use.

They take the place of programs that a machine lacks, so that its tests need only Python.
Usage: stand_ins.py curl|jq|hostname|openssl ARGUMENTS…
"""

from __future__ import annotations

import argparse
import hmac
import http.client
import json
import re
import shlex
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# What curl exits with.
CANNOT_CONNECT, REFUSED = 7, 22


def tools(directory: Path, *, all_of_them: bool = False) -> str:
    """Return a directory for PATH with a ``python`` like ours and what this machine lacks."""
    directory.mkdir()
    executable = shlex.quote(sys.executable)
    _write(directory / "python", f"exec {executable}")
    for name in PROGRAMS:
        if all_of_them or shutil.which(name) is None:
            _write(directory / name, f"exec {executable} -IS {shlex.quote(__file__)} {name}")
    return str(directory)


def _write(file: Path, command: str) -> None:
    file.write_text(f'#!/bin/sh\n{command} "$@"\n')
    file.chmod(0o755)


def curl(arguments: list[str]) -> int:
    """Send one request, again after a second where nobody answers and that is wanted."""
    options = _curl_options(arguments)
    for _ in range(options.retry):
        status = _send(options)
        if status != CANNOT_CONNECT:
            return status
        time.sleep(1)
    return _send(options)


def _send(options: argparse.Namespace) -> int:
    url = urlsplit(options.url if "://" in options.url else f"http://{options.url}")
    headers = dict(re.split(r":\s*", header, maxsplit=1) for header in options.header)
    data = None if options.data is None else options.data.encode()
    if data is not None and data.startswith(b"@"):
        data = Path(options.data[1:]).read_bytes()
    method = options.method or ("GET" if data is None else "POST")
    host = url.hostname or ""
    connection = http.client.HTTPConnection(host, url.port, timeout=options.seconds)
    try:
        target = url.path + (f"?{url.query}" if url.query else "")
        connection.request(method, target, data, headers)
        response = connection.getresponse()
        body = response.read()
    except OSError:
        return CANNOT_CONNECT
    finally:
        connection.close()
    if options.output is None:
        sys.stdout.buffer.write(body)
    else:
        Path(options.output).write_bytes(body)
    sys.stdout.write(options.write_out.replace("%{http_code}", str(response.status)))
    return REFUSED if options.fail_with_body and response.status >= 400 else 0


def _curl_options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="curl", allow_abbrev=False)
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-sS", action="store_true")
    parser.add_argument("--fail-with-body", action="store_true")
    parser.add_argument("-X", dest="method")
    parser.add_argument("-H", dest="header", action="append", default=[])
    parser.add_argument("-d", "--data-binary", dest="data")
    parser.add_argument("-o", dest="output")
    parser.add_argument("-m", dest="seconds", type=float, default=70)
    parser.add_argument("--retry", type=int, default=0)
    parser.add_argument("--retry-connrefused", action="store_true")
    parser.add_argument("-w", dest="write_out", default="")
    parser.add_argument("url")
    return parser.parse_args(arguments)


def jq(arguments: list[str]) -> int:
    """Print ``.a.b`` or ``{a, b}`` of a document in a file or on standard input."""
    is_raw, is_asked = arguments[0] == "-r", arguments[0] == "-e"
    wanted, *files = arguments[is_raw or is_asked :]
    text = Path(files[0]).read_text() if files else sys.stdin.read()
    if not text.strip():
        return 0
    value: Any = json.loads(text)
    if chosen := re.fullmatch(r"\{(\w+(?:, *\w+)*)\}", wanted):
        value = {name: value.get(name) for name in re.split(", *", chosen[1])}
    elif re.fullmatch(r"(\.\w+)+", wanted):
        for name in wanted.split(".")[1:]:
            value = None if value is None else value.get(name)
    else:
        raise SystemExit(f"the stand-in of jq does not know {wanted}")
    is_text = is_raw and isinstance(value, str)
    shown = value if is_text else json.dumps(value, indent=2, ensure_ascii=False)
    sys.stdout.write(shown + "\n")
    return int(is_asked and value in (None, False))


def openssl(arguments: list[str]) -> int:
    """Print the HMAC-SHA256 of standard input."""
    *wanted, secret = arguments
    assert wanted == ["dgst", "-sha256", "-hmac"]
    digest = hmac.new(secret.encode(), sys.stdin.buffer.read(), "sha256")
    sys.stdout.write(f"(stdin)= {digest.hexdigest()}\n")
    return 0


def hostname(_: list[str]) -> int:
    """Print the name of this machine."""
    sys.stdout.write(socket.gethostname() + "\n")
    return 0


PROGRAMS = {"curl": curl, "jq": jq, "hostname": hostname, "openssl": openssl}

if __name__ == "__main__":
    _, program, *rest = sys.argv
    sys.exit(PROGRAMS[program](rest))
