"""Where settings come from, who wins, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tickets.app import open_database
from tickets.config import ConfigError, DatabaseUrl, Settings, check_exposure, load_settings
from tickets.config_file import MAX_CONFIG_BYTES, write_config_from_json
from tickets.config_options import OPTIONS, is_loopback, parse_duration_ms


def write(path: Path, **config: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config))
    return path


def test_defaults_are_safe(tmp_path: Path) -> None:
    settings = load_settings({}, {"HOME": str(tmp_path)})

    assert (settings.host, settings.port) == ("127.0.0.1", 7700)
    assert (settings.durability, settings.gates) == ("full", "enforce")
    assert (settings.api_token, settings.insecure) == (None, False)
    assert settings.max_body_bytes == 8 * 1024 * 1024
    assert settings.idempotency_retention_ms == 24 * 60 * 60 * 1000
    assert settings.trace_retention_ms is settings.changes_retention_ms is None
    assert settings.busy_timeout_ms == 5000
    assert settings.workers in (1, 2)
    assert settings.wait_slots < settings.threads
    assert settings.db == tmp_path / ".nulltickets" / "nulltickets.db"


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    path = write(tmp_path / "config.json", port=1, threads=1, workers=1, gates="inform")
    flags = {"config": str(path), "port": "3"}
    environ = {"TICKETS_PORT": "2", "TICKETS_THREADS": "2"}

    settings = load_settings(flags, environ)

    assert (settings.port, settings.threads, settings.workers) == (3, 2, 1)
    assert (settings.gates, settings.host) == ("inform", "127.0.0.1")


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_is_a_field_a_variable_and_a_config_key(
    tmp_path: Path, option: object
) -> None:
    words = {"durability": "normal", "gates": "inform", "log_level": "debug", "host": "::1"}
    words |= {"http_parser": "python", "db": "x.db", "insecure": "true"}
    words |= {"prepared_statements": "off", "direct_db": "postgresql://h/d"}
    words |= {"ledger_feed": "off", "dispatch_inline": "off"}
    words |= {"linear_api_url": "https://linear.test/graphql"}
    name = option.name  # type: ignore[attr-defined]
    text = words.get(name, "2000" if name.endswith(("_ms", "_bytes")) else "7")
    value: object = text
    if option.kind is int:  # type: ignore[attr-defined]
        value = int(text)
    if option.kind is bool:  # type: ignore[attr-defined]
        value = True
    path = write(tmp_path / "config.json", **{name: value})

    by_flag = load_settings({name: text, "db": "x.db"}, {})
    by_variable = load_settings({"db": "x.db"}, {f"TICKETS_{name.upper()}": text})
    by_file = load_settings({"config": str(path)}, {})

    is_path = name in ("db", "sealing_key_file")
    expected = tmp_path / text if is_path else getattr(by_flag, name)
    assert getattr(by_variable, name) == getattr(by_flag, name)
    assert getattr(by_file, name) == expected


def test_settings_have_no_field_that_cannot_be_set() -> None:
    fields = set(Settings.__dataclass_fields__)

    assert fields == {option.name for option in OPTIONS} | {"api_token"}


# D-29
def test_the_port_variable_of_the_reference_is_read() -> None:
    assert load_settings({"db": "x"}, {"NULLTICKETS_PORT": "81"}).port == 81
    environ = {"NULLTICKETS_PORT": "81", "TICKETS_PORT": "82"}
    assert load_settings({"db": "x"}, environ).port == 82


@pytest.mark.parametrize(
    ("environ", "home"),
    [
        ({"TICKETS_HOME": "/a", "NULLTICKETS_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"NULLTICKETS_HOME": "/b", "HOME": "/c"}, "/b"),
        ({"HOME": "/c", "USERPROFILE": "/d"}, "/c/.nulltickets"),
        ({"HOME": "", "USERPROFILE": "/d"}, "/d/.nulltickets"),
    ],
)
def test_the_database_is_in_the_home_by_default(environ: dict[str, str], home: str) -> None:
    assert load_settings({}, environ).db == Path(home, "nulltickets.db")


# D-33
def test_a_path_is_relative_to_whatever_named_it(tmp_path: Path) -> None:
    path = write(tmp_path / "etc" / "config.json", db="data/t.db", port=1)
    missing = tmp_path / "missing" / "config.json"

    assert load_settings({"config": str(path)}, {}).db == tmp_path / "etc" / "data" / "t.db"
    assert load_settings({"config": str(missing)}, {}).db == missing.parent / "nulltickets.db"
    assert load_settings({"config": str(path), "db": "t.db"}, {}).db == Path("t.db")
    assert load_settings({"config": str(path)}, {"TICKETS_DB": "t.db"}).db == Path("t.db")
    absolute = write(tmp_path / "other.json", db="/var/t.db")
    assert load_settings({"config": str(absolute)}, {}).db == Path("/var/t.db")


def test_the_key_of_secrets_is_beside_the_file_or_in_the_home(tmp_path: Path) -> None:
    path = write(tmp_path / "config.json", db="data/t.db")
    url = "postgresql://db.example/tickets"

    assert load_settings({"config": str(path)}, {}).key_path == tmp_path / "data" / "t.db.key"
    assert load_settings({"db": "t.db"}, {}).key_path == Path("t.db.key")
    assert load_settings({"db": url}, {"TICKETS_HOME": "/h"}).key_path == Path("/h/sealing.key")
    assert load_settings({"db": url}, {}).key_path is None
    assert load_settings({"db": url, "sealing_key_file": "k"}, {}).key_path == Path("k")


# D-33
def test_memory_is_memory_wherever_it_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "config.json", db=":memory:")

    assert load_settings({"config": str(path)}, {}).in_memory
    assert load_settings({"db": ":memory:"}, {}).in_memory
    assert load_settings({"db": "file::memory:?mode=memory"}, {}).in_memory
    assert not load_settings({"db": "memory"}, {}).in_memory


def test_a_file_uri_is_a_path_and_nothing_more() -> None:
    assert load_settings({"db": "file:/a/b%20c.db"}, {}).db == Path("/a/b c.db")
    with pytest.raises(ConfigError):
        load_settings({"db": "file:/a.db?vfs=unix-none"}, {})


def test_without_home_and_database_nothing_is_guessed() -> None:
    with pytest.raises(ConfigError, match="no database") as refused:
        load_settings({}, {})

    assert refused.value.exit_status == 1
    assert load_settings({"db": "t.db"}, {}).db == Path("t.db")


def test_a_config_port_may_be_a_numeric_string_and_unknown_keys_are_ignored(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "config.json", port="7801", theme="dark", api_token=None)

    settings = load_settings({"config": str(path)}, {})

    assert (settings.port, settings.api_token) == (7801, None)


def test_a_config_file_has_a_largest_size(tmp_path: Path) -> None:
    path = write(tmp_path / "config.json", port=1)
    path.write_bytes(path.read_bytes().ljust(MAX_CONFIG_BYTES))
    assert load_settings({"config": str(path)}, {}).port == 1

    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ConfigError, match="larger than"):
        load_settings({"config": str(path)}, {})


# D-33
def test_the_token_is_read_from_flag_variable_file_and_config(tmp_path: Path) -> None:
    path = write(tmp_path / "config.json", api_token="of-config", db="t.db")
    file = tmp_path / "token"
    file.write_text("of-file\n")
    config = {"config": str(path)}
    environ = {"TICKETS_TOKEN": "of-variable"}

    assert load_settings(config, {}).api_token == "of-config"
    assert load_settings(config, environ).api_token == "of-variable"
    assert load_settings(config, {"TICKETS_TOKEN_FILE": str(file)}).api_token == "of-file"
    assert load_settings({**config, "token_file": str(file)}, environ).api_token == "of-file"
    assert load_settings({**config, "token": "of-flag"}, environ).api_token == "of-flag"
    path = write(tmp_path / "config.json", token_file="token")
    assert load_settings({"config": str(path)}, {}).api_token == "of-file"


# D-33
@pytest.mark.parametrize("token", ["", " x", "x ", "a\nb", "\x7f", "schlüssel"])
def test_a_token_that_is_empty_or_cannot_be_sent_is_refused(tmp_path: Path, token: str) -> None:
    path = write(tmp_path / "config.json", api_token=token)

    for flags, environ in (
        ({"token": token}, {}),
        ({"db": "x"}, {"TICKETS_TOKEN": token}),
        ({"config": str(path)}, {}),
    ):
        with pytest.raises(ConfigError) as refused:
            load_settings({"db": "x", **flags}, environ)
        assert not token.strip() or token.strip() not in str(refused.value)


# D-33
def test_an_empty_or_missing_token_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")

    for name in ("token", "missing"):
        with pytest.raises(ConfigError):
            load_settings({"db": "x", "token_file": str(tmp_path / name)}, {})


# D-33
def test_the_token_is_not_in_the_repr() -> None:
    assert "hunter2" not in repr(load_settings({"db": "x", "token": "hunter2"}, {}))


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("localhost.example.org", False),
    ],
)
def test_only_loopback_needs_no_token(host: str, *, allowed: bool) -> None:
    settings = load_settings({"db": "x", "host": host}, {})

    assert is_loopback(settings.host) is allowed
    if allowed:
        check_exposure(settings)
    else:
        with pytest.raises(ConfigError, match="without an API token"):
            check_exposure(settings)
    check_exposure(load_settings({"db": "x", "host": host, "token": "t"}, {}))
    check_exposure(load_settings({"db": "x", "host": host, "insecure": "true"}, {}))


# D-31
@pytest.mark.parametrize("text", ["-1", "65536", "", "x", "7_0", " 7", "7.0", "٧"])
def test_a_port_is_a_plain_integer_in_range(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_settings({"db": "x", "port": text}, {})

    assert refused.value.exit_status == 2


def test_from_json_falls_back_to_the_default_port(tmp_path: Path) -> None:
    for port, written in [(0, 0), ("65535", 65535), (65536, 7700), ("x", 7700), (None, 7700)]:
        path = write_config_from_json(json.dumps({"home": str(tmp_path), "port": port}), {})
        assert json.loads(path.read_text()) == {"port": written, "db": "nulltickets.db"}


def test_from_json_leaves_an_empty_token_out(tmp_path: Path) -> None:
    path = write_config_from_json('{"api_token": "", "port": true}', {"HOME": str(tmp_path)})

    assert path == tmp_path / ".nulltickets" / "config.json"
    assert json.loads(path.read_text()) == {"port": 7700, "db": "nulltickets.db"}


@pytest.mark.parametrize(
    ("text", "span_ms"), [("30d", 2_592_000_000), ("12h", 43_200_000), ("5m", 300_000)]
)
def test_a_duration_has_a_unit(text: str, span_ms: int) -> None:
    assert parse_duration_ms(text) == span_ms
    for wrong in (text[:-1], "-" + text, text + " ", ""):
        with pytest.raises(ValueError, match="must be"):
            parse_duration_ms(wrong)


def test_a_url_of_a_server_is_taken_as_it_is_and_shown_without_its_password() -> None:
    url = "postgresql://me:secret@db.example/tickets?password=hidden&sslmode=require"

    settings = load_settings({"db": url}, {})

    assert settings.db == url
    assert "db.example/tickets" in settings.shown_db
    for text in (settings.shown_db, repr(settings)):
        assert "secret" not in text
        assert "hidden" not in text


# As people write passwords who do not think of their escapes.
@pytest.mark.parametrize("password", ["pw%zz", "se@kret", "se/kret", "se?kr/xyz", "se@kr/xyz"])
def test_no_part_of_a_password_is_shown_where_a_url_is_wrong(
    tmp_path: Path, password: str
) -> None:
    url = DatabaseUrl(f"postgresql://me:{password}@db.example/tickets?bogus=1")

    with pytest.raises(ConfigError) as refused:
        open_database(Settings(db=url))

    for part in re.split("[@/?%]", password):
        assert part not in str(refused.value).replace("%40", "")
    assert "me:***@db.example" in str(refused.value)


@pytest.mark.parametrize("rest", ["h:5432,h2:5433/d", "/d?host=/tmp/a@b&port=5", "[::1]:99/d"])
def test_hosts_and_ports_of_every_kind_are_taken(rest: str) -> None:
    open_database(Settings(db=DatabaseUrl(f"postgresql://me:se%40kret@{rest}"))).close()
