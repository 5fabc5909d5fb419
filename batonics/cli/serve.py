"""`batonics serve`: the books of files at any moment, over HTTP."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import typer

from batonics.cli.option_groups import expand_options, load_settings, read_flags
from batonics.cli.options import (
    FILES_HELP,
    InThisOrderOption,
    LossyOption,
    SalvageOption,
    SessionDateOption,
    SessionOption,
    SkipBadOption,
    StatusesOption,
    SymbolsOption,
    VerifyManifestOption,
    parse_session,
    parse_session_date,
    split_names,
)
from batonics.cli.server_options import MessageOptions, ServerOptions

HTTP_DEFAULT = "127.0.0.1:8080"


@dataclass(frozen=True, eq=False, repr=False)
class ReadOptions:
    """Which files, and how they are read."""

    files: Annotated[
        list[str] | None,
        typer.Argument(help=f"{FILES_HELP}; or a lake alone.", metavar="[FILES...]"),
    ] = None
    lake: Annotated[
        str | None, typer.Option("--lake", help="Answer SQL over this lake too: POST /v1/query.")
    ] = None
    symbols: SymbolsOption = None
    statuses: StatusesOption = None
    session: SessionOption = None
    skip_bad: SkipBadOption = False
    salvage: SalvageOption = False
    in_this_order: InThisOrderOption = False
    lossy: LossyOption = False
    session_date: SessionDateOption = None
    verify_manifest: VerifyManifestOption = False


@dataclass(frozen=True, eq=False, repr=False)
class PageOptions:
    """What a browser shows."""

    open: Annotated[
        bool, typer.Option("--open", help="Show the page in this machine's browser.")
    ] = False


@expand_options
def command(
    reading: ReadOptions, server: ServerOptions, page: PageOptions, messages: MessageOptions
) -> None:
    """Serve books of files at any moment, and SQL, over HTTP.

    It reads the files once; their records and checkpoints of the books go to a temporary directory
    (TMPDIR), with 65 to 140 bytes for each record. Without --http it listens on 127.0.0.1:8080.
    A browser sees the page at /: ladder, queues, trades and orders at any moment. Programs read the
    API: GET / lists its paths, and GET /openapi.json describes them. SIGTERM and ^C end it.
    """
    from batonics.cli.progress import read_progress
    from batonics.jobs.serve import ServeRequest, Serving, find_lake, serve_lake
    from batonics.server.config import ServerConfig
    from batonics.sinks.logs import configure
    from batonics.sources.input_options import InputOptions
    from batonics.sources.inputs import find_inputs

    settings = load_settings(read_flags(server, messages))
    configure(as_json=settings.log.json, level="error" if messages.quiet else "info")
    http = settings.server.http or HTTP_DEFAULT
    files, lake = find_lake(reading.files or (), reading.lake)
    request = ServeRequest(
        paths=find_inputs(files, verify_manifest=reading.verify_manifest),
        config=ServerConfig(replace(settings.server, http=http)),
        symbols=split_names(reading.symbols),
        options=InputOptions(
            reading.skip_bad,
            reading.salvage,
            reading.in_this_order,
            reading.lossy,
            parse_session_date(reading.session_date),
        ),
        statuses=find_inputs(reading.statuses or ()),
        sessions=parse_session(reading.session),
        opens_browser=page.open,
        lake=lake,
    )
    if not request.paths:
        serve_lake(request)
        return
    with Serving(request) as serving:
        with read_progress("read", quiet=messages.quiet or bool(settings.log.json)) as progress:
            serving.progress = progress
            serving.read()
        serving.serve()
