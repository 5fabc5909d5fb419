"""Every public function refuses arguments of other types in one line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

import batonics
from batonics.book.engine import BookEngine
from batonics.frames.namespace import MboNamespace
from batonics.model.arguments import check_arguments
from batonics.model.symbols import SymbolMap
from tests.support.command import SAMPLE

databento = pytest.importorskip("databento")


class Wrong:
    """What no parameter takes."""

    def __repr__(self) -> str:
        return "two\nlines"


RIGHT: dict[str, object] = {
    "records": pl.LazyFrame(),
    "rows": pl.LazyFrame(),
    "price": "64.80",
    "size": 1,
    "at": 0,
    "n": 1,
    "order_id": 1,
    "bucket_volume": 1,
    "engine": BookEngine(),
    "symbols": SymbolMap(),
}
"""Values of required parameters; those of other names are text."""


def public_functions() -> Iterator[tuple[str, Callable[..., Any], bool]]:
    """Every public function and method: its name, itself, whether it is a method."""
    for name in batonics.__all__:
        member = getattr(batonics, name)
        if inspect.isfunction(member):
            yield name, member, False
    for checked_class in (batonics.Books, batonics.Lake, MboNamespace):
        for name, method in vars(checked_class).items():
            if inspect.isfunction(method) and (name == "__init__" or not name.startswith("_")):
                yield f"{checked_class.__name__}.{name}", method, True


class Walked(NamedTuple):
    """A parameter of a public function."""

    function: Callable[..., Any]
    is_method: bool
    parameter: inspect.Parameter


PARAMETERS = {
    f"{name}({parameter.name})": Walked(function, is_method, parameter)
    for name, function, is_method in public_functions()
    for parameter in list(inspect.signature(function).parameters.values())[is_method:]
    if parameter.kind is not inspect.Parameter.VAR_KEYWORD
}


def call_with(name: str, value: object) -> None:
    """Call a function with a value for the parameter, and right values for all others it needs."""
    function, is_method, parameter = PARAMETERS[name]
    arguments: list[object] = [object()] if is_method else []
    options: dict[str, object] = {}
    for other in list(inspect.signature(function).parameters.values())[is_method:]:
        is_wanted = other.name == parameter.name
        if other.kind is inspect.Parameter.VAR_POSITIONAL:
            arguments += [value] if is_wanted else []
        elif other.kind is not inspect.Parameter.VAR_KEYWORD and (
            is_wanted or other.default is inspect.Parameter.empty
        ):
            options[other.name] = value if is_wanted else RIGHT.get(other.name, "x")
    function(*arguments, **options)


def refusal(name: str, value: object) -> str:
    with pytest.raises(batonics.UsageError) as refused:
        call_with(name, value)
    return str(refused.value)


def test_the_walk_reaches_all_of_the_interface() -> None:
    assert {
        "reconstruct(symbols)",
        "would_fill(price)",
        "Lake(root)".replace("(", ".__init__("),
        "Lake.join_asof(columns)",
        "Books.levels(depth)",
        "MboNamespace.depth(every)",
        "MboNamespace.measures(names)",
    } <= set(PARAMETERS)
    assert len(PARAMETERS) > 80


@pytest.mark.parametrize("name", PARAMETERS)
def test_an_argument_of_another_type_is_refused_in_one_line(name: str) -> None:
    function, _, parameter = PARAMETERS[name]
    called = function.__qualname__.removesuffix(".__init__")
    line = refusal(name, Wrong())
    assert line.startswith(f"{called}: {parameter.name} is a ")
    assert "Wrong, expected " in line
    assert "\n" not in line


NOT_NUMBERS = [name for name in PARAMETERS if name != "Lake.vacuum(older_than_seconds)"]


@pytest.mark.parametrize("name", NOT_NUMBERS)
@pytest.mark.parametrize("value", [1.5, float("nan"), np.float64(2.0)])
def test_a_float_is_taken_for_nothing_else(name: str, value: float) -> None:
    assert "is the float " in refusal(name, value)


@pytest.mark.parametrize(
    "name", [name for name in PARAMETERS if name.endswith(("(n)", "(size)", "id)", "(depth)"))]
)
def test_true_is_no_number(name: str) -> None:
    assert "is the bool True, expected an int" in refusal(name, True)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        (
            "would_fill(price)",
            64.8,
            "would_fill: price is the float 64.8, expected a price: decimal text, a Decimal, or an",
        ),
        ("would_fill(price)", 64.8, 'int of 1e-9; write "64.8" or 64800000000'),
        ("would_fill(price)", float("inf"), 'write "64.8" or 64800000000'),
        ("MboNamespace.bars(dollar)", 1e6, 'write "1000000.0" or 1000000000000000'),
        ("load_lake(paths)", b"DBN", "load_lake: paths is the bytes b'DBN', expected a path or a"),
        ("load_lake(paths)", [b"DBN"], "; write it to a file, and give its path"),
        ("reconstruct(paths)", {"a": 1}, "reconstruct: paths is the dict {'a': 1}, expected a"),
        (
            "reconstruct(symbols)",
            [1.0],
            "reconstruct: symbols is the list [1.0], expected a symbol",
        ),
        ("reconstruct(at)", 1.5, "reconstruct: at is the float 1.5, expected a time: ISO 8601"),
        ("Lake.scan(symbols)", [100], "Lake.scan: symbols is the list [100], expected a symbol or"),
        ("Lake.scan(start)", 1.5, "Lake.scan: start is the float 1.5, expected a time"),
        ("MboNamespace.depth(n)", "5", "MboNamespace.depth: n is the str '5', expected an int"),
        ("MboNamespace.bbo(every)", 1, "bbo: every is the int 1, expected a duration: text such"),
        ("with_symbols(rows)", pl.DataFrame(), "rows is a polars DataFrame, expected a LazyFrame"),
    ],
)
def test_a_refusal_says_what_was_given_and_what_to_give(
    name: str, value: object, line: str
) -> None:
    assert line in refusal(name, value)


def test_an_open_file_is_no_name_for_a_lake() -> None:
    with SAMPLE.open("rb") as file:
        assert "give the path of an open file" in refusal("load_lake(paths)", file)


def test_arguments_that_are_missing_or_unknown_are_pythons_own_errors() -> None:
    reconstruct: Any = batonics.reconstruct
    with pytest.raises(TypeError, match=r"reconstruct\(\) missing 1 required positional argument"):
        reconstruct()
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'nope'"):
        reconstruct(SAMPLE, nope=1)


# ---------------------------------------------------------------------- what is taken


def inputs() -> dict[str, Callable[[], Any]]:
    data = SAMPLE.read_bytes()
    return {
        "text": lambda: str(SAMPLE),
        "path": lambda: SAMPLE,
        "list": lambda: [SAMPLE],
        "bytes": lambda: data,
        "store-of-a-file": lambda: databento.DBNStore.from_file(SAMPLE),
        "store-of-bytes": lambda: databento.DBNStore.from_bytes(data),
    }


@pytest.mark.parametrize("kind", inputs())
def test_an_input_is_a_path_bytes_or_a_store(kind: str, request: pytest.FixtureRequest) -> None:
    given = inputs()[kind]()
    if kind == "store-of-a-file":
        request.addfinalizer(given._data_source.reader.close)
    records = batonics.scan_mbo(given)
    for _ in range(2):  # at each collection it is read again
        assert records.select(pl.len()).collect().item() == 100_000
    first = records.head(5).drop("symbol")
    assert batonics.with_symbols(first, given).collect()["symbol"].null_count() == 0
    expected = batonics.reconstruct(SAMPLE).levels()
    assert_frame_equal(batonics.reconstruct(given).levels(), expected)


def test_symbols_are_text_or_ids() -> None:
    ids = batonics.reconstruct(SAMPLE, symbols=["SIM0"]).summary()["instrument_id"]
    several: list[Any] = [ids.item(), [ids.item()], ids, ids.to_numpy(), "SIM0", {"SIM0"}]
    for symbols in several:
        assert len(batonics.reconstruct(SAMPLE, symbols=symbols)) == 1


def test_a_time_is_text_nanoseconds_or_a_datetime() -> None:
    moment = datetime(2026, 1, 5, 14, 30, 10, tzinfo=UTC)
    at_ns = int(moment.timestamp()) * 10**9
    times: list[Any] = ["2026-01-05T14:30:10Z", at_ns, np.uint64(at_ns), moment]
    events = {batonics.reconstruct(SAMPLE, at=time).summary()["events"].sum() for time in times}
    assert len(events) == 1
    with pytest.raises(batonics.UsageError, match="2026-01-05 14:30:10 has no time zone: add one"):
        batonics.reconstruct(SAMPLE, at=moment.replace(tzinfo=None))
    for outside in (-1, 2**64 - 1, 2**70):
        with pytest.raises(batonics.UsageError, match="outside the range of DBN timestamps"):
            batonics.reconstruct(SAMPLE, at=outside)


def test_a_price_is_text_a_decimal_or_units_of_1e_9() -> None:
    records = batonics.scan_mbo(SAMPLE)
    prices: list[Any] = ["40.25", Decimal("40.250"), 40_250_000_000, np.int64(40_250_000_000)]
    for price in prices:
        at = "2026-01-05T14:30:10Z"
        result = batonics.would_fill(records, "B", price, 1, at, instrument_id=100_003)
        assert result.price == 40_250_000_000


def test_values_of_numpy_become_those_of_python() -> None:
    @check_arguments
    def function(number: int, ratio: float, *, flag: bool) -> list[type]:
        return [type(number), type(ratio), type(flag)]

    values: tuple[Any, Any] = np.int8(1), np.float32(1)
    flag: Any = np.bool_(True)
    assert function(*values, flag=flag) == [int, float, bool]
