"""`batonics verify --against`: prints how our rows compare with another program's file."""

from __future__ import annotations

from typing import Any

from batonics.cli.console import escape_unprintable, plain_console
from batonics.cli.table import Column, print_table

EXAMPLE_ROWS_MAX = 5
"""Differences that are printed; the report has more."""
_REASONS = {
    "no records": "of books that the input has no records of",
    "cut_off": "of an event or interval that the input cuts off",
    "sizes over 32 bits": "sizes that may exceed 32 bits",
    "before": "before the other side begins",
    "after": "after the other side ends",
    "cold": "of books that began mid-session: a lower bound",
    "unexplained": "unexplained",
}


def print_comparison(report: dict[str, Any]) -> None:
    """Print counts of rows, and the first differences."""
    rows = [
        ("ours", report["rows"]["ours"]),
        ("theirs", report["rows"]["theirs"]),
        ("equal in every column that both have", report["pairs"]["equal"]),
    ]
    if report["old_generation"]:
        name = "  but for side: their file is of the old generation, with sides of trades alone"
        rows.append((name, report["sides_not_compared"]))
    rows += [
        (f"not compared, {_REASONS[reason]}", count)
        for reason, count in report["not_compared_pairs"].items()
    ]
    for key, name in (
        ("differing_pairs", "different"),
        ("only_ours", "only ours"),
        ("only_theirs", "only theirs"),
    ):
        rows += [(f"{name}, {_REASONS[reason]}", count) for reason, count in report[key].items()]
    rows += [
        (f"  {column} differs", count) for column, count in report["columns_that_differ"].items()
    ]
    console = plain_console()
    console.print()
    header = f"{report['schema']} against {escape_unprintable(report['file'])}"
    print_table(
        console,
        [
            Column(header, [name for name, _ in rows]),
            Column("rows", [f"{count:,}" for _, count in rows], is_number=True),
        ],
        hint="; --json has them all",
    )
    for example in report["examples"][:EXAMPLE_ROWS_MAX]:
        console.print(escape_unprintable(_describe(example)), style="red")


def refuse_difference(report: dict[str, Any] | None) -> None:
    """Raise an error of one line if there is a comparison and the rows do not agree."""
    from batonics.model.errors import BatonicsError

    if report is None or report["agrees"]:
        return
    if not report["examples"]:
        pairs = report["pairs"]["all"]
        what = "equals its counterpart" if pairs else "has a counterpart"
        raise BatonicsError(f"no row of {report['file']} {what} in the input")
    first = _describe(report["examples"][0])
    raise BatonicsError(f"the rows differ from {report['file']}; the first: {first}")


def _describe(example: dict[str, Any]) -> str:
    rest = {k: v for k, v in example.items() if k not in {"what", "ours_and_theirs"}}
    location = ", ".join(f"{name} {value}" for name, value in rest.items())
    pairs = example["ours_and_theirs"].items()
    values = "; ".join(f"{name}: ours {ours}, theirs {theirs}" for name, (ours, theirs) in pairs)
    return f"{example['what']}: {location}" + (f": {values}" if values else "")
