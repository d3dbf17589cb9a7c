"""What an installer needs to know to set the service up and watch it."""

from __future__ import annotations

from tickets.config_file import DEFAULT_DB, DEFAULT_PORT

# The names are the installer's; the program is pure Python, so one wheel serves them all.
_PLATFORMS = (
    "aarch64-macos",
    "x86_64-macos",
    "x86_64-linux",
    "aarch64-linux",
    "riscv64-linux",
    "x86_64-windows",
    "aarch64-windows",
)


def manifest(version: str) -> dict[str, object]:
    """Return the installer's manifest, schema version 1.

    ``build_from_source`` is left out: the installer would expect a Zig toolchain there.
    """
    return {
        "schema_version": 1,
        "name": "tickets",
        "display_name": "Tickets",
        "description": "A headless task tracker and lease coordinator for AI agents",
        "icon": "tickets",
        "repo": "tickets/tickets",
        "platforms": {platform: _artifact(platform, version) for platform in _PLATFORMS},
        "launch": {"command": "tickets", "args": []},
        "health": {"endpoint": "/health", "port_from_config": "port"},
        "ports": [
            {"name": "api", "config_key": "port", "default": DEFAULT_PORT, "protocol": "http"}
        ],
        "wizard": {"steps": _steps()},
        "depends_on": [],
        "connects_to": [],
    }


def _artifact(platform: str, version: str) -> dict[str, str]:
    return {
        "asset": f"tickets_tracker-{version}-py3-none-any.whl",
        "binary": "tickets.exe" if platform.endswith("-windows") else "tickets",
    }


def _steps() -> list[dict[str, object]]:
    return [
        {
            "id": "port",
            "title": "API port",
            "description": "Port that agents connect to",
            "type": "number",
            "required": True,
            "default_value": str(DEFAULT_PORT),
            "options": [],
        },
        {
            "id": "api_token",
            "title": "API token",
            "description": "Bearer token for every caller; leave empty for none",
            "type": "secret",
            "required": False,
            "options": [],
        },
        {
            "id": "db_path",
            "title": "Database file",
            "description": "SQLite file, relative to the instance's directory",
            "type": "text",
            "required": True,
            "default_value": DEFAULT_DB,
            "options": [],
        },
    ]
