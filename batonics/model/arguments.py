"""Checks the arguments of public functions by the types of their parameters.

The rule here: a parameter's annotation says what it takes, and nothing else does. A call with
anything else is one `UsageError` that names the function, the argument, what was given and what is
expected. Without the check, bytes are iterated as paths, and a float is taken for units of 1e-9.

An annotation is a type, a union, `Literal`, `Sequence[...]` or `Collection[...]`. The last two take
any collection but text, bytes and mappings. `Annotated[..., Expected(...)]` adds words for the
message. A value of NumPy becomes one of Python.
"""

from __future__ import annotations

import inspect
import reprlib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, wraps
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    ParamSpec,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from batonics.model.errors import UsageError

P = ParamSpec("P")
T = TypeVar("T")


class Expected(NamedTuple):
    """The words of an annotation.

    Attributes:
        words: what the parameter takes.
        advise: returns what to do with a value of another type; empty: there is no advice.
    """

    words: str
    advise: Callable[[object], str] = lambda _: ""


SchemaNames = Annotated[Sequence[str], Expected("a collection of names of schemas")]
"""Names of schemas, such as ["mbp-10", "trades"]."""
SymbolNames = Annotated[str | Sequence[str], Expected("a symbol or a collection of symbols")]
"""One symbol or several."""
SymbolsOrIds = Annotated[
    str | int | Sequence[str | int],
    Expected("a symbol, an instrument id, or a collection of them"),
]
"""One symbol or instrument id, or several."""


def symbol_list(symbols: SymbolsOrIds) -> tuple[str, ...]:
    """Symbols and instrument ids as text."""
    return (str(symbols),) if isinstance(symbols, (str, int)) else tuple(map(str, symbols))


def check_arguments(function: Callable[P, T]) -> Callable[P, T]:
    """Check the arguments of each call of a function.

    Raises:
        UsageError: an argument has another type than its parameter. TypeError: as Python raises it,
        for arguments that are missing or unknown.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # Python's own error names the function
        hints = _parameter_hints(function)
        for name, value in bound.arguments.items():
            if name == "self":
                continue
            kind = signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_POSITIONAL:
                bound.arguments[name] = tuple(_check(function, name, one, hints) for one in value)
            elif kind is not inspect.Parameter.VAR_KEYWORD:  # those are values of any type
                bound.arguments[name] = _check(function, name, value, hints)
        return function(*bound.args, **bound.kwargs)

    return checked


def check_methods(checked_class: type[T]) -> type[T]:
    """Check the arguments of each public method of a class, and of its construction."""
    for name, member in list(vars(checked_class).items()):
        if inspect.isfunction(member) and (name == "__init__" or not name.startswith("_")):
            setattr(checked_class, name, check_arguments(member))
    return checked_class


@cache
def _parameter_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of the parameters. That of the result may not be known at run time."""
    holder = type("Parameters", (), {})
    holder.__annotations__ = {
        name: hint for name, hint in function.__annotations__.items() if name != "return"
    }
    return get_type_hints(holder, globalns=function.__globals__, include_extras=True)


def _check(function: Callable[..., Any], name: str, value: Any, hints: Mapping[str, Any]) -> Any:
    """The value, which has the type of its parameter."""
    if isinstance(value, (np.integer, np.floating, np.bool_)):
        value = value.item()
    hint = hints[name]
    if not _matches(value, hint):
        called = function.__qualname__.removesuffix(".__init__")
        advice = _advise(value, hint)
        raise UsageError(
            f"{called}: {name} is {_describe(value)}, expected {_words(hint)}"
            + (f"; {advice}" if advice else "")
        )
    return value


def _matches(value: object, hint: Any) -> bool:  # noqa: PLR0911 - one for each kind of annotation
    if hint in (Any, object):
        return True
    if hint is None:
        return value is None
    if hint is int:
        return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _matches(value, arguments[0])
    if origin in (Union, UnionType):
        return any(_matches(value, one) for one in arguments)
    if origin is Literal:
        return value in arguments
    if origin in (Sequence, Collection):
        members = _members(value)
        return members is not None and all(_matches(one, arguments[0]) for one in members)
    if origin is not None:
        return isinstance(value, origin)
    return isinstance(value, hint)


def _members(value: object) -> Collection[object] | None:
    """The members of a collection; None for text, bytes and mappings, which are single values."""
    single = (str, bytes, bytearray, memoryview, Mapping)
    return value if isinstance(value, Collection) and not isinstance(value, single) else None


_TYPE_WORDS = {
    bool: "True or False",
    float: "a number",
    int: "an int",
    str: "text",
    NoneType: "None",
    Callable: "a function",
}


def _words(hint: Any) -> str:
    """What an annotation takes, in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return next(one.words for one in arguments if isinstance(one, Expected))
    if origin in (Union, UnionType):
        words = [_words(one) for one in arguments]
        return f"{', '.join(words[:-1])} or {words[-1]}"
    if origin is Literal:
        return f"one of {', '.join(map(str, arguments))}"
    if origin in (Sequence, Collection):
        return f"a collection of {_words(arguments[0])}"
    named = hint if origin is None else origin
    return _TYPE_WORDS.get(named) or f"a {named.__name__}"


def _advise(value: object, hint: Any) -> str:
    """What to do with a value of another type."""
    if get_origin(hint) is Annotated:
        (expected,) = [one for one in get_args(hint) if isinstance(one, Expected)]
        candidates = [value, *(_members(value) or ())]
        return next(filter(None, map(expected.advise, candidates)), "")
    if get_origin(hint) in (Union, UnionType):
        return next(filter(None, (_advise(value, one) for one in get_args(hint))), "")
    return ""


def _describe(value: object) -> str:
    """A value in words, in one line."""
    if value is None:
        return "None"
    kind = type(value)
    if kind.__module__ != "builtins":
        return f"a {kind.__module__.partition('.')[0]} {kind.__name__}"
    return f"the {kind.__name__} {' '.join(reprlib.repr(value).split())}"
