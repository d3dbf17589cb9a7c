"""Commands of the documents, run as they are written there."""

from __future__ import annotations

import json
import re
from typing import Any


def blocks_of(page: str, heading: str, port: int) -> list[str]:
    """Return the shell blocks below a heading, with this server's port in them."""
    section = re.search(rf"^## {heading}\n(.*?)(?:^## |\Z)", page, re.DOTALL | re.MULTILINE)
    assert section is not None, heading
    blocks = re.findall(r"^```sh\n(.*?)^```$", section[1], re.DOTALL | re.MULTILINE)
    assert blocks, heading
    return [block.replace("localhost:7700", f"localhost:{port}") for block in blocks]


def shell_of(page: str, heading: str, port: int) -> str:
    """Return the shell blocks below a heading as one script."""
    return "\n".join(blocks_of(page, heading, port))


def documents(text: str) -> list[Any]:
    """Return the JSON documents that were printed one after the other."""
    found = []
    decoder = json.JSONDecoder()
    while text := text.strip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found
