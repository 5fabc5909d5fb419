"""Settings as text: a file that can be read again, and a JSON Schema of it."""

from __future__ import annotations

import tomllib
from typing import Any

import jsonschema
import pytest

from batonics.settings.render import json_schema, render_toml
from batonics.settings.resolve import ConfigFile, resolve
from batonics.settings.table import SETTINGS

SECRET = "0123456789abcdef0123456789abcdef"
TEXT = """
[lake]
path = "s3://a/\\"b\\" \\u00e9"
schemas = ["trades", "bbo-1s"]
[live]
idle_timeout_s = 1e22
[log]
json = false
[server.limits]
clients_max = 7
"""


def check_schema(document: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(
        json_schema(), format_checker=jsonschema.FormatChecker()
    ).validate(document)


def test_what_is_shown_can_be_read_again() -> None:
    resolved = resolve(ConfigFile("x.toml", TEXT))
    for origins in (False, True):
        shown = render_toml(resolved, origins=origins)
        assert resolve(ConfigFile("x.toml", shown)).settings == resolved.settings


def test_origins_stand_behind_values() -> None:
    resolved = resolve(
        ConfigFile("x.toml", TEXT), {"BATONICS_LIVE_DEPTH": "3"}, {"server.http": ("--http", "a:1")}
    )
    lines = render_toml(resolved, origins=True).splitlines()
    assert "clients_max = 7  # x.toml" in lines
    assert "depth = 3  # BATONICS_LIVE_DEPTH" in lines
    assert 'http = "a:1"  # --http' in lines
    assert "realtime = false  # default" in lines
    assert "# directory is not set  # default" in lines


def test_a_secret_is_never_shown() -> None:
    secrets = [row for row in SETTINGS.values() if row.secret]
    resolved = resolve(None, {row.variables[0]: SECRET for row in secrets})
    shown = render_toml(resolved, origins=True)
    assert SECRET not in shown
    assert "# token is set; it is secret  # BATONICS_TOKEN" in shown


def test_the_schema_accepts_the_defaults_and_every_default_that_it_names() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    check_schema(tomllib.loads(render_toml(resolve())))
    check_schema(tomllib.loads(TEXT))
    check_schema({})


@pytest.mark.parametrize(
    "document",
    [
        {"live": {"depth": "x"}},
        {"live": {"depth": 0}},
        {"live": {"depth": 1001}},
        {"live": {"deph": 1}},
        {"lake": {"schemas": [1]}},
        {"weather": {}},
        {"server": {"limits": {"clients": 1}}},
    ],
    ids=str,
)
def test_the_schema_refuses_what_the_reader_refuses(document: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check_schema(document)
