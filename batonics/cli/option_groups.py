"""Options that are declared in groups, and options whose default is a setting.

The rule here: a command with many options takes dataclasses, one for each subject of its options;
each field is an option. An option of a setting has the setting's description and default.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

from typer.models import OptionInfo

from batonics.settings.table import SETTINGS, Settings

if TYPE_CHECKING:
    from batonics.settings.resolve import Flags


class SettingOption(OptionInfo):
    """An option whose default is a setting; without the option the command has None.

    Args:
        setting: the setting's name.
        flag: the option's, such as `--depth`.
        text: the description; None: that of the setting.
        optional: further arguments of typer's options.
    """

    def __init__(self, setting: str, flag: str, text: str | None = None, **optional: Any) -> None:
        row = SETTINGS[setting]
        shown = ",".join(row.default) if row.type is tuple else row.default
        super().__init__(
            default=...,
            param_decls=(flag,),
            help=f"{text or row.help} Setting: {setting}.",
            show_default=False if shown in (None, "", False) else str(shown),
            **optional,
        )
        self.setting, self.flag = setting, flag


def expand_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command of option groups as typer takes it: each field of each group is an option."""
    groups = get_type_hints(command)
    groups.pop("return", None)
    parameters = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for group in groups.values()
        for hints in [get_type_hints(group, include_extras=True)]
        for field in fields(group)
    ]

    @wraps(command)
    def expanded(**values: Any) -> None:
        command(
            **{
                name: group(**{field.name: values[field.name] for field in fields(group)})
                for name, group in groups.items()
            }
        )

    expanded.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {one.name: one.annotation for one in parameters}
    del expanded.__wrapped__
    return expanded


def load_settings(flags: Flags) -> Settings:
    """The settings with a command's flags; an interval may be text such as `1m`, a list `A,B,C`.

    Raises:
        UsageError: the first value or key that is wrong, and where it stands.
    """
    from batonics.settings.loader import load

    parsed = {name: (flag, _parse(name, value)) for name, (flag, value) in flags.items()}
    return load(parsed).settings


def _parse(name: str, value: Any) -> Any:
    if isinstance(value, str) and SETTINGS[name].type is tuple:
        return tuple(one.strip() for one in value.split(",") if one.strip())
    if isinstance(value, str) and SETTINGS[name].type is float:
        from batonics.model.times import NS_PER_S, duration_ns

        return duration_ns(value) / NS_PER_S
    return value


def read_flags(*groups: Any) -> dict[str, tuple[str, Any]]:
    """The settings that options of these groups give: the flag and the value by setting."""
    found = {}
    for group in groups:
        for name, hint in get_type_hints(type(group), include_extras=True).items():
            for option in get_args(hint)[1:] if get_origin(hint) is Annotated else ():
                if isinstance(option, SettingOption):
                    found[option.setting] = option.flag, getattr(group, name)
    return found
