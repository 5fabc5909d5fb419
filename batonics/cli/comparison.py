"""`batonics verify --against`: our rows of a schema beside another's, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from batonics.cli.console import escape_unprintable, plain_console

if TYPE_CHECKING:
    from batonics.jobs.verify import VerifyRequest

EXAMPLES_SHOWN = 5
_REASONS = {
    "no records": "of books that the input has no records of",
    "before": "before the other side begins",
    "after": "after the other side ends",
    "cold": "of books that began mid-session: a lower bound",
    "unexplained": "unexplained",
}


@dataclass(frozen=True)
class OtherFile:
    """Another's file of the same records.

    Attributes:
        path: of the file.
        schema: of its rows.
        request: whose records are compared with it.
    """

    path: str
    schema: str
    request: VerifyRequest

    @classmethod
    def named(
        cls, path: str | None, schema: str | None, request: VerifyRequest
    ) -> OtherFile | None:
        """The file of `--against`, if there is one.

        Raises:
            UsageError: the records cannot be read twice, or there is no such schema.
            InputError: the file cannot be read, or does not tell its schema.
        """
        from batonics.frames.schemas.table import find_schema
        from batonics.model.errors import UsageError
        from batonics.sources.chunks import STDIN
        from batonics.sources.tables import detect_schema

        if path is None:
            if schema is not None:
                raise UsageError("--schema says what --against is: give both")
            return None
        if STDIN in request.paths:
            raise UsageError("--against reads the records a second time: give files, not -")
        if schema is not None:
            find_schema(schema)
        return cls(path, schema or detect_schema(path), request)

    def compare(self, *, quiet: bool) -> dict[str, Any]:
        """Read both, and say what agrees, what differs, and why."""
        from batonics.cli.progress import read_progress
        from batonics.jobs.comparison import compare
        from batonics.jobs.convert import Conversion, ConvertRequest

        with read_progress(f"against {self.schema}", quiet=quiet) as progress:
            request = self.request
            conversion = Conversion(
                ConvertRequest(
                    request.paths, self.schema, symbols=request.symbols, skip_bad=request.skip_bad
                )
            )
            conversion.progress = progress
            return {"file": self.path, **compare(conversion, self.path).report()}


def print_comparison(report: dict[str, Any]) -> None:
    """A table of rows, and the first differences."""
    from rich.table import Table

    console = plain_console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column(f"{report['schema']} against {escape_unprintable(report['file'])}")
    table.add_column("rows", justify="right")
    table.add_row("ours", f"{report['rows']['ours']:,}")
    table.add_row("theirs", f"{report['rows']['theirs']:,}")
    table.add_row("equal in every column that both have", f"{report['pairs']['equal']:,}")
    for name, what in (
        ("differing_pairs", "different"),
        ("only_ours", "only ours"),
        ("only_theirs", "only theirs"),
    ):
        for reason, count in report[name].items():
            table.add_row(f"{what}, {_REASONS[reason]}", f"{count:,}")
    for column, count in report["columns_that_differ"].items():
        table.add_row(f"  {column} differs", f"{count:,}")
    console.print()
    console.print(table)
    for example in report["examples"][:EXAMPLES_SHOWN]:
        console.print(escape_unprintable(_described(example)), style="red")


def refuse_difference(report: dict[str, Any] | None) -> None:
    """Say in one line that the rows do not agree, if they do not."""
    from batonics.model.errors import BatonicsError

    if report is None or report["agrees"]:
        return
    if not report["examples"]:
        raise BatonicsError(f"no row of {report['file']} has a counterpart in the input")
    first = _described(report["examples"][0])
    raise BatonicsError(f"the rows differ from {report['file']}; the first: {first}")


def _described(example: dict[str, Any]) -> str:
    rest = {k: v for k, v in example.items() if k not in {"what", "ours_and_theirs"}}
    place = ", ".join(f"{name} {value}" for name, value in rest.items())
    pairs = example["ours_and_theirs"].items()
    values = "; ".join(f"{name}: ours {ours}, theirs {theirs}" for name, (ours, theirs) in pairs)
    return f"{example['what']}: {place}" + (f": {values}" if values else "")
