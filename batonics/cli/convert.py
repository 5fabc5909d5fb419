"""`batonics convert`: writes rows of a schema that derives from MBO records."""

from __future__ import annotations

from typing import Annotated

import typer

from batonics.cli.console import describe_clamped_rows
from batonics.cli.options import (
    SCHEMA_FORMS,
    EndOption,
    ExtraOption,
    FilesArgument,
    InThisOrderOption,
    LossyOption,
    PricesOption,
    QuietOption,
    SalvageOption,
    SessionDateOption,
    SessionOption,
    SkipBadOption,
    StartOption,
    StatusesOption,
    SymbolsOption,
    TimeZoneOption,
    VerifyManifestOption,
    parse_session,
    parse_session_date,
    price_unit,
    refuse_input_as_output,
    split_names,
)


def command(
    files: FilesArgument,
    schema: Annotated[
        str,
        typer.Option(help=f"{SCHEMA_FORMS}. N is 1 to 255; INTERVAL is such as 1s, 5m, 1d."),
    ],
    out: Annotated[
        str,
        typer.Option(
            help="NAME.parquet, .arrow, .csv, .ndjson, .json or .dbn; .zst may follow the last"
            " four; - is standard output."
        ),
    ],
    file_format: Annotated[
        str | None,
        typer.Option(
            "--format", help="The format, if the name of --out does not say it: csv, dbn.zst."
        ),
    ] = None,
    consolidated: Annotated[
        bool,
        typer.Option(
            "--consolidated", help="Add up the levels of all publishers of an instrument."
        ),
    ] = False,
    symbols: SymbolsOption = None,
    start: StartOption = None,
    end: EndOption = None,
    definitions: Annotated[
        list[str] | None,
        typer.Option(
            help="A file of instrument definitions: adds ticks, and prices in text have the"
            " decimals of their tick. May be repeated."
        ),
    ] = None,
    ticks: Annotated[
        bool, typer.Option("--ticks", help="Use the definitions that are in FILES.")
    ] = False,
    tz: TimeZoneOption = "UTC",
    prices: PricesOption = None,
    extra: ExtraOption = None,
    statuses: StatusesOption = None,
    session: SessionOption = None,
    skip_bad: SkipBadOption = False,
    salvage: SalvageOption = False,
    in_this_order: InThisOrderOption = False,
    lossy: LossyOption = False,
    session_date: SessionDateOption = None,
    verify_manifest: VerifyManifestOption = False,
    quiet: QuietOption = False,
) -> None:
    """Derive a schema from MBO records and write it to a file.

    Where the vendor has the schema, columns and their order are the vendor's.

    --end ends the reading once the stream is past it by input.ts_recv_backwards_s and by the
    interval of the schema. --start skips nothing: books need all records before it. Books at the
    end of a long input come from `reconstruct --checkpoint`, which goes on where it was.
    """
    from batonics.cli.progress import read_progress
    from batonics.jobs.convert import ConvertRequest, TableOutput, convert
    from batonics.model.answers import AnswerWarning, describe_books
    from batonics.model.times import parse_time
    from batonics.sources.input_options import InputOptions
    from batonics.sources.inputs import find_inputs

    request = ConvertRequest(
        paths=find_inputs(files, verify_manifest=verify_manifest),
        schema=schema,
        symbols=split_names(symbols),
        start_ns=None if start is None else parse_time(start, tz),
        end_ns=None if end is None else parse_time(end, tz),
        options=InputOptions(
            skip_bad, salvage, in_this_order, lossy, parse_session_date(session_date)
        ),
        consolidated=consolidated,
        tz=tz,
        ticks=ticks or definitions is not None,
        definitions=find_inputs(definitions or ()),
        extra=split_names(extra),
        statuses=find_inputs(statuses or ()),
        sessions=parse_session(session),
    )
    refuse_input_as_output([*request.paths, *request.definitions, *request.statuses], out)
    output = TableOutput(out, file_format, price_unit(prices))
    with read_progress("convert", quiet=quiet) as progress:
        result = convert(request, output, progress)
    if result.clamped_rows:
        typer.echo(f"batonics: {describe_clamped_rows(result.clamped_rows, schema)}", err=True)
    if not quiet:
        if result.cold_books:
            cold = describe_books(AnswerWarning.COLD, result.cold_books, result.book_count)
            typer.echo(cold, err=True)
        if result.incomplete_rows:
            typer.echo(
                f"incomplete: {result.incomplete_rows:,} of {result.rows:,} rows are of intervals"
                " that the input does not cover whole, at its beginning and at its end",
                err=True,
            )
        typer.echo(f"wrote {result.rows:,} rows to {out}", err=True)
