"""`batonics convert`: MBO in, any schema that can be derived from it out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from batonics.cli.options import (
    SCHEMA_FORMS,
    FilesArgument,
    QuietOption,
    SkipBadOption,
    SymbolsOption,
    refuse_input_as_output,
    split_names,
)

if TYPE_CHECKING:
    from batonics.jobs.convert import ConvertRequest


def command(
    files: FilesArgument,
    schema: Annotated[
        str,
        typer.Option(help=f"{SCHEMA_FORMS}. N is 1 to 255; INTERVAL is such as 1s, 5m, 1d."),
    ],
    out: Annotated[
        str,
        typer.Option(
            help="NAME.parquet, .arrow, .csv, .ndjson or .dbn; .zst may follow the last three;"
            " - is standard output."
        ),
    ],
    form: Annotated[
        str | None, typer.Option(help="The form, where the name does not tell it: csv, dbn.zst.")
    ] = None,
    consolidated: Annotated[
        bool,
        typer.Option(
            "--consolidated", help="Levels of tbbo and mbp over all publishers of an instrument."
        ),
    ] = False,
    symbols: SymbolsOption = None,
    start: Annotated[
        str | None,
        typer.Option(help="Rows from this time on: ISO 8601 (UTC) or nanoseconds since the epoch."),
    ] = None,
    end: Annotated[str | None, typer.Option(help="Rows before this time.")] = None,
    definitions: Annotated[
        list[str] | None,
        typer.Option(
            help="A file of the schema definition: adds ticks, and prices in text have their"
            " decimals. May be given again."
        ),
    ] = None,
    ticks: Annotated[
        bool, typer.Option("--ticks", help="The same from definitions within the stream itself.")
    ] = False,
    tz: Annotated[str, typer.Option(help="The time zone of times: America/Chicago.")] = "UTC",
    decimal: Annotated[
        bool, typer.Option("--decimal", help="Prices in NDJSON as decimal text, as in CSV.")
    ] = False,
    skip_bad: SkipBadOption = False,
    quiet: QuietOption = False,
) -> None:
    """Derive a schema from the MBO records of FILES: columns and order are the vendor's."""
    from batonics.jobs.convert import ConvertRequest
    from batonics.model.times import parse_time

    request = ConvertRequest(
        paths=tuple(files),
        schema=schema,
        symbols=split_names(symbols),
        start_ns=None if start is None else parse_time(start),
        end_ns=None if end is None else parse_time(end),
        skip_bad=skip_bad,
        consolidated=consolidated,
        tz=tz,
        ticks=ticks or definitions is not None,
        definitions=tuple(definitions or ()),
    )
    refuse_input_as_output([*files, *request.definitions], out)
    rows = _convert(request, out, form, decimal_prices=decimal, quiet=quiet)
    if not quiet:
        typer.echo(f"wrote {rows:,} rows to {out}", err=True)


def _is_vendors(request: ConvertRequest) -> bool:
    """Whether the rows are what the vendor has: of no other time zone, without ticks."""
    return request.tz == "UTC" and not request.ticks


def _convert(
    request: ConvertRequest, out: str, form: str | None, *, decimal_prices: bool, quiet: bool
) -> int:
    """Run the job; how many rows were written."""
    from contextlib import closing

    from batonics.cli.progress import read_progress
    from batonics.jobs.convert import UTC, Conversion, RowOptions, output_columns, output_metadata
    from batonics.model.errors import UsageError
    from batonics.sinks.tables import find_format, open_table

    form = form or find_format(out)
    is_dbn = form.startswith("dbn")
    if is_dbn and request.tz != UTC:
        raise UsageError("times in DBN are of UTC: --tz goes with the other forms")
    if is_dbn and request.ticks:
        raise UsageError("DBN has no room for ticks: --definitions goes with the other forms")
    in_text = form.startswith("csv") or (form.startswith("ndjson") and decimal_prices)
    rows_form = RowOptions(symbol=not is_dbn, displayed=in_text)
    table = open_table(
        out,
        output_columns(request, rows_form),
        file_format=form,
        schema=request.schema if _is_vendors(request) else None,
        metadata=output_metadata(request) if is_dbn else None,
        decimal_prices=decimal_prices,
    )
    with table as rows, read_progress("convert", quiet=quiet) as progress:
        run = Conversion(request)
        run.progress = progress
        # Closed here and now, whatever happens: its files and its thread with it.
        with closing(run.frames(rows_form)) as frames:
            for frame in frames:
                rows.write(frame)
    return run.rows
