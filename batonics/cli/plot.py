"""`batonics plot`: the depth of a book over time, as a picture."""

from __future__ import annotations

from typing import Annotated

import typer

from batonics.cli.options import (
    BookPublisherOption,
    BookSymbolOption,
    FilesArgument,
    InThisOrderOption,
    LossyOption,
    QuietOption,
    SalvageOption,
    SessionDateOption,
    SessionOption,
    SkipBadOption,
    VerifyManifestOption,
    parse_session,
    parse_session_date,
)


def command(
    files: FilesArgument,
    out: Annotated[str, typer.Option(help="NAME.png, .svg or .html; the page works offline.")],
    symbols: BookSymbolOption = None,
    publisher: BookPublisherOption = None,
    start: Annotated[
        str | None,
        typer.Option(help="Draw from this time on: ISO 8601 (UTC) or nanoseconds since the epoch."),
    ] = None,
    end: Annotated[str | None, typer.Option(help="Draw up to this time.")] = None,
    rows: Annotated[int, typer.Option(min=1, max=500, help="The most bands of prices.")] = 80,
    columns: Annotated[int, typer.Option(min=1, max=2000, help="The most columns of time.")] = 300,
    session: SessionOption = None,
    skip_bad: SkipBadOption = False,
    salvage: SalvageOption = False,
    in_this_order: InThisOrderOption = False,
    lossy: LossyOption = False,
    session_date: SessionDateOption = None,
    verify_manifest: VerifyManifestOption = False,
    quiet: QuietOption = False,
) -> None:
    """Draw the depth of a book over time as a picture.

    The file is PNG, SVG or HTML. Each column shows the book at its end. Lines are the best prices,
    circles the trades. With --session each session has a panel of its own. It needs the extra
    `plot`.
    """
    from batonics.cli.progress import read_progress
    from batonics.jobs.file_history import HistoryInput
    from batonics.jobs.heatmap import HeatmapRequest, make_file_heatmap
    from batonics.model.times import parse_time
    from batonics.plot.heatmap_chart import heatmap_chart
    from batonics.plot.save_chart import check_chart_file, save_chart
    from batonics.sources.input_options import InputOptions
    from batonics.sources.inputs import find_inputs

    check_chart_file(out)
    options = InputOptions(
        skip_bad, salvage, in_this_order, lossy, parse_session_date(session_date)
    )
    request = HeatmapRequest(
        HistoryInput(
            find_inputs(files, verify_manifest=verify_manifest),
            options=options,
            sessions=parse_session(session),
        ),
        symbols,
        publisher,
        None if start is None else parse_time(start),
        None if end is None else parse_time(end),
        rows,
        columns,
    )
    with read_progress("read", quiet=quiet) as progress:
        found = make_file_heatmap(request, progress)
    save_chart(heatmap_chart(found), out)
