"""Values of tables: exact ones are taken as they are, and all others are refused in words."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batonics.codec.column_notes import BadValueError, ColumnNotes
from batonics.codec.column_values import (
    integer_column,
    letter_column,
    price_column,
    time_column,
)
from batonics.codec.float_kernels import FLOAT_PRICE_MAX
from batonics.model.errors import InputError
from batonics.model.mbo import UNDEF_ORDER_SIZE, UNDEF_PRICE, UNDEF_TIMESTAMP, Action, Side

FLOAT_UNITS_MAX = FLOAT_PRICE_MAX * 10**9 - 1
UINT64 = np.dtype(np.uint64)


def prices(values: Any, dtype: pa.DataType | None = None, *, lossy: bool = False) -> list[int]:
    found: list[int] = price_column(
        "price", pa.array(values, dtype), ColumnNotes(lossy=lossy)
    ).tolist()
    return found


def times(values: Any, dtype: pa.DataType | None = None, *, lossy: bool = False) -> list[int]:
    found: list[int] = time_column(
        "ts_recv", pa.array(values, dtype), ColumnNotes(lossy=lossy)
    ).tolist()
    return found


units = st.one_of(
    st.integers(-FLOAT_UNITS_MAX, FLOAT_UNITS_MAX),
    st.integers(FLOAT_UNITS_MAX // 2, FLOAT_UNITS_MAX),  # where rint(price * 1e9) is off by one
)


@given(st.lists(units, min_size=1, max_size=50))
def test_a_float_below_the_limit_is_the_price_that_it_was_made_of(exact: list[int]) -> None:
    floats = [float(Decimal(price).scaleb(-9)) for price in exact]
    assert prices(floats) == exact


@given(
    st.lists(st.tuples(st.integers(-(10**15), 10**15), st.integers(-2, 2)), min_size=1, max_size=50)
)
def test_a_float_beside_that_of_a_price_is_the_price(made: list[tuple[int, int]]) -> None:
    exact = [price for price, _ in made]
    floats = np.array([float(Decimal(price).scaleb(-9)) for price in exact])
    beside = floats + np.array([steps for _, steps in made]) * np.spacing(np.abs(floats)) / 2
    notes = ColumnNotes()
    assert price_column("price", pa.array(beside), notes).tolist() == exact
    assert notes.near_floats == int((beside != floats).sum())
    texts = [str(value) for value in beside.tolist()]
    if all("e" not in text for text in texts):
        assert prices(texts) == exact


def test_digits_that_no_float_has_are_refused() -> None:
    with pytest.raises(BadValueError, match="at most 9 decimals"):
        prices(["64.8200000000000100001"])
    with pytest.raises(BadValueError, match="more than 9 decimals"):
        prices([64.820000001 + 3e-10])


def test_rounding_alone_is_off_by_one_below_the_limit() -> None:
    random = np.random.default_rng(1)
    exact = random.integers(FLOAT_UNITS_MAX // 2, FLOAT_UNITS_MAX, 5_000).tolist()
    floats = np.array([float(Decimal(price).scaleb(-9)) for price in exact])
    assert (np.rint(floats * 1e9).astype(np.int64) != np.array(exact)).any()
    assert prices(floats) == exact


@given(st.lists(st.integers(-(2**63), UNDEF_PRICE - 1), min_size=1, max_size=20))
def test_decimals_and_their_text_are_exact_over_the_whole_range(exact: list[int]) -> None:
    decimals = [Decimal(price).scaleb(-9) for price in exact]
    assert prices(decimals, pa.decimal128(38, 9)) == exact
    assert prices([f"{price:.9f}" for price in decimals]) == exact
    assert prices(exact) == exact
    assert prices([str(price) for price in exact]) == exact


def test_missing_values_are_those_of_dbn() -> None:
    for dtype in (pa.int64(), pa.float64(), pa.decimal128(10, 2), pa.string()):
        assert prices([None], dtype) == [UNDEF_PRICE]
    assert prices([float("nan"), 1.5]) == [UNDEF_PRICE, 1_500_000_000]
    assert prices(["", "9223372036.854775807"]) == [UNDEF_PRICE, UNDEF_PRICE]
    assert times([None], pa.timestamp("ns")) == [UNDEF_TIMESTAMP]
    assert times(["", str(2**64 - 1)]) == [UNDEF_TIMESTAMP] * 2
    assert integer_column("size", pa.array(["", "7"]), np.dtype(np.uint32), ColumnNotes()).tolist()
    sizes = integer_column("size", pa.array([None, 7]), np.dtype(np.uint32), ColumnNotes())
    assert sizes.tolist() == [UNDEF_ORDER_SIZE, 7]


def test_times_of_every_writer_are_the_same_instant() -> None:
    exact = [1758742200001385399]
    assert times(exact) == exact
    assert times(exact, pa.uint64()) == exact
    assert times(exact, pa.timestamp("ns", "America/Chicago")) == exact
    for text in (
        "2025-09-24T19:30:00.001385399Z",
        "2025-09-24 19:30:00.001385399+00:00",
        "2025-09-24T19:30:00.001385399+0000",
        "2025-09-24T14:30:00.001385399-05:00",
        "2025-09-24 19:30:00.001385399",
        "1758742200001385399",
    ):
        assert times([text]) == exact, text


def test_letters_are_taken_as_text_categories_and_codes() -> None:
    for column in (
        pa.array(["A", "R"]),
        pa.array(["A", "R"], pa.large_string()),
        pa.array([b"A", b"R"]),
        pa.array([65, 82], pa.uint8()),
    ):
        assert letter_column("action", column, Action).tolist() == [65, 82]
    assert letter_column("side", pa.array(["x", "B", "N"])[1:], Side).tolist() == [66, 78]


REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: prices([1.5, 8_388_608.0]), "floats from 8,388,608 on, which do not tell 1e-9 apart"),
    (lambda: prices([1e-10]), "floats of more than 9 decimals"),
    (lambda: prices([1.5], pa.float32()), "floats of 32 bits or fewer"),
    (lambda: prices([float("inf")]), "price is infinite"),
    (lambda: prices(["1.5", "x"]), "price is 'x', which is not a decimal with at most 9 decimals"),
    (lambda: prices(["0.1234567891"]), "which is not a decimal with at most 9 decimals"),
    (lambda: prices(["65", "64.5"]), "64.5, with a decimal point, but prices before it have none"),
    (lambda: prices(["1.5", "9223372036.854775808"]), "which exceeds an int64 of 1e-9"),
    (lambda: prices([True]), "column price is bool, expected integers"),
    (lambda: times([1758742200001]), "which seems to be in milliseconds"),
    (lambda: times([1758742200]), "which seems to be in seconds"),
    (lambda: times([-2]), "which is not an integer in the range of uint64"),
    (lambda: times(["yesterday"]), "ts_recv is 'yesterday', which is not a time in nanoseconds"),
    (lambda: times(["2500-01-01T00:00:00.000000001Z"]), "which is not a time in nanoseconds"),
    (lambda: times(["2025-09-24T19:30:00.0013853991Z"]), "which is not a time in nanoseconds"),
    (lambda: times([1.5e18]), "floats, which do not hold integers from 2^53 on"),
    (lambda: times([1], pa.timestamp("us")), "in microseconds, and has lost its nanoseconds"),
    (
        lambda: integer_column("order_id", pa.array([2.0**53]), UINT64, ColumnNotes()),
        "floats, which do not hold integers from 2^53 on",
    ),
    (
        lambda: integer_column("order_id", pa.array(["8.05857e+12"]), UINT64, ColumnNotes()),
        "order_id is 8.05857e+12, which went through a float",
    ),
    (
        lambda: integer_column("order_id", pa.array(["9007199254740992.0"]), UINT64, ColumnNotes()),
        "which went through a float",
    ),
    (
        lambda: integer_column("flags", pa.array([256]), np.dtype(np.uint8), ColumnNotes()),
        "flags is 256, which is not an integer in the range of uint8",
    ),
    (
        lambda: integer_column("flags", pa.array([1, None]), np.dtype(np.uint8), ColumnNotes()),
        "flags is missing",
    ),
    (
        lambda: integer_column("flags", pa.array([1.5]), np.dtype(np.uint8), ColumnNotes()),
        "flags is 1.5, expected an integer",
    ),
    (lambda: letter_column("side", pa.array(["B", "X"]), Side), "side is 'X', expected one of B A"),
    (lambda: letter_column("side", pa.array(["B", ""]), Side), "side is '', expected one letter"),
    (lambda: letter_column("side", pa.array(["B", None]), Side), "side is missing"),
]


@pytest.mark.parametrize(("convert", "words"), REFUSED, ids=map(str, range(len(REFUSED))))
def test_a_value_that_is_not_exact_is_refused_in_words(
    convert: Callable[[], object], words: str
) -> None:
    with pytest.raises((BadValueError, InputError)) as caught:
        convert()
    assert words in str(caught.value)


def test_losses_are_taken_and_counted_if_asked_for() -> None:
    notes = ColumnNotes(lossy=True)
    found = price_column("price", pa.array([9_000_000.1, 1.5]), notes)
    assert found.tolist() == [9_000_000_100_000_000, 1_500_000_000]
    assert time_column("ts_recv", pa.array([5, None], pa.timestamp("us")), notes).tolist() == [
        5_000,
        UNDEF_TIMESTAMP,
    ]
    ids = integer_column("order_id", pa.array(["1e18", "7.0", "9"]), UINT64, notes)
    assert ids.tolist() == [10**18, 7, 9]
    assert list(notes.losses.values()) == [1, 1, 1]


def test_the_row_of_a_bad_value_is_the_first_one() -> None:
    column = pa.array(["1.5"] * 1000 + ["x"] + ["1.5"] * 50 + ["y"])
    with pytest.raises(BadValueError) as caught:
        price_column("price", column, ColumnNotes())
    assert caught.value.row == 1000
