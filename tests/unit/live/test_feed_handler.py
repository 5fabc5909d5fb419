"""A feed that is cut, reconnects, repeats records or leaves some out: no wrong book is synced.

The reference books take every record of the feed. While the feed is live, a book that the handler
publishes as synced must equal the reference book at the end of its last event.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import pytest

from batonics.codec.dbn import encode_records
from batonics.codec.messages import (
    ERROR_SKIPPED_RECORDS,
    ERROR_SUBSCRIPTION,
    ERROR_SYMBOL,
    SYSTEM_SLOW_READER,
    write_error_message,
    write_system_message,
)
from batonics.codec.metadata import Metadata, encode_metadata
from batonics.live.feed_handler import FeedHandler
from batonics.live.protocol import STATUSES, FeedState
from batonics.model.errors import InputError
from batonics.model.mbo import UNDEF_PRICE, Flag
from tests.support.reference_books import Key, Record, ReferenceBooks, records
from tests.support.streams import START_NS, batch_of, random_stream

DEPTH = 4
HEAD = encode_metadata(Metadata())
Levels = list[tuple[int, int, int]]
RECORDS = 160
RUNS = 1_000


class ExpectedBooks:
    """Each book as of the end of its last event, after a number of records."""

    def __init__(self, rows: Sequence[Record]) -> None:
        self._reference, self._rows, self._done = ReferenceBooks(), rows, 0
        self._published: dict[Key, tuple[Levels, Levels]] = {}

    def levels(self, wanted: Key, done: int) -> tuple[Levels, Levels]:
        """The best levels; `done` never falls."""
        while self._done < done:
            row = self._rows[self._done]
            key = row.publisher_id, row.instrument_id
            before = self._reference.events(key) if key in self._reference.books() else 0
            levels_before = self._levels(key) if key in self._reference.books() else ([], [])
            self._reference.apply(row)
            self._done += 1
            is_last = bool(row.flags & Flag.LAST)
            # A record may end a snapshot that came before it: the book is then the one before it.
            if self._reference.events(key) - is_last > before:
                self._published[key] = levels_before
            if is_last:
                self._published[key] = self._levels(key)
        return self._published.get(wanted, ([], []))

    def _levels(self, key: Key) -> tuple[Levels, Levels]:
        bids, asks = (
            [(price, size, count) for price, size, count, _ in self._reference.levels(key, side)]
            for side in (ord("B"), ord("A"))
        )
        return bids[:DEPTH], asks[:DEPTH]


class Connection(NamedTuple):
    """What one connection brings.

    Attributes:
        begin: the number of its first record.
        data: its bytes, with metadata before the records.
        cuts: where the bytes are cut into chunks.
    """

    begin: int
    data: bytes
    cuts: list[int]


def published_levels(handler: FeedHandler, book: int) -> tuple[Levels, Levels]:
    """The bids and asks of a published row, as tuples."""
    bids, asks = (
        [
            (int(price), int(size), int(count))
            for price, size, count in handler.published_books.rows[side][book].tolist()
            if price != UNDEF_PRICE
        ]
        for side in ("bids", "asks")
    )
    return bids, asks


def check(handler: FeedHandler, expected: ExpectedBooks, done: int) -> int:
    """Check every book that is published as synced; how many there are."""
    keys = handler.engine.keys()
    synced = 0
    for number in range(len(handler.published_books.rows)):
        status = STATUSES[handler.published_books.rows["status"][number]]
        if handler.stats.feed != FeedState.LIVE or status != "synced":
            continue
        synced += 1
        levels = expected.levels(keys[number], done)
        assert published_levels(handler, number) == levels, (
            f"book {keys[number]} after {done} records"
        )
    return synced


def make_connections(rows: list[Record], random: Random, *, gaps: bool) -> list[Connection]:
    """A feed in connections: each goes back by some records, or, with `gaps`, begins too late."""
    made: list[Connection] = []
    at = 0
    while at < len(rows):
        back = random.choice((0, 1, 3, 20))
        begin = max(0, at - back) if made else 0
        if gaps and made and random.random() < 0.4:
            begin = min(at + random.randint(1, 12), len(rows))
        end = min(len(rows), max(at, begin) + random.randint(1, 60))
        data = HEAD + encode_records(batch_of(rows[begin:end]))
        if end < len(rows):  # cut anywhere within the next record, or not
            data += encode_records(batch_of(rows[end : end + 1]))[: random.choice((0, 1, 30, 55))]
        cuts = sorted(random.randint(0, len(data)) for _ in range(random.randint(0, 6)))
        made.append(Connection(begin, data, cuts))
        at = end
    return made


def drive(handler: FeedHandler, rows: list[Record], feed: list[Connection], *, exact: bool) -> int:
    """Process all connections and check after every chunk; the number of books checked."""
    expected, done, synced = ExpectedBooks(rows), 0, 0
    for connection in feed:
        handler.begin_connection()
        at = 0
        for cut in (*connection.cuts, len(connection.data)):
            handler.process(connection.data[at:cut])
            at = cut
            whole = max(at - len(HEAD), 0) // 56
            done = max(done, connection.begin + whole)
            synced += check(handler, expected, done)
        if exact:
            assert handler.stats.records == done
        handler.end_connection()
        assert not check(handler, expected, done)
    return synced


@pytest.mark.parametrize("profile", ["none", "snapshots"])
def test_a_feed_that_goes_back_far_enough_loses_and_repeats_no_record(profile: str) -> None:
    synced = 0
    for seed in range(RUNS // 4):
        random = Random(seed)
        rows = stream(profile, seed)
        feed = make_connections(rows, random, gaps=False)
        # A position is found by its time: the feed goes back to the first record of that time.
        feed = [_back_to_time(c, rows) for c in feed]
        handler = FeedHandler(depth=DEPTH, source=f"seed {seed}")
        synced += drive(handler, rows, feed, exact=True)
        assert handler.stats.gaps == 0, f"seed {seed}"
        reference = ReferenceBooks()
        for row in rows:
            reference.apply(row)
        assert handler.stats.records == len(rows), f"seed {seed}"
        assert handler.engine.events().sum() == sum(reference.events(k) for k in reference.books())
    assert synced > 1_000


@pytest.mark.parametrize("profile", ["none", "snapshots"])
def test_a_feed_with_gaps_never_publishes_a_wrong_book_as_synced(profile: str) -> None:
    synced = gaps = 0
    for seed in range(RUNS // 4):
        random = Random(seed)
        rows = stream(profile, seed)
        handler = FeedHandler(depth=DEPTH, source=f"seed {seed}")
        synced += drive(handler, rows, make_connections(rows, random, gaps=True), exact=False)
        gaps += handler.stats.gaps
    assert synced > 500
    assert gaps > RUNS // 8


def test_a_feed_cut_at_every_byte_goes_on_exactly() -> None:
    rows = stream("none", 5)[:12]
    data = HEAD + encode_records(batch_of(rows))
    for cut in range(len(data) + 1):
        handler = FeedHandler(depth=DEPTH, source=f"cut {cut}")
        handler.begin_connection()
        handler.process(data[:cut])
        handler.end_connection()
        handler.begin_connection()
        handler.process(data)
        assert handler.stats.records == len(rows), f"cut at byte {cut}"
        assert handler.stats.gaps == 0
        assert handler.stats.feed == FeedState.LIVE


def test_damage_ends_a_connection_and_no_more() -> None:
    rows = stream("none", 6)
    data = HEAD + encode_records(batch_of(rows))
    bad = bytearray(data)
    bad[len(HEAD) + 56 * 100] = 0
    handler = FeedHandler(depth=DEPTH, source="feed")
    handler.begin_connection()
    with pytest.raises(InputError, match="record 100"):
        handler.process(bytes(bad))
    assert handler.stats.records == 100
    handler.end_connection()
    handler.begin_connection()
    handler.process(data)
    assert (handler.stats.records, handler.stats.duplicates) == (len(rows), 100)


def stream(profile: str, seed: int) -> list[Record]:
    """Records whose times never fall; several may have the same time."""
    share = 0.03 if profile == "snapshots" else 0.0
    batch = random_stream(seed, RECORDS, snapshot_share=share, partial_modifies=False)
    random, now, rows = Random(seed), START_NS, []
    for row in records(batch):
        now += random.choice((0, 1, 1, 1_000))
        flags = row.flags & ~int(Flag.BAD_TS_RECV)
        rows.append(row._replace(ts_recv=now, ts_event=now - 5, flags=flags))
    return rows


def _back_to_time(connection: Connection, rows: list[Record]) -> Connection:
    begin = connection.begin
    while 0 < begin < len(rows) and rows[begin - 1].ts_recv == rows[begin].ts_recv:
        begin -= 1
    begin = max(begin - 1, 0)
    while begin > 0 and rows[begin - 1].ts_recv == rows[begin].ts_recv:
        begin -= 1
    more = encode_records(batch_of(rows[begin : connection.begin]))
    data = HEAD + more + connection.data[len(HEAD) :]
    return Connection(begin, data, connection.cuts)


def test_a_symbol_that_does_not_resolve_ends_no_session() -> None:
    rows = stream("snapshots", 7)
    handler = FeedHandler(source="feed")
    handler.begin_connection()
    said = write_error_message(ERROR_SYMBOL, "symbol 'NOPE' could not be resolved", START_NS)
    handler.process(HEAD + said + encode_records(batch_of(rows)))
    handler.update_counts()
    assert (handler.stats.records, handler.stats.unresolved_symbols) == (len(rows), 1)
    assert handler.stats.gaps == handler.stats.stale == 0
    with pytest.raises(InputError, match="the gateway says: no more"):
        handler.process(write_error_message(ERROR_SUBSCRIPTION, "no more", START_NS))


@pytest.mark.parametrize("pieces", [1, 64, 1 << 20])
def test_records_that_the_gateway_skips_are_a_gap_just_there(pieces: int) -> None:
    rows = stream("snapshots", 7)
    cut = 60
    handler, expected = FeedHandler(source="feed"), FeedHandler(source="feed")
    message = write_error_message(ERROR_SKIPPED_RECORDS, "skipped records", START_NS)
    data = b"".join(
        [HEAD, encode_records(batch_of(rows[:cut])), message, encode_records(batch_of(rows[cut:]))]
    )
    handler.begin_connection()
    for at in range(0, len(data), pieces):
        handler.process(data[at : at + pieces])
    expected.begin_connection()
    expected.process(HEAD + encode_records(batch_of(rows[:cut])))
    expected._begin_gap()
    expected.process(encode_records(batch_of(rows[cut:])))
    for one in (handler, expected):
        one.update_counts()
    assert (handler.stats.slow_reader_skips, handler.stats.gaps) == (1, 1)
    assert handler.stats.stale == expected.stats.stale
    assert handler.engine.statuses() == expected.engine.statuses()
    assert handler.engine.anomalies().tolist() == expected.engine.anomalies().tolist()


def test_a_warning_of_the_gateway_is_counted_and_nothing_else() -> None:
    handler = FeedHandler(source="feed")
    handler.begin_connection()
    handler.process(HEAD + write_system_message(SYSTEM_SLOW_READER, "slow", START_NS))
    assert (handler.stats.slow_reader_warnings, handler.stats.gaps) == (1, 0)
