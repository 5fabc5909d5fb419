"""`batonics replay`: files as a live feed, for any number of clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from batonics.cli.option_groups import load_settings
from batonics.cli.options import InThisOrderOption, LogJsonOption, QuietOption, VerifyManifestOption

if TYPE_CHECKING:
    from rich.console import Console

    from batonics.gateway.pacing import Pace
    from batonics.jobs.replay import Replay


def command(
    files: Annotated[
        list[str],
        typer.Argument(help="DBN files (plain, zstd, fragments)."),
    ],
    bind: Annotated[
        str, typer.Option(help="HOST:PORT to listen on; port 0 lets the system choose.")
    ],
    protocol: Annotated[
        str,
        typer.Option(
            help="dbn: the bytes of the files, metadata once; gateway: the vendor's live protocol,"
            " with every schema that has a DBN record (if BATONICS_GATEWAY_KEY is set, only that"
            " key is accepted); ndjson: lines of ops; length-prefixed: each record after its"
            " length in bytes."
        ),
    ] = "dbn",
    speed: Annotated[
        str, typer.Option(help="Speed relative to the records' own times: 1, 10x; max: full speed.")
    ] = "max",
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Records per second, in place of --speed.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help="Start at this time: ISO 8601 (in --tz) or nanoseconds since the epoch."),
    ] = None,
    tz: Annotated[
        str, typer.Option(help="The time zone of --start without an offset: America/Chicago.")
    ] = "UTC",
    loop: Annotated[
        int, typer.Option(min=0, help="How many times the files are sent; 0: without end.")
    ] = 1,
    fault: Annotated[
        str | None,
        typer.Option(
            help="Faults per 1,000 records: drop=0.5,rst=0.1,cut=0.1,stall=0.1:20s; per 1,000"
            " connections: dup=500. After a fault that ends a connection, the next one continues."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the faults; the same seed makes the same ones.")
    ] = 0,
    once: Annotated[
        bool, typer.Option("--once", help="End after the first client that was sent everything.")
    ] = False,
    in_this_order: InThisOrderOption = False,
    verify_manifest: VerifyManifestOption = False,
    log_json: LogJsonOption = None,
    quiet: QuietOption = False,
) -> None:
    """Serve files as a live feed.

    Each client receives the whole feed from its beginning, at the chosen pace.
    """
    from rich.console import Console

    from batonics import native
    from batonics.gateway.faults import parse_faults
    from batonics.jobs.replay import Replay, ReplayRequest
    from batonics.model.times import parse_time
    from batonics.sinks import logs
    from batonics.sources.inputs import find_inputs

    console = Console(stderr=True)
    as_json = load_settings({"log.json": ("--log-json", log_json)}).log.json
    has_display = console.is_terminal and not quiet and not as_json
    logs.configure(as_json=as_json, level="error" if quiet or has_display else "info")
    # The first client waits while a kernel compiles: the log says so.
    native.on_compile(lambda name: logs.logger("replay").info("kernel_compiles", kernel=name))
    request = ReplayRequest(
        paths=find_inputs(files, verify_manifest=verify_manifest),
        bind=bind,
        protocol=protocol,
        pace=_parse_pace(speed, rate),
        start_ns=None if start is None else min(parse_time(start, tz), 2**63 - 1),
        loops=loop,
        once=once,
        indexed=has_display,
        in_this_order=in_this_order,
        faults=None if fault is None else parse_faults(fault, seed),
    )
    _run(Replay(request), console if has_display else None, as_json=bool(as_json))


def _parse_pace(speed: str, rate: float | None) -> Pace:
    from batonics.gateway.pacing import Pace
    from batonics.model.errors import UsageError

    if rate is not None and not rate < float("inf"):
        raise UsageError(f"not a rate: {rate} (expected records a second)")
    if speed == "max":
        return Pace(rate=rate)
    if rate is not None:
        raise UsageError("a speed and a rate exclude each other")
    try:
        factor = float(speed.removesuffix("x"))
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise UsageError(f"not a speed: {speed!r} (expected such as 1, 0.5, 10x, or max)")
    return Pace(speed=factor)


def _run(replay: Replay, console: Console | None, *, as_json: bool) -> None:
    """Wait until the replay is done or a signal ends it, and close it."""
    import signal
    from types import FrameType

    from batonics.sinks.logs import logger

    def end(_number: int, _frame: FrameType | None) -> None:
        replay.done.set()

    signal.signal(signal.SIGTERM, end)
    # A shell lets its background processes ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    address = "{}:{}".format(*replay.address)
    if as_json:
        logger("replay").info("listening", address=address)
    else:
        typer.echo(f"listening on {address}", err=True)
    try:
        if console is None:
            replay.done.wait()
        else:
            from batonics.cli.replay_screen import show_replay

            show_replay(replay, console)
    finally:
        replay.close()
