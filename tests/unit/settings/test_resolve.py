"""Settings: which source counts, and what is said of a value that is wrong."""

from __future__ import annotations

import itertools

import pytest

from batonics.model.errors import UsageError
from batonics.model.secret import Secret
from batonics.settings.resolve import ConfigFile, Origin, find_unknown_variables, resolve
from batonics.settings.table import DEFAULTS, SETTINGS, Settings

FILE = Origin("file", "x.toml")
ENVIRONMENT = Origin("environment", "BATONICS_LIVE_DEPTH")
FLAG = Origin("flag", "--depth")


def config(text: str, *, is_trusted: bool = True) -> ConfigFile:
    return ConfigFile("x.toml", text, is_trusted)


def fault(text: str, *, is_trusted: bool = True) -> str:
    with pytest.raises(UsageError) as caught:
        resolve(config(text, is_trusted=is_trusted))
    return str(caught.value)


@pytest.mark.parametrize(
    ("in_file", "in_environment", "as_flag"), list(itertools.product([False, True], repeat=3))
)
def test_a_later_source_counts(in_file: bool, in_environment: bool, as_flag: bool) -> None:
    found = resolve(
        config("[live]\ndepth = 2" if in_file else ""),
        {"BATONICS_LIVE_DEPTH": "3" if in_environment else ""},
        {"live.depth": ("--depth", 4 if as_flag else None)},
    )
    sources = [(10, Origin("default"))]
    sources += [(2, FILE)] * in_file + [(3, ENVIRONMENT)] * in_environment + [(4, FLAG)] * as_flag
    assert (found.settings.live.depth, found.origins["live.depth"]) == sources[-1]
    rest = SETTINGS.keys() - {"live.depth"}
    assert all(found.origins[name] == Origin("default") for name in rest)


def test_without_sources_every_setting_has_its_default() -> None:
    assert resolve().settings == Settings()


def test_values_of_every_type_come_from_a_file_and_from_variables() -> None:
    text = """
        [log]
        json = true
        [lake]
        schemas = ["trades"]
        commit_interval_s = 5
        [server]
        http = "127.0.0.1:1"
        [server.limits]
        clients_max = 7
    """
    variables = {
        "BATONICS_LOG_JSON": "True",
        "BATONICS_LAKE_SCHEMAS": "trades,",
        "BATONICS_LAKE_COMMIT_INTERVAL_S": "5",
        "BATONICS_SERVER_HTTP": "127.0.0.1:1",
        "BATONICS_SERVER_LIMITS_CLIENTS_MAX": " 7 ",
    }
    from_file, from_variables = resolve(config(text)).settings, resolve(None, variables).settings
    assert from_file == from_variables
    assert from_file.log.json is True
    assert from_file.lake.schemas == ("trades",)
    assert isinstance(from_file.lake.commit_interval_s, float)
    assert from_file.server.limits.clients_max == 7


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[live]\ndepth = 'x'", 'live.depth: expected a whole number from 1 to 1000, not "x"'),
        ("[live]\ndepth = true", "live.depth: expected a whole number from 1 to 1000, not true"),
        ("[live]\ndepth = 1.0", "live.depth: expected a whole number from 1 to 1000, not 1.0"),
        ("[live]\ndepth = 0", "live.depth: expected a whole number from 1 to 1000, not 0"),
        ("[live]\ndrain_s = nan", "live.drain_s: expected a number of 0 or more, not nan"),
        ("[live]\ndrain_s = inf", "live.drain_s: expected a number of 0 or more, not inf"),
        ("[live]\ndrain_s = -1", "live.drain_s: expected a number of 0 or more, not -1"),
        ("[log]\njson = 1", "log.json: expected true or false, not 1"),
        ("[lake]\nschemas = 'a'", 'lake.schemas: expected a list of texts, not "a"'),
        ("[lake]\nschemas = [1]", "lake.schemas: expected a list of texts, not [1]"),
        ("[lake]\npath = 2025-01-01", "lake.path: expected text, not 2025-01-01"),
        ("[live]\ndeph = 1", "live.deph: no such setting; did you mean live.depth?"),
        ("[liv]\ndepth = 1", "liv.depth: no such setting; did you mean live.depth?"),
        ("depth = 1", "depth: no such setting; did you mean live.depth?"),
        ("[server]\nclients_max = 1",
         "server.clients_max: no such setting; did you mean server.limits.clients_max?"),
        ("[weather]\nrain = 1", "weather.rain: no such setting"),
        ("[weather]", "weather: no such setting"),
        ("[server]\nlimits = 3", "server.limits: expected a table, not 3"),
        ("[live.depth]\nx = 1", "live.depth: expected a whole number from 1 to 1000, not a table"),
        ("x", "not TOML: expected '=' after a key in a key/value pair (at end of document)"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_one_line_with_the_file_and_the_key(
    text: str, expected: str
) -> None:
    assert fault(text) == f"x.toml: {expected}"


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("BATONICS_LIVE_DEPTH", "x", 'a whole number from 1 to 1000, not "x"'),
        ("BATONICS_LIVE_DEPTH", "1001", 'a whole number from 1 to 1000, not "1001"'),
        ("BATONICS_LIVE_DRAIN_S", "1s", 'a number of 0 or more, not "1s"'),
        ("BATONICS_DEBUG", "maybe", 'true or false, not "maybe"'),
    ],
)
def test_what_is_wrong_in_the_environment_is_one_line_with_the_variable(
    variable: str, text: str, expected: str
) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(None, {variable: text})
    assert str(caught.value) == f"{variable}: expected {expected}"


def test_what_is_wrong_on_the_command_line_is_one_line_with_the_flag() -> None:
    with pytest.raises(UsageError) as caught:
        resolve(flags={"lake.commit_interval_s": ("--lake-every", 0.0)})
    assert str(caught.value) == "--lake-every: expected a number of 0.001 or more, not 0.0"


def test_a_secret_is_in_no_error() -> None:
    assert fault("[server]\ntoken = [12345]") == "x.toml: server.token: expected text"


def test_the_first_variable_that_is_set_counts() -> None:
    keys = {"BATONICS_GATEWAY_KEY": " ", "DATABENTO_API_KEY": "db-2"}
    found = resolve(None, keys)
    assert found.settings.live.gateway_key == Secret("db-2")
    assert found.origins["live.gateway_key"] == Origin("environment", "DATABENTO_API_KEY")
    found = resolve(None, {**keys, "BATONICS_GATEWAY_KEY": "db-1"})
    assert found.settings.live.gateway_key == found.settings.replay.gateway_key
    assert found.settings.live.gateway_key == Secret("db-1")


@pytest.mark.parametrize("name", [row.name for row in SETTINGS.values() if row.is_trusted])
def test_a_file_that_was_only_found_cannot_say_where_code_and_keys_go(name: str) -> None:
    section, _, key = name.rpartition(".")
    text = f"[{section}]\n{key} = 'x'"
    assert f"{name}: a file in the working directory cannot set it" in fault(text, is_trusted=False)
    assert resolve(config(text)).origins[name] == FILE


def test_variables_that_are_almost_ours_are_named() -> None:
    variables = ("BATONICS_SERVER_HTP", "BATONICS_TOKEN", "BATONICS_TEST_DATA", "HOME", "TOKEN")
    assert list(find_unknown_variables(dict.fromkeys(variables, ""))) == [
        "BATONICS_SERVER_HTP: no such setting; did you mean BATONICS_SERVER_HTTP?"
    ]


def test_the_table_is_sound() -> None:
    for row in SETTINGS.values():
        default = DEFAULTS[row.name]
        assert row.optional if default is None else row.accepts(default), row.name
        assert row.help.endswith("."), row.name
    variables = [name for row in SETTINGS.values() for name in row.variables]
    assert {one for one in variables if variables.count(one) > 1} == {"BATONICS_GATEWAY_KEY"}


def test_every_variable_that_ever_was_is_still_one() -> None:
    known = {name for row in SETTINGS.values() for name in row.variables}
    assert known >= {
        "AWS_ENDPOINT",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "BATONICS_CACHE_DIR",
        "BATONICS_DEBUG",
        "BATONICS_GATEWAY_KEY",
        "BATONICS_KERNEL_DIR",
        "BATONICS_LAKE",
        "BATONICS_TOKEN",
        "DATABENTO_API_KEY",
    }
