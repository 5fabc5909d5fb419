"""`python docs/make_settings.py` generates docs/settings.md from the table of settings."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from batonics.settings.definition import Setting
from batonics.settings.table import SETTINGS

TARGET = Path(__file__).with_name("settings.md")
HEAD = """\
# Settings

`docs/make_settings.py` generates this page from the table in `batonics/settings/table.py`, and a
test checks that it is up to date.

The value of a setting comes from the last of these sources that has one:

1. its default;
2. a TOML file;
3. its environment variable, unless it is empty;
4. the command's option, if it has one.

batonics reads one file, the first that exists:

1. the one that `--config FILE` (before the command) or `BATONICS_CONFIG` names;
2. `batonics.toml` in the working directory;
3. `batonics/config.toml` in `XDG_CONFIG_HOME`, or in `~/.config`.

`import batonics` reads the same file and the same variables. Settings marked *trusted* name a place
that code is loaded from, or a server that signed requests go to. A `batonics.toml` in the working
directory cannot set them, because the directory may belong to someone else.

```sh
batonics config show --origin
batonics config check batonics.toml
batonics config schema
```

`config show` prints every value as TOML, and with `--origin` also where it comes from. It never
prints a secret. `config check` prints one line for each error in a file: an unknown key (with the
nearest known one), a wrong type, a value out of bounds. `config schema` prints a JSON Schema for
editors.

```toml
[server]
http = "127.0.0.1:8080"

[server.limits]
clients_max = 200
stall_timeout_s = 5
```

In a variable, a list is `A,B,C`. True is `1`, `true`, `yes` or `on`; false is `0`, `false`, `no` or
`off`.
"""


def render() -> str:
    """The reference of all settings as Markdown."""
    parts = [HEAD]
    for section, rows in groupby(SETTINGS.values(), lambda row: row.name.rpartition(".")[0]):
        parts.append(f"## [{section}]\n")
        parts.append("| key | type | default | variable | |\n|---|---|---|---|---|")
        parts.extend(_row(row) for row in rows)
        parts.append("")
    return "\n".join(parts)


def _row(row: Setting) -> str:
    key = row.name.rpartition(".")[2]
    default = ", ".join(row.default) if isinstance(row.default, tuple) else row.default
    shown = f"`{str(default).lower() if isinstance(default, bool) else default}`"
    variables = ", ".join(f"`{name}`" for name in row.variables)
    marks = [mark for mark, holds in (("secret", row.secret), ("trusted", row.is_trusted)) if holds]
    help_text = " ".join([row.help, *(f"*{mark}*." for mark in marks)])
    unset = default is None or default == ""
    return f"| `{key}` | {row.expected} | {'' if unset else shown} | {variables} | {help_text} |"


if __name__ == "__main__":
    TARGET.write_text(render())
