"""Faulty feeds, seeded: no book published as synced is wrong, and the counts add up.

A published row is checked by its `sequence`, which here is the record's number in the whole feed:
its levels are those of the true book after that record, whatever was lost on the way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from batonics.codec.dbn import encode_records
from batonics.codec.metadata import Metadata, encode_metadata
from batonics.gateway.fault_simulation import simulate_connections
from batonics.gateway.faults import Fault, Faults
from batonics.live.feed_handler import FeedHandler
from batonics.live.protocol import STATUSES, FeedState
from batonics.model.mbo import UNDEF_PRICE, Flag
from tests.support.reference_books import Record, ReferenceBooks, records
from tests.support.streams import START_NS, batch_of, random_stream

DEPTH = 5
RECORDS = 300
KINDS = {
    "lost connections": Faults(rst=8, cut=8, dup=600),
    "lost records": Faults(drop=15),
    "lost records and connections": Faults(drop=6, rst=6, cut=6, stall=3),
    "resets alone": Faults(rst=15),
}
HEAD = encode_metadata(Metadata())
Levels = tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]


def stream(seed: int) -> list[Record]:
    """Records that are numbered, each with a time of its own; books of ordinary publishers."""
    batch = random_stream(
        seed, RECORDS, snapshot_share=0.02, partial_modifies=False, fault_share=0.0
    )
    unsaid = int(Flag.BAD_TS_RECV | Flag.MAYBE_BAD_BOOK)
    return [
        row._replace(
            ts_recv=START_NS + 1_000 * number,
            ts_event=START_NS + 1_000 * number - 7,
            sequence=number,
            flags=row.flags & ~unsaid,
        )
        for number, row in enumerate(records(batch))
    ]


def truths(rows: Sequence[Record]) -> list[Levels]:
    """The best levels of each record's book, after it."""
    books, found = ReferenceBooks(), []
    for row in rows:
        books.apply(row)
        key = row.publisher_id, row.instrument_id
        bids, asks = (books.quotes(key, side)[:DEPTH] for side in (ord("B"), ord("A")))
        found.append((bids, asks))
    return found


def check(handler: FeedHandler, truth: list[Levels]) -> int:
    """Hold each book that is told as synced against the truth; how many there were."""
    rows = handler.published_books.rows
    if handler.stats.feed != FeedState.LIVE:
        return 0
    synced = 0
    for row in rows[rows["status"] == STATUSES.index("synced")]:
        synced += 1
        bids, asks = (
            [tuple(level) for level in row[side].tolist() if level[0] != UNDEF_PRICE]
            for side in ("bids", "asks")
        )
        assert (bids, asks) == truth[int(row["sequence"])], f"at record {row['sequence']}"
    return synced


def whole_records(chunks: Sequence[bytes]) -> list[bytes]:
    """The whole records that a connection brings."""
    data = b"".join(chunks)[len(HEAD) :]
    return [data[at : at + 56] for at in range(0, len(data) - 55, 56)]


def gaps_of(brought: Sequence[Sequence[bytes]]) -> int:
    """How many connections do not say again, as it was, what was said last before they go on."""
    gaps, last = 0, b""
    for rows in brought:
        if not rows:
            continue
        later = next((n for n, row in enumerate(rows) if number(row) >= number(last)), len(rows))
        if last and later < len(rows) and rows[later] != last:
            gaps += 1
        last = max(last, rows[-1], key=number)
    return gaps


def number(row: bytes) -> int:
    """Of a record in the feed."""
    return int.from_bytes(row[52:56], "little") if row else -1


def check_faulty_feeds(kind: str, runs: int) -> Counter[str]:
    """So many feeds of a kind, held against the truth and the ledger; what there was in all."""
    seen: Counter[str] = Counter()
    for seed in range(runs):
        rows = stream(seed)
        truth = truths(rows)
        faults = KINDS[kind]
        faults = Faults(**{**vars(faults), "seed": seed})
        made, fault_counts = simulate_connections(HEAD + encode_records(batch_of(rows)), faults)
        handler = FeedHandler(depth=DEPTH, source=f"seed {seed}")
        for connection in made:
            handler.begin_connection()
            for chunk in connection.chunks:
                for at in range(0, len(chunk), 1 + seed % 700):
                    handler.process(chunk[at : at + 1 + seed % 700])
                    seen["synced"] += check(handler, truth)
            handler.end_connection()
        stats = handler.stats
        where = f"{kind}, seed {seed}"
        assert stats.connects == stats.disconnects == fault_counts.connections == len(made), where
        ends = Counter(connection.end for connection in made)
        assert (ends[Fault.RST], ends[Fault.CUT]) == (fault_counts.rst, fault_counts.cut), where
        brought = [whole_records(connection.chunks) for connection in made]
        # What was brought was taken, or left out because it had been.
        assert stats.records + stats.duplicates == sum(map(len, brought)), where
        assert stats.gaps == gaps_of(brought), where
        assert stats.records == len(rows) - fault_counts.drop, where
        assert stats.duplicates == fault_counts.repeated, where
        seen.update(
            gaps=stats.gaps,
            lost=fault_counts.drop,
            flagged=fault_counts.flagged,
            dup=fault_counts.dup,
        )
    return seen
