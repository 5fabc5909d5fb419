"""`batonics stream`: a live feed in, exact books out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from batonics.cli.option_groups import SettingOption, expand_options, load_settings, read_flags
from batonics.cli.options import SessionOption, SkipBadOption
from batonics.cli.reconstruct import FormatOption
from batonics.cli.server_options import MessageOptions, ServerOptions


@dataclass(frozen=True, eq=False, repr=False)
class FeedOptions:
    """Which feed, and how its connection is kept."""

    connect: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of a feed: DBN, length-prefixed or NDJSON, detected."),
    ] = None
    gateway: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT of a gateway that speaks the vendor's live protocol. Its key comes"
            " from BATONICS_GATEWAY_KEY, DATABENTO_API_KEY or the setting live.gateway_key."
        ),
    ] = None
    dataset: Annotated[str | None, typer.Option(help="Dataset of --gateway: GLBX.MDP3.")] = None
    schema: Annotated[
        str, typer.Option(help="Schema of --gateway: mbo, the only one that makes books.")
    ] = "mbo"
    symbols: Annotated[str, typer.Option(help="Symbols of --gateway: A,B,C, or ALL_SYMBOLS.")] = (
        "ALL_SYMBOLS"
    )
    stype_in: Annotated[
        str, typer.Option(help="Type of --symbols: raw_symbol, instrument_id, continuous, parent.")
    ] = "raw_symbol"
    snapshot: Annotated[
        bool, typer.Option("--snapshot", help="Begin with a snapshot of the --gateway's books.")
    ] = False
    start: Annotated[
        str | None,
        typer.Option(
            help="Begin with the --gateway's records of this time: ISO 8601 (in --tz) or"
            " nanoseconds since the epoch."
        ),
    ] = None
    tz: Annotated[
        str, typer.Option(help="The time zone of --start where it has no offset: America/Chicago.")
    ] = "UTC"
    heartbeat: Annotated[
        int | None, SettingOption("live.gateway_heartbeat_interval_s", "--heartbeat")
    ] = None
    hung: Annotated[float | None, SettingOption("live.idle_timeout_s", "--hung")] = None
    once: Annotated[
        bool, typer.Option("--once", help="End with the feed; a lost connection is an error.")
    ] = False
    skip_bad: SkipBadOption = False
    realtime: Annotated[bool | None, SettingOption("live.realtime", "--realtime")] = None


@dataclass(frozen=True, eq=False, repr=False)
class BookOptions:
    """What is written of the books at the end."""

    out: Annotated[
        str | None,
        typer.Option(
            help="A file for the books at the end: NAME.json, NAME.ndjson; - is standard output."
        ),
    ] = None
    book_format: FormatOption = None
    depth: Annotated[int | None, SettingOption("live.depth", "--depth")] = None
    orders: Annotated[bool, typer.Option("--orders", help="Write queues of levels to --out.")] = (
        False
    )


@dataclass(frozen=True, eq=False, repr=False)
class StorageOptions:
    """What is kept of the feed as it comes."""

    record: Annotated[
        str | None,
        typer.Option(
            help="A directory for the raw feed and checkpoints; a restart continues there."
        ),
    ] = None
    snapshots: Annotated[
        str | None,
        typer.Option(help="A directory for depth snapshots: Parquet files, one a minute."),
    ] = None
    every: Annotated[
        str | None, typer.Option(help="Interval of --snapshots, by the feed's time: 1s, 100ms.")
    ] = None
    lake: Annotated[str | None, typer.Option(help="A lake to append the feed's rows to.")] = None
    lake_schemas: Annotated[
        str | None, SettingOption("lake.schemas", "--lake-schemas", "Schemas of --lake.")
    ] = None
    lake_every: Annotated[
        str | None,
        SettingOption(
            "lake.commit_interval_s", "--lake-every", "Time between two commits to --lake: 1m."
        ),
    ] = None
    statuses: Annotated[
        list[str] | None,
        typer.Option(
            help="A file of the schema status, for rows of --lake. May be repeated. By default the"
            " status records of the feed."
        ),
    ] = None
    session: SessionOption = None


@expand_options
def command(
    feed: FeedOptions,
    books: BookOptions,
    storage: StorageOptions,
    server: ServerOptions,
    messages: MessageOptions,
) -> None:
    """Follow a live feed and keep exact books of it.

    SIGTERM and ^C end the run after the records that have arrived, and write --out.
    """
    import sys

    from batonics.jobs.reconstruct import BookOutput
    from batonics.jobs.stream import FeedAddress, Stream, StreamRequest, connect_feed
    from batonics.model.errors import OutputError
    from batonics.model.times import parse_time
    from batonics.native import on_compile
    from batonics.sinks.logs import configure, logger

    settings = load_settings(read_flags(feed, books, storage, server, messages))
    as_json, quiet = settings.log.json, messages.quiet
    view = not quiet and not as_json and sys.stdout.isatty() and books.out != "-"
    # Log lines would tear the screen, which shows the feed's state too.
    configure(as_json=as_json, level="critical" if view else "error" if quiet else "info")
    on_compile(lambda name: logger("stream").info("kernel_compiles", kernel=name))
    request = StreamRequest(
        feed=connect_feed(
            FeedAddress(
                connect=feed.connect,
                gateway=feed.gateway,
                dataset=feed.dataset,
                schema=feed.schema,
                symbols=feed.symbols,
                stype_in=feed.stype_in,
                snapshot=feed.snapshot,
                start_ns=None if feed.start is None else parse_time(feed.start, feed.tz),
            ),
            settings.live,
        ),
        once=feed.once,
        record=storage.record,
        snapshots=storage.snapshots,
        every=storage.every,
        lake=storage.lake,
        statuses=tuple(storage.statuses or ()),
        session=storage.session,
        skip_bad=feed.skip_bad,
        books=None
        if books.out is None
        else BookOutput(
            books.out,
            None if books.book_format is None else books.book_format.value,
            orders=books.orders,
        ),
        view=view,
        quiet=quiet,
        settings=settings,
    )
    run = Stream(request)
    run.run()
    if run.failure is not None:  # the books are written all the same
        raise OutputError(run.failure)
    stats = run.handler.stats
    if quiet:
        return
    if as_json:
        logger("stream").info("stream_ended", records=stats.records, books=stats.books)
    else:
        typer.echo(f"took {stats.records:,} records into {stats.books:,} books", err=True)
