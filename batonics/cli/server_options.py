"""The options of commands that serve books over HTTP: who may ask, and what is logged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from batonics.cli.option_groups import SettingOption
from batonics.cli.options import LogJsonOption, QuietOption


@dataclass(frozen=True, eq=False, repr=False)
class ServerOptions:
    """Who may ask for books."""

    http: Annotated[str | None, SettingOption("server.http", "--http")] = None
    allow_host: Annotated[
        list[str] | None,
        SettingOption(
            "server.allowed_hosts",
            "--allow-host",
            "A name that requests may use for this server. May be repeated.",
        ),
    ] = None
    allow_origin: Annotated[
        list[str] | None,
        SettingOption(
            "server.allowed_origins",
            "--allow-origin",
            "An origin whose pages may read. May be repeated.",
        ),
    ] = None


@dataclass(frozen=True, eq=False, repr=False)
class MessageOptions:
    """What is said on standard error."""

    log_json: LogJsonOption = None
    quiet: QuietOption = False
