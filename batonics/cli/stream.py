"""`batonics stream`: a live feed in, exact books out."""

from __future__ import annotations

from typing import Annotated

import typer

from batonics.cli.options import DEFAULT_LAKE_SCHEMAS, QuietOption, SkipBadOption, split_names
from batonics.cli.reconstruct import BookFormat


def command(
    connect: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of a feed: DBN, length-prefixed or NDJSON, detected."),
    ] = None,
    gateway: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT of a gateway that speaks the vendor's live protocol; the key is taken"
            " from BATONICS_GATEWAY_KEY or DATABENTO_API_KEY."
        ),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Of --gateway: GLBX.MDP3.")] = None,
    schema: Annotated[
        str, typer.Option(help="Of --gateway: mbo; books are built from nothing else.")
    ] = "mbo",
    symbols: Annotated[
        str, typer.Option(help="Of --gateway: names, A,B,C, or ALL_SYMBOLS.")
    ] = "ALL_SYMBOLS",
    stype_in: Annotated[
        str, typer.Option(help="What these names are: raw_symbol, instrument_id, parent.")
    ] = "raw_symbol",
    snapshot: Annotated[
        bool, typer.Option("--snapshot", help="Of --gateway: begin with the books as they are.")
    ] = False,
    start: Annotated[
        str | None, typer.Option(help="Of --gateway: records from this time on.")
    ] = None,
    heartbeat: Annotated[
        int, typer.Option(min=5, help="Of --gateway: seconds of silence until it says it is there.")
    ] = 10,
    out: Annotated[
        str | None, typer.Option(help="Where the books go at the end; - is standard output.")
    ] = None,
    form: Annotated[
        BookFormat, typer.Option("--format", help="One document, or a book a line.")
    ] = BookFormat.JSON,
    depth: Annotated[
        int, typer.Option(min=1, max=1_000, help="Levels of each side that are published.")
    ] = 10,
    orders: Annotated[bool, typer.Option("--orders", help="Queues of levels in --out.")] = False,
    once: Annotated[
        bool, typer.Option("--once", help="End with the feed; a lost connection is an error.")
    ] = False,
    record: Annotated[
        str | None,
        typer.Option(help="A directory for the raw feed and checkpoints; a restart goes on there."),
    ] = None,
    snapshots: Annotated[
        str | None,
        typer.Option(help="A directory for depth snapshots: Parquet files, one a minute."),
    ] = None,
    every: Annotated[
        str | None, typer.Option(help="When a snapshot is taken, by the feed's time: 1s, 100ms.")
    ] = None,
    lake: Annotated[
        str | None, typer.Option(help="A lake that what is taken is appended to.")
    ] = None,
    lake_schemas: Annotated[
        str, typer.Option(help="What is made of it there, as of `batonics lake load`.")
    ] = DEFAULT_LAKE_SCHEMAS,
    lake_every: Annotated[
        str, typer.Option(help="How often that is committed, by the clock.")
    ] = "1m",
    http: Annotated[
        str | None,
        typer.Option(help="HOST:PORT to serve books, WebSockets and metrics at."),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name that requests may use for us. May be repeated.")
    ] = None,
    allow_origin: Annotated[
        list[str] | None, typer.Option(help="An origin whose pages may ask us. May be repeated.")
    ] = None,
    hung: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds without a byte after which it is lost.")
    ] = None,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Logs as JSON, on a terminal too.")
    ] = False,
    realtime: Annotated[
        bool,
        typer.Option(
            "--realtime", help="Ingest comes before all other work of the machine (SCHED_FIFO)."
        ),
    ] = False,
    skip_bad: SkipBadOption = False,
    quiet: QuietOption = False,
) -> None:
    """Follow a live feed; SIGTERM and ^C take what has arrived, write --out and end."""
    import sys
    from contextlib import ExitStack

    from batonics.jobs.stream import Stream, StreamRequest, build_feed
    from batonics.model.errors import OutputError
    from batonics.model.times import NS_PER_S, duration_ns
    from batonics.server.config import ServerConfig
    from batonics.sinks.atomic import open_atomic
    from batonics.sinks.book_json import write_books
    from batonics.sinks.logs import configure

    shows = not quiet and not log_json and sys.stdout.isatty() and out != "-"
    # What is logged would tear the screen: that has the feed's state too.
    level = "critical" if shows else "error" if quiet else "info"
    configure(as_json=log_json or None, level=level)
    request = StreamRequest(
        feed=build_feed(
            connect,
            gateway,
            idle_timeout_seconds=hung,
            dataset=dataset,
            schema=schema,
            symbols=symbols,
            stype_in=stype_in,
            snapshot=snapshot,
            start=start,
            heartbeat_s=heartbeat,
        ),
        depth=depth,
        once=once,
        record=record,
        snapshots=snapshots,
        every=every,
        lake=lake,
        lake_schemas=split_names(lake_schemas),
        lake_seconds=duration_ns(lake_every) / NS_PER_S,
        skip_bad=skip_bad,
        realtime=realtime,
        server=ServerConfig(
            http=http,
            view=shows,
            log_json=log_json or None,
            allowed_hosts=tuple(allow_host or ()),
            allowed_origins=tuple(allow_origin or ()),
        ),
    )
    with ExitStack() as stack:
        # An output that cannot be written is found before the feed, not after it.
        file = stack.enter_context(open_atomic(out)) if out is not None else None
        run = Stream(request)
        run.run()
        if file is not None:
            handler = run.handler
            write_books(
                file, handler.engine, handler.symbols, book_format=form.value, orders=orders
            )
    if run.failure is not None:  # the books are written all the same
        raise OutputError(run.failure)
    if not quiet:
        stats = run.handler.stats
        typer.echo(f"took {stats.records:,} records into {stats.books:,} books", err=True)
