"""Clients of /v1/ws over faulty connections: `python -m tests.soak.soak_clients [FAULTS [SEED]]`.

The rule: each client goes through some of the faults, and its books end byte-equal to the server's.
"""

from __future__ import annotations

import asyncio
import sys
import time

from tests.support.command import SAMPLE
from tests.support.faulty_clients import follow_with_faults
from tests.support.serve import serving

FAULTS = 10_000
FAULTS_OF_A_CLIENT = 250
UNITS = {"BATONICS_SERVER_LIMITS_REQUEST_UNITS_PER_S": "1000000"}


def main(faults: int, seed: int) -> None:
    """Go through so many faults."""
    started, done, resyncs, reconnects = time.monotonic(), 0, 0, 0
    with serving(SAMPLE, **UNITS) as server:
        while done < faults:
            each = min(FAULTS_OF_A_CLIENT, faults - done)
            run = asyncio.run(follow_with_faults(server, seed + done, each))
            done += run.faults.total()
            resyncs, reconnects = resyncs + run.resyncs, reconnects + run.reconnects
    print(
        f"{done:,} faults, {resyncs:,} resyncs, {reconnects:,} connections made again,"
        f" {time.monotonic() - started:,.0f} s: each client's books are the server's"
    )


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else FAULTS,
        int(sys.argv[2]) if len(sys.argv) > 2 else 0,
    )
